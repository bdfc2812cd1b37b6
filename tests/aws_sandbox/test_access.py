# SPDX-License-Identifier: Apache-2.0
"""Who is let in, and what each service says to those who are not."""

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from http.client import HTTPConnection
from typing import Any

import pytest

from lkcloud_aws.sandbox import AwsStandIn
from tests.aws_sandbox.signed import ask

CALLS = {
    "ec2": ("describe_regions", {}),
    "sts": ("get_caller_identity", {}),
    "iam": ("get_role", {"RoleName": "vmimport"}),
    "s3": ("list_buckets", {}),
    "ebs": ("start_snapshot", {"VolumeSize": 1}),
}
UNKNOWN_KEY = {
    "ec2": "AuthFailure",
    "sts": "InvalidClientTokenId",
    "iam": "InvalidClientTokenId",
    "s3": "InvalidAccessKeyId",
    "ebs": "UnrecognizedClientException",
}
WRONG_SECRET = {
    "ec2": "AuthFailure",
    "sts": "SignatureDoesNotMatch",
    "iam": "SignatureDoesNotMatch",
    "s3": "SignatureDoesNotMatch",
    "ebs": "InvalidSignatureException",
}
EXPIRED = {
    "ec2": "RequestExpired",
    "sts": "ExpiredToken",
    "iam": "ExpiredToken",
    "s3": "ExpiredToken",
    "ebs": "ExpiredTokenException",
}


@pytest.mark.parametrize("service", CALLS)
def test_the_right_credentials_are_let_in_and_others_are_not(
    client: Callable[..., Any], refused: Callable[..., Any], stand_in: AwsStandIn, service: str
) -> None:
    name, parameters = CALLS[service]
    right = client(service)
    getattr(right, name)(**parameters)
    stranger = client(service, aws_access_key_id="AKIAAAAAAAAAAAAAAAAA")
    refused(UNKNOWN_KEY[service], getattr(stranger, name), **parameters)
    forger = client(service, aws_secret_access_key="wrong")
    refused(WRONG_SECRET[service], getattr(forger, name), **parameters)
    stand_in.expire_credentials()
    refused(EXPIRED[service], getattr(right, name), **parameters)
    stand_in.expire_credentials(expired=False)
    getattr(right, name)(**parameters)


def test_a_region_that_is_not_opted_in_knows_no_keys(client: Callable[..., Any], refused: Callable[..., Any]) -> None:
    regions = client("ec2").describe_regions(AllRegions=True)["Regions"]
    closed = next(region["RegionName"] for region in regions if region["OptInStatus"] == "not-opted-in")
    refused("AuthFailure", client("ec2", closed).describe_images)
    refused("UnrecognizedClientException", client("ebs", closed).start_snapshot, VolumeSize=1)
    refused("AuthFailure", client("ec2", "mars-north-1").describe_images)


def test_a_presigned_url_is_good_for_its_object_and_its_time(client: Callable[..., Any], stand_in: AwsStandIn) -> None:
    s3 = client("s3", config={"signature_version": "s3v4"})
    s3.create_bucket(Bucket="disks")
    s3.put_object(Bucket="disks", Key="a b", Body=b"bytes")
    url = s3.generate_presigned_url("get_object", {"Bucket": "disks", "Key": "a b"}, ExpiresIn=60)
    assert _get(stand_in, url) == (200, b"bytes")
    assert _get(stand_in, url.replace("a%20b", "other"))[0] == 403
    late = s3.generate_presigned_url("get_object", {"Bucket": "disks", "Key": "a b"}, ExpiresIn=-5)
    assert _get(stand_in, late)[0] == 400


def test_nobody_reads_a_bucket_without_a_signature(s3: Any, stand_in: AwsStandIn) -> None:
    s3.put_object(Bucket="disks", Key="k", Body=b"bytes")
    status, body = _get(stand_in, stand_in.environment()["AWS_ENDPOINT_URL"] + "/disks/k")
    assert status == 403
    assert b"AccessDenied" in body


def _get(stand_in: AwsStandIn, url: str) -> tuple[int, bytes]:
    address = stand_in.environment()["AWS_ENDPOINT_URL"]
    connection = HTTPConnection(address.removeprefix("http://"))
    try:
        connection.request("GET", url.removeprefix(address))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_clock_that_is_wrong_is_refused(stand_in: AwsStandIn) -> None:
    for minutes, status in ((0, 200), (14, 200), (-14, 200), (16, 403), (-16, 403)):
        assert ask(stand_in, "GET", "/", clock=timedelta(minutes=minutes))[0] == status


def test_importing_the_provider_loads_no_moto() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import lkcloud_aws, sys; sys.exit('moto' in sys.modules or 'boto3' in sys.modules)"],
        check=False,
    )
    assert done.returncode == 0


def test_the_environment_beats_the_users_own(stand_in: AwsStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the user's own")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    for name, value in stand_in.environment().items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-c", "import boto3; print(boto3.client('s3').list_buckets()['Buckets'])"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
