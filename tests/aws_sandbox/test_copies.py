# SPDX-License-Identifier: Apache-2.0
"""CopyImage and CopySnapshot: the bytes, the keys, the limits."""

from collections.abc import Callable
from typing import Any

import pytest

from lkcloud_aws.sandbox import AwsStandIn
from tests.aws_sandbox.blocks import BLOCK, block, snapshot
from tests.aws_sandbox.conftest import Clients, Register, snapshot_of


@pytest.fixture
def west(client: Clients) -> Any:
    return client("ec2", "us-west-2")


def said(made: str, **more: Any) -> dict[str, Any]:
    return {"Name": "copy", "SourceImageId": made, "SourceRegion": "us-east-1", **more}


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


def test_a_copy_is_pending_first_and_its_bytes_are_shared(
    west: Any, register: Register, stand_in: AwsStandIn, wait: Callable[..., Any]
) -> None:
    stand_in.windows.image_pending = 0.3
    made = register()
    wait(lambda: stand_in.holdings.region("us-east-1").images[made].state == "available")
    copy = west.copy_image(**said(made))["ImageId"]
    [shown] = west.describe_images(ImageIds=[copy])["Images"]
    assert (shown["State"], shown["BlockDeviceMappings"][0]["Ebs"].get("SnapshotId")) == ("pending", None)
    wait(lambda: west.describe_images(ImageIds=[copy])["Images"][0]["State"] == "available")
    [own] = west.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert copy in own["Description"]
    assert own["State"] == "completed"
    source = stand_in.snapshot_file(stand_in.holdings.region("us-east-1").images[made].snapshot_ids[0])
    assert stand_in.snapshot_file(own["SnapshotId"]).samefile(source)


def test_a_copy_outlives_its_source(ec2: Any, west: Any, register: Register, stand_in: AwsStandIn) -> None:
    made = register()
    copy = west.copy_image(**said(made))["ImageId"]
    ec2.deregister_image(ImageId=made, DeleteAssociatedSnapshots=True)
    with stand_in.snapshot_file(snapshot_of(west, copy)).open("rb") as file:
        assert file.read(BLOCK) == block(1)


def test_tags_of_the_copy_are_those_that_are_asked_for(west: Any, register: Register) -> None:
    made = register(tags={"digest": "1", "by": "lk"})
    tags = [
        {"ResourceType": "image", "Tags": [{"Key": "by", "Value": "me"}]},
        {"ResourceType": "snapshot", "Tags": [{"Key": "of", "Value": "copy"}]},
    ]
    plain = west.copy_image(**said(made), TagSpecifications=tags)["ImageId"]
    both = west.copy_image(**said(made), TagSpecifications=tags, CopyImageTags=True)["ImageId"]

    def shown(image: str) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in west.describe_images(ImageIds=[image])["Images"][0]["Tags"]}

    assert shown(plain) == {"by": "me"}
    assert shown(both) == {"digest": "1", "by": "me"}
    [own] = west.describe_snapshots(SnapshotIds=[snapshot_of(west, plain)])["Snapshots"]
    assert own["Tags"] == [{"Key": "of", "Value": "copy"}]


def test_launch_permissions_are_not_copied(ec2: Any, west: Any, register: Register) -> None:
    made = register()
    ec2.modify_image_attribute(ImageId=made, LaunchPermission={"Add": [{"UserId": "111111111111"}]})
    copy = west.copy_image(**said(made))["ImageId"]
    assert west.describe_image_attribute(ImageId=copy, Attribute="launchPermission")["LaunchPermissions"] == []


def test_keys_are_those_of_the_region_of_the_copy(
    client: Clients, west: Any, register: Register, refused: Callable[..., Any]
) -> None:
    made = register()
    here = client("kms", "us-west-2").create_key()["KeyMetadata"]["Arn"]
    client("kms", "us-west-2").create_alias(AliasName="alias/images", TargetKeyId=here)
    refused("InvalidParameterCombination", west.copy_image, **said(made, KmsKeyId=here))
    for key, arn in ((here, here), ("alias/images", here), ("alias/aws/ebs", None)):
        copy = west.copy_image(**said(made, Encrypted=True, KmsKeyId=key))["ImageId"]
        [own] = west.describe_snapshots(SnapshotIds=[snapshot_of(west, copy)])["Snapshots"]
        assert (own["Encrypted"], own.get("KmsKeyId")) == (True, arn)


