# SPDX-License-Identifier: Apache-2.0
"""RegisterImage refuses what EC2 refuses, and has EC2's defaults."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from lkcloud_aws.sandbox import AwsStandIn
from tests.aws_sandbox.blocks import snapshot


@pytest.fixture
def image(ebs: Any) -> dict[str, Any]:
    """Return parameters of an image that can be registered; its snapshot is of 4 GiB."""
    made = snapshot(ebs, size=4)
    return {
        "Name": "lk (1.0) [x]/'a'@b_c-d",
        "Architecture": "x86_64",
        "VirtualizationType": "hvm",
        "RootDeviceName": "/dev/xvda",
        "EnaSupport": True,
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": made, "VolumeType": "gp3"}}],
    }


def with_root(image: dict[str, Any], **ebs: Any) -> dict[str, Any]:
    """Return the parameters with other settings of the root volume."""
    [root] = image["BlockDeviceMappings"]
    return {**image, "BlockDeviceMappings": [{**root, "Ebs": {**root["Ebs"], **ebs}}]}


def test_everything_that_is_registered_is_shown(ec2: Any, image: dict[str, Any]) -> None:
    data = base64.b64encode(b"variables").decode()
    full = with_root(image, VolumeSize=20, Iops=4000, Throughput=500, DeleteOnTermination=False)
    full["BlockDeviceMappings"] += [
        {"DeviceName": "/dev/xvdb", "Ebs": {"VolumeSize": 8, "VolumeType": "io2", "Iops": 100, "Encrypted": True}},
        {"DeviceName": "/dev/xvdc", "VirtualName": "ephemeral0"},
    ]
    made = ec2.register_image(
        **full,
        Description="described",
        BootMode="uefi-preferred",
        TpmSupport="v2.0",
        ImdsSupport="v2.0",
        UefiData=data,
        SriovNetSupport="simple",
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}],
    )["ImageId"]
    [shown] = ec2.describe_images(ImageIds=[made])["Images"]
    expected = {
        "Name": image["Name"],
        "Description": "described",
        "Architecture": "x86_64",
        "VirtualizationType": "hvm",
        "BootMode": "uefi-preferred",
        "TpmSupport": "v2.0",
        "ImdsSupport": "v2.0",
        "SriovNetSupport": "simple",
        "EnaSupport": True,
        "RootDeviceName": "/dev/xvda",
        "RootDeviceType": "ebs",
        "State": "available",
        "Public": False,
        "Tags": [{"Key": "a", "Value": "b"}],
    }
    assert {name: shown[name] for name in expected} == expected
    root, second, third = shown["BlockDeviceMappings"]
    assert root["Ebs"] == {
        "SnapshotId": image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"],
        "VolumeSize": 20,
        "VolumeType": "gp3",
        "Iops": 4000,
        "Throughput": 500,
        "DeleteOnTermination": False,
        "Encrypted": False,
    }
    assert (second["Ebs"]["VolumeType"], second["Ebs"]["Encrypted"]) == ("io2", True)
    assert third["VirtualName"] == "ephemeral0"
    assert ec2.describe_image_attribute(ImageId=made, Attribute="uefiData")["UefiData"]["Value"] == data
    assert ec2.describe_image_attribute(ImageId=made, Attribute="bootMode")["BootMode"]["Value"] == "uefi-preferred"


def test_the_defaults_are_those_that_boot_nowhere(ec2: Any, image: dict[str, Any]) -> None:
    bare = {name: image[name] for name in ("Name", "RootDeviceName", "BlockDeviceMappings")}
    [shown] = ec2.describe_images(ImageIds=[ec2.register_image(**bare)["ImageId"]])["Images"]
    assert (shown["Architecture"], shown["VirtualizationType"]) == ("i386", "paravirtual")
    assert not shown["EnaSupport"]
    assert "BootMode" not in shown
    assert shown["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 4


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"Name": "ab"}, "InvalidAMIName.Malformed"),
        ({"Name": "x" * 129}, "InvalidAMIName.Malformed"),
        ({"Name": "with:colon"}, "InvalidAMIName.Malformed"),
        ({"Description": "x" * 256}, "InvalidParameterValue"),
        ({"Architecture": "riscv64"}, "InvalidParameterValue"),
        ({"BootMode": "bios"}, "InvalidParameterValue"),
        ({"VirtualizationType": "xen"}, "InvalidParameterValue"),
        ({"Architecture": "arm64", "BootMode": "legacy-bios"}, "InvalidParameterCombination"),
        ({"Architecture": "arm64", "VirtualizationType": "paravirtual"}, "InvalidParameterCombination"),
        ({"Architecture": "arm64", "BootMode": "uefi", "TpmSupport": "v2.0"}, "InvalidParameterValue"),
        ({"TpmSupport": "v2.0"}, "InvalidParameterCombination"),
        ({"TpmSupport": "v2.0", "BootMode": "legacy-bios"}, "InvalidParameterCombination"),
        ({"TpmSupport": "v1.2", "BootMode": "uefi"}, "InvalidParameterValue"),
        ({"ImdsSupport": "v1.0"}, "InvalidParameterValue"),
        ({"UefiData": "no base64!"}, "InvalidParameterValue"),
        ({"UefiData": "A" * 64_004}, "InvalidParameterValue"),
        ({"SriovNetSupport": "complex"}, "InvalidParameterValue"),
        ({"VirtualizationType": "paravirtual"}, "InvalidParameterCombination"),
        ({"RootDeviceName": "/dev/xvdz"}, "InvalidBlockDeviceMapping"),
        ({"RootDeviceName": ""}, "MissingParameter"),
        ({"BlockDeviceMappings": []}, "MissingParameter"),
        ({"TagSpecifications": [{"ResourceType": "snapshot", "Tags": []}]}, "InvalidParameterValue"),
        (
            {"TagSpecifications": [{"ResourceType": "image", "Tags": [{"Key": "aws:a", "Value": ""}]}]},
            "InvalidParameterValue",
        ),
    ],
)
def test_a_wrong_image_is_refused(
    client: Callable[..., Any], image: dict[str, Any], refused: Callable[..., Any], wrong: dict[str, Any], code: str
) -> None:
    ec2 = client("ec2", config={"parameter_validation": False})
    refused(code, ec2.register_image, **{**image, **wrong})
    assert ec2.describe_images(Owners=["self"])["Images"] == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"SnapshotId": "snap-00000000000000000"}, "InvalidSnapshot.NotFound"),
        ({"VolumeSize": 3}, "InvalidBlockDeviceMapping"),
        ({"Encrypted": True}, "InvalidBlockDeviceMapping"),
        ({"Encrypted": False}, "InvalidBlockDeviceMapping"),
        ({"KmsKeyId": "alias/mine"}, "UnknownParameter"),
        ({"VolumeType": "gp4"}, "InvalidParameterValue"),
        ({"VolumeType": "standard", "VolumeSize": 1025}, "InvalidParameterValue"),
        ({"VolumeType": "gp2", "VolumeSize": 16_385}, "InvalidParameterValue"),
        ({"VolumeType": "gp2", "Iops": 3000}, "InvalidParameterCombination"),
        ({"VolumeType": "gp2", "Throughput": 125}, "InvalidParameterCombination"),
        ({"VolumeType": "io1"}, "MissingParameter"),
        ({"VolumeType": "io1", "Iops": 99}, "InvalidParameterValue"),
        ({"VolumeType": "io2", "Iops": 1000, "Throughput": 200}, "InvalidParameterCombination"),
        ({"VolumeType": "st1", "VolumeSize": 125}, "InvalidParameterValue"),
        ({"VolumeType": "sc1", "VolumeSize": 100}, "InvalidParameterValue"),
        ({"VolumeSize": 65_537}, "InvalidParameterValue"),
        ({"Iops": 2999}, "InvalidParameterValue"),
        ({"Iops": 80_001, "VolumeSize": 1000}, "InvalidParameterValue"),
        ({"Iops": 3500}, "InvalidParameterValue"),
        ({"Throughput": 124}, "InvalidParameterValue"),
        ({"Throughput": 751}, "InvalidParameterValue"),
        ({"VolumeInitializationRate": 99}, "InvalidParameterValue"),
    ],
)
def test_a_wrong_root_volume_is_refused(
    ec2: Any, image: dict[str, Any], refused: Callable[..., Any], wrong: dict[str, Any], code: str
) -> None:
    refused(code, ec2.register_image, **with_root(image, **wrong))


@pytest.mark.parametrize(
    "right",
    [
        {"VolumeSize": 4},
        {"VolumeType": "standard"},
        {"VolumeType": "io1", "Iops": 100},
        {"VolumeSize": 10, "Iops": 5000, "Throughput": 1250},
        {"VolumeInitializationRate": 300},
    ],
)
def test_a_right_root_volume_is_taken(ec2: Any, image: dict[str, Any], right: dict[str, Any]) -> None:
    assert ec2.register_image(**with_root(image, **right))["ImageId"].startswith("ami-")


def test_a_device_is_there_once_and_named_as_devices_are(
    ec2: Any, image: dict[str, Any], refused: Callable[..., Any]
) -> None:
    twice = {**image, "BlockDeviceMappings": image["BlockDeviceMappings"] * 2}
    refused("InvalidBlockDeviceMapping", ec2.register_image, **twice)
    odd = [*image["BlockDeviceMappings"], {"DeviceName": "disk2", "Ebs": {"VolumeSize": 1}}]
    refused("InvalidBlockDeviceMapping", ec2.register_image, **{**image, "BlockDeviceMappings": odd})
    empty = [*image["BlockDeviceMappings"], {"DeviceName": "/dev/xvdb", "Ebs": {"VolumeType": "gp3"}}]
    refused("MissingParameter", ec2.register_image, **{**image, "BlockDeviceMappings": empty})


def test_a_snapshot_must_be_completed(ec2: Any, ebs: Any, image: dict[str, Any], refused: Callable[..., Any]) -> None:
    pending = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    refused("IncorrectState", ec2.register_image, **with_root(image, SnapshotId=pending))


def test_a_name_is_there_once(ec2: Any, image: dict[str, Any], refused: Callable[..., Any]) -> None:
    first = ec2.register_image(**image)["ImageId"]
    assert first in str(refused("InvalidAMIName.Duplicate", ec2.register_image, **image))
    ec2.deregister_image(ImageId=first)
    assert ec2.register_image(**image)["ImageId"] != first


def test_a_dry_run_checks_and_makes_nothing(ec2: Any, image: dict[str, Any], refused: Callable[..., Any]) -> None:
    refused("DryRunOperation", ec2.register_image, **image, DryRun=True)
    assert ec2.describe_images(Owners=["self"])["Images"] == []


def test_a_new_image_is_unseen_then_pending_then_available(
    stand_in: AwsStandIn, ec2: Any, image: dict[str, Any], refused: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    stand_in.windows.unseen_describes, stand_in.windows.image_pending = 1, 0.3
    made = ec2.register_image(**image)["ImageId"]
    refused("InvalidAMIID.NotFound", ec2.describe_images, ImageIds=[made])
    [shown] = ec2.describe_images(ImageIds=[made])["Images"]
    assert shown["State"] == "pending"
    assert "SnapshotId" not in shown["BlockDeviceMappings"][0]["Ebs"]

    def available() -> Any:
        [now] = ec2.describe_images(ImageIds=[made])["Images"]
        return now if now["State"] == "available" else None

    assert wait(available)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"].startswith("snap-")


def test_tagging_a_new_image_may_come_too_early(
    stand_in: AwsStandIn, ec2: Any, image: dict[str, Any], refused: Callable[..., Any]
) -> None:
    stand_in.windows.unseen_describes = 1
    made = ec2.register_image(**image)["ImageId"]
    tags = [{"Key": "k", "Value": "v"}]
    refused("InvalidAMIID.NotFound", ec2.create_tags, Resources=[made], Tags=tags)
    ec2.create_tags(Resources=[made], Tags=tags)
    assert ec2.describe_images(ImageIds=[made])["Images"][0]["Tags"] == tags
