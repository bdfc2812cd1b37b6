# SPDX-License-Identifier: Apache-2.0
"""What the stand-in's own blob service and Azurite both do right, through the SDK.

Each test runs against both, with names that no other test has: Azurite is not emptied in between.
"""

import os
import secrets
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobClient, BlobSasPermissions, BlobType, ContentSettings, generate_blob_sas

from tests.azure_sandbox.blobs import (
    ACCOUNT,
    MIB,
    Served,
    azurite,
    either,
    own,
    refused,
    serving_azurite,
    serving_own,
)

__all__ = ["azurite", "either", "own", "serving_azurite", "serving_own"]

PAGE = 512
A, B = b"a" * PAGE, b"b" * PAGE


def fresh() -> str:
    return f"disks-{secrets.token_hex(6)}"


@pytest.fixture
def blob(either: Served) -> BlobClient:
    """Return a page blob of 1 MiB in a container of its own."""
    return either.blob(container=fresh())


def spans(blob: BlobClient, **options: Any) -> list[tuple[int, int]]:
    """Return the page ranges, start and exclusive end, with neighbours as one."""
    found: list[tuple[int, int]] = []
    for one in blob.list_page_ranges(**options):
        if found and found[-1][1] == one.start:
            found[-1] = (found[-1][0], one.end + 1)
        else:
            found.append((one.start, one.end + 1))
    return found


def test_a_new_page_blob_is_zeros(either: Served) -> None:
    blob = either.container(fresh()).get_blob_client("folder/a disk.vhd")
    blob.create_page_blob(20 * MIB + PAGE, metadata={"lkcloud_name": "image"})
    properties = blob.get_blob_properties()
    assert properties.size == 20 * MIB + PAGE
    assert properties.blob_type == BlobType.PAGEBLOB
    assert properties.metadata == {"lkcloud_name": "image"}
    assert spans(blob) == []
    assert blob.download_blob(offset=20 * MIB, length=PAGE).readall() == bytes(PAGE)


def test_pages_are_written_and_cleared(blob: BlobClient) -> None:
    blob.upload_page(A, 0, PAGE)
    blob.upload_page(A + B, 4 * PAGE, 2 * PAGE, validate_content=True)
    blob.upload_page(B, 6 * PAGE, PAGE)
    assert spans(blob) == [(0, PAGE), (4 * PAGE, 7 * PAGE)]
    assert spans(blob, offset=5 * PAGE, length=PAGE) == [(5 * PAGE, 6 * PAGE)]
    blob.clear_page(5 * PAGE, PAGE)
    assert spans(blob) == [(0, PAGE), (4 * PAGE, 5 * PAGE), (6 * PAGE, 7 * PAGE)]
    assert blob.download_blob().readall() == A + bytes(3 * PAGE) + A + bytes(PAGE) + B + bytes(MIB - 7 * PAGE)


def test_zeros_that_are_written_are_pages(blob: BlobClient) -> None:
    blob.upload_page(bytes(2 * PAGE), PAGE, 2 * PAGE)
    assert spans(blob) == [(PAGE, 3 * PAGE)]


def test_page_ranges_are_all_told(blob: BlobClient) -> None:
    for page in range(0, 20, 2):
        blob.upload_page(A, page * PAGE, PAGE)
    assert spans(blob, results_per_page=3) == [(page * PAGE, (page + 1) * PAGE) for page in range(0, 20, 2)]


def test_many_writers_at_a_time(either: Served) -> None:
    blob = either.blob(size=8 * MIB, container=fresh())
    data = os.urandom(8 * MIB)

    def write(first: int) -> None:
        for offset in range(first * MIB, len(data), 4 * MIB):
            blob.upload_page(data[offset : offset + MIB], offset, MIB, validate_content=True)

    threads = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert spans(blob) == [(0, 8 * MIB)]
    assert blob.download_blob(max_concurrency=2).readall() == data


