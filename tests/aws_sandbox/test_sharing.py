# SPDX-License-Identifier: Apache-2.0
"""Who may use images and snapshots, and what keeps them from being public."""

from collections.abc import Callable
from typing import Any

import pytest

from lkcloud_aws.sandbox import AwsStandIn
from tests.aws_sandbox.conftest import Clients, Register, snapshot_of

ORGANIZATION = "arn:aws:organizations::123456789012:organization/o-abcdefghij"
UNIT = "arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-abcd-12345678"


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
    added = [{"UserId": "111111111111"}, {"UserId": "222222222222"}, {"OrganizationArn": ORGANIZATION}]
    ec2.modify_image_attribute(ImageId=made, LaunchPermission={"Add": added})
    ec2.modify_image_attribute(
        ImageId=made, Attribute="launchPermission", OperationType="remove", UserIds=["222222222222"]
    )
    shown = ec2.describe_image_attribute(ImageId=made, Attribute="launchPermission")["LaunchPermissions"]
    assert shown == [{"UserId": "111111111111"}, {"OrganizationArn": ORGANIZATION}]
    wrong = {"Add": [{"UserId": "mine"}]}
    refused("InvalidAMIAttributeItemValue", ec2.modify_image_attribute, ImageId=made, LaunchPermission=wrong)
    both = {"LaunchPermission": {"Add": added}, "Description": {"Value": "new"}}
    refused("InvalidParameterCombination", ec2.modify_image_attribute, ImageId=made, **both)
    arn = {"Add": [{"UserId": ORGANIZATION}]}
    own = snapshot_of(ec2, made)
    refused("InvalidAMIAttributeItemValue", ec2.modify_snapshot_attribute, SnapshotId=own, CreateVolumePermission=arn)


@pytest.mark.parametrize(
    "permission",
    [
        {"UserId": "1234"},
        {"UserId": ORGANIZATION},
        {"OrganizationArn": UNIT},
        {"OrganizationArn": "arn:aws:organizations::123456789012:organization/o-1"},
        {"OrganizationalUnitArn": ORGANIZATION},
        {"OrganizationalUnitArn": "arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-1"},
    ],
)
def test_names_have_their_forms(
    permission: dict[str, str], ec2: Any, register: Register, refused: Callable[..., Any]
) -> None:
    wanted = {"Add": [permission]}
    refused("InvalidAMIAttributeItemValue", ec2.modify_image_attribute, ImageId=register(), LaunchPermission=wanted)


def test_units_are_shown_as_such(ec2: Any, register: Register) -> None:
    made = register()
    ec2.modify_image_attribute(
        ImageId=made, Attribute="launchPermission", OperationType="add", OrganizationalUnitArns=[UNIT]
    )
    shown = ec2.describe_image_attribute(ImageId=made, Attribute="launchPermission")["LaunchPermissions"]
    assert shown == [{"OrganizationalUnitArn": UNIT}]


def test_a_change_is_not_seen_at_once(ec2: Any, register: Register, stand_in: AwsStandIn) -> None:
    stand_in.windows.unseen_permissions = 1
    made = register()
    for account in ("111111111111", "222222222222"):
        ec2.modify_image_attribute(ImageId=made, LaunchPermission={"Add": [{"UserId": account}]})
    looks = [
        ec2.describe_image_attribute(ImageId=made, Attribute="launchPermission")["LaunchPermissions"] for _ in range(2)
    ]
    assert looks == [[], [{"UserId": "111111111111"}, {"UserId": "222222222222"}]]


def test_a_snapshot_takes_so_many_changes(ec2: Any, register: Register, refused: Callable[..., Any]) -> None:
    own = snapshot_of(ec2, register())
    accounts = [{"UserId": f"{number:012}"} for number in range(501)]
    many = {"SnapshotId": own, "CreateVolumePermission": {"Add": accounts}}
    refused("InvalidParameterValue", ec2.modify_snapshot_attribute, **many)
    ec2.modify_snapshot_attribute(SnapshotId=own, CreateVolumePermission={"Add": accounts[:500]})
    both = {"Add": accounts[500:], "Remove": accounts[:1]}
    refused("InvalidParameterCombination", ec2.modify_snapshot_attribute, SnapshotId=own, CreateVolumePermission=both)
    refused("MissingParameter", ec2.modify_snapshot_attribute, SnapshotId=own)


