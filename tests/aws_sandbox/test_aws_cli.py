# SPDX-License-Identifier: Apache-2.0
"""The AWS CLI works against the stand-in, with its own defaults."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lkcloud_aws.sandbox import AwsStandIn
from tests.aws_sandbox.blocks import snapshot

AWS = Path(sys.executable).with_name("aws")

pytestmark = pytest.mark.skipif(not AWS.exists(), reason="needs the package awscli")

Aws = Callable[..., Any]


@pytest.fixture
def aws(stand_in: AwsStandIn) -> Aws:
    """Run `aws WORDS --endpoint-url ...` and return what it prints, read as JSON."""
    environment = {**os.environ, **stand_in.environment(), "AWS_PAGER": ""}
    address = environment.pop("AWS_ENDPOINT_URL")
    for name in [name for name in environment if name.startswith("AWS_ENDPOINT_URL_")]:
        environment.pop(name)

    def run(*words: str) -> Any:
        command = [str(AWS), *words, "--endpoint-url", address, "--output", "json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout

    return run


def test_an_image_is_registered_and_described(aws: Aws, ebs: Any) -> None:
    own = snapshot(ebs)
    mapping = json.dumps([{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": own, "VolumeType": "gp3"}}])
    made = aws(
        *("ec2", "register-image", "--name", "by-cli", "--architecture", "x86_64", "--virtualization-type", "hvm"),
        *(
            "--root-device-name",
            "/dev/xvda",
            "--block-device-mappings",
            mapping,
            "--ena-support",
            "--boot-mode",
            "uefi",
        ),
    )["ImageId"]
    [shown] = aws("ec2", "describe-images", "--owners", "self", "--filters", "Name=name,Values=by-*")["Images"]
    assert (shown["ImageId"], shown["BootMode"]) == (made, "uefi")
    assert aws("ec2", "describe-snapshots", "--owner-ids", "self")["Snapshots"][0]["SnapshotId"] == own


def test_a_file_goes_there_and_comes_back(aws: Aws, tmp_path: Path, stand_in: AwsStandIn) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(20 << 20))
    aws("s3", "mb", "s3://disks")
    aws("s3", "cp", str(there), "s3://disks/disk.raw")
    assert {"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"} <= set(stand_in.traffic.operations())
    aws("s3", "cp", "s3://disks/disk.raw", str(back))
    assert back.read_bytes() == there.read_bytes()
    head = aws("s3api", "head-object", "--bucket", "disks", "--key", "disk.raw", "--checksum-mode", "ENABLED")
    assert head["ContentLength"] == 20 << 20
    assert "ChecksumCRC32" in head
    assert "disk.raw" in aws("s3", "ls", "s3://disks")
