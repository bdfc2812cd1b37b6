# SPDX-License-Identifier: Apache-2.0
"""What the stand-in's own service refuses of page blobs, and what it answers, request by request."""

import base64
import hashlib
import os

import pytest

from lkcloud_azure.sandbox.crc64 import crc64
from tests.azure_sandbox.blobs import CONTAINER, MIB, Served, own, refused, serving_own

__all__ = ["own", "serving_own"]

PAGE = 512
A = b"a" * PAGE
PATH = f"{CONTAINER}/disk.vhd"
CREATE = {"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": str(MIB)}
UPDATE = {"x-ms-page-write": "update"}
CLEAR = {"x-ms-page-write": "clear"}


@pytest.fixture
def served(own: Served) -> Served:
    """Return the service with one page blob of 1 MiB."""
    own.blob()
    return own


def span(offset: int, length: int) -> dict[str, str]:
    return {"x-ms-range": f"bytes={offset}-{offset + length - 1}"}


def ranges(served: Served) -> list[tuple[int, int]]:
    blob = served.client().get_blob_client(CONTAINER, "disk.vhd")
    return [(one.start, one.end + 1) for one in blob.list_page_ranges()]


def test_crc64_is_azures() -> None:
    # The check value of CRC-64/NVME in the catalogue of reveng.sourceforge.io, little-endian as Azure sends it.
    assert crc64(b"123456789") == (0xAE8B14860A799888).to_bytes(8, "little")
    assert crc64(b"") == bytes(8)


@pytest.mark.parametrize("size", ["1", "511", "1000", "-512", "x", str((8 << 40) + 512)])
def test_a_size_that_is_none(served: Served, size: str) -> None:
    said = served.refused(
        400, "InvalidHeaderValue", "PUT", f"{CONTAINER}/new.vhd", headers=CREATE | {"x-ms-blob-content-length": size}
    )
    assert said["HeaderName"] == "x-ms-blob-content-length"
    assert not served.client().get_blob_client(CONTAINER, "new.vhd").exists()


def test_the_largest_page_blob(served: Served) -> None:
    blob = served.container().get_blob_client("large.vhd")
    blob.create_page_blob(8 << 40)
    blob.upload_page(A, (8 << 40) - PAGE, PAGE)
    assert blob.download_blob(offset=(8 << 40) - PAGE, length=PAGE).readall() == A
    with refused(400, "InvalidHeaderValue"):
        blob.resize_blob((8 << 40) + PAGE)


def test_a_page_blob_comes_without_bytes(served: Served) -> None:
    said = served.refused(400, "InvalidHeaderValue", "PUT", f"{CONTAINER}/new.vhd", A, CREATE)
    assert said["HeaderName"] == "Content-Length"
    served.refused(400, "MissingRequiredHeader", "PUT", f"{CONTAINER}/new.vhd", headers={"x-ms-blob-type": "PageBlob"})
    served.refused(400, "MissingRequiredHeader", "PUT", f"{CONTAINER}/new.vhd")
    served.refused(
        400, "InvalidHeaderValue", "PUT", f"{CONTAINER}/new.vhd", headers=CREATE | {"x-ms-blob-type": "Disk"}
    )
    tier = CREATE | {"x-ms-access-tier": "P10"}
    served.refused(400, "BlobAccessTierNotSupportedForAccountType", "PUT", f"{CONTAINER}/new.vhd", headers=tier)


def test_more_than_four_mebibytes_at_a_time(served: Served) -> None:
    served.container().get_blob_client("disk.vhd").create_page_blob(16 * MIB)
    length = 4 * MIB + PAGE
    said = served.refused(
        413, "RequestBodyTooLarge", "PUT", f"{PATH}?comp=page", bytes(length), UPDATE | span(0, length)
    )
    assert said["MaxLimit"] == "4194304"
    served.refused(416, "InvalidPageRange", "PUT", f"{PATH}?comp=page", A, UPDATE | span(0, length))
    assert ranges(served) == []
    data = os.urandom(4 * MIB)
    assert served.raw("PUT", f"{PATH}?comp=page", data, UPDATE | span(MIB, 4 * MIB)).status == 201
    assert ranges(served) == [(MIB, 5 * MIB)]
    # What is cleared can be as long as the blob.
    assert served.raw("PUT", f"{PATH}?comp=page", headers=CLEAR | span(0, 16 * MIB)).status == 201
    assert ranges(served) == []


