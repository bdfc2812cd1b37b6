# SPDX-License-Identifier: Apache-2.0
"""Instances are machines in QEMU that boot the bytes of their image's snapshot."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lkcloud.sandbox.qemu import missing
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_aws.sandbox import AwsStandIn
from tests.aws_sandbox.blocks import BLOCK, put, snapshot

SAYS = "the guest is here"

needs_qemu = pytest.mark.skipif(
    bool(missing("x86_64", "bios") or missing("x86_64", "uefi")),
    reason=f"needs the Debian packages {missing('x86_64', 'bios')} {missing('x86_64', 'uefi')}",
)


@pytest.fixture
def tiny(ebs: Any, tmp_path: Path) -> str:
    """Return a snapshot of a disk that boots by BIOS and by UEFI, says SAYS and powers off."""
    path = tmp_path / "tiny.raw"
    write_tiny_disk(path, message=SAYS)
    made = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    written = 0
    with path.open("rb") as file:
        for index in range(-(-path.stat().st_size // BLOCK)):
            data = file.read(BLOCK).ljust(BLOCK, b"\0")
            if data != bytes(BLOCK):
                put(ebs, made, index, data)
                written += 1
    ebs.complete_snapshot(SnapshotId=made, ChangedBlocksCount=written)
    return str(made)


@pytest.fixture
def register(ec2: Any) -> Callable[..., str]:
    """Register an image of a snapshot, and return its id."""

    def make(snapshot_id: str, **parameters: Any) -> str:
        said = {
            "Name": "image",
            "Architecture": "x86_64",
            "VirtualizationType": "hvm",
            "RootDeviceName": "/dev/xvda",
            "EnaSupport": True,
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_id}}],
        }
        return str(ec2.register_image(**{**said, **parameters})["ImageId"])

    return make


def run(ec2: Any, image: str, kind: str = "t3.micro", **parameters: Any) -> dict[str, Any]:
    done = ec2.run_instances(ImageId=image, InstanceType=kind, MinCount=1, MaxCount=1, **parameters)
    return dict(done["Instances"][0])


def shown(ec2: Any, instance_id: str) -> dict[str, Any]:
    return dict(ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0])


def text(ec2: Any, instance_id: str, *, latest: bool = False) -> str:
    output = ec2.get_console_output(InstanceId=instance_id, **({"Latest": True} if latest else {})).get("Output", "")
    # boto3 takes one layer of base64 off by itself.
    return str(output)


@needs_qemu
@pytest.mark.parametrize(
    ("boot_mode", "firmware", "current"),
    [
        ("legacy-bios", "bios", "legacy-bios"),
        ("uefi", "uefi", "uefi"),
        pytest.param("uefi-preferred", "uefi", "uefi", marks=pytest.mark.long),
    ],
)
def test_a_guest_boots_speaks_and_powers_off(
    stand_in: AwsStandIn,
    ec2: Any,
    tiny: str,
    register: Callable[..., str],
    wait: Callable[..., Any],
    boot_mode: str,
    firmware: str,
    current: str,
) -> None:
    raw = stand_in.snapshot_file(tiny)
    with raw.open("rb") as file:
        before = hashlib.sha256(file.read(64 << 20)).digest()
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}]
    one = run(ec2, register(tiny, BootMode=boot_mode), TagSpecifications=tags)
    assert (one["CurrentInstanceBootMode"], one["Tags"]) == (current, [{"Key": "k", "Value": "v"}])
    wait(lambda: f"{SAYS} {firmware}" in text(ec2, one["InstanceId"], latest=True))
    wait(lambda: shown(ec2, one["InstanceId"])["State"]["Name"] == "stopped")
    assert "Instance initiated" in shown(ec2, one["InstanceId"])["StateReason"]["Message"]
    assert f"{SAYS} {firmware}" in text(ec2, one["InstanceId"])
    ec2.terminate_instances(InstanceIds=[one["InstanceId"]])
    assert shown(ec2, one["InstanceId"])["State"]["Name"] == "terminated"
    assert f"{SAYS} {firmware}" in text(ec2, one["InstanceId"]), "the console is there after the end"
    with raw.open("rb") as file:
        assert hashlib.sha256(file.read(64 << 20)).digest() == before, "the guest has not touched the snapshot"


@needs_qemu
def test_without_a_boot_mode_it_is_bios_and_a_shutdown_can_terminate(
    ec2: Any, tiny: str, register: Callable[..., str], wait: Callable[..., Any]
) -> None:
    one = run(ec2, register(tiny), InstanceInitiatedShutdownBehavior="terminate")
    assert "BootMode" not in one
    assert one["CurrentInstanceBootMode"] == "legacy-bios"
    wait(lambda: shown(ec2, one["InstanceId"])["State"]["Name"] == "terminated")
    assert f"{SAYS} bios" in text(ec2, one["InstanceId"], latest=True)


@needs_qemu
def test_a_running_instance_is_not_idle_and_can_be_ended(
    stand_in: AwsStandIn, ec2: Any, ebs: Any, register: Callable[..., str], refused: Callable[..., Any]
) -> None:
    # A disk without boot code: the firmware stays.
    image = register(snapshot(ebs), ImdsSupport="v2.0")
    one = run(ec2, image, ClientToken="t", MetadataOptions={"HttpTokens": "required"})
    again = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "ClientToken": "t"}
    options = {"MetadataOptions": {"HttpTokens": "required"}}
    assert ec2.run_instances(**again, **options)["Instances"][0]["InstanceId"] == one["InstanceId"]
    refused("IdempotentParameterMismatch", ec2.run_instances, **again)
    assert (one["MetadataOptions"]["HttpTokens"], one["MetadataOptions"]["HttpPutResponseHopLimit"]) == ("required", 2)
    assert shown(ec2, one["InstanceId"])["State"]["Name"] == "running"
    assert stand_in.idle() == 0
    status = ec2.describe_instance_status(InstanceIds=[one["InstanceId"]])["InstanceStatuses"][0]
    assert (status["InstanceState"]["Name"], status["InstanceStatus"]["Status"]) == ("running", "ok")
    running = [{"Name": "instance-state-name", "Values": ["running"]}]
    assert len(ec2.describe_instances(Filters=running)["Reservations"]) == 1
    assert text(ec2, one["InstanceId"]) == "", "without Latest, a running machine shows nothing"
    [change] = ec2.terminate_instances(InstanceIds=[one["InstanceId"]])["TerminatingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "terminated")
    assert ec2.terminate_instances(InstanceIds=[one["InstanceId"]])["TerminatingInstances"]
    assert ec2.describe_instances(Filters=running)["Reservations"] == []
    assert not list((stand_in.snapshot_file(shown_snapshot(ec2, image)).parent).glob("i-*"))


def shown_snapshot(ec2: Any, image: str) -> str:
    [one] = ec2.describe_images(ImageIds=[image])["Images"]
    return str(one["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])


def test_what_does_not_go_together_does_not_run(
    stand_in: AwsStandIn, ec2: Any, ebs: Any, register: Callable[..., str], refused: Callable[..., Any]
) -> None:
    own = snapshot(ebs)
    intel = register(own, BootMode="uefi")
    arm = register(own, Name="arm", Architecture="arm64")
    old = register(own, Name="old", VirtualizationType="paravirtual", EnaSupport=False)
    no_ena = register(own, Name="no ena", EnaSupport=False)
    refused("InvalidParameterValue", run, ec2=ec2, image=intel, kind="t4g.micro")
    refused("InvalidParameterValue", run, ec2=ec2, image=arm, kind="t3.micro")
    refused("InvalidParameterValue", run, ec2=ec2, image=intel, kind="t99.huge")
    refused("InvalidParameterCombination", run, ec2=ec2, image=old)
    refused("InvalidParameterCombination", run, ec2=ec2, image=intel, kind="m4.large")
    refused("InvalidParameterCombination", run, ec2=ec2, image=no_ena, kind="m5.large")
    refused("InvalidParameterCombination", run, ec2=ec2, image=no_ena, kind="t3.micro")
    refused("InvalidSubnetID.NotFound", run, ec2=ec2, image=intel, SubnetId="subnet-0")
    refused("InvalidGroup.NotFound", run, ec2=ec2, image=intel, SecurityGroupIds=["sg-0"])
    refused("InvalidAMIID.NotFound", run, ec2=ec2, image="ami-00000000000000000")
    refused("DryRunOperation", run, ec2=ec2, image=intel, DryRun=True)
    stand_in.windows.image_pending = 3600
    new = register(own, Name="new")
    refused("InvalidAMIID.Unavailable", run, ec2=ec2, image=new)
    refused("InvalidInstanceID.NotFound", ec2.terminate_instances, InstanceIds=["i-00000000000000000"])
    refused("InvalidInstanceID.Malformed", ec2.get_console_output, InstanceId="box")
    assert ec2.describe_instances()["Reservations"] == []


@needs_qemu
def test_the_latest_console_is_for_nitro_types(
    ec2: Any, ebs: Any, register: Callable[..., str], refused: Callable[..., Any]
) -> None:
    one = run(ec2, register(snapshot(ebs)), "t2.micro")
    refused("UnsupportedOperation", ec2.get_console_output, InstanceId=one["InstanceId"], Latest=True)


def test_without_qemu_it_says_what_is_missing(
    ec2: Any,
    ebs: Any,
    register: Callable[..., str],
    refused: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    image = register(snapshot(ebs))
    monkeypatch.setenv("PATH", str(tmp_path))
    error = refused("InternalError", run, ec2=ec2, image=image)
    assert "qemu-system-x86" in str(error)
    assert ec2.describe_instances()["Reservations"] == []