def test_a_key_that_cannot_be_used_shows_later(client: Clients, west: Any, register: Register) -> None:
    """The call succeeds; then image and snapshot fail."""
    made = register()
    elsewhere = client("kms").create_key()["KeyMetadata"]["Arn"]
    for key in (elsewhere, "alias/none", "0" * 36):
        copy = west.copy_image(**said(made, Encrypted=True, KmsKeyId=key))["ImageId"]
        [shown] = west.describe_images(ImageIds=[copy])["Images"]
        assert shown["State"] == "failed"
        assert "internal error" in shown["StateReason"]["Message"]
    assert {one["State"] for one in west.describe_snapshots(OwnerIds=["self"])["Snapshots"]} == {"error"}


def test_encryption_stays_on_and_can_be_the_rule(
    ec2: Any, west: Any, register: Register, refused: Callable[..., Any]
) -> None:
    plain = register("plain")
    ec2.enable_ebs_encryption_by_default()
    secret = register("secret")
    copies = [west.copy_image(**said(made, Encrypted=False))["ImageId"] for made in (plain, secret)]
    found = [west.describe_snapshots(SnapshotIds=[snapshot_of(west, one)])["Snapshots"][0] for one in copies]
    assert [one["Encrypted"] for one in found] == [False, True]
    west.enable_ebs_encryption_by_default()
    refused("InvalidParameterValue", west.copy_image, **said(plain, Encrypted=False))


def test_the_default_key_can_be_ones_own(
    client: Clients, west: Any, register: Register, refused: Callable[..., Any]
) -> None:
    made = register()
    assert west.get_ebs_default_kms_key_id()["KmsKeyId"] == "alias/aws/ebs"
    refused("InvalidKmsKeyId.NotFound", west.modify_ebs_default_kms_key_id, KmsKeyId="alias/none")
    own = client("kms", "us-west-2").create_key()["KeyMetadata"]["Arn"]
    assert west.modify_ebs_default_kms_key_id(KmsKeyId=own)["KmsKeyId"] == own
    keys = []
    for encryption in ({"Encrypted": True}, {}):
        copy = west.copy_image(**said(made, **encryption))["ImageId"]
        [shown] = west.describe_snapshots(SnapshotIds=[snapshot_of(west, copy)])["Snapshots"]
        keys.append(shown.get("KmsKeyId"))
    assert keys == [own, None]
    assert west.reset_ebs_default_kms_key_id()["KmsKeyId"] == "alias/aws/ebs"


def test_only_so_many_copies_are_at_work_in_a_region(
    west: Any, client: Clients, register: Register, stand_in: AwsStandIn, refused: Callable[..., Any]
) -> None:
    made = register()
    stand_in.windows.image_pending, stand_in.windows.snapshot_copies = 3600, 2
    for _ in range(2):
        west.copy_image(**said(made))
    refused("ResourceLimitExceeded", west.copy_image, **said(made))
    assert client("ec2", "eu-west-1").copy_image(**said(made))["ImageId"]


def test_regions_that_do_not_work_together(
    client: Clients, west: Any, register: Register, refused: Callable[..., Any]
) -> None:
    made = register()
    refused("InvalidParameterValue", west.copy_image, **said(made, SourceRegion="mars-1"))
    refused("InvalidParameterValue", client("ec2", "cn-north-1").copy_image, **said(made))
    refused("InvalidParameterValue", west.copy_image, **said(made, SnapshotCopyCompletionDurationMinutes=20))


def test_regions_are_those_of_the_partition(ec2: Any, client: Clients, refused: Callable[..., Any]) -> None:
    usual = {region["RegionName"] for region in ec2.describe_regions()["Regions"]}
    every = {region["RegionName"]: region["OptInStatus"] for region in ec2.describe_regions(AllRegions=True)["Regions"]}
    assert {"us-east-1", "eu-west-1"} <= usual < set(every)
    assert every["ap-east-1"] == "not-opted-in"
    assert not {"cn-north-1", "us-gov-west-1"} & set(every)
    [one] = ec2.describe_regions(RegionNames=["ap-east-1"])["Regions"]
    assert one["OptInStatus"] == "not-opted-in"
    condition = [{"Name": "opt-in-status", "Values": ["not-opted-in"]}]
    assert "us-east-1" not in str(ec2.describe_regions(AllRegions=True, Filters=condition))
    refused("InvalidParameterValue", ec2.describe_regions, RegionNames=["mars-1"])
    assert {"cn-north-1", "cn-northwest-1"} == {
        region["RegionName"] for region in client("ec2", "cn-north-1").describe_regions()["Regions"]
    }