@pytest.mark.parametrize("header", ["bytes=1-512", "bytes=0-510", "bytes=0-", "bytes=-512", "bytes=511-0", "0-511"])
def test_pages_that_are_none(served: Served, header: str) -> None:
    said = served.refused(400, "InvalidHeaderValue", "PUT", f"{PATH}?comp=page", A, UPDATE | {"x-ms-range": header})
    assert said["HeaderName"] == "x-ms-range"
    assert ranges(served) == []


@pytest.mark.parametrize(("offset", "length"), [(MIB, PAGE), (MIB - PAGE, 2 * PAGE), (1 << 40, PAGE)])
def test_pages_behind_the_end(served: Served, offset: int, length: int) -> None:
    for headers, data in ((UPDATE, bytes(length)), (CLEAR, b"")):
        served.refused(416, "InvalidPageRange", "PUT", f"{PATH}?comp=page", data, headers | span(offset, length))
    assert ranges(served) == []


def test_range_and_body_must_be_equally_long(served: Served) -> None:
    served.refused(400, "InvalidHeaderValue", "PUT", f"{PATH}?comp=page", A, UPDATE | span(0, 2 * PAGE))
    served.refused(400, "InvalidHeaderValue", "PUT", f"{PATH}?comp=page", A + A, UPDATE | span(0, PAGE))
    served.refused(400, "InvalidHeaderValue", "PUT", f"{PATH}?comp=page", b"", UPDATE | span(0, PAGE))
    served.refused(400, "InvalidHeaderValue", "PUT", f"{PATH}?comp=page", A, CLEAR | span(0, PAGE))
    assert ranges(served) == []


def test_what_a_put_page_must_say(served: Served) -> None:
    served.refused(400, "MissingRequiredHeader", "PUT", f"{PATH}?comp=page", A, span(0, PAGE))
    served.refused(400, "MissingRequiredHeader", "PUT", f"{PATH}?comp=page", A, UPDATE)
    served.refused(400, "InvalidHeaderValue", "PUT", f"{PATH}?comp=page", A, {"x-ms-page-write": "add"} | span(0, PAGE))
    source = UPDATE | span(0, PAGE) | {"x-ms-copy-source": "https://example.com/x"}
    served.refused(501, "NotImplemented", "PUT", f"{PATH}?comp=page", b"", source)
    structured = UPDATE | span(0, PAGE) | {"x-ms-structured-body": "XSM/1.0; properties=crc64"}
    served.refused(400, "UnsupportedHeader", "PUT", f"{PATH}?comp=page", A, structured)


def test_the_range_can_be_in_either_header(served: Served) -> None:
    first = {"Range": "bytes=0-511"}
    assert served.raw("PUT", f"{PATH}?comp=page", A, UPDATE | first).status == 201
    # x-ms-range goes first.
    both = {"Range": "bytes=1024-1535", "x-ms-range": "bytes=2048-2559"}
    assert served.raw("PUT", f"{PATH}?comp=page", A, UPDATE | both).status == 201
    assert ranges(served) == [(0, PAGE), (4 * PAGE, 5 * PAGE)]


