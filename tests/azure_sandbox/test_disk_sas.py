# SPDX-License-Identifier: Apache-2.0
"""Managed disks by their URL, through azure-storage-blob and by hand."""

import base64
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import ClientAuthenticationError

from lkcloud.sandbox.http import Response
from lkcloud.sandbox.traffic import Seen
from lkcloud_azure.sandbox.page_file import PageFile
from tests.azure_sandbox.blobs import (
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
SIZE = 20 * MIB + PAGE


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PageFile]:
    pages = PageFile(tmp_path / "disk", SIZE)
    yield pages
    pages.remove()


def test_the_url_looks_like_azures(own: Served, disk: PageFile) -> None:
    url = own.service.grants.issue(disk, "Write", 60)
    path, _, query = url.removeprefix("https://127.0.0.1:").partition("?")
    account, container, blob = path.split("/")[1:]
    assert account.startswith("md-impexp-")
    assert container.isalnum()
    assert blob == "abcd"
    assert [part.partition("=")[0] for part in query.split("&")] == ["sv", "sr", "si", "sig"]


def test_a_disk_is_written_and_read(either: Served, disk: PageFile) -> None:
    at = either.at(either.service.grants.issue(disk, "Write", 60))
    properties = at.get_blob_properties()
    assert (properties.size, properties.blob_type) == (SIZE, "PageBlob")
    at.upload_page(A + B, 4 * MIB, 2 * PAGE, validate_content=True)
    at.upload_page(A, SIZE - PAGE, PAGE)
    at.upload_page(B, 0, PAGE)
    at.clear_page(0, PAGE)
    assert [(one.start, one.end) for one in at.list_page_ranges()] == [
        (4 * MIB, 4 * MIB + 2 * PAGE - 1),
        (SIZE - PAGE, SIZE - 1),
    ]
    assert at.download_blob(offset=4 * MIB, length=3 * PAGE).readall() == A + B + bytes(PAGE)
    assert disk.ranges() == [(4 * MIB, 4 * MIB + 2 * PAGE), (SIZE - PAGE, SIZE)]
    # The same disk, by another URL.
    again = either.at(either.service.grants.issue(disk, "Read", 60))
    assert again.download_blob().readall() == bytes(4 * MIB) + A + B + bytes(SIZE - 4 * MIB - 3 * PAGE) + A


def test_a_url_for_reading_writes_nothing(own: Served, disk: PageFile) -> None:
    at = own.at(own.service.grants.issue(disk, "Read", 60))
    assert at.download_blob(offset=0, length=PAGE).readall() == bytes(PAGE)
    for change in (lambda: at.upload_page(A, 0, PAGE), lambda: at.clear_page(0, PAGE)):
        with refused(403, "AuthorizationPermissionMismatch"):
            change()
    assert disk.ranges() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda at: at.create_page_blob(SIZE),
        lambda at: at.upload_blob(A, blob_type="PageBlob", overwrite=True),
        lambda at: at.delete_blob(),
        lambda at: at.resize_blob(2 * SIZE),
        lambda at: at.set_blob_metadata({"a": "b"}),
        lambda at: at.set_http_headers(None),
        lambda at: at.set_sequence_number("increment", None),
        lambda at: at.acquire_lease(),
        lambda at: at.create_snapshot(),
    ],
)
def test_only_pages_can_be_changed(own: Served, disk: PageFile, change: Any) -> None:
    disk.write(0, B)
    at = own.at(own.service.grants.issue(disk, "Write", 60))
    with refused(403, "AuthorizationFailure"):
        change(at)
    assert (disk.size, disk.ranges()) == (SIZE, [(0, PAGE)])


def test_no_conditions(own: Served, disk: PageFile) -> None:
    at = own.at(own.service.grants.issue(disk, "Write", 60))
    etag = at.get_blob_properties().etag
    with refused(400, "ConditionHeadersNotSupported"):
        at.upload_page(A, 0, PAGE, etag=etag, match_condition=MatchConditions.IfNotModified)
    with refused(400, "ConditionHeadersNotSupported"):
        at.upload_page(A, 0, PAGE, if_sequence_number_eq=0)
    with refused(400, "ConditionHeadersNotSupported"):
        list(at.list_page_ranges(etag=etag, match_condition=MatchConditions.IfModified))
    assert disk.ranges() == []


