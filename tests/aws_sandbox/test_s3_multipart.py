# SPDX-License-Identifier: Apache-2.0
"""S3 multipart uploads: checksums, order, sizes and pages, as strict as S3."""

import base64
import hashlib
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import crc32c
import pytest

from lkcloud_aws.sandbox import AwsStandIn

MIB = 1024 * 1024
FIRST = b"first".ljust(5 * MIB, b"1")
LAST = b"last" * 1000
DISK = {"Bucket": "disks", "Key": "disk.vhd"}


def b64(digest: bytes | int) -> str:
    return base64.b64encode(digest if isinstance(digest, bytes) else digest.to_bytes(4, "big")).decode()


SUMS: dict[str, Callable[[bytes], str]] = {
    "CRC32": lambda data: b64(zlib.crc32(data)),
    "CRC32C": lambda data: b64(crc32c.crc32c(data)),
    "SHA1": lambda data: b64(hashlib.sha1(data).digest()),
    "SHA256": lambda data: b64(hashlib.sha256(data).digest()),
}


def start(s3: Any, **parameters: Any) -> dict[str, Any]:
    return {**DISK, "UploadId": s3.create_multipart_upload(**DISK, **parameters)["UploadId"]}


def send(s3: Any, upload: dict[str, Any], algorithm: str, *parts: bytes) -> list[dict[str, Any]]:
    sent = []
    for number, data in enumerate(parts, 1):
        stated = {f"Checksum{algorithm}": SUMS[algorithm](data)}
        done = s3.upload_part(**upload, PartNumber=number, Body=data, **stated)
        sent.append({"PartNumber": number, "ETag": done["ETag"], **stated})
    return sent


@pytest.mark.parametrize("algorithm", SUMS)
def test_a_composite_upload_comes_back_whole(s3: Any, algorithm: str, tmp_path: Path) -> None:
    upload = start(s3, ChecksumAlgorithm=algorithm)
    parts = send(s3, upload, algorithm, FIRST, LAST)
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    whole = SUMS[algorithm](b"".join(base64.b64decode(SUMS[algorithm](part)) for part in (FIRST, LAST)))
    assert done[f"Checksum{algorithm}"] == f"{whole}-2"
    assert done["ChecksumType"] == "COMPOSITE"
    digests = hashlib.md5(FIRST).digest() + hashlib.md5(LAST).digest()
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-2"'
    head = s3.head_object(**DISK, ChecksumMode="ENABLED")
    assert (head["ContentLength"], head[f"Checksum{algorithm}"]) == (len(FIRST + LAST), f"{whole}-2")
    assert s3.get_object(**DISK)["Body"].read() == FIRST + LAST
    middle = s3.get_object(**DISK, Range=f"bytes={len(FIRST) - 3}-{len(FIRST) + 3}")
    assert middle["Body"].read() == FIRST[-3:] + LAST[:4]
    assert len(list((tmp_path / "cloud" / "s3").iterdir())) == 2, "the parts are the object: nothing was copied"


@pytest.mark.parametrize(("algorithm", "whole"), [("CRC32", zlib.crc32), ("CRC32C", crc32c.crc32c)])
def test_the_checksum_of_the_full_object_is_checked(
    s3: Any, refused: Callable[..., Any], algorithm: str, whole: Callable[[bytes], int]
) -> None:
    upload = start(s3, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")
    parts = send(s3, upload, algorithm, FIRST, LAST)
    stated = {"MultipartUpload": {"Parts": parts}, "ChecksumType": "FULL_OBJECT"}
    call = s3.complete_multipart_upload
    refused("BadDigest", call, **upload, **stated, **{f"Checksum{algorithm}": b64(1)})
    right = {f"Checksum{algorithm}": b64(whole(FIRST + LAST))}
    refused("InvalidRequest", call, **upload, **{**stated, "ChecksumType": "COMPOSITE"}, **right)
    done = call(**upload, **stated, **right, MpuObjectSize=len(FIRST + LAST))
    assert done[f"Checksum{algorithm}"] == right[f"Checksum{algorithm}"]
    # botocore itself computes the checksum of what it reads, and compares.
    assert s3.get_object(**DISK, ChecksumMode="ENABLED")["Body"].read() == FIRST + LAST


def test_a_part_that_is_not_what_was_promised_is_refused(s3: Any, refused: Callable[..., Any]) -> None:
    upload = start(s3, ChecksumAlgorithm="SHA256")
    part = {**upload, "PartNumber": 1, "Body": LAST}
    refused("BadDigest", s3.upload_part, **part, ChecksumSHA256=b64(hashlib.sha256(b"other").digest()))
    right = {"ChecksumSHA256": SUMS["SHA256"](LAST)}
    refused("BadDigest", s3.upload_part, **part, **right, ContentMD5=b64(hashlib.md5(b"other").digest()))
    refused("InvalidDigest", s3.upload_part, **part, **right, ContentMD5="no digest")
    refused("InvalidRequest", s3.upload_part, **part, ChecksumCRC32=SUMS["CRC32"](LAST))
    refused("InvalidArgument", s3.upload_part, **{**part, "PartNumber": 0}, **right)
    refused("InvalidArgument", s3.upload_part, **{**part, "PartNumber": 10001}, **right)
    refused("NoSuchUpload", s3.upload_part, **{**part, "UploadId": "none"}, **right)
    assert "Parts" not in s3.list_parts(**upload)


def test_a_payload_that_is_not_what_was_signed_is_refused(s3: Any, refused: Callable[..., Any]) -> None:
    def change(request: Any, **_: Any) -> None:
        request.body = b"forged"

    s3.meta.events.register("before-send.s3.PutObject", change)
    refused("XAmzContentSHA256Mismatch", s3.put_object, Bucket="disks", Key="k", Body=b"signed")
    assert "Contents" not in s3.list_objects_v2(Bucket="disks")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"}, "InvalidRequest"),
        ({"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"}, "InvalidRequest"),
        ({"Tagging": "&".join(f"t{number}=v" for number in range(11))}, "BadRequest"),
    ],
)
def test_a_wrong_upload_is_not_started(
    s3: Any, refused: Callable[..., Any], parameters: dict[str, Any], code: str
) -> None:
    refused(code, s3.create_multipart_upload, **DISK, **parameters)