def test_checksums_are_compared(served: Served) -> None:
    md5 = base64.b64encode(hashlib.md5(A).digest()).decode()
    crc = base64.b64encode(crc64(A)).decode()
    other_md5 = base64.b64encode(hashlib.md5(b"").digest()).decode()
    other_crc = base64.b64encode(crc64(b"x")).decode()
    page = UPDATE | span(0, PAGE)
    said = served.refused(400, "Md5Mismatch", "PUT", f"{PATH}?comp=page", A, page | {"Content-MD5": other_md5})
    assert (said["UserSpecifiedMd5"], said["ServerCalculatedMd5"]) == (other_md5, md5)
    said = served.refused(400, "Crc64Mismatch", "PUT", f"{PATH}?comp=page", A, page | {"x-ms-content-crc64": other_crc})
    assert (said["UserSpecifiedCrc"], said["ServerCalculatedCrc"]) == (other_crc, crc)
    served.refused(400, "InvalidMd5", "PUT", f"{PATH}?comp=page", A, page | {"Content-MD5": "YWJj"})
    both = {"Content-MD5": md5, "x-ms-content-crc64": crc}
    served.refused(400, "InvalidInput", "PUT", f"{PATH}?comp=page", A, page | both)
    assert ranges(served) == []
    for name, value in both.items():
        answer = served.raw("PUT", f"{PATH}?comp=page", A, page | {name: value})
        assert (answer.status, answer.headers[name]) == (201, value)


def test_neighbours_are_one_range(served: Served) -> None:
    for page in (3, 1, 2, 7):
        assert served.raw("PUT", f"{PATH}?comp=page", A, UPDATE | span(page * PAGE, PAGE)).status == 201
    assert ranges(served) == [(PAGE, 4 * PAGE), (7 * PAGE, 8 * PAGE)]


def test_page_ranges_of_a_part(served: Served) -> None:
    served.raw("PUT", f"{PATH}?comp=page", bytes(4 * PAGE), UPDATE | span(0, 4 * PAGE))
    # Whole pages are told, whatever part of them is asked for: TestPutGetPages of Azure/azure-sdk-for-go.
    answer = served.raw("GET", f"{PATH}?comp=pagelist", headers={"x-ms-range": "bytes=100-1022"})
    assert answer.status == 200
    assert b"<Start>0</Start><End>1023</End>" in answer.data
    assert answer.headers["x-ms-blob-content-length"] == str(MIB)
    served.refused(416, "InvalidRange", "GET", f"{PATH}?comp=pagelist", headers=span(MIB, PAGE))


def test_page_ranges_come_a_page_at_a_time(served: Served) -> None:
    blob = served.client().get_blob_client(CONTAINER, "disk.vhd")
    for page in range(0, 20, 2):
        blob.upload_page(A, page * PAGE, PAGE)
    served.traffic.clear()
    assert [len(list(page)) for page in blob.list_page_ranges(results_per_page=4).by_page()] == [4, 4, 2]
    served.windows.page_ranges = 3
    assert [len(list(page)) for page in blob.list_page_ranges().by_page()] == [3, 3, 3, 1]
    assert served.traffic.operations() == ["GetPageRanges"] * 7
    served.refused(400, "InvalidQueryParameterValue", "GET", f"{PATH}?comp=pagelist&marker=here")
    served.refused(400, "InvalidQueryParameterValue", "GET", f"{PATH}?comp=pagelist&maxresults=0")
    # Versions before 2020-10-02 know of no pages.
    answer = served.raw("GET", f"{PATH}?comp=pagelist", headers={"x-ms-version": "2019-12-12"})
    assert answer.data.count(b"<PageRange>") == 10
    served.refused(501, "NotImplemented", "GET", f"{PATH}?comp=pagelist&prevsnapshot=2026-01-01T00:00:00.0000000Z")


