# SPDX-License-Identifier: Apache-2.0
"""S3 objects and their buckets."""

import base64
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from lkcloud_aws.sandbox import AwsStandIn


def test_an_object_comes_back_with_what_was_said_of_it(s3: Any) -> None:
    s3.put_object(Bucket="disks", Key="a/ü b", Body=b"bytes", Metadata={"one": "1"}, Tagging="k=v")
    got = s3.get_object(Bucket="disks", Key="a/ü b", ChecksumMode="ENABLED")
    assert (got["Body"].read(), got["Metadata"]) == (b"bytes", {"one": "1"})
    assert got["ChecksumCRC32"] == base64.b64encode(zlib.crc32(b"bytes").to_bytes(4, "big")).decode()
    assert got["ChecksumType"] == "FULL_OBJECT"
    assert s3.get_object_tagging(Bucket="disks", Key="a/ü b")["TagSet"] == [{"Key": "k", "Value": "v"}]
    s3.delete_object(Bucket="disks", Key="a/ü b")
    s3.delete_object(Bucket="disks", Key="a/ü b")


@pytest.mark.parametrize(
    ("header", "expected"), [("bytes=2-4", b"cde"), ("bytes=8-", b"ij"), ("bytes=-3", b"hij"), ("bytes=5-99", b"fghij")]
)
def test_ranges(s3: Any, header: str, expected: bytes) -> None:
    s3.put_object(Bucket="disks", Key="k", Body=b"abcdefghij")
    got = s3.get_object(Bucket="disks", Key="k", Range=header)
    assert (got["Body"].read(), got["ResponseMetadata"]["HTTPStatusCode"]) == (expected, 206)
    assert got["ContentRange"].endswith("/10")


def test_errors_of_objects(s3: Any, refused: Callable[..., Any]) -> None:
    refused("NoSuchKey", s3.get_object, Bucket="disks", Key="none")
    refused("404", s3.head_object, Bucket="disks", Key="none")
    refused("NoSuchBucket", s3.put_object, Bucket="none-here", Key="k", Body=b"")
    s3.put_object(Bucket="disks", Key="k", Body=b"bytes")
    refused("InvalidRange", s3.get_object, Bucket="disks", Key="k", Range="bytes=5-")
    refused("PreconditionFailed", s3.put_object, Bucket="disks", Key="k", Body=b"new", IfNoneMatch="*")
    refused("PreconditionFailed", s3.get_object, Bucket="disks", Key="k", IfMatch='"0"')
    refused("BadDigest", s3.put_object, Bucket="disks", Key="k", Body=b"new", ChecksumCRC32="AAAAAQ==")
    refused("NotImplemented", s3.copy_object, Bucket="disks", Key="c", CopySource="disks/k")
    assert s3.get_object(Bucket="disks", Key="k")["Body"].read() == b"bytes"


def test_objects_are_listed_in_pages_with_prefixes(s3: Any, stand_in: AwsStandIn) -> None:
    for key in ("a/1", "a/2", "b", "c/1", "d"):
        s3.put_object(Bucket="disks", Key=key, Body=key.encode())
    stand_in.windows.page_size = 2
    for call in ("list_objects_v2", "list_objects"):
        pages = list(s3.get_paginator(call).paginate(Bucket="disks", Delimiter="/"))
        assert len(pages) == 2
        assert [item["Key"] for page in pages for item in page.get("Contents", [])] == ["b", "d"]
        assert [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])] == ["a/", "c/"]
    inside = s3.list_objects_v2(Bucket="disks", Prefix="a/")["Contents"]
    assert [(item["Key"], item["Size"]) for item in inside] == [("a/1", 3), ("a/2", 3)]


def test_a_bucket_is_deleted_when_it_is_empty(s3: Any, refused: Callable[..., Any]) -> None:
    for key in ("1", "2"):
        s3.put_object(Bucket="disks", Key=key, Body=b"")
    refused("BucketNotEmpty", s3.delete_bucket, Bucket="disks")
    s3.delete_objects(Bucket="disks", Delete={"Objects": [{"Key": "1"}, {"Key": "2"}]})
    s3.delete_bucket(Bucket="disks")
    assert s3.list_buckets()["Buckets"] == []


def test_a_bucket_is_reached_in_its_own_region(
    client: Callable[..., Any], s3: Any, refused: Callable[..., Any], stand_in: AwsStandIn
) -> None:
    west = client("s3", "eu-west-1")
    west.create_bucket(Bucket="western", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    west.put_object(Bucket="western", Key="k", Body=b"bytes")
    assert s3.get_bucket_location(Bucket="western")["LocationConstraint"] == "eu-west-1"
    assert (
        "LocationConstraint" not in s3.get_bucket_location(Bucket="disks")
        or not (s3.get_bucket_location(Bucket="disks")["LocationConstraint"])
    )
    redirects = []
    stand_in.traffic.hooks.append(lambda seen: redirects.append(seen.status))
    # boto3 follows the redirect to the bucket's region, as it does in the cloud.
    assert s3.head_bucket(Bucket="western")["BucketRegion"] == "eu-west-1"
    assert 301 in redirects
    assert client("s3").get_object(Bucket="western", Key="k")["Body"].read() == b"bytes"
    refused("404", s3.head_bucket, Bucket="nowhere-at-all")


def test_settings_of_buckets_are_there(s3: Any) -> None:
    rule = {"ID": "r", "Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket="disks", LifecycleConfiguration={"Rules": [rule]})
    assert s3.get_bucket_lifecycle_configuration(Bucket="disks")["Rules"][0]["ID"] == "r"
    s3.put_public_access_block(Bucket="disks", PublicAccessBlockConfiguration={"BlockPublicAcls": True})