def test_only_so_many_images_are_public(
    ec2: Any, client: Clients, register: Register, stand_in: AwsStandIn, refused: Callable[..., Any]
) -> None:
    stand_in.windows.public_images = 1
    ec2.disable_image_block_public_access()
    quota = client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode="L-0E3CBAB9")["Quota"]
    assert quota["Value"] == 1
    public = {"LaunchPermission": {"Add": [{"Group": "all"}]}}
    first, second = register("first"), register("second")
    ec2.modify_image_attribute(ImageId=first, **public)
    ec2.modify_image_attribute(ImageId=first, **public)
    assert "quota of 1" in str(refused("ResourceLimitExceeded", ec2.modify_image_attribute, ImageId=second, **public))
    ec2.deregister_image(ImageId=first)
    ec2.modify_image_attribute(ImageId=second, **public)


def test_what_is_encrypted_is_shared_under_a_key_of_ones_own_only(
    ec2: Any, ebs: Any, client: Clients, register: Register, refused: Callable[..., Any]
) -> None:
    ec2.disable_image_block_public_access()
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    plain = register()
    account, everybody = {"Add": [{"UserId": "111111111111"}]}, {"Add": [{"Group": "all"}]}
    for named in ({}, {"KmsKeyId": key}):
        said = {"Name": "copy", "SourceImageId": plain, "SourceRegion": "us-east-1", "Encrypted": True}
        image = ec2.copy_image(**said, **named)["ImageId"]
        own = snapshot_of(ec2, image)
        refused("UnsupportedOperation", ec2.modify_image_attribute, ImageId=image, LaunchPermission=everybody)
        volumes = {"SnapshotId": own, "CreateVolumePermission": everybody}
        refused("OperationNotPermitted", ec2.modify_snapshot_attribute, **volumes)
        volumes["CreateVolumePermission"] = account
        if named:
            ec2.modify_image_attribute(ImageId=image, LaunchPermission=account)
            ec2.modify_snapshot_attribute(**volumes)
        else:
            refused("InvalidParameter", ec2.modify_image_attribute, ImageId=image, LaunchPermission=account)
            refused("OperationNotPermitted", ec2.modify_snapshot_attribute, **volumes)


def test_a_disabled_image_is_not_shared(ec2: Any, register: Register, refused: Callable[..., Any]) -> None:
    made = register()
    ec2.disable_image(ImageId=made)
    account = {"Add": [{"UserId": "111111111111"}]}
    refused("InvalidAMIID.Unavailable", ec2.modify_image_attribute, ImageId=made, LaunchPermission=account)


def test_what_is_new_is_not_known_at_once(
    ec2: Any, register: Register, stand_in: AwsStandIn, refused: Callable[..., Any]
) -> None:
    stand_in.windows.unseen_describes = 1
    made = register()
    asked = {"ImageId": made, "Attribute": "launchPermission"}
    refused("InvalidAMIID.NotFound", ec2.describe_image_attribute, **asked)
    assert ec2.describe_image_attribute(**asked)["LaunchPermissions"] == []
    copy = ec2.copy_image(Name="copy", SourceImageId=made, SourceRegion="us-east-1")["ImageId"]
    own = stand_in.holdings.region("us-east-1").images[copy].snapshot_ids[0]
    added = {"SnapshotId": own, "CreateVolumePermission": {"Add": [{"UserId": "111111111111"}]}}
    refused("InvalidSnapshot.NotFound", ec2.modify_snapshot_attribute, **added)
    ec2.modify_snapshot_attribute(**added)