def test_reading_ranges(served: Served) -> None:
    data = os.urandom(4 * PAGE)
    served.raw("PUT", f"{PATH}?comp=page", data, UPDATE | span(PAGE, 4 * PAGE))
    answer = served.raw("GET", PATH, headers={"Range": "bytes=600-699", "x-ms-range-get-content-md5": "true"})
    assert (answer.status, answer.data) == (206, data[88:188])
    assert answer.headers["Content-Range"] == f"bytes 600-699/{MIB}"
    assert answer.headers["Content-MD5"] == base64.b64encode(hashlib.md5(data[88:188]).digest()).decode()
    checked = {"x-ms-range": "bytes=0-511", "x-ms-range-get-content-crc64": "true"}
    answer = served.raw("GET", PATH, headers=checked)
    assert answer.headers["x-ms-content-crc64"] == base64.b64encode(crc64(bytes(PAGE))).decode()
    tail = served.raw("GET", PATH, headers={"Range": f"bytes={MIB - 10}-"})
    assert (tail.status, tail.data) == (206, bytes(10))
    assert served.raw("GET", PATH, headers={"Range": f"bytes={MIB - 10}-{MIB + 99}"}).data == bytes(10)
    refusal = served.raw("GET", PATH, headers={"Range": f"bytes={MIB}-"})
    assert (refusal.status, refusal.headers["Content-Range"]) == (416, f"bytes */{MIB}")
    whole = served.raw("GET", PATH)
    assert (whole.status, len(whole.data), whole.headers["x-ms-blob-type"]) == (200, MIB, "PageBlob")


def test_checksums_of_ranges_have_limits(served: Served) -> None:
    served.container().get_blob_client("disk.vhd").create_page_blob(8 * MIB)
    md5, crc = ({f"x-ms-range-get-content-{name}": "true"} for name in ("md5", "crc64"))
    served.refused(400, "InvalidHeaderValue", "GET", PATH, headers=md5)
    served.refused(400, "InvalidHeaderValue", "GET", PATH, headers=md5 | span(0, 4 * MIB + 1))
    served.refused(400, "InvalidInput", "GET", PATH, headers=md5 | crc | span(0, PAGE))


def test_whole_and_part_have_their_own_md5(served: Served) -> None:
    md5 = base64.b64encode(hashlib.md5(bytes(MIB)).digest()).decode()
    assert served.raw("PUT", f"{PATH}?comp=properties", headers={"x-ms-blob-content-md5": md5}).status == 200
    assert served.raw("HEAD", PATH).headers["Content-MD5"] == md5
    part = served.raw("GET", PATH, headers=span(0, PAGE))
    assert part.headers["x-ms-blob-content-md5"] == md5
    assert "Content-MD5" not in part.headers


def test_properties_that_are_not_set_again_are_cleared(served: Served) -> None:
    served.raw("PUT", f"{PATH}?comp=properties", headers={"x-ms-blob-cache-control": "no-store"})
    served.raw("PUT", f"{PATH}?comp=properties", headers={"x-ms-blob-content-length": str(2 * MIB)})
    assert served.raw("HEAD", PATH).headers["Cache-Control"] == "no-store"
    served.raw("PUT", f"{PATH}?comp=properties", headers={"x-ms-blob-content-type": "application/x-vhd"})
    found = served.raw("HEAD", PATH).headers
    assert (found["Content-Type"], found["Content-Length"], "Cache-Control" in found) == (
        "application/x-vhd",
        str(2 * MIB),
        False,
    )


def test_sequence_numbers_that_are_none(served: Served) -> None:
    negative = UPDATE | span(0, PAGE) | {"x-ms-if-sequence-number-lt": "-1"}
    served.refused(400, "InvalidInput", "PUT", f"{PATH}?comp=page", A, negative)
    for headers in (
        {"x-ms-sequence-number-action": "double"},
        {"x-ms-sequence-number-action": "increment", "x-ms-blob-sequence-number": "3"},
        {"x-ms-sequence-number-action": "update", "x-ms-blob-sequence-number": "-1"},
        {"x-ms-blob-sequence-number": "3"},
    ):
        served.refused(400, "InvalidHeaderValue", "PUT", f"{PATH}?comp=properties", headers=headers)
    served.refused(
        400,
        "MissingRequiredHeader",
        "PUT",
        f"{PATH}?comp=properties",
        headers={"x-ms-sequence-number-action": "update"},
    )
    raised = {"x-ms-sequence-number-action": "max", "x-ms-blob-sequence-number": "9"}
    answer = served.raw("PUT", f"{PATH}?comp=properties", headers=raised)
    assert answer.headers["x-ms-blob-sequence-number"] == "9"