def test_pages_follow_the_rules_of_page_blobs(own: Served, disk: PageFile) -> None:
    url = own.service.grants.issue(disk, "Write", 60)
    update = {"x-ms-page-write": "update"}
    page = f"{url}&comp=page"
    first = update | {"x-ms-range": "bytes=0-511"}
    wrong = {"Content-MD5": base64.b64encode(hashlib.md5(B).digest()).decode()}
    own.refused(400, "Md5Mismatch", "PUT", page, A, first | wrong)
    own.refused(400, "InvalidHeaderValue", "PUT", page, A, update | {"x-ms-range": "bytes=1-512"})
    behind = {"x-ms-range": f"bytes={SIZE}-{SIZE + PAGE - 1}"}
    own.refused(416, "InvalidPageRange", "PUT", page, A, update | behind)
    large = {"x-ms-range": f"bytes=0-{4 * MIB + PAGE - 1}"}
    own.refused(413, "RequestBodyTooLarge", "PUT", page, bytes(4 * MIB + PAGE), update | large)
    assert disk.ranges() == []
    before = own.raw("HEAD", url).headers["ETag"]
    assert own.raw("PUT", page, A, first).headers["ETag"] != before


def test_access_is_taken_back(own: Served, disk: PageFile) -> None:
    grants = own.service.grants
    urls = [grants.issue(disk, access, 60) for access in ("Write", "Read")]
    assert grants.granted(disk)
    grants.revoke(disk)
    grants.revoke(disk)
    assert not grants.granted(disk)
    for url in urls:
        said = own.refused(403, "AuthenticationFailed", "GET", url)
        assert said["AuthenticationErrorDetail"] == "SAS identifier cannot be found for specified signed identifier"
        assert own.raw("HEAD", url).status == 403
    own.at(grants.issue(disk, "Write", 60)).upload_page(A, 0, PAGE)


def test_access_ends_by_itself(own: Served, disk: PageFile) -> None:
    grants = own.service.grants
    at = own.at(grants.issue(disk, "Write", 0.0))
    assert not grants.granted(disk)
    with pytest.raises(ClientAuthenticationError) as refusal:
        at.upload_page(A, 0, PAGE)
    assert refusal.value.error_code == "AuthenticationFailed"


def test_other_signatures_are_not_good(own: Served, disk: PageFile, tmp_path: Path) -> None:
    other = PageFile(tmp_path / "other", SIZE)
    url = own.service.grants.issue(disk, "Write", 60)
    another = own.service.grants.issue(other, "Write", 60)
    other.remove()
    forged = [
        url.partition("?")[0] + "?" + another.partition("?")[2],
        url.replace("sig=", "sig=x"),
        url.replace("sr=b", "sr=c"),
        url.replace("/abcd?", "/efgh?"),
        url.replace("si=", "si=0"),
    ]
    for one in forged:
        own.refused(403, "AuthenticationFailed", "GET", one)
    own.service.grants.clear()
    own.refused(403, "AuthenticationFailed", "GET", url)


def test_nothing_is_written_once_access_is_taken_back(own: Served, disk: PageFile) -> None:
    """Take access back while the pages of a request are on their way."""
    url, coming, revoked = own.service.grants.issue(disk, "Write", 60), threading.Event(), threading.Event()

    def wait(seen: Seen) -> Response | None:
        if seen.phase == "before" and seen.operation == "PutPage":
            coming.set()
            revoked.wait(10)
        return None

    own.traffic.hooks.append(wait)
    statuses: list[int] = []
    headers = {"x-ms-page-write": "update", "x-ms-range": "bytes=0-511"}
    writer = threading.Thread(target=lambda: statuses.append(own.raw("PUT", f"{url}&comp=page", A, headers).status))
    writer.start()
    assert coming.wait(10)
    own.service.grants.revoke(disk)
    revoked.set()
    writer.join()
    assert (statuses, disk.ranges()) == ([403], [])


def test_throttling(own: Served, disk: PageFile) -> None:
    at = own.at(own.service.grants.issue(disk, "Write", 60))
    own.traffic.throttle("PutPage", 1)
    with refused(503, "ServerBusy"):
        at.upload_page(A, 0, PAGE)
    at.upload_page(A, 0, PAGE)