def test_a_wrong_completion_is_refused_and_the_upload_stays(s3: Any, refused: Callable[..., Any]) -> None:
    upload = start(s3, ChecksumAlgorithm="CRC32")
    parts = send(s3, upload, "CRC32", FIRST, LAST, LAST)
    call = s3.complete_multipart_upload

    def complete(code: str, chosen: list[dict[str, Any]], **more: Any) -> None:
        refused(code, call, **upload, MultipartUpload={"Parts": chosen}, **more)

    complete("InvalidPartOrder", [parts[2], parts[0]])
    complete("EntityTooSmall", parts)
    complete("InvalidPart", [{**parts[0], "ETag": '"0"'}])
    complete("InvalidPart", [{**parts[0], "PartNumber": 4}])
    complete("InvalidPart", [{**parts[0], "ChecksumCRC32": b64(1)}])
    complete("InvalidRequest", [{name: parts[0][name] for name in ("PartNumber", "ETag")}])
    complete("InvalidRequest", parts[:2], MpuObjectSize=1)
    complete("MalformedXML", [])
    call(**upload, MultipartUpload={"Parts": parts[:2]})
    complete("NoSuchUpload", parts[:2])


def test_a_completion_does_not_overwrite_when_told_so(s3: Any, refused: Callable[..., Any], tmp_path: Path) -> None:
    s3.put_object(**DISK, Body=b"there")
    upload = start(s3, ChecksumAlgorithm="CRC32")
    parts = {"Parts": send(s3, upload, "CRC32", LAST)}
    error = refused(
        "PreconditionFailed", s3.complete_multipart_upload, **upload, MultipartUpload=parts, IfNoneMatch="*"
    )
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert s3.get_object(**DISK)["Body"].read() == b"there"
    s3.complete_multipart_upload(**upload, MultipartUpload=parts)
    assert s3.get_object(**DISK)["Body"].read() == LAST
    assert len(list((tmp_path / "cloud" / "s3").iterdir())) == 1, "the file of the replaced object is gone"


def test_parts_are_listed_in_pages_with_their_checksums(s3: Any, stand_in: AwsStandIn) -> None:
    upload = start(s3, ChecksumAlgorithm="SHA256")
    send(s3, upload, "SHA256", FIRST, LAST, LAST, LAST, LAST)
    send(s3, upload, "SHA256", LAST)
    stand_in.windows.page_size = 2
    pages = list(s3.get_paginator("list_parts").paginate(**upload))
    assert [len(page["Parts"]) for page in pages] == [2, 2, 1]
    found = [part for page in pages for part in page["Parts"]]
    assert [part["PartNumber"] for part in found] == [1, 2, 3, 4, 5]
    assert {part["ChecksumSHA256"] for part in found} == {SUMS["SHA256"](LAST)}, "the first part was sent again"
    assert pages[0]["ChecksumType"] == "COMPOSITE"
    assert stand_in.traffic.operations()[-3:] == ["ListParts"] * 3


def test_uploads_are_listed_in_pages_by_key_and_time(s3: Any, stand_in: AwsStandIn) -> None:
    begun = datetime.now(UTC)
    made = [
        (key, s3.create_multipart_upload(Bucket="disks", Key=key)["UploadId"]) for key in ("b", "a", "b", "x/c", "b")
    ]
    stand_in.windows.page_size = 2
    pages = list(s3.get_paginator("list_multipart_uploads").paginate(Bucket="disks"))
    found = [(upload["Key"], upload["UploadId"]) for page in pages for upload in page["Uploads"]]
    assert len(pages) == 3
    assert found == [made[1], made[0], made[2], made[4], made[3]]
    first = pages[0]["Uploads"][0]["Initiated"]
    assert begun - timedelta(seconds=1) <= first <= datetime.now(UTC)
    only = s3.list_multipart_uploads(Bucket="disks", Prefix="x/")["Uploads"]
    assert [(upload["Key"], upload["UploadId"]) for upload in only] == [made[3]]


def test_an_aborted_upload_leaves_no_bytes(s3: Any, refused: Callable[..., Any], tmp_path: Path) -> None:
    upload = start(s3, ChecksumAlgorithm="CRC32")
    send(s3, upload, "CRC32", LAST)
    s3.abort_multipart_upload(**upload)
    refused("NoSuchUpload", s3.abort_multipart_upload, **upload)
    refused("NoSuchUpload", s3.list_parts, **upload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="disks")
    assert list((tmp_path / "cloud" / "s3").iterdir()) == []


def test_what_was_given_at_the_start_is_kept(s3: Any) -> None:
    upload = start(s3, Metadata={"digest": "abc"}, Tagging="run=7&by=lk", ContentType="application/x-disk")
    parts = send(s3, upload, "CRC32", LAST)
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    head = s3.head_object(**DISK)
    assert (head["Metadata"], head["ContentType"]) == ({"digest": "abc"}, "application/x-disk")
    tags = s3.get_object_tagging(**DISK)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"run": "7", "by": "lk"}
