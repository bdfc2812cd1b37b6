# SPDX-License-Identifier: Apache-2.0
"""What holds an image: instances, launch templates, parameters, and its protection."""

import pytest

from lkcloud.errors import Refused
from lkcloud.provider import Hold, Run
from lkcloud_aws import Aws, AwsOptions
from lkcloud_aws.naming import listed, tags_of
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.session import Session
from tests.aws.imaging import hold
from tests.aws.pushing import counted, refuse


def template(session: Session, name: str, *images: str) -> str:
    """Make a launch template with a version for each of IMAGES, and return its id."""
    first, *rest = images
    made = session.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": first})
    identity = made["LaunchTemplate"]["LaunchTemplateId"]
    for image in rest:
        session.ec2.create_launch_template_version(LaunchTemplateId=identity, LaunchTemplateData={"ImageId": image})
    return identity


def test_nothing_holds_what_nobody_uses(aws: AwsStandIn, session: Session) -> None:
    assert list(Aws().holds([hold(aws, session)])) == []
    assert list(Aws().holds([])) == []


def test_parameters_lead_to_an_image(aws: AwsStandIn, session: Session, run: Run) -> None:
    image, other = hold(aws, session), hold(aws, session, "other")
    provider = Aws(AwsOptions.model_validate({"ssm_parameter": ["/os/stable", "/os/beta"]}))
    provider.promote(image, run)
    assert list(provider.holds([image, other])) == [
        Hold(image.id, "is what the parameter /os/beta, /os/stable leads to", leads=True)
    ]
    provider.promote(other, run)
    assert [one.image for one in provider.holds([image, other])] == [other.id]


def test_launch_templates_use_an_image(aws: AwsStandIn, session: Session) -> None:
    old, image = hold(aws, session, "old"), hold(aws, session)
    identity = template(session, "app", old.id, *[image.id] * 10)
    assert list(Aws().holds([old, image])) == [Hold(image.id, f"is used by the launch template {identity}")]


def test_instances_that_are_not_gone_use_an_image(aws: AwsStandIn, session: Session) -> None:
    image = hold(aws, session)
    made = session.ec2.run_instances(
        ImageId=image.id,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": listed(tags_of("image", image.digest))}],
    )
    identity = made["Instances"][0]["InstanceId"]
    assert list(Aws().holds([image])) == [Hold(image.id, f"is used by the instance {identity}")]
    session.ec2.terminate_instances(InstanceIds=[identity])
    assert list(Aws().holds([image])) == []


def test_a_protection_holds_an_image(aws: AwsStandIn, session: Session) -> None:
    image = hold(aws, session)
    session.ec2.enable_image_deregistration_protection(ImageId=image.id)
    assert list(Aws().holds([image])) == [Hold(image.id, "is protected from deregistration")]


def test_many_images_in_two_regions(aws: AwsStandIn, session: Session) -> None:
    aws.windows.page_size = 5
    here = [hold(aws, session, f"image-{number}") for number in range(12)]
    there = hold(aws, session, region="eu-west-1")
    for image in here:
        template(session, image.name, image.id)
    template(session.at("eu-west-1"), "app", there.id)
    assert {one.image for one in Aws().holds([*here, there])} == {one.id for one in (*here, there)}
    # Ten images are two pages, two more are one, and the other region's is one.
    assert counted(aws, "DescribeImageReferences") == 4


def test_many_users_are_counted(aws: AwsStandIn, session: Session) -> None:
    image = hold(aws, session)
    for number in range(5):
        template(session, f"app-{number}", image.id)
    [found] = Aws().holds([image])
    assert found.reason.endswith(" and 2 more")


def test_who_may_not_look_spares_nothing_unseen(aws: AwsStandIn, session: Session) -> None:
    refuse(aws, "DescribeImageReferences", ApiError("UnauthorizedOperation", "You are not authorized.", 403))
    with pytest.raises(Refused, match="what uses the images") as raised:
        list(Aws().holds([hold(aws, session)]))
    assert "AmazonEC2ImageReferencesAccessPolicy" in raised.value.hint
