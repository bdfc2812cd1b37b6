# SPDX-License-Identifier: Apache-2.0
"""Objects of the JSON API."""

import json
import os
import socket
from typing import Any
from urllib.parse import quote, urlsplit

import google_crc32c
import pytest
from google.api_core import exceptions
from google.cloud import storage

from lkcloud_gcp.sandbox import GcpStandIn
from tests.gcp_sandbox.raw import BUCKET, Raw, crc

UPLOAD = f"/upload/storage/v1/b/{BUCKET}/o"
OBJECTS = f"/storage/v1/b/{BUCKET}/o"


def test_an_object_comes_back_with_what_was_said_of_it(gcp: GcpStandIn, bucket: storage.Bucket) -> None:
    data = os.urandom(3_000_000)
    blob = bucket.blob("a/ü b?#%2F+")
    blob.metadata = {"lkcloud-digest": "abc"}
    blob.cache_control = "no-store"
    blob.upload_from_string(data, "application/gzip", checksum="crc32c", if_generation_match=0)
    got = bucket.get_blob(blob.name)
    assert (got.size, got.content_type, got.metadata) == (len(data), "application/gzip", {"lkcloud-digest": "abc"})
    assert (got.crc32c, got.cache_control, got.metageneration) == (crc(data), "no-store", 1)
    assert got.download_as_bytes() == data
    held = gcp.holdings.store.find(BUCKET, blob.name)
    assert held is not None
    assert (held.crc32c, held.generation) == (google_crc32c.value(data), got.generation)
    assert b"".join(held.pieces()) == data


def test_bytes_are_kept_in_files_that_go_with_the_object(gcp: GcpStandIn, bucket: storage.Bucket) -> None:
    home = gcp.holdings.store.home
    blob = bucket.blob("x")
    for _ in range(2):
        blob.upload_from_string(os.urandom(1000))
        assert [file.stat().st_size for file in home.iterdir()] == [1000]
    blob.delete()
    assert list(home.iterdir()) == []


def test_an_upload_of_bytes_alone(raw: Raw, bucket: storage.Bucket) -> None:
    answer = raw("POST", f"{UPLOAD}?uploadType=media&name=x", b"bytes", {"Content-Type": "text/x"})
    made = json.loads(answer.data)
    assert (made["contentType"], made["size"], made["crc32c"]) == ("text/x", "5", crc(b"bytes"))


@pytest.mark.parametrize(("span", "expected"), [((2, 4), b"cde"), ((8, None), b"ij"), ((5, 99), b"fghij")])
def test_ranges(bucket: storage.Bucket, span: tuple[int, int | None], expected: bytes) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string(b"abcdefghij")
    assert blob.download_as_bytes(start=span[0], end=span[1]) == expected


def test_ranges_past_the_end(bucket: storage.Bucket, raw: Raw) -> None:
    bucket.blob("x").upload_from_string(b"abcdefghij")
    path = f"/download/storage/v1/b/{BUCKET}/o/x?alt=media"
    raw.refused(416, "requestedRangeNotSatisfiable", "GET", path, headers={"Range": "bytes=10-"})
    assert raw("GET", path, headers={"Range": "bytes=-3"}).data == b"hij"


def test_preconditions_of_an_upload(bucket: storage.Bucket, raw: Raw) -> None:
    blob = bucket.blob("x")
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string("new", if_generation_match=1)
    blob.upload_from_string("first", if_generation_match=0)
    first = blob.generation
    for wrong in ({"if_generation_match": 0}, {"if_generation_not_match": first}, {"if_metageneration_match": 2}):
        with pytest.raises(exceptions.PreconditionFailed):
            bucket.blob("x").upload_from_string("second", **wrong)
    assert (blob.download_as_bytes(), bucket.get_blob("x").generation) == (b"first", first)
    path = f"{UPLOAD}?uploadType=media&name=x&ifGenerationMatch=0"
    assert "pre-conditions" in raw.refused(412, "conditionNotMet", "POST", path, b"second")
    blob.upload_from_string("second", if_generation_match=first)
    assert blob.generation > first


