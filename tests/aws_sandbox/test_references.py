# SPDX-License-Identifier: Apache-2.0
"""DescribeImageReferences and ResetSnapshotAttribute, asked by boto3."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.aws_sandbox.conftest import Register, snapshot_of

ALL = {"IncludeAllResourceTypes": True}


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        ("InvalidParameterCombination", {"ImageIds": ["ami-1"]}),
        ("InvalidParameterValue", {"ImageIds": [f"ami-{number}" for number in range(11)], **ALL}),
        ("InvalidAMIID.Malformed", {"ImageIds": ["i-1"], **ALL}),
        (
            "InvalidParameterValue",
            {
                "ImageIds": ["ami-1"],
                "ResourceTypes": [
                    {
                        "ResourceType": "ssm:Parameter",
                        "ResourceTypeOptions": [{"OptionName": "state-name", "OptionValues": ["running"]}],
                    }
                ],
            },
        ),
        (
            "InvalidParameterValue",
            {
                "ImageIds": ["ami-1"],
                "ResourceTypes": [
                    {
                        "ResourceType": "ec2:LaunchTemplate",
                        "ResourceTypeOptions": [{"OptionName": "version-depth", "OptionValues": ["0"]}],
                    }
                ],
            },
        ),
        (
            "InvalidParameterValue",
            {
                "ImageIds": ["ami-1"],
                "ResourceTypes": [
                    {
                        "ResourceType": "ec2:Instance",
                        "ResourceTypeOptions": [{"OptionName": "state-name", "OptionValues": ["idle"]}],
                    }
                ],
            },
        ),
    ],
)
def test_what_cannot_be_asked(ec2: Any, refused: Callable[..., Any], code: str, parameters: dict[str, Any]) -> None:
    refused(code, ec2.describe_image_references, **parameters)


def test_versions_of_a_template_as_deep_as_is_asked(ec2: Any, register: Register) -> None:
    old, new = register("old"), register("new")
    made = ec2.create_launch_template(LaunchTemplateName="app", LaunchTemplateData={"ImageId": old})
    identity = made["LaunchTemplate"]["LaunchTemplateId"]
    ec2.create_launch_template_version(LaunchTemplateId=identity, LaunchTemplateData={"ImageId": new})
    both = ec2.describe_image_references(ImageIds=[old, new], **ALL)["ImageReferences"]
    arn = f"arn:aws:ec2:us-east-1:123456789012:launch-template/{identity}"
    assert both == [
        {"ImageId": image, "ResourceType": "ec2:LaunchTemplate", "Arn": arn} for image in sorted((old, new))
    ]
    depth = {"OptionName": "version-depth", "OptionValues": ["1"]}
    kinds = [{"ResourceType": "ec2:LaunchTemplate", "ResourceTypeOptions": [depth]}]
    newest = ec2.describe_image_references(ImageIds=[old, new], ResourceTypes=kinds)["ImageReferences"]
    assert [one["ImageId"] for one in newest] == [new]


def test_a_snapshot_is_taken_back(ec2: Any, register: Register, refused: Callable[..., Any]) -> None:
    identity = snapshot_of(ec2, register())
    permission = {"Attribute": "createVolumePermission", "SnapshotId": identity}
    ec2.modify_snapshot_attribute(**permission, CreateVolumePermission={"Add": [{"UserId": "111111111111"}]})
    ec2.reset_snapshot_attribute(**permission)
    assert ec2.describe_snapshot_attribute(**permission)["CreateVolumePermissions"] == []
    refused("InvalidParameterValue", ec2.reset_snapshot_attribute, SnapshotId=identity, Attribute="productCodes")
    refused(
        "InvalidSnapshot.NotFound",
        ec2.reset_snapshot_attribute,
        SnapshotId="snap-00000000000000000",
        Attribute="createVolumePermission",
    )
