# SPDX-License-Identifier: Apache-2.0
"""Resumable uploads."""

import io
import json
import os
import socket
import time
from urllib.parse import urlsplit

import pytest
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption

from lkcloud.sandbox.http import DropConnection, Response
from lkcloud.sandbox.traffic import Seen
from lkcloud_gcp.sandbox import GcpStandIn
from tests.gcp_sandbox.raw import BUCKET, Raw, crc

K256 = 256 * 1024
DATA = os.urandom(3 * K256 + 1000)


@pytest.mark.parametrize("size", [0, 1, K256, 3 * K256, len(DATA)])
def test_googles_client_uploads_in_chunks(gcp: GcpStandIn, bucket: storage.Bucket, size: int) -> None:
    blob = bucket.blob("x", chunk_size=K256)
    blob.upload_from_file(io.BytesIO(DATA[:size]), checksum="crc32c", if_generation_match=0)
    got = bucket.get_blob("x")
    assert (got.download_as_bytes(), got.crc32c, got.component_count) == (DATA[:size], crc(DATA[:size]), None)
    assert "objects.start" in gcp.traffic.operations()


@pytest.mark.parametrize("size", [K256 - 1, 2 * K256, len(DATA)])
def test_googles_client_streams_what_has_no_known_size(bucket: storage.Bucket, size: int) -> None:
    with bucket.blob("x").open("wb", chunk_size=K256) as stream:
        for begin in range(0, size, 100_000):
            stream.write(DATA[begin : min(begin + 100_000, size)])
    assert bucket.blob("x").download_as_bytes() == DATA[:size]


