# SPDX-License-Identifier: Apache-2.0
"""The life of images and snapshots: find, copy, share, deprecate, protect, delete."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lkcloud_aws.sandbox import AwsStandIn
from tests.aws_sandbox.blocks import BLOCK, block, snapshot

Register = Callable[..., str]


@pytest.fixture
def register(ec2: Any, ebs: Any) -> Register:
    """Register an image of a new snapshot, and return its id."""

    def make(name: str = "image", *, tags: dict[str, str] | None = None, **parameters: Any) -> str:
        made = parameters.pop("snapshot_id", None) or snapshot(ebs)
        specification = [{"ResourceType": "image", "Tags": [{"Key": k, "Value": v} for k, v in (tags or {}).items()]}]
        said = {
            "Architecture": "x86_64",
            "VirtualizationType": "hvm",
            "RootDeviceName": "/dev/xvda",
            "EnaSupport": True,
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": made}}],
            **({"TagSpecifications": specification} if tags else {}),
        }
        return str(ec2.register_image(**{**said, "Name": name, **parameters})["ImageId"])

    return make


def snapshot_of(ec2: Any, image_id: str) -> str:
    [image] = ec2.describe_images(ImageIds=[image_id])["Images"]
    return str(image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])


def test_filters_find_images(ec2: Any, register: Register, refused: Callable[..., Any]) -> None:
    one = register("lk one", tags={"digest": "1", "by": "lk"}, BootMode="uefi")
    two = register("lk two", tags={"digest": "2"}, Architecture="arm64")
    own = snapshot_of(ec2, one)

    def found(**filters: Any) -> list[str]:
        wanted = [{"Name": name.replace("_", "-"), "Values": values} for name, values in filters.items()]
        return sorted(image["ImageId"] for image in ec2.describe_images(Filters=wanted)["Images"])

    assert found(name=["lk *"]) == sorted([one, two])
    assert found(name=["lk ?wo"]) == [two]
    assert found(name=["LK one"]) == []
    assert found(name=["lk \\*"]) == []
    assert found(**{"tag:digest": ["1"]}) == [one]
    assert found(**{"tag:digest": ["1", "2"], "tag-key": ["by"]}) == [one]
    assert found(architecture=["arm64"]) == [two]
    assert found(boot_mode=["uefi"]) == [one]
    assert found(state=["available"], root_device_type=["ebs"]) == sorted([one, two])
    assert found(**{"block-device-mapping.snapshot-id": [own]}) == [one]
    assert found(is_public=["true"]) == []
    assert ec2.describe_images(Owners=["amazon"])["Images"] == []
    refused("InvalidParameterValue", found, colour=["red"])


def test_images_and_snapshots_come_in_pages(ec2: Any, register: Register, refused: Callable[..., Any]) -> None:
    made = sorted(register(f"image {number}") for number in range(5))
    pages = list(ec2.get_paginator("describe_images").paginate(Owners=["self"], PaginationConfig={"PageSize": 2}))
    assert [len(page["Images"]) for page in pages] == [2, 2, 1]
    assert [image["ImageId"] for page in pages for image in page["Images"]] == made
    register("image 5")
    pages = list(ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], PaginationConfig={"PageSize": 5}))
    assert [len(page["Snapshots"]) for page in pages] == [5, 1]
    refused("InvalidParameterCombination", ec2.describe_images, ImageIds=made, MaxResults=5)
    refused("InvalidParameterValue", ec2.describe_snapshots, MaxResults=4)
    refused("InvalidNextToken", ec2.describe_images, NextToken="?")


def test_a_deregistered_image_is_gone_and_its_snapshot_is_not(
    ec2: Any, register: Register, refused: Callable[..., Any]
) -> None:
    made = register()
    own = snapshot_of(ec2, made)
    refused("InvalidSnapshot.InUse", ec2.delete_snapshot, SnapshotId=own)
    ec2.deregister_image(ImageId=made)
    refused("InvalidAMIID.Unavailable", ec2.deregister_image, ImageId=made)
    refused("InvalidAMIID.NotFound", ec2.deregister_image, ImageId="ami-00000000000000000")
    refused("InvalidAMIID.Malformed", ec2.deregister_image, ImageId="image")
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    ec2.delete_snapshot(SnapshotId=own)
    refused("InvalidSnapshot.NotFound", ec2.delete_snapshot, SnapshotId=own)
    refused("InvalidSnapshot.NotFound", ec2.describe_snapshots, SnapshotIds=[own])


def test_a_shared_snapshot_outlives_the_first_of_its_images(ec2: Any, register: Register, stand_in: AwsStandIn) -> None:
    first = register("first")
    own = snapshot_of(ec2, first)
    second = register("second", snapshot_id=own)
    raw = stand_in.snapshot_file(own)
    done = ec2.deregister_image(ImageId=first, DeleteAssociatedSnapshots=True)
    assert done["DeleteSnapshotResults"] == [{"SnapshotId": own, "ReturnCode": "skipped"}]
    done = ec2.deregister_image(ImageId=second, DeleteAssociatedSnapshots=True)
    assert done["DeleteSnapshotResults"] == [{"SnapshotId": own, "ReturnCode": "success"}]
    assert not raw.exists()


def test_a_copy_has_the_bytes_in_another_region(
    ec2: Any, client: Callable[..., Any], register: Register, stand_in: AwsStandIn, refused: Callable[..., Any]
) -> None:
    made = register(tags={"digest": "1"}, BootMode="uefi", TpmSupport="v2.0")
    west = client("ec2", "us-west-2")
    said = {"Name": "copy", "SourceImageId": made, "SourceRegion": "us-east-1", "ClientToken": "t"}
    copy = west.copy_image(**said, CopyImageTags=True)["ImageId"]
    assert west.copy_image(**said, CopyImageTags=True)["ImageId"] == copy
    refused("IdempotentParameterMismatch", west.copy_image, **{**said, "Name": "other"})
    [shown] = west.describe_images(ImageIds=[copy])["Images"]
    assert (shown["BootMode"], shown["TpmSupport"], shown["SourceImageId"]) == ("uefi", "v2.0", made)
    assert shown["Tags"] == [{"Key": "digest", "Value": "1"}]
    own = shown["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert own != snapshot_of(ec2, made)
    with stand_in.snapshot_file(own).open("rb") as file:
        assert file.read(BLOCK) == block(1)
    assert client("ebs", "us-west-2").list_snapshot_blocks(SnapshotId=own)["Blocks"][0]["BlockIndex"] == 0
    assert west.copy_image(**{**said, "ClientToken": "u"})["ImageId"] != copy, "names of copies need not differ"
    unknown = {**said, "ClientToken": "v", "SourceImageId": "ami-00000000000000000"}
    refused("InvalidAMIID.NotFound", west.copy_image, **unknown)


def test_a_copied_snapshot_has_the_bytes(
    ebs: Any, client: Callable[..., Any], stand_in: AwsStandIn, refused: Callable[..., Any]
) -> None:
    made = snapshot(ebs, {3: block(9)})
    west = client("ec2", "us-west-2")
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "k", "Value": "v"}]}]
    said = {"SourceRegion": "us-east-1", "SourceSnapshotId": made}
    copy = west.copy_snapshot(**said, TagSpecifications=tags)["SnapshotId"]
    [shown] = west.describe_snapshots(SnapshotIds=[copy])["Snapshots"]
    assert (shown["VolumeSize"], shown["Tags"]) == (1, [{"Key": "k", "Value": "v"}])
    with stand_in.snapshot_file(copy).open("rb") as file:
        file.seek(3 * BLOCK)
        assert file.read(BLOCK) == block(9)
    refused("InvalidParameterValue", west.copy_snapshot, **said, CompletionDurationMinutes=20)


def test_nothing_is_public_while_public_access_is_blocked(
    ec2: Any, register: Register, refused: Callable[..., Any]
) -> None:
    made = register()
    own = snapshot_of(ec2, made)
    public = {"ImageId": made, "LaunchPermission": {"Add": [{"Group": "all"}]}}
    assert ec2.get_image_block_public_access_state()["ImageBlockPublicAccessState"] == "block-new-sharing"
    refused("OperationNotPermitted", ec2.modify_image_attribute, **public)
    ec2.disable_image_block_public_access()
    ec2.modify_image_attribute(**public)
    assert ec2.describe_images(ImageIds=[made])["Images"][0]["Public"]
    ec2.enable_snapshot_block_public_access(State="block-all-sharing")
    assert ec2.get_snapshot_block_public_access_state()["State"] == "block-all-sharing"
    volume = {"SnapshotId": own, "CreateVolumePermission": {"Add": [{"Group": "all"}]}}
    refused("OperationNotPermitted", ec2.modify_snapshot_attribute, **volume)
    ec2.disable_snapshot_block_public_access()
    ec2.modify_snapshot_attribute(**volume)
    shared = ec2.describe_snapshot_attribute(SnapshotId=own, Attribute="createVolumePermission")
    assert shared["CreateVolumePermissions"] == [{"Group": "all"}]


def test_images_are_shared_with_accounts_and_organizations(
    ec2: Any, register: Register, refused: Callable[..., Any]
) -> None:
    made = register()
    organization = "arn:aws:organizations::123456789012:organization/o-1"
    added = [{"UserId": "111111111111"}, {"UserId": "222222222222"}, {"OrganizationArn": organization}]
    ec2.modify_image_attribute(ImageId=made, LaunchPermission={"Add": added})
    ec2.modify_image_attribute(
        ImageId=made, Attribute="launchPermission", OperationType="remove", UserIds=["222222222222"]
    )
    shown = ec2.describe_image_attribute(ImageId=made, Attribute="launchPermission")["LaunchPermissions"]
    assert shown == [{"UserId": "111111111111"}, {"OrganizationArn": organization}]
    wrong = {"Add": [{"UserId": "mine"}]}
    refused("InvalidAMIAttributeItemValue", ec2.modify_image_attribute, ImageId=made, LaunchPermission=wrong)
    both = {"LaunchPermission": {"Add": added}, "Description": {"Value": "new"}}
    refused("InvalidParameterCombination", ec2.modify_image_attribute, ImageId=made, **both)
    arn = {"Add": [{"UserId": organization}]}
    own = snapshot_of(ec2, made)
    refused("InvalidParameterValue", ec2.modify_snapshot_attribute, SnapshotId=own, CreateVolumePermission=arn)


def test_attributes_that_can_be_changed_later(ec2: Any, register: Register, refused: Callable[..., Any]) -> None:
    made = register()
    ec2.modify_image_attribute(ImageId=made, Description={"Value": "new"})
    ec2.modify_image_attribute(ImageId=made, ImdsSupport={"Value": "v2.0"})
    [shown] = ec2.describe_images(ImageIds=[made])["Images"]
    assert (shown["Description"], shown["ImdsSupport"]) == ("new", "v2.0")
    refused("AuthFailure", ec2.describe_image_attribute, ImageId=made, Attribute="blockDeviceMapping")


def test_deprecation_has_its_limits(ec2: Any, register: Register, refused: Callable[..., Any]) -> None:
    made = register()
    now = datetime.now(UTC)
    refused("InvalidParameterValue", ec2.enable_image_deprecation, ImageId=made, DeprecateAt=now - timedelta(1))
    refused("InvalidParameterValue", ec2.enable_image_deprecation, ImageId=made, DeprecateAt=now + timedelta(3700))
    when = datetime(now.year + 1, 5, 6, 7, 8, 40, tzinfo=UTC)
    ec2.enable_image_deprecation(ImageId=made, DeprecateAt=when)
    [shown] = ec2.describe_images(ImageIds=[made])["Images"]
    assert shown["DeprecationTime"] == f"{now.year + 1}-05-06T07:09:00.000Z"
    ec2.disable_image_deprecation(ImageId=made)
    assert "DeprecationTime" not in ec2.describe_images(ImageIds=[made])["Images"][0]


def test_protection_keeps_an_image(ec2: Any, register: Register, refused: Callable[..., Any]) -> None:
    made = register()
    ec2.enable_image_deregistration_protection(ImageId=made)
    refused("OperationNotPermitted", ec2.deregister_image, ImageId=made)
    ec2.disable_image_deregistration_protection(ImageId=made)
    ec2.enable_image_deregistration_protection(ImageId=made, WithCooldown=True)
    refused("OperationNotPermitted", ec2.disable_image_deregistration_protection, ImageId=made)


def test_a_disabled_image_loses_its_permissions(ec2: Any, register: Register) -> None:
    made = register()
    ec2.modify_image_attribute(ImageId=made, LaunchPermission={"Add": [{"UserId": "111111111111"}]})
    ec2.disable_image(ImageId=made)
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    assert ec2.describe_images(Owners=["self"], IncludeDisabled=True)["Images"][0]["State"] == "disabled"
    ec2.enable_image(ImageId=made)
    assert ec2.describe_image_attribute(ImageId=made, Attribute="launchPermission")["LaunchPermissions"] == []


def test_snapshots_are_found_by_tag_and_state(ec2: Any, ebs: Any, refused: Callable[..., Any]) -> None:
    done = snapshot(ebs, Tags=[{"Key": "name", "Value": "one"}])
    open_ = ebs.start_snapshot(VolumeSize=1, Tags=[{"Key": "name", "Value": "two"}])["SnapshotId"]

    def found(name: str, *values: str) -> list[str]:
        shown = ec2.describe_snapshots(OwnerIds=["self"], Filters=[{"Name": name, "Values": list(values)}])
        return [one["SnapshotId"] for one in shown["Snapshots"]]

    assert found("tag:name", "one") == [done]
    assert found("status", "pending") == [open_]
    assert sorted(found("tag-key", "name")) == sorted([done, open_])
    ec2.delete_tags(Resources=[done], Tags=[{"Key": "name"}])
    ec2.create_tags(Resources=[done, open_], Tags=[{"Key": "new", "Value": "v"}])
    assert found("tag:name", "*") == [open_]
    assert sorted(found("tag:new", "v")) == sorted([done, open_])
    tags = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [done]}])["Tags"]
    assert [(tag["Key"], tag["Value"]) for tag in tags] == [("new", "v")]
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    refused("TagLimitExceeded", ec2.create_tags, Resources=[done], Tags=many)
    wrong = [{"Key": "aws:k", "Value": ""}]
    refused("InvalidParameterValue", ec2.create_tags, Resources=[done], Tags=wrong)


def test_other_resources_keep_their_tags_in_moto(ec2: Any) -> None:
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "k", "Value": "v"}])
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Tags"] == [{"Key": "k", "Value": "v"}]


def test_encryption_by_default_reaches_new_snapshots(ec2: Any, ebs: Any) -> None:
    assert not ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]
    ec2.enable_ebs_encryption_by_default()
    made = snapshot(ebs)
    assert ec2.describe_snapshots(SnapshotIds=[made])["Snapshots"][0]["Encrypted"]
