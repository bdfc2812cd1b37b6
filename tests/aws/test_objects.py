# SPDX-License-Identifier: Apache-2.0
"""Images that are S3 objects, against the sandbox."""

import hashlib
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest

from lkcloud.disk import fetch, open_disk
from lkcloud.disk.objects import open_object
from lkcloud.errors import Corrupt, ImageChanged, NotAuthenticated, NotFound
from lkcloud.sandbox.http import Response
from lkcloud.sandbox.traffic import Seen
from lkcloud_aws.sandbox import AwsStandIn

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

URL = "s3://images/a folder/disk.raw"
CONTENT = random.Random(5).randbytes(1 << 20) + bytes(2 * fetch.PART) + b"end"


@pytest.fixture
def s3(aws: AwsStandIn) -> "Iterator[S3Client]":
    client: S3Client = boto3.client("s3")
    client.create_bucket(Bucket="images")
    client.put_object(Bucket="images", Key="a folder/disk.raw", Body=CONTENT)
    aws.traffic.clear()
    yield client
    client.close()


def test_fetched_once_in_parts(s3: "S3Client", aws: AwsStandIn) -> None:
    for _ in range(2):
        with open_disk(URL) as disk:
            assert disk.read(0, disk.size) == CONTENT
    assert aws.traffic.operations() == ["GetObject"] * (1 + 3 + 1)


def test_the_tag_of_one_put_is_a_checksum(s3: "S3Client") -> None:
    checksum = open_object(URL).state().checksum
    assert checksum is not None
    assert checksum.expected == hashlib.md5(CONTENT).digest()


def test_the_tag_of_several_parts_is_none(s3: "S3Client") -> None:
    upload = s3.create_multipart_upload(Bucket="images", Key="a folder/disk.raw")["UploadId"]
    place = {"Bucket": "images", "Key": "a folder/disk.raw", "UploadId": upload}
    part = s3.upload_part(**place, PartNumber=1, Body=CONTENT)  # type: ignore[arg-type]  # texts, all of them
    s3.complete_multipart_upload(**place, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})  # type: ignore[arg-type]
    assert open_object(URL).state().checksum is None
    with open_disk(URL) as disk:
        assert disk.read(0, disk.size) == CONTENT


def test_what_changes_while_it_is_fetched(s3: "S3Client", aws: AwsStandIn) -> None:
    def change(seen: Seen) -> Response | None:
        if seen.operation == "GetObject" and seen.phase == "after":
            aws.traffic.hooks.clear()
            s3.put_object(Bucket="images", Key="a folder/disk.raw", Body=b"other")
        return None

    aws.traffic.hooks.append(change)
    with pytest.raises(ImageChanged):
        open_disk(URL)


def test_damaged_bytes_are_not_taken(s3: "S3Client", aws: AwsStandIn) -> None:
    s3.put_object(Bucket="images", Key="small", Body=b"abc")
    asked: list[Seen] = []

    def damage(seen: Seen) -> Response | None:
        if seen.operation == "GetObject" and seen.phase == "after":
            asked.append(seen)
        return Response(206, {"Content-Range": "bytes 0-2/3"}, b"abd") if len(asked) == 2 else None

    aws.traffic.hooks.append(damage)
    with pytest.raises(Corrupt) as caught:
        open_disk("s3://images/small")
    assert "s3://images/small" in caught.value.message


def test_a_service_that_stumbles_is_asked_again(s3: "S3Client", aws: AwsStandIn) -> None:
    aws.traffic.throttle("GetObject", 2)
    with open_disk(URL) as disk:
        assert disk.read(0, disk.size) == CONTENT


def test_what_is_not_there_and_who_is_nobody(s3: "S3Client", aws: AwsStandIn) -> None:
    with pytest.raises(NotFound) as caught:
        open_disk("s3://images/none")
    assert "s3://images/none" in caught.value.message
    aws.expire_credentials()
    with pytest.raises(NotAuthenticated):
        open_disk(URL)


def test_no_region_needs_to_be_known(s3: "S3Client", aws: AwsStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_object(Bucket="elsewhere", Key="disk.raw", Body=CONTENT)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    aws.traffic.clear()
    with open_disk("s3://elsewhere/disk.raw") as disk:
        assert disk.read(0, disk.size) == CONTENT
    assert [seen.status for seen in aws.traffic.log] == [301, 200, 206, 206, 206]
