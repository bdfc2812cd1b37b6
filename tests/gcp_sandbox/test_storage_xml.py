# SPDX-License-Identifier: Apache-2.0
"""Objects by the XML API."""

import hashlib
import os
import re
from pathlib import Path

import pytest
from google.cloud import storage
from google.cloud.storage import transfer_manager

from lkcloud_gcp.sandbox import GcpStandIn
from tests.gcp_sandbox.raw import BUCKET, Raw, crc, md5

PLACE = f"/{BUCKET}/parts/1"
DATA = os.urandom(1_500_000)


def test_an_object_comes_back_with_what_was_said_of_it(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    headers = {
        "x-goog-if-generation-match": "0",
        "x-goog-hash": f"crc32c={crc(DATA)},md5={md5(DATA)}",
        "x-goog-meta-lkcloud-crc32": "abc",
        "Content-Type": "application/octet-stream",
    }
    made = raw("PUT", PLACE, DATA, headers)
    assert made.status == 200, made.data
    assert made.headers["x-goog-hash"] == f"crc32c={crc(DATA)},md5={md5(DATA)}"
    assert made.headers["ETag"] == f'"{hashlib.md5(DATA).hexdigest()}"'
    assert made.headers["x-goog-stored-content-length"] == str(len(DATA))
    got = bucket.get_blob("parts/1")
    assert (str(got.generation), got.crc32c, got.metadata) == (
        made.headers["x-goog-generation"], crc(DATA), {"lkcloud-crc32": "abc"},
    )  # fmt: skip
    assert gcp.traffic.operations()[-2:] == ["objects.put", "objects.get"]
    assert gcp.traffic.received("objects.put") == len(DATA)
    read = raw("GET", PLACE)
    assert (read.data, read.headers["x-goog-meta-lkcloud-crc32"]) == (DATA, "abc")
    assert raw("GET", PLACE, headers={"Range": "bytes=10-19"}).data == DATA[10:20]
    head = raw("HEAD", PLACE)
    assert (head.data, head.headers["Content-Length"]) == (b"", str(len(DATA)))
    assert raw("GET", PLACE, headers={"If-None-Match": head.headers["ETag"]}).status == 304
    assert raw("DELETE", PLACE).status == 204
    raw.refused(404, "NoSuchKey", "GET", PLACE)
    raw.refused(404, "NoSuchKey", "DELETE", PLACE)


def test_names_are_decoded(bucket: storage.Bucket, raw: Raw) -> None:
    assert raw("PUT", f"/{BUCKET}/a%2Fb%20%C3%BC%3F", b"x").status == 200
    assert bucket.blob("a/b ü?").exists()


def test_an_upload_in_chunks_of_http(bucket: storage.Bucket, raw: Raw) -> None:
    assert raw("PUT", PLACE, iter([DATA[:10], DATA[10:]])).status == 200
    assert raw("GET", PLACE).data == DATA


def test_generation_zero_is_no_object(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    only_new = {"x-goog-if-generation-match": "0"}
    assert raw("PUT", PLACE, b"first", only_new).status == 200
    raw.refused(412, "PreconditionFailed", "PUT", PLACE, b"second", only_new)
    raw.refused(412, "PreconditionFailed", "DELETE", PLACE, headers=only_new)
    raw.refused(412, "PreconditionFailed", "GET", PLACE, headers={"x-goog-if-generation-match": "1"})
    assert raw("GET", PLACE).data == b"first"
    assert len(list(gcp.holdings.store.home.iterdir())) == 1
    generation = raw("HEAD", PLACE).headers["x-goog-generation"]
    raw.refused(404, "NoSuchKey", "DELETE", f"{PLACE}?generation=1")
    assert raw("DELETE", f"{PLACE}?generation={generation}").status == 204


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-goog-hash": "crc32c=AAAAAQ=="}, "BadDigest"),
        ({"x-goog-hash": "md5=AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        ({"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        ({"x-goog-hash": "crc32c=AAAA"}, "InvalidDigest"),
        ({"x-goog-hash": "sha1=AAAA"}, "InvalidArgument"),
        ({"x-goog-if-generation-match": "none"}, "InvalidArgument"),
        ({"x-goog-encryption-kms-key-name": "key"}, "InvalidArgument"),
        ({"x-goog-meta-k": "v" * 9000}, "MetadataTooLarge"),
    ],
)
def test_what_is_refused_leaves_nothing(
    gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw, headers: dict[str, str], code: str
) -> None:
    raw.refused(400, code, "PUT", PLACE, DATA, headers)
    raw.refused(404, "NoSuchKey", "GET", PLACE)
    assert list(gcp.holdings.store.home.glob("*")) == []


def test_a_bucket_that_is_not_there(raw: Raw) -> None:
    raw.refused(404, "NoSuchBucket", "PUT", PLACE, b"x")
    raw.refused(404, "NoSuchBucket", "GET", PLACE)


def test_googles_client_uploads_parts(gcp: GcpStandIn, bucket: storage.Bucket, tmp_path: Path) -> None:
    file = tmp_path / "disk"
    file.write_bytes(os.urandom(11 << 20))
    blob = bucket.blob("x")
    transfer_manager.upload_chunks_concurrently(
        str(file), blob, chunk_size=5 << 20, max_workers=2, worker_type=transfer_manager.THREAD
    )
    got = bucket.get_blob("x")
    assert (got.crc32c, got.md5_hash, got.size) == (crc(file.read_bytes()), None, 11 << 20)
    assert got.download_as_bytes() == file.read_bytes()
    assert gcp.traffic.operations().count("multipart.put") == 3
    got.delete()
    assert list(gcp.holdings.store.home.iterdir()) == []


def start(raw: Raw) -> str:
    """Start a multipart upload; return its path."""
    answer = raw("POST", f"{PLACE}?uploads", b"", {"Content-Type": "application/gzip"})
    found = re.search(rb"<UploadId>(.*)</UploadId>", answer.data)
    assert found is not None
    return f"{PLACE}?uploadId={found[1].decode()}"


def ending(*parts: tuple[int, bytes]) -> bytes:
    entries = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{hashlib.md5(data).hexdigest()}</ETag></Part>"
        for number, data in parts
    )
    return f"<CompleteMultipartUpload>{entries}</CompleteMultipartUpload>".encode()


def test_parts(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    upload, large, small = start(raw), os.urandom(5 << 20), b"small"
    for number, data in ((1, b"replaced"), (1, large), (3, small), (4, small)):
        made = raw("PUT", f"{upload}&partNumber={number}", data)
        assert made.headers["x-goog-hash"] == f"crc32c={crc(data)},md5={md5(data)}"
    assert re.findall(rb"<PartNumber>(\d)", raw("GET", upload).data) == [b"1", b"3", b"4"]
    assert b"<Key>parts/1</Key>" in raw("GET", f"/{BUCKET}?uploads").data
    for body, code in (
        (ending((1, small), (3, small)), "InvalidPart"),
        (ending((2, large), (3, small)), "InvalidPart"),
        (ending((3, small), (1, large)), "InvalidPartOrder"),
        (ending((3, small), (4, small)), "EntityTooSmall"),
        (ending(), "MalformedXML"),
        (b"<Complete", "MalformedXML"),
    ):
        raw.refused(400, code, "POST", upload, body)
    done = raw("POST", upload, ending((1, large), (3, small)))
    assert done.status == 200, done.data
    assert bucket.get_blob("parts/1").crc32c == crc(large + small)
    assert len(list(gcp.holdings.store.home.iterdir())) == 2
    raw.refused(404, "NoSuchUpload", "POST", upload, ending((1, large)))


def test_parts_are_checked_and_aborted(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    upload = start(raw)
    raw.refused(400, "BadDigest", "PUT", f"{upload}&partNumber=1", b"x", {"x-goog-hash": "crc32c=AAAAAQ=="})
    for number in (0, 10001):
        raw.refused(400, "InvalidArgument", "PUT", f"{upload}&partNumber={number}", b"x")
    raw("PUT", f"{upload}&partNumber=1", b"x")
    assert raw("DELETE", upload).status == 204
    raw.refused(404, "NoSuchUpload", "PUT", f"{upload}&partNumber=1", b"x")
    assert list(gcp.holdings.store.home.iterdir()) == []
