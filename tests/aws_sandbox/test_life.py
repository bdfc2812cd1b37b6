# SPDX-License-Identifier: Apache-2.0
"""Deprecated, protected, disabled."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from lkcloud_aws.sandbox import AwsStandIn
from tests.aws_sandbox.conftest import Register


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


def test_a_public_image_is_deprecated_after_two_years(
    ec2: Any, register: Register, refused: Callable[..., Any]
) -> None:
    """It cannot be later, and not never, while it is public."""
    made = register()
    now = datetime.now(UTC)
    ec2.disable_image_block_public_access()
    ec2.enable_image_deprecation(ImageId=made, DeprecateAt=now + timedelta(3000))
    everybody = {"ImageId": made, "Attribute": "launchPermission", "UserGroups": ["all"]}
    ec2.modify_image_attribute(**everybody, OperationType="add")

    def date() -> str:
        return str(ec2.describe_images(ImageIds=[made])["Images"][0].get("DeprecationTime", ""))

    assert date()[:4] == str((now + timedelta(731)).year)
    refused("InvalidParameterValue", ec2.enable_image_deprecation, ImageId=made, DeprecateAt=now + timedelta(800))
    ec2.enable_image_deprecation(ImageId=made, DeprecateAt=now + timedelta(700))
    ec2.disable_image_deprecation(ImageId=made)
    assert date() != ""
    ec2.modify_image_attribute(**everybody, OperationType="remove")
    ec2.disable_image_deprecation(ImageId=made)
    assert date() == ""


def test_protection_keeps_an_image(
    ec2: Any, register: Register, stand_in: AwsStandIn, refused: Callable[..., Any]
) -> None:
    made, other = register(), register("other")
    ec2.enable_image_deregistration_protection(ImageId=made)
    assert ec2.describe_images(ImageIds=[made])["Images"][0]["DeregistrationProtection"] == "enabled-without-cooldown"
    refused("OperationNotPermitted", ec2.deregister_image, ImageId=made)
    ec2.disable_image_deregistration_protection(ImageId=made)
    ec2.deregister_image(ImageId=made)
    ec2.enable_image_deregistration_protection(ImageId=other, WithCooldown=True)
    ec2.disable_image_deregistration_protection(ImageId=other)
    refused("OperationNotPermitted", ec2.deregister_image, ImageId=other)
    stand_in.holdings.region("us-east-1").images[other].protected_until = 0
    ec2.deregister_image(ImageId=other)


def test_a_disabled_image_loses_its_permissions(ec2: Any, register: Register) -> None:
    made = register()
    ec2.modify_image_attribute(ImageId=made, LaunchPermission={"Add": [{"UserId": "111111111111"}]})
    ec2.disable_image(ImageId=made)
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    assert ec2.describe_images(Owners=["self"], IncludeDisabled=True)["Images"][0]["State"] == "disabled"
    ec2.enable_image(ImageId=made)
    assert ec2.describe_image_attribute(ImageId=made, Attribute="launchPermission")["LaunchPermissions"] == []