def test_metadata_that_cannot_be(served: Served) -> None:
    for name in ("with.dot", "with-hyphen", "1st"):
        served.refused(400, "InvalidMetadata", "PUT", f"{PATH}?comp=metadata", headers={f"x-ms-meta-{name}": "x"})
    served.refused(400, "EmptyMetadataKey", "PUT", f"{PATH}?comp=metadata", headers={"x-ms-meta-": "x"})
    large = {"x-ms-meta-large": "x" * (8 * 1024)}
    served.refused(400, "MetadataTooLarge", "PUT", f"{PATH}?comp=metadata", headers=large)


def test_block_blobs_have_no_pages(served: Served) -> None:
    served.container().upload_blob("notes.txt", b"hello")
    path = f"{CONTAINER}/notes.txt"
    for method, comp, headers in (
        ("PUT", "page", UPDATE | span(0, PAGE)),
        ("GET", "pagelist", {}),
        ("PUT", "properties", {"x-ms-blob-content-length": "512"}),
    ):
        served.refused(409, "InvalidBlobType", method, f"{path}?comp={comp}", headers=headers)
    block = {"x-ms-blob-type": "BlockBlob"}
    served.refused(409, "InvalidBlobType", "PUT", PATH, b"hello", block)
    served.refused(409, "InvalidBlobType", "PUT", path, b"", CREATE)
    wrong = block | {"Content-MD5": base64.b64encode(bytes(16)).decode()}
    served.refused(400, "Md5Mismatch", "PUT", f"{CONTAINER}/other.txt", b"hello", wrong)
    assert not served.client().get_blob_client(CONTAINER, "other.txt").exists()
    answer = served.raw("PUT", f"{CONTAINER}/other.txt", b"hello", block)
    assert answer.headers["Content-MD5"] == base64.b64encode(hashlib.md5(b"hello").digest()).decode()


def test_what_the_sandbox_does_not_have_is_said(served: Served) -> None:
    for method, path, headers in (
        ("PUT", f"{PATH}?comp=snapshot", {}),
        ("PUT", f"{PATH}?comp=block&blockid=AAAA", {}),
        ("PUT", PATH, {"x-ms-blob-type": "AppendBlob"}),
        ("PUT", PATH, CREATE | {"x-ms-tags": "a=b"}),
        ("GET", PATH, {"x-ms-if-tags": "a = 'b'"}),
        ("PUT", PATH, CREATE | {"x-ms-encryption-scope": "mine"}),
        ("PUT", PATH, {"x-ms-copy-source": "https://example.com/x"}),
        ("GET", f"{PATH}?snapshot=2026-01-01T00:00:00.0000000Z", {}),
        ("GET", f"{CONTAINER}?restype=container&comp=acl", {}),
        ("GET", f"{CONTAINER}?restype=container&comp=list&include=snapshots", {}),
    ):
        served.refused(501, "NotImplemented", method, path, headers=headers)


def test_no_bytes_are_left_of_what_is_gone(served: Served) -> None:
    home = served.service.store.home  # type: ignore[attr-defined]
    container = served.container()
    container.upload_blob("notes.txt", b"hello")
    container.get_blob_client("disk.vhd").create_page_blob(2 * MIB)
    assert len(list(home.iterdir())) == 2
    container.delete_blob("disk.vhd")
    assert len(list(home.iterdir())) == 1
    container.delete_container()
    assert list(home.iterdir()) == []


def test_throttling_is_server_busy(served: Served) -> None:
    served.traffic.throttle("PutPage", 1)
    blob = served.client().get_blob_client(CONTAINER, "disk.vhd")
    with refused(503, "ServerBusy"):
        blob.upload_page(A, 0, PAGE)
    blob.upload_page(A, 0, PAGE)
    assert served.traffic.received("PutPage") == 2 * PAGE
