# SPDX-License-Identifier: Apache-2.0
"""Bodies in the framing aws-chunked, as SDKs send them over TLS: framed here by botocore itself."""

import os
from io import BytesIO
from typing import Any

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum, Sha256Checksum

from lkcloud_aws.sandbox import AwsStandIn
from tests.aws_sandbox.signed import ask

DATA = os.urandom((3 << 20) + 5)


def framed(data: bytes, name: str = "crc32") -> bytes:
    checksum = {"crc32": Crc32Checksum, "sha256": Sha256Checksum}[name]
    return bytes(AwsChunkedWrapper(BytesIO(data), checksum, f"x-amz-checksum-{name}", chunk_size=1 << 20).read())


def put(stand_in: AwsStandIn, body: bytes, *, length: int = len(DATA), name: str = "crc32") -> tuple[int, bytes]:
    headers = {
        "Content-Encoding": "aws-chunked",
        "X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "X-Amz-Decoded-Content-Length": str(length),
        "X-Amz-Trailer": f"x-amz-checksum-{name}",
    }
    return ask(stand_in, "PUT", "/disks/framed", headers=headers, body=body)


@pytest.mark.parametrize("name", ["crc32", "sha256"])
def test_a_framed_body_is_read_and_its_checksum_kept(stand_in: AwsStandIn, s3: Any, name: str) -> None:
    assert put(stand_in, framed(DATA, name), name=name)[0] == 200
    got = s3.get_object(Bucket="disks", Key="framed", ChecksumMode="ENABLED")
    assert got["Body"].read() == DATA
    assert f"Checksum{name.upper()}" in got
    assert "ContentEncoding" not in got


@pytest.mark.parametrize(
    ("body", "length", "code"),
    [
        (framed(DATA).replace(framed(DATA)[-12:], b"AAAAAA==\r\n\r\n"), len(DATA), b"BadDigest"),
        (framed(DATA), len(DATA) + 1, b"IncompleteBody"),
        (framed(DATA)[:-2000], len(DATA), b"IncompleteBody"),
        (b"zz\r\n" + DATA, len(DATA), b"InvalidChunkSizeError"),
        (framed(DATA, "sha256"), len(DATA), b"BadDigest"),
    ],
)
def test_a_wrongly_framed_body_is_refused(stand_in: AwsStandIn, s3: Any, body: bytes, length: int, code: bytes) -> None:
    status, said = put(stand_in, body, length=length)
    assert (status, code in said) == (400, True), said
    assert "Contents" not in s3.list_objects_v2(Bucket="disks")