def test_unaligned_size_and_pages_are_refused(either: Served, blob: BlobClient) -> None:
    other = either.container(blob.container_name).get_blob_client("other.vhd")
    with pytest.raises(HttpResponseError, match=r"InvalidOperation|InvalidHeaderValue"):
        other.create_page_blob(1000)
    assert not other.exists()
    headers = {"x-ms-page-write": "update", "x-ms-range": "bytes=1-512"}
    answer = either.raw("PUT", f"{blob.container_name}/{blob.blob_name}?comp=page", A, headers)
    assert answer.status in (400, 416)


def test_a_file_is_uploaded_by_the_sdk(either: Served, tmp_path: Path) -> None:
    data = os.urandom(4 * MIB) + bytes(4 * MIB) + os.urandom(PAGE)
    (tmp_path / "disk.vhd").write_bytes(data)
    blob = either.container(fresh()).get_blob_client("disk.vhd")
    with (tmp_path / "disk.vhd").open("rb") as file:
        blob.upload_blob(file, blob_type="PageBlob", length=len(data), max_concurrency=4, validate_content=True)
    # It leaves out what is zeros for 4 MiB.
    assert spans(blob) == [(0, 4 * MIB), (8 * MIB, 8 * MIB + PAGE)]
    assert blob.download_blob(max_concurrency=4).readall() == data


def test_pages_behind_the_end_are_refused(either: Served, blob: BlobClient) -> None:
    headers = {"x-ms-page-write": "update", "x-ms-range": f"bytes={MIB}-{MIB + PAGE - 1}"}
    answer = either.raw("PUT", f"{blob.container_name}/{blob.blob_name}?comp=page", A, headers)
    assert answer.status == 416
    assert spans(blob) == []


def test_another_size(blob: BlobClient) -> None:
    blob.upload_page(A, 0, PAGE)
    blob.upload_page(B, MIB - PAGE, PAGE)
    blob.resize_blob(2 * MIB)
    blob.resize_blob(PAGE)
    assert blob.get_blob_properties().size == PAGE
    blob.resize_blob(4 * PAGE)
    assert blob.download_blob().readall() == A + bytes(3 * PAGE)


def test_sequence_numbers(either: Served, blob: BlobClient) -> None:
    assert blob.set_sequence_number("update", "7")["blob_sequence_number"] == 7
    blob.upload_page(A, 0, PAGE, if_sequence_number_lte=7)
    with refused(412, "SequenceNumberConditionNotMet"):
        blob.upload_page(A, 0, PAGE, if_sequence_number_lt=7)
    with refused(412, "SequenceNumberConditionNotMet"):
        blob.upload_page(A, 0, PAGE, if_sequence_number_eq=6)
    assert blob.set_sequence_number("increment", None)["blob_sequence_number"] == 8  # type: ignore[arg-type]


def test_metadata_and_headers(blob: BlobClient) -> None:
    before = blob.get_blob_properties()
    blob.set_blob_metadata({"lkcloud_digest": "f" * 64, "State": "complete"})
    blob.set_http_headers(ContentSettings(content_type="application/x-vhd", content_md5=bytearray(range(16))))
    properties = blob.get_blob_properties()
    assert {name.lower(): value for name, value in properties.metadata.items()} == {
        "lkcloud_digest": "f" * 64,
        "state": "complete",
    }
    assert properties.content_settings.content_type == "application/x-vhd"
    assert bytes(properties.content_settings.content_md5) == bytes(range(16))
    assert properties.etag != before.etag
    blob.set_blob_metadata({})
    assert blob.get_blob_properties().metadata == {}


def test_only_one_makes_a_blob_that_must_be_new(either: Served, blob: BlobClient) -> None:
    with refused(409, "BlobAlreadyExists"):
        blob.create_page_blob(MIB, match_condition=MatchConditions.IfMissing)
    blob.upload_page(A, 0, PAGE)
    # Without a condition the old one makes way.
    blob.create_page_blob(2 * MIB)
    assert spans(blob) == []


def test_conditions_on_etags(blob: BlobClient) -> None:
    etag = blob.get_blob_properties().etag
    written = blob.upload_page(A, 0, PAGE, etag=etag, match_condition=MatchConditions.IfNotModified)
    assert written["etag"] != etag
    with refused(412, "ConditionNotMet"):
        blob.upload_page(A, 0, PAGE, etag=etag, match_condition=MatchConditions.IfNotModified)
    with refused(412, "ConditionNotMet"):
        blob.delete_blob(etag=etag, match_condition=MatchConditions.IfNotModified)
    answer = blob.get_blob_properties(etag=etag, match_condition=MatchConditions.IfModified)
    assert answer.etag == written["etag"]


