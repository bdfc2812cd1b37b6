# SPDX-License-Identifier: Apache-2.0
"""Images and snapshots: found, changed, deleted."""

from collections.abc import Callable
from typing import Any

from lkcloud_aws.sandbox import AwsStandIn
from tests.aws_sandbox.blocks import snapshot
from tests.aws_sandbox.conftest import Register, snapshot_of


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


def test_attributes_that_can_be_changed_later(ec2: Any, register: Register, refused: Callable[..., Any]) -> None:
    made = register()
    ec2.modify_image_attribute(ImageId=made, Description={"Value": "new"})
    ec2.modify_image_attribute(ImageId=made, ImdsSupport={"Value": "v2.0"})
    [shown] = ec2.describe_images(ImageIds=[made])["Images"]
    assert (shown["Description"], shown["ImdsSupport"]) == ("new", "v2.0")
    refused("AuthFailure", ec2.describe_image_attribute, ImageId=made, Attribute="blockDeviceMapping")


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
