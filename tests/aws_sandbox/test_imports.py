# SPDX-License-Identifier: Apache-2.0
"""ImportSnapshot: what is read out of S3, and how a task fails."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lkcloud_aws.sandbox import AwsStandIn

MIB = 1024 * 1024

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs the Debian package qemu-utils")


def container(form: str = "RAW", key: str = "disk", bucket: str = "disks") -> dict[str, Any]:
    return {"Format": form, "UserBucket": {"S3Bucket": bucket, "S3Key": key}}


@pytest.fixture
def ended(ec2: Any, wait: Callable[..., Any]) -> Callable[[str], dict[str, Any]]:
    """Wait for the end of a task and return its detail."""

    def look_until_end(task_id: str) -> dict[str, Any]:
        def look() -> Any:
            [task] = ec2.describe_import_snapshot_tasks(ImportTaskIds=[task_id])["ImportSnapshotTasks"]
            detail = task["SnapshotTaskDetail"]
            return detail if detail["Status"] in ("completed", "deleted") else None

        return dict(wait(look))

    return look_until_end


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Return a raw disk of 3 MiB and a half with some data, its size no multiple of a block."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(3 * MIB + MIB // 2)
        for offset in (0, 2 * MIB + 700, 3 * MIB + MIB // 2 - 5):
            file.seek(offset)
            file.write(b"bytes")
    return path


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("RAW", ()),
        pytest.param("VHD", ("-O", "vpc", "-o", "subformat=dynamic,force_size=on"), marks=needs_qemu_img),
        pytest.param("VHD", ("-O", "vpc", "-o", "subformat=fixed,force_size=on"), marks=needs_qemu_img),
        pytest.param("VMDK", ("-O", "vmdk", "-o", "subformat=streamOptimized"), marks=needs_qemu_img),
    ],
)
def test_the_bytes_arrive(
    s3: Any,
    ec2: Any,
    ended: Callable[[str], Any],
    stand_in: AwsStandIn,
    disk: Path,
    form: str,
    options: tuple[str, ...],
) -> None:
    source = disk
    if options:
        source = disk.with_suffix(".converted")
        subprocess.run(["qemu-img", "convert", "-f", "raw", *options, disk, source], check=True)
    s3.upload_file(str(source), "disks", "disk")
    made = ec2.import_snapshot(
        DiskContainer=container(form),
        Description="described",
        TagSpecifications=[{"ResourceType": "import-snapshot-task", "Tags": [{"Key": "k", "Value": "v"}]}],
    )
    assert made["SnapshotTaskDetail"]["Status"] == "active"
    detail = ended(made["ImportTaskId"])
    assert (detail["Status"], detail["DiskImageSize"]) == ("completed", source.stat().st_size)
    [shown] = ec2.describe_snapshots(SnapshotIds=[detail["SnapshotId"]])["Snapshots"]
    assert (shown["State"], shown["VolumeSize"], shown["Tags"]) == ("completed", 1, [])
    with stand_in.snapshot_file(detail["SnapshotId"]).open("rb") as file:
        assert file.read(disk.stat().st_size) == disk.read_bytes()
    tasks = ec2.describe_import_snapshot_tasks(Filters=[{"Name": "tag:k", "Values": ["v"]}])["ImportSnapshotTasks"]
    assert [task["ImportTaskId"] for task in tasks] == [made["ImportTaskId"]]


def test_an_imported_snapshot_lists_its_blocks(
    s3: Any, ec2: Any, ebs: Any, ended: Callable[[str], Any], disk: Path
) -> None:
    s3.upload_file(str(disk), "disks", "disk")
    detail = ended(ec2.import_snapshot(DiskContainer=container())["ImportTaskId"])
    listed = ebs.list_snapshot_blocks(SnapshotId=detail["SnapshotId"])["Blocks"]
    assert [entry["BlockIndex"] for entry in listed] == [0, 4, 6]


def test_the_volume_is_rounded_up_to_gib(s3: Any, ec2: Any, ended: Callable[[str], Any], tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(1024 * MIB + 1)
    vhd = tmp_path / "big.vhd"
    if shutil.which("qemu-img") is None:
        pytest.skip("needs the Debian package qemu-utils")
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", big, vhd], check=True)
    s3.upload_file(str(vhd), "disks", "disk")
    detail = ended(ec2.import_snapshot(DiskContainer=container("VHD"))["ImportTaskId"])
    assert ec2.describe_snapshots(SnapshotIds=[detail["SnapshotId"]])["Snapshots"][0]["VolumeSize"] == 2


def test_a_file_that_is_no_disk_ends_deleted(s3: Any, ec2: Any, ended: Callable[[str], Any], disk: Path) -> None:
    s3.upload_file(str(disk), "disks", "disk")
    s3.put_object(Bucket="disks", Key="empty", Body=b"")
    for wrong in (container("VHD"), container("VMDK"), container("RAW", "empty")):
        detail = ended(ec2.import_snapshot(DiskContainer=wrong)["ImportTaskId"])
        assert detail["Status"] == "deleted"
        assert "Disk validation failed" in detail["StatusMessage"]
        assert "SnapshotId" not in detail
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


@needs_qemu_img
def test_a_vmdk_must_be_stream_optimised(
    s3: Any, ec2: Any, ended: Callable[[str], Any], disk: Path, tmp_path: Path
) -> None:
    vmdk = tmp_path / "disk.vmdk"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", disk, vmdk], check=True)
    s3.upload_file(str(vmdk), "disks", "disk")
    detail = ended(ec2.import_snapshot(DiskContainer=container("VMDK"))["ImportTaskId"])
    assert (detail["Status"], "monolithicSparse" in detail["StatusMessage"]) == ("deleted", True)


@pytest.fixture
def unusable(client: Callable[..., Any], s3: Any, disk: Path) -> Callable[[str], tuple[dict[str, Any], str]]:
    """Make what cannot be imported; return the parameters and what must be said of them."""

    def make(problem: str) -> tuple[dict[str, Any], str]:
        s3.upload_file(str(disk), "disks", "disk")
        iam = client("iam")
        if problem == "no role":
            iam.delete_role_policy(RoleName="vmimport", PolicyName="vmimport")
            iam.delete_role(RoleName="vmimport")
            return {"DiskContainer": container()}, "The service role vmimport provided does not exist"
        if problem == "role of another service":
            statement = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.create_role(RoleName="mine", AssumeRolePolicyDocument=document)
            return {"DiskContainer": container(), "RoleName": "mine"}, "The service role mine provided"
        if problem == "other region":
            west = client("s3", "us-west-2")
            west.create_bucket(Bucket="western", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
            west.upload_file(str(disk), "western", "disk")
            return {"DiskContainer": container(bucket="western")}, "not local to the region"
        missing = container(key="none") if problem == "no object" else container(bucket="no-such-bucket")
        return {"DiskContainer": missing}, "User does not have access to the S3 object"

    return make


PROBLEMS = ("no role", "role of another service", "other region", "no object", "no bucket")


@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_cannot_be_read_is_refused_by_the_call(
    ec2: Any, unusable: Callable[..., Any], refused: Callable[..., Any], problem: str
) -> None:
    parameters, says = unusable(problem)
    assert says in str(refused("InvalidParameter", ec2.import_snapshot, **parameters))
    assert ec2.describe_import_snapshot_tasks()["ImportSnapshotTasks"] == []


@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_cannot_be_read_is_refused_by_the_task_if_so_set(
    stand_in: AwsStandIn, ec2: Any, unusable: Callable[..., Any], ended: Callable[[str], Any], problem: str
) -> None:
    stand_in.windows.import_refused_by = "task"
    parameters, says = unusable(problem)
    detail = ended(ec2.import_snapshot(**parameters)["ImportTaskId"])
    assert detail["Status"] == "deleted"
    assert says in detail["StatusMessage"]


def test_an_object_that_goes_away_fails_the_task(
    stand_in: AwsStandIn, s3: Any, ec2: Any, ended: Callable[[str], Any], disk: Path
) -> None:
    stand_in.windows.import_step = 0.1
    s3.upload_file(str(disk), "disks", "disk")
    made = ec2.import_snapshot(DiskContainer=container())["ImportTaskId"]
    s3.delete_object(Bucket="disks", Key="disk")
    detail = ended(made)
    assert detail["Status"] == "deleted"
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def test_a_task_can_be_cancelled_while_it_is_active(
    stand_in: AwsStandIn, s3: Any, ec2: Any, refused: Callable[..., Any], disk: Path
) -> None:
    stand_in.windows.import_step = 60
    s3.upload_file(str(disk), "disks", "disk")
    made = ec2.import_snapshot(DiskContainer=container())["ImportTaskId"]
    [shown] = ec2.describe_import_snapshot_tasks(ImportTaskIds=[made])["ImportSnapshotTasks"]
    assert (shown["SnapshotTaskDetail"]["StatusMessage"], shown["SnapshotTaskDetail"]["Progress"]) == ("pending", "3")
    assert ec2.cancel_import_task(ImportTaskId=made)["PreviousState"] == "active"
    refused("IncorrectState", ec2.cancel_import_task, ImportTaskId=made)
    [shown] = ec2.describe_import_snapshot_tasks(ImportTaskIds=[made])["ImportSnapshotTasks"]
    assert shown["SnapshotTaskDetail"]["Status"] == "deleted"


def test_a_client_token_gives_the_same_task(s3: Any, ec2: Any, refused: Callable[..., Any], disk: Path) -> None:
    s3.upload_file(str(disk), "disks", "disk")
    first = ec2.import_snapshot(DiskContainer=container(), ClientToken="t")["ImportTaskId"]
    assert ec2.import_snapshot(DiskContainer=container(), ClientToken="t")["ImportTaskId"] == first
    other = {"DiskContainer": container(), "ClientToken": "t", "Description": "other"}
    refused("IdempotentParameterMismatch", ec2.import_snapshot, **other)


def test_tasks_come_in_pages(s3: Any, ec2: Any, disk: Path) -> None:
    s3.upload_file(str(disk), "disks", "disk")
    made = sorted(ec2.import_snapshot(DiskContainer=container())["ImportTaskId"] for _ in range(3))
    paginator = ec2.get_paginator("describe_import_snapshot_tasks")
    pages = list(paginator.paginate(PaginationConfig={"PageSize": 2}))
    assert len(pages) == 2
    assert [task["ImportTaskId"] for page in pages for task in page["ImportSnapshotTasks"]] == made


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"DiskContainer": container("QCOW2")}, "InvalidParameter"),
        ({"DiskContainer": {"Format": "RAW"}}, "MissingParameter"),
        ({}, "MissingParameter"),
        (
            {"DiskContainer": container(), "TagSpecifications": [{"ResourceType": "snapshot", "Tags": []}]},
            "InvalidParameterValue",
        ),
    ],
)
def test_a_wrong_import_is_refused(
    s3: Any, ec2: Any, refused: Callable[..., Any], disk: Path, wrong: dict[str, Any], code: str
) -> None:
    s3.upload_file(str(disk), "disks", "disk")
    refused(code, ec2.import_snapshot, **wrong)


def test_the_waiter_of_botocore_ends_with_a_completed_task(s3: Any, ec2: Any, disk: Path) -> None:
    s3.upload_file(str(disk), "disks", "disk")
    made = ec2.import_snapshot(DiskContainer=container())["ImportTaskId"]
    waiter = ec2.get_waiter("snapshot_imported")
    waiter.wait(ImportTaskIds=[made], WaiterConfig={"Delay": 0.05, "MaxAttempts": 1000})


@pytest.mark.parametrize("encryption", [{}, {"Encrypted": False}])
def test_a_key_needs_encryption(encryption: dict[str, Any], ec2: Any, s3: Any, refused: Callable[..., Any]) -> None:
    s3.put_object(Bucket="disks", Key="disk", Body=b"")
    key = "arn:aws:kms:us-east-1:123456789012:key/0123"
    refused("InvalidParameterCombination", ec2.import_snapshot, DiskContainer=container(), KmsKeyId=key, **encryption)
