# SPDX-License-Identifier: Apache-2.0
"""Containers, leases and conditions of the stand-in's own blob service."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from azure.storage.blob import BlobClient, BlobLeaseClient

from lkcloud_azure.sandbox.leases import Lease
from tests.azure_sandbox.blobs import CONTAINER, MIB, Served, own, refused, serving_own

__all__ = ["own", "serving_own"]

PAGE = 512
A = b"a" * PAGE
PATH = f"{CONTAINER}/disk.vhd"
ONE, TWO = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"


@pytest.fixture
def blob(own: Served) -> BlobClient:
    return own.blob()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ab", "OutOfRangeInput"),
        ("a" * 64, "OutOfRangeInput"),
        ("Upper", "InvalidResourceName"),
        ("two--hyphens", "InvalidResourceName"),
        ("-first", "InvalidResourceName"),
        ("last-", "InvalidResourceName"),
        ("under_score", "InvalidResourceName"),
    ],
)
def test_names_of_containers(own: Served, name: str, code: str) -> None:
    own.refused(400, code, "PUT", f"{name}?restype=container")
    own.client().create_container("a-1")


def test_names_of_blobs(own: Served) -> None:
    container = own.container()
    container.get_blob_client("ümläut/ & + %/#?.vhd").create_page_blob(PAGE)
    container.get_blob_client("x" * 1024).create_page_blob(PAGE)
    assert {one.name for one in container.list_blobs()} == {"ümläut/ & + %/#?.vhd", "x" * 1024}
    with refused(400, "OutOfRangeInput"):
        container.get_blob_client("x" * 1025).create_page_blob(PAGE)
    with refused(400, "InvalidUri"):
        container.get_blob_client("/".join("x" * 255)).create_page_blob(PAGE)


def test_containers_are_private(own: Served) -> None:
    with refused(409, "PublicAccessNotPermitted"):
        own.client().create_container("public-one", public_access="blob")


def test_the_name_of_a_deleted_container_rests(own: Served) -> None:
    container = own.container()
    own.windows.deleted_container = 60.0
    container.delete_container()
    with refused(409, "ContainerBeingDeleted"):
        container.create_container()
    own.windows.deleted_container = 0.0
    own.client().create_container("another").delete_container()
    own.container("another")


def test_lists_come_a_page_at_a_time(own: Served) -> None:
    client = own.client()
    for name in ("aaa", "bbb", "ccc"):
        client.create_container(name, metadata={"name": name})
    own.windows.blobs_page = 2
    own.traffic.clear()
    found = list(client.list_containers(include_metadata=True))
    assert [(one.name, one.metadata) for one in found] == [(name, {"name": name}) for name in ("aaa", "bbb", "ccc")]
    assert own.traffic.operations() == ["ListContainers"] * 2
    for query in ("maxresults=0", "maxresults=x", "marker=!", "include=colours"):
        own.refused(400, "InvalidQueryParameterValue", "GET", f"aaa?restype=container&comp=list&{query}")


def test_prefixes_cross_pages_once(own: Served) -> None:
    container = own.container()
    for name in ("a/1", "a/2", "a/3", "b"):
        container.get_blob_client(name).create_page_blob(PAGE)
    pages = [[one.name for one in page] for page in container.walk_blobs(results_per_page=1, delimiter="/").by_page()]
    assert [name for page in pages for name in page] == ["a/", "b"]


def test_a_lease_of_a_container_keeps_it(own: Served) -> None:
    container = own.container()
    lease = container.acquire_lease(lease_duration=15)
    with refused(412, "LeaseIdMissing"):
        container.delete_container()
    container.get_blob_client("disk.vhd").create_page_blob(PAGE)
    assert container.get_container_properties().lease.state == "leased"
    container.delete_container(lease=lease)


def test_a_lease_outlives_what_it_was_taken_for(own: Served, blob: BlobClient) -> None:
    lease = blob.acquire_lease(lease_id=ONE)
    with refused(412, "LeaseIdMissing"):
        blob.create_page_blob(2 * MIB)
    blob.create_page_blob(2 * MIB, lease=lease)
    assert blob.get_blob_properties().lease.status == "locked"
    with refused(412, "LeaseIdMissing"):
        blob.clear_page(0, PAGE)
    assert blob.get_blob_properties(lease=lease).size == 2 * MIB
    with refused(412, "LeaseIdMismatchWithBlobOperation"):
        blob.get_blob_properties(lease=TWO)


def test_a_lease_that_nobody_has(own: Served, blob: BlobClient) -> None:
    with refused(412, "LeaseNotPresentWithBlobOperation"):
        blob.upload_page(A, 0, PAGE, lease=ONE)
    with refused(412, "LeaseNotPresentWithBlobOperation"):
        own.container().get_blob_client("new.vhd").create_page_blob(PAGE, lease=ONE)
    with refused(409, "LeaseIdMismatchWithLeaseOperation"):
        BlobLeaseClient(blob, ONE).renew()
    with refused(409, "LeaseNotPresentWithLeaseOperation"):
        BlobLeaseClient(blob, ONE).break_lease()
    with refused(409, "LeaseNotPresentWithLeaseOperation"):
        BlobLeaseClient(blob, ONE).change(TWO)


def test_a_lease_changes_hands(own: Served, blob: BlobClient) -> None:
    lease = blob.acquire_lease(lease_id=ONE)
    lease.change(TWO)
    assert lease.id == TWO
    with refused(409, "LeaseIdMismatchWithLeaseOperation"):
        BlobLeaseClient(blob, ONE).release()
    blob.acquire_lease(lease_duration=15, lease_id=TWO)
    lease.release()
    assert blob.get_blob_properties().lease.state == "available"


def test_a_lease_that_breaks(own: Served, blob: BlobClient) -> None:
    lease = blob.acquire_lease(lease_duration=60, lease_id=ONE)
    assert lease.break_lease(lease_break_period=30) == 30
    assert blob.get_blob_properties().lease.state == "breaking"
    with refused(412, "LeaseIdMissing"):
        blob.upload_page(A, 0, PAGE)
    blob.upload_page(A, 0, PAGE, lease=ONE)
    with refused(409, "LeaseIsBreakingAndCannotBeAcquired"):
        blob.acquire_lease(lease_id=ONE)
    with refused(409, "LeaseAlreadyPresent"):
        blob.acquire_lease(lease_id=TWO)
    with refused(409, "LeaseIsBrokenAndCannotBeRenewed"):
        lease.renew()
    with refused(409, "LeaseIsBreakingAndCannotBeChanged"):
        lease.change(TWO)
    assert lease.break_lease(lease_break_period=0) == 0
    with refused(412, "LeaseLost"):
        blob.upload_page(A, 0, PAGE, lease=ONE)
    blob.acquire_lease(lease_id=TWO)


def test_a_lease_runs_out() -> None:
    lease = Lease()
    lease.acquire(15, ONE)
    assert (lease.state, lease.held) == ("leased", True)
    lease.until = time.monotonic()
    assert (lease.state, lease.held) == ("expired", False)
    lease.renew(ONE)
    assert lease.state == "leased"


def test_leases_that_cannot_be(own: Served, blob: BlobClient) -> None:
    lease = f"{PATH}?comp=lease"
    for headers in (
        {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "14"},
        {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "61"},
        {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "15", "x-ms-proposed-lease-id": "mine"},
        {"x-ms-lease-action": "break", "x-ms-lease-break-period": "61"},
        {"x-ms-lease-action": "steal"},
    ):
        own.refused(400, "InvalidHeaderValue", "PUT", lease, headers=headers)
    for headers in (
        {},
        {"x-ms-lease-action": "acquire"},
        {"x-ms-lease-action": "renew"},
        {"x-ms-lease-action": "change", "x-ms-lease-id": ONE},
    ):
        own.refused(400, "MissingRequiredHeader", "PUT", lease, headers=headers)


def at(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def test_conditions_on_reading(own: Served, blob: BlobClient) -> None:
    etag = own.raw("HEAD", PATH).headers["ETag"]
    for headers, status in (
        ({"If-Match": etag}, 200),
        ({"If-Match": f'"0x1", {etag}'}, 200),
        ({"If-Match": '"0x1"'}, 412),
        ({"If-Match": "*"}, 200),
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": etag.strip('"')}, 304),
        ({"If-None-Match": '"0x1"'}, 200),
        ({"If-Modified-Since": at(-60)}, 200),
        ({"If-Modified-Since": at(60)}, 304),
        ({"If-Unmodified-Since": at(60)}, 200),
        ({"If-Unmodified-Since": at(-60)}, 412),
        # One of these two is enough.
        ({"If-None-Match": etag, "If-Modified-Since": at(-60)}, 200),
        ({"If-None-Match": etag, "If-Modified-Since": at(60)}, 304),
        ({"If-Modified-Since": "yesterday"}, 400),
    ):
        answer = own.raw("GET", PATH, headers=headers)
        assert answer.status == status, headers
        if status in (304, 412):
            assert answer.headers["x-ms-error-code"] == "ConditionNotMet"


def test_conditions_on_making(own: Served, blob: BlobClient) -> None:
    create = {"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": "512"}
    etag = own.raw("HEAD", PATH).headers["ETag"]
    own.refused(409, "BlobAlreadyExists", "PUT", PATH, headers=create | {"If-None-Match": "*"})
    own.refused(412, "ConditionNotMet", "PUT", PATH, headers=create | {"If-None-Match": etag})
    own.refused(412, "ConditionNotMet", "PUT", PATH, headers=create | {"If-Match": '"0x1"'})
    own.refused(412, "ConditionNotMet", "PUT", f"{PATH}.new", headers=create | {"If-Match": "*"})
    assert own.raw("PUT", PATH, headers=create | {"If-Match": etag}).status == 201
    assert own.raw("PUT", f"{PATH}.new", headers=create | {"If-None-Match": "*"}).status == 201


def test_of_two_writers_with_one_etag_one_wins(own: Served, blob: BlobClient) -> None:
    etag = own.raw("HEAD", PATH).headers["ETag"]
    page = {"x-ms-page-write": "update", "x-ms-range": "bytes=0-511", "If-Match": etag}
    statuses = [own.raw("PUT", f"{PATH}?comp=page", A, page).status for _ in range(2)]
    assert statuses == [201, 412]


def test_account_information(own: Served) -> None:
    found = own.client().get_account_information()
    assert (found["sku_name"], found["account_kind"]) == ("Standard_LRS", "StorageV2")
    assert own.blob().get_account_information()["sku_name"] == "Standard_LRS"