def test_a_lease_keeps_others_out(blob: BlobClient) -> None:
    lease = blob.acquire_lease(lease_duration=60)
    with refused(412, "LeaseIdMissing"):
        blob.upload_page(A, 0, PAGE)
    with refused(412, "LeaseIdMismatchWithBlobOperation"):
        blob.upload_page(A, 0, PAGE, lease="00000000-0000-0000-0000-000000000001")
    with refused(412, "LeaseIdMissing"):
        blob.delete_blob()
    with refused(409, "LeaseAlreadyPresent"):
        blob.acquire_lease()
    blob.upload_page(A, 0, PAGE, lease=lease)
    assert blob.get_blob_properties().lease.state == "leased"
    lease.renew()
    lease.release()
    blob.upload_page(B, 0, PAGE)
    assert blob.get_blob_properties().lease.state == "available"


def test_a_lease_is_broken(blob: BlobClient) -> None:
    blob.acquire_lease(lease_duration=-1).break_lease(lease_break_period=0)
    assert blob.get_blob_properties().lease.state == "broken"
    blob.upload_page(A, 0, PAGE)


def test_lists_of_blobs(either: Served) -> None:
    container = either.container(fresh())
    for name in ("a/1.vhd", "a/2.vhd", "b.vhd", "c.vhd"):
        container.get_blob_client(name).create_page_blob(PAGE, metadata={"name": name[0]})
    found = list(container.list_blobs(include=["metadata"], results_per_page=3))
    assert [(one.name, one.metadata) for one in found] == [
        ("a/1.vhd", {"name": "a"}),
        ("a/2.vhd", {"name": "a"}),
        ("b.vhd", {"name": "b"}),
        ("c.vhd", {"name": "c"}),
    ]
    assert {(one.size, one.blob_type) for one in found} == {(PAGE, BlobType.PAGEBLOB)}
    assert [one.name for one in container.list_blobs(name_starts_with="a/")] == ["a/1.vhd", "a/2.vhd"]
    assert [one.name for one in container.walk_blobs(delimiter="/")] == ["a/", "b.vhd", "c.vhd"]
    assert [len(list(page)) for page in container.list_blobs(results_per_page=3).by_page()] == [3, 1]


def test_containers(either: Served) -> None:
    name = fresh()
    client = either.client()
    container = client.create_container(name, metadata={"purpose": "test"})
    with refused(409, "ContainerAlreadyExists"):
        client.create_container(name)
    assert container.get_container_properties().metadata == {"purpose": "test"}
    assert [one.name for one in client.list_containers(name_starts_with=name)] == [name]
    container.delete_container()
    assert not container.exists()
    with refused(404, "ContainerNotFound"):
        container.get_blob_client("disk.vhd").create_page_blob(PAGE)


def test_what_is_not_there(either: Served, blob: BlobClient) -> None:
    blob.delete_blob()
    assert not blob.exists()
    with refused(404, "BlobNotFound"):
        blob.upload_page(A, 0, PAGE)
    with refused(404, "BlobNotFound"):
        blob.delete_blob()


def test_block_blobs_are_of_another_kind(either: Served) -> None:
    container = either.container(fresh())
    block = container.upload_blob("notes.txt", b"hello")
    assert block.download_blob().readall() == b"hello"
    assert block.get_blob_properties().blob_type == BlobType.BLOCKBLOB
    with refused(409, "InvalidBlobType"):
        list(block.list_page_ranges())
    found = either.service.find(block.url)
    assert found is not None
    assert (found.kind, found.size) == ("BlockBlob", 5)


@pytest.mark.parametrize("index", [0, 1])
def test_both_keys_sign(either: Served, index: int) -> None:
    client = either.client(either.service.keys(ACCOUNT)[index])
    blob = client.create_container(fresh()).get_blob_client("a b+c.vhd")
    blob.create_page_blob(MIB, metadata={"lkcloud_name": "x"})
    blob.upload_page(A, PAGE, PAGE, validate_content=True)
    assert spans(blob) == [(PAGE, 2 * PAGE)]