def test_what_is_persisted_is_told(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    url = raw.start("x", document={"metadata": {"k": "v"}})
    for question in ("*/*", f"*/{len(DATA)}"):
        answer = raw.chunk(url, question)
        assert (answer.status, answer.headers.get("Range")) == (308, None)
    answer = raw.chunk(url, f"0-{2 * K256 - 1}/*", DATA[: 2 * K256])
    assert (answer.status, answer.headers["Range"]) == (308, f"bytes=0-{2 * K256 - 1}")
    answer = raw.chunk(url, f"*/{len(DATA)}")
    assert (answer.status, answer.headers["Range"]) == (308, f"bytes=0-{2 * K256 - 1}")
    assert not bucket.blob("x").exists()
    answer = raw.chunk(url, f"{2 * K256}-{len(DATA) - 1}/{len(DATA)}", DATA[2 * K256 :])
    made = json.loads(answer.data)
    assert (answer.status, made["crc32c"], made["size"]) == (200, crc(DATA), str(len(DATA)))
    assert (made["metadata"], made["contentType"]) == ({"k": "v"}, "application/gzip")
    assert bucket.blob("x").download_as_bytes() == DATA
    for question in ("*/*", f"*/{len(DATA)}", f"0-{K256 - 1}/*"):
        again = raw.chunk(url, question, DATA[:K256] if question[0] == "0" else b"")
        assert (again.status, json.loads(again.data)["generation"]) == (200, made["generation"])
    assert [one for one in gcp.traffic.operations() if one in ("objects.start", "objects.chunk", "objects.status")] == [
        "objects.start", *["objects.status"] * 2, "objects.chunk", "objects.status", "objects.chunk",
        *["objects.status"] * 2, "objects.chunk",
    ]  # fmt: skip


def test_all_at_once(bucket: storage.Bucket, raw: Raw) -> None:
    assert raw("PUT", raw.start("x"), DATA).status == 200
    assert raw("PUT", raw.start("y"), iter([DATA[:1000], DATA[1000:]])).status == 200  # chunked, of no known length
    assert bucket.blob("x").download_as_bytes() == bucket.blob("y").download_as_bytes() == DATA


def test_a_question_with_the_size_finishes_what_is_all_there(bucket: storage.Bucket, raw: Raw) -> None:
    url = raw.start("x")
    raw.chunk(url, f"0-{K256 - 1}/*", DATA[:K256])
    assert raw.chunk(url, "*/*").status == 308
    assert raw.chunk(url, f"*/{K256}").status == 200
    assert bucket.blob("x").download_as_bytes() == DATA[:K256]


@pytest.mark.parametrize("length", [1, K256 - 1, K256 + 1])
def test_chunks_are_multiples_of_256_kib(raw: Raw, bucket: storage.Bucket, length: int) -> None:
    url = raw.start("x")
    for total in ("*", len(DATA)):
        message = raw.refused(
            400, "invalid", "PUT", url, DATA[:length], {"Content-Range": f"bytes 0-{length - 1}/{total}"}
        )
        assert "262144" in message
    assert raw.chunk(url, "*/*").headers.get("Range") is None


@pytest.mark.parametrize(
    "span", ["0-262143", "bytes 262143-0/*", "bytes 0-262143/1000", "bytes 0-524287/*", "bytes a-b/c", "bytes 0-1/1"]
)
def test_ranges_that_make_no_sense(raw: Raw, bucket: storage.Bucket, span: str) -> None:
    raw.refused(400, "invalid", "PUT", raw.start("x"), DATA[:K256], {"Content-Range": span})


def test_the_size_stays_what_it_was_said_to_be(raw: Raw, bucket: storage.Bucket) -> None:
    url = raw.start("x")
    raw.chunk(url, f"0-{K256 - 1}/{len(DATA)}", DATA[:K256])
    span = {"Content-Range": f"bytes {K256}-{2 * K256 - 1}/{2 * K256}"}
    raw.refused(400, "invalid", "PUT", url, DATA[K256 : 2 * K256], span)
    for other in (K256, 2 * K256, len(DATA)):
        answer = raw.chunk(url, f"*/{other}")
        assert (answer.status, answer.headers["Range"]) == (308, f"bytes=0-{K256 - 1}")
    path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=y"
    url = raw("POST", path, b"", {"X-Upload-Content-Length": "1000"}).headers["Location"]
    raw.refused(400, "invalid", "PUT", url, DATA[:10], {"Content-Range": "bytes 0-9/10"})
    assert raw.chunk(url, "0-999/1000", DATA[:1000]).status == 200


def test_bytes_that_were_persisted_before_are_ignored(raw: Raw, bucket: storage.Bucket) -> None:
    url = raw.start("x")
    raw.chunk(url, f"0-{2 * K256 - 1}/*", DATA[: 2 * K256])
    again = raw.chunk(url, f"0-{K256 - 1}/*", bytes(K256))
    assert (again.status, again.headers["Range"]) == (308, f"bytes=0-{2 * K256 - 1}")
    overlapping = bytes(K256) + DATA[2 * K256 :]
    assert raw.chunk(url, f"{K256}-{len(DATA) - 1}/{len(DATA)}", overlapping).status == 200
    assert bucket.blob("x").download_as_bytes() == DATA


def test_a_gap_is_refused(raw: Raw, bucket: storage.Bucket) -> None:
    url = raw.start("x")
    raw.chunk(url, f"0-{K256 - 1}/*", DATA[:K256])
    gap = {"Content-Range": f"bytes {2 * K256}-{3 * K256 - 1}/*"}
    answer = raw("PUT", url, DATA[2 * K256 : 3 * K256], gap)
    assert answer.status == 503
    assert b"524288 byte(s), which exceeds already uploaded size of 262144" in answer.data
    assert raw.chunk(url, "*/*").headers["Range"] == f"bytes=0-{K256 - 1}"


def test_less_can_be_kept_than_was_sent(gcp: GcpStandIn, raw: Raw, bucket: storage.Bucket) -> None:
    gcp.windows.chunk_persisted = K256
    url, total = raw.start("x"), len(DATA)
    for end in (K256, 2 * K256, 3 * K256):
        answer = raw.chunk(url, f"{end - K256}-{total - 1}/{total}", DATA[end - K256 :])
        assert (answer.status, answer.headers["Range"]) == (308, f"bytes=0-{end - 1}")
    assert raw.chunk(url, f"{3 * K256}-{total - 1}/{total}", DATA[3 * K256 :]).status == 200
    assert bucket.blob("x").download_as_bytes() == DATA


def test_what_breaks_off_is_kept_in_whole_quanta(raw: Raw, bucket: storage.Bucket) -> None:
    url = raw.start("x")
    parts = urlsplit(url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as connection:
        head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(DATA)}\r\n\r\n"
        connection.sendall(head.encode() + DATA[: 2 * K256 + 5000])
    deadline = time.monotonic() + 10
    while (answer := raw.chunk(url, "*/*")).headers.get("Range") != f"bytes=0-{2 * K256 - 1}":
        assert time.monotonic() < deadline, answer.headers
        time.sleep(0.01)
    rest = f"{2 * K256}-{len(DATA) - 1}/{len(DATA)}"
    assert raw.chunk(url, rest, DATA[2 * K256 :], X_Goog_Hash=f"crc32c={crc(DATA)}").status == 200


def test_an_answer_can_be_lost(gcp: GcpStandIn, raw: Raw, bucket: storage.Bucket) -> None:
    def lose(seen: Seen) -> Response | None:
        if seen.phase == "after" and seen.operation == "objects.chunk":
            gcp.traffic.hooks.clear()
            raise DropConnection
        return None

    gcp.traffic.hooks.append(lose)
    blob = bucket.blob("x", chunk_size=K256)
    blob.upload_from_file(io.BytesIO(DATA), checksum="crc32c", if_generation_match=0)
    assert blob.download_as_bytes() == DATA
    # The client sends the chunk whose answer was lost once more; its bytes are not kept twice.
    assert gcp.traffic.operations().count("objects.chunk") == 5


def test_preconditions_hold_at_the_start_and_at_the_end(bucket: storage.Bucket, raw: Raw) -> None:
    url = raw.start("x", "&ifGenerationMatch=0")
    bucket.blob("x").upload_from_string("somebody else's")
    span = {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}
    raw.refused(412, "conditionNotMet", "PUT", url, DATA, span)
    raw.refused(410, "gone", "PUT", url, b"", {"Content-Range": "bytes */*"})
    path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=x&ifGenerationMatch=0"
    raw.refused(412, "conditionNotMet", "POST", path, {})
    assert bucket.blob("x").download_as_bytes() == b"somebody else's"
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x", chunk_size=K256).upload_from_file(io.BytesIO(DATA), if_generation_match=0)


def test_wrong_hashes_make_no_object(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    span = {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}
    wrong = crc(b"other")
    for url, more in (
        (raw.start("x", document={"crc32c": wrong}), {}),
        (raw.start("x"), {"X-Goog-Hash": f"crc32c={wrong}"}),
        (raw.start("x"), {"X-Goog-Hash": f"crc32c={crc(DATA)},md5=AAAAAAAAAAAAAAAAAAAAAA=="}),
    ):
        raw.refused(400, "invalid", "PUT", url, DATA, {**span, **more})
    assert not bucket.blob("x").exists()
    assert list(gcp.holdings.store.home.iterdir()) == []
    url = raw.start("x", document={"crc32c": crc(DATA)})
    assert raw("PUT", url, DATA, {**span, "X-Goog-Hash": f"crc32c={crc(DATA)}"}).status == 200


def test_googles_client_sees_a_wrong_hash(gcp: GcpStandIn, bucket: storage.Bucket) -> None:
    def spoil(seen: Seen) -> Response | None:
        if seen.phase == "after" and seen.operation == "objects.chunk" and seen.status == 200:
            return Response(200, {"Content-Type": "application/json"}, b'{"crc32c": "AAAAAQ==", "size": "1"}')
        return None

    gcp.traffic.hooks.append(spoil)
    with pytest.raises(DataCorruption):
        bucket.blob("x", chunk_size=K256).upload_from_file(io.BytesIO(DATA), checksum="crc32c")


def test_uploads_are_cancelled(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    url = raw.start("x")
    raw.chunk(url, f"0-{K256 - 1}/*", DATA[:K256])
    assert raw("DELETE", url).status == 499
    raw.refused(410, "gone", "PUT", url, b"", {"Content-Range": "bytes */*"})
    raw.refused(410, "gone", "DELETE", url)
    assert list(gcp.holdings.store.home.iterdir()) == []


def test_uploads_expire(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    url = raw.start("x")
    gcp.windows.session_life = 0.05
    time.sleep(0.1)
    raw.refused(410, "gone", "PUT", url, b"", {"Content-Range": "bytes */*"})
    raw.refused(404, "notFound", "PUT", url, b"", {"Content-Range": "bytes */*"})


def test_the_url_is_right_enough(gcp: GcpStandIn, raw: Raw, bucket: storage.Bucket) -> None:
    url = raw.start("x")
    answer = raw.pool.request("PUT", url, body=DATA)
    assert answer.status == 200
    raw.refused(404, "notFound", "PUT", url[:-4] + "AAAA", b"")
    raw.refused(
        401, "authError", "POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=x", {}, token="no"
    )


def test_go_programs_ask_for_no_308(raw: Raw, bucket: storage.Bucket) -> None:
    answer = raw.chunk(raw.start("x"), f"0-{K256 - 1}/*", DATA[:K256], X_GUploader_No_308="yes")
    assert (answer.status, answer.headers["X-HTTP-Status-Code-Override"]) == (200, "308")
    assert answer.headers["Range"] == f"bytes=0-{K256 - 1}"