def test_preconditions_of_what_is_there(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string("x")
    wrong = blob.generation + 1
    for call in (blob.delete, blob.reload, blob.patch, blob.download_as_bytes):
        with pytest.raises(exceptions.PreconditionFailed):
            call(if_generation_match=wrong)
    with pytest.raises(exceptions.NotFound):
        bucket.delete_blob("x", generation=wrong)
    blob.delete(if_generation_match=blob.generation)
    for call in (blob.delete, blob.reload):
        with pytest.raises(exceptions.NotFound):
            call(if_generation_match=blob.generation)


def test_a_reader_is_told_that_nothing_changed(bucket: storage.Bucket, raw: Raw) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string("x")
    assert raw("GET", f"{OBJECTS}/x?ifGenerationNotMatch={blob.generation}").status == 304
    assert raw("GET", f"{OBJECTS}/x?ifGenerationNotMatch=1").status == 200


@pytest.mark.parametrize("field", [{"crc32c": "AAAAAQ=="}, {"md5Hash": "AAAAAAAAAAAAAAAAAAAAAA=="}])
def test_wrong_hashes_make_no_object(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw, field: dict[str, str]) -> None:
    body = (
        b"--b\r\nContent-Type: application/json\r\n\r\n" + json.dumps({"name": "x", **field}).encode()
        + b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nbytes\r\n--b--\r\n"
    )  # fmt: skip
    headers = {"Content-Type": "multipart/related; boundary=b"}
    raw.refused(400, "invalid", "POST", f"{UPLOAD}?uploadType=multipart", body, headers)
    assert not bucket.blob("x").exists()
    assert list(gcp.holdings.store.home.iterdir()) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\nContent-Type: application/json\r\n\r\n{}",
        b'--b\r\n\r\n{"name":"x"}\r\n--b--\r\n',
        b'--b\r\n\r\n{"name":"x"}\r\n--b\r\n\r\nbytes',
        b'--b\r\n\r\n{"name":"x"}\r\n--b\r\n\r\nbytes\r\n--b\r\n\r\nmore\r\n--b--',
        b'--b\r\n\r\n{"name":"x"}\r\n--c\r\n\r\nbytes\r\n--c--',
    ],
)
def test_bodies_that_are_no_two_parts(bucket: storage.Bucket, raw: Raw, body: bytes) -> None:
    headers = {"Content-Type": "multipart/related; boundary=b"}
    raw.refused(400, "invalid", "POST", f"{UPLOAD}?uploadType=multipart", body, headers)
    assert not bucket.blob("x").exists()


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, (1 << 20) + 1, 2_500_000])
def test_boundaries_inside_the_bytes(bucket: storage.Bucket, raw: Raw, size: int) -> None:
    data = (b"\r\n--" * (size // 4 + 1))[:size]
    head = b'--bound\r\n\r\n{"name":"x"}\r\n--bound\r\nContent-Type: text/x\r\n\r\n'
    headers = {"Content-Type": 'multipart/related; boundary="bound"'}
    answer = raw("POST", f"{UPLOAD}?uploadType=multipart", head + data + b"\r\n--bound--", headers)
    assert answer.status == 200, answer.data
    assert bucket.blob("x").download_as_bytes() == data


@pytest.mark.parametrize("name", [".", "..", "a\nb", ".well-known/acme-challenge/x", "x" * 1025, "ü" * 513])
def test_names_that_no_object_can_have(bucket: storage.Bucket, raw: Raw, name: str) -> None:
    raw.refused(400, "invalid", "POST", f"{UPLOAD}?uploadType=media&name={quote(name, safe='')}", b"x")


def test_an_object_needs_a_name_and_a_bucket(raw: Raw, bucket: storage.Bucket) -> None:
    raw.refused(400, "required", "POST", f"{UPLOAD}?uploadType=media", b"x")
    path = "/upload/storage/v1/b/none-here/o?uploadType=media&name=x"
    assert raw.refused(404, "notFound", "POST", path, b"x") == "The specified bucket does not exist."
    assert raw.refused(404, "notFound", "GET", f"{OBJECTS}/x") == f"No such object: {BUCKET}/x"


def test_metadata_has_a_limit(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.metadata = {"k": "v" * 9000}
    with pytest.raises(exceptions.BadRequest):
        blob.upload_from_string("x")


def test_uniform_access_knows_no_acls(bucket: storage.Bucket, raw: Raw) -> None:
    bucket.blob("x").upload_from_string("x", predefined_acl="private")
    bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    bucket.patch()
    with pytest.raises(exceptions.BadRequest, match="uniform"):
        bucket.blob("x").upload_from_string("y", predefined_acl="private")
    raw.refused(400, "invalid", "POST", f"{UPLOAD}?uploadType=resumable&name=x&predefinedAcl=private", {})
    raw.refused(400, "InvalidArgument", "PUT", f"/{BUCKET}/x", b"y", {"x-goog-acl": "private"})
    raw.refused(400, "invalid", "PATCH", f"{OBJECTS}/x?predefinedAcl=private", {})
    whole = f"{OBJECTS}/whole/compose?destinationPredefinedAcl=private"
    raw.refused(400, "invalid", "POST", whole, {"sourceObjects": [{"name": "x"}]})
    assert bucket.blob("x").download_as_bytes() == b"x"


def test_metadata_changes(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.metadata = {"one": "1", "two": "2"}
    blob.upload_from_string("x", "text/x")
    blob.metadata = {"two": None, "three": "3"}
    blob.patch(if_metageneration_match=1)
    got = bucket.get_blob("x")
    assert (got.metadata, got.metageneration, got.content_type) == ({"one": "1", "three": "3"}, 2, "text/x")
    assert got.generation == blob.generation


def test_lists_come_in_pages_with_prefixes(gcp: GcpStandIn, client: storage.Client, bucket: storage.Bucket) -> None:
    for name in ("a/1", "a/2", "b", "c/1", "d"):
        bucket.blob(name).upload_from_string(name)
    gcp.windows.objects_page = 2
    listing = client.list_blobs(bucket, delimiter="/")
    assert [blob.name for blob in listing] == ["b", "d"]
    assert sorted(listing.prefixes) == ["a/", "c/"]
    assert gcp.traffic.operations().count("objects.list") == 2
    assert [blob.name for blob in client.list_blobs(bucket, prefix="a/")] == ["a/1", "a/2"]
    assert [blob.name for blob in client.list_blobs(bucket, start_offset="a/2", end_offset="d")] == ["a/2", "b", "c/1"]
    assert [blob.name for blob in client.list_blobs(bucket, max_results=3)] == ["a/1", "a/2", "b"]


def test_only_the_fields_that_are_asked_for(bucket: storage.Bucket, raw: Raw) -> None:
    blob = bucket.blob("x")
    blob.metadata = {"k": "v"}
    blob.upload_from_string("x")
    found = json.loads(raw("GET", f"{OBJECTS}?fields=items(name,metadata/k,size),nextPageToken").data)
    assert found == {"items": [{"name": "x", "metadata": {"k": "v"}, "size": "1"}]}
    for bad in ("items(name", "items)", "a,,b", "(a)", "a b/"):
        raw.refused(400, "invalidParameter", "GET", f"{OBJECTS}?fields={quote(bad)}")


def test_what_is_retained_stays(bucket: storage.Bucket, raw: Raw) -> None:
    bucket.retention_period = 3600
    bucket.patch()
    blob = bucket.blob("x")
    blob.upload_from_string("x")
    with pytest.raises(exceptions.Forbidden, match="retention policy"):
        blob.delete()
    raw.refused(403, "retentionPolicyNotMet", "POST", f"{UPLOAD}?uploadType=media&name=x", b"y")
    raw.refused(403, "RetentionPolicyNotMet", "DELETE", f"/{BUCKET}/x")
    assert blob.download_as_bytes() == b"x"


def test_what_is_held_stays(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string("x")
    blob.temporary_hold = True
    blob.patch()
    with pytest.raises(exceptions.Forbidden, match="hold"):
        blob.delete()
    blob.temporary_hold = False
    blob.patch()
    blob.delete()


def test_bytes_need_a_length(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    host = urlsplit(raw.address).netloc
    for path in (f"{UPLOAD}?uploadType=media&name=x", f"/{BUCKET}/x"):
        method = "POST" if path.startswith("/upload") else "PUT"
        with socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2]))) as connection:
            head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {raw.token}\r\n"
            connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
            assert b" 411 " in connection.recv(1000).split(b"\r\n")[0]
    assert not bucket.blob("x").exists()


def test_an_upload_can_be_refused_or_cut_off(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    gcp.traffic.throttle("objects.insert", 1)
    path = f"{UPLOAD}?uploadType=media&name=x"
    raw.refused(429, "rateLimitExceeded", "POST", path, b"x")
    assert raw("POST", path, b"x").status == 200
    assert gcp.traffic.received("objects.insert") == 2
    host = urlsplit(raw.address)
    with socket.create_connection((str(host.hostname), int(host.port or 0))) as connection:
        head = f"POST {UPLOAD}?uploadType=media&name=cut HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {raw.token}\r\n"
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\nfew".encode())
    assert not bucket.blob("cut").exists()


def test_several_requests_in_one(gcp: GcpStandIn, client: storage.Client, bucket: storage.Bucket) -> None:
    for name in ("a", "b"):
        bucket.blob(name).upload_from_string(name)
    with client.batch():
        bucket.blob("a").delete()
        bucket.blob("b").delete()
    assert list(client.list_blobs(bucket)) == []
    assert gcp.traffic.operations()[-4:-1] == ["objects.delete", "objects.delete", "batch"]
    with pytest.raises(exceptions.NotFound), client.batch():
        bucket.blob("a").delete()


def test_a_batch_has_its_limits(bucket: storage.Bucket, raw: Raw) -> None:
    one = b"--b\r\nContent-Type: application/http\r\n\r\nDELETE /storage/v1/b/b/o/o HTTP/1.1\r\n\r\n\r\n"
    many = one * 101 + b"--b--"
    raw.refused(400, "invalid", "POST", "/batch/storage/v1", many, {"Content-Type": "multipart/mixed; boundary=b"})
    raw.refused(400, "invalid", "POST", "/batch/storage/v1", b"x", {"Content-Type": "text/plain"})
    for line in (b"GET /upload/storage/v1/b HTTP/1.1", b"GET /storage/v1/b/b/o/o?alt=media HTTP/1.1", b"nonsense"):
        body = b"--b\r\nContent-Type: application/http\r\n\r\n" + line + b"\r\n\r\n\r\n--b--"
        raw.refused(400, "invalid", "POST", "/batch/storage/v1", body, {"Content-Type": "multipart/mixed; boundary=b"})


def test_a_failure_of_the_sandbox_is_told(gcp: GcpStandIn, raw: Raw, capfd: Any) -> None:
    gcp.holdings.store.buckets["broken"] = None  # type: ignore[assignment]
    assert "AttributeError" in raw.refused(500, "backendError", "GET", "/storage/v1/b/broken")
    assert "Traceback" in capfd.readouterr().err