def test_another_key_signs_nothing(either: Served) -> None:
    wrong = either.service.keys(ACCOUNT)[0][::-1].lstrip("=") + "=="
    with pytest.raises(ClientAuthenticationError):
        either.client(wrong).create_container(fresh())


def signed(served: Served, blob: BlobClient, permission: str, *, expiry: timedelta = timedelta(hours=1)) -> BlobClient:
    token = generate_blob_sas(
        ACCOUNT,
        blob.container_name,
        blob.blob_name,
        account_key=served.service.keys(ACCOUNT)[0],
        permission=BlobSasPermissions.from_string(permission),
        expiry=datetime.now(UTC) + expiry,
    )
    return served.at(f"{blob.url}?{token}")


def test_a_shared_access_signature_allows_what_it_says(either: Served, blob: BlobClient) -> None:
    both = signed(either, blob, "rw")
    both.upload_page(A, 0, PAGE)
    assert both.download_blob(offset=0, length=PAGE).readall() == A
    assert spans(both) == [(0, PAGE)]
    with refused(403, "AuthorizationPermissionMismatch"):
        both.delete_blob()
    with refused(403, "AuthorizationPermissionMismatch"):
        signed(either, blob, "r").upload_page(A, 0, PAGE)


def test_a_shared_access_signature_that_is_over_or_forged(either: Served, blob: BlobClient) -> None:
    with pytest.raises(HttpResponseError) as refusal:
        signed(either, blob, "r", expiry=timedelta(seconds=-1)).get_blob_properties()
    assert refusal.value.status_code == 403
    forged = signed(either, blob, "r").url.replace("sp=r", "sp=rw")
    assert either.raw("HEAD", forged).status == 403


def test_blobs_are_found_and_fetched(either: Served, blob: BlobClient, tmp_path: Path) -> None:
    blob.resize_blob(64 * MIB)
    blob.upload_page(A, 0, PAGE)
    blob.upload_page(B * 8, 32 * MIB, 8 * PAGE)
    found = either.service.find(f"{blob.url}?sig=not+looked+at")
    assert found is not None
    assert (found.kind, found.size) == ("PageBlob", 64 * MIB)
    target = tmp_path / "disk"
    either.service.fetch(blob.url, target)
    assert target.stat().st_size == 64 * MIB
    assert target.stat().st_blocks * 512 < MIB
    assert target.read_bytes() == A + bytes(32 * MIB - PAGE) + B * 8 + bytes(32 * MIB - 8 * PAGE)
    assert either.service.find(f"{blob.url}x") is None
    assert either.service.find("https://example.com/a/b/c") is None
    with pytest.raises(KeyError):
        either.service.fetch(f"{blob.url}x", tmp_path / "none")


def test_a_key_is_made_anew(either: Served) -> None:
    container, (first, second) = fresh(), either.service.keys(ACCOUNT)
    either.blob(container=container).upload_page(A, 0, PAGE)
    either.service.renew_key(ACCOUNT, 0)
    assert either.service.keys(ACCOUNT)[0] != first
    assert either.service.keys(ACCOUNT)[1] == second
    kept = either.client(second).get_blob_client(container, "disk.vhd")
    assert kept.download_blob(offset=0, length=PAGE).readall() == A
    with pytest.raises(ClientAuthenticationError):
        either.client(first).get_blob_client(container, "disk.vhd").get_blob_properties()


def test_accounts_come_and_go(either: Served) -> None:
    before = either.service.endpoint(ACCOUNT)
    container = fresh()
    either.blob(container=container)
    either.service.add_account("secondaccount")
    assert either.service.endpoint(ACCOUNT) == before
    keys = either.service.keys("secondaccount")
    either.service.add_account("secondaccount")
    assert either.service.keys("secondaccount") == keys
    either.service.remove_account("secondaccount")
    either.service.remove_account("secondaccount")
    with pytest.raises(KeyError):
        either.service.keys("secondaccount")
    assert either.client().get_blob_client(container, "disk.vhd").exists()
