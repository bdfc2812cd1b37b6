# SPDX-License-Identifier: Apache-2.0
"""What the stand-in lets its one user do, where a policy says it."""

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.iam_policy import Need, decision
from lkcloud_aws.session import Session
from tests.aws.conftest import connected, session
from tests.aws.imaging import hold
from tests.standin import aws, serving

__all__ = ["aws", "connected", "serving", "session"]


def policy(*statements: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: str = "*", resource: str = "*", **condition: Any) -> Mapping[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition}


DENY: Mapping[str, Any] = {"Effect": "Deny", "Action": ["ec2:Run*"], "Resource": ["*"]}


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ([], "not allowed"),
        ([allow("ec2:RunInstances")], "allowed"),
        ([allow("EC2:runinstances")], "allowed"),
        ([allow("ec2:Run*", "arn:aws:ec2:*:1:instance/*")], "allowed"),
        ([allow("ec2:?unInstances")], "allowed"),
        ([allow("ec2:RunInstance")], "not allowed"),
        ([allow("*", "arn:aws:ec2:*:2:instance/*")], "not allowed"),
        ([allow(), DENY], "denied"),
        ([allow(StringEquals={"ec2:InstanceType": ["t3.nano", "t3.micro"]})], "allowed"),
        ([allow(StringEquals={"EC2:instancetype": "t3.micro"})], "allowed"),
        ([allow(StringEquals={"ec2:InstanceType": "t3.nano"})], "not allowed"),
        ([allow(StringEquals={"ec2:Region": "x"})], "not allowed"),
        ([allow(StringLike={"ec2:InstanceType": "t3.*"})], "allowed"),
        ([allow(StringNotEquals={"ec2:InstanceType": "t3.micro"})], "not allowed"),
        ([allow(StringNotEquals={"ec2:Region": "x"})], "allowed"),
        ([allow(Null={"ec2:InstanceType": "false"})], "allowed"),
        ([allow(Null={"ec2:InstanceType": "true"})], "not allowed"),
        ([allow(Null={"ec2:Region": "true"})], "allowed"),
        ([allow(Bool={"ec2:Public": "TRUE"})], "allowed"),
        ([allow(Bool={"ec2:Public": "false"})], "not allowed"),
        ([allow(**{"ForAnyValue:StringEquals": {"aws:CalledVia": "b"}})], "allowed"),
        ([allow(**{"ForAnyValue:StringEquals": {"aws:CalledVia": "c"}})], "not allowed"),
        ([allow(StringEquals={"ec2:InstanceType": "t3.micro"}, Bool={"ec2:Public": "false"})], "not allowed"),
    ],
)
def test_iam_decides(statements: list[Mapping[str, Any]], said: str) -> None:
    context = {"ec2:InstanceType": ("t3.micro",), "ec2:Public": ("true",), "aws:CalledVia": ("a", "b")}
    need = Need("ec2:RunInstances", "arn:aws:ec2:eu-west-1:1:instance/i-1", context)
    assert decision([policy(*statements)], need) == said


def test_a_condition_that_is_not_known_is_no_permission() -> None:
    with pytest.raises(ValueError, match="NumericLessThan"):
        decision([policy(allow(NumericLessThan={"x": "1"}))], Need("s3:GetObject"))


def refused(error: ClientError) -> tuple[str, int, str]:
    told = error.response
    return told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Message"]


def test_each_service_says_no_in_its_words(aws: AwsStandIn, session: Session) -> None:
    session.s3.create_bucket(Bucket="the-bucket")
    aws.windows.policies = (policy(allow("ec2:DescribeImages")),)
    assert session.ec2.describe_images(Owners=["self"])["Images"] == []
    for request, code, status, action in (
        (session.ec2.describe_snapshots, "UnauthorizedOperation", 403, "ec2:DescribeSnapshots"),
        (lambda: session.ebs.start_snapshot(VolumeSize=1), "AccessDeniedException", 403, "ebs:StartSnapshot"),
        (lambda: session.s3.put_object(Bucket="the-bucket", Key="k", Body=b""), "AccessDenied", 403, "s3:PutObject"),
        (lambda: session.iam.get_role(RoleName="vmimport"), "AccessDenied", 403, "iam:GetRole"),
        (lambda: session.ssm.get_parameters(Names=["x"]), "AccessDeniedException", 400, "ssm:GetParameters"),
    ):
        with pytest.raises(ClientError) as raised:
            request()
        found = refused(raised.value)
        assert found[:2] == (code, status)
        assert f"not authorized to perform: {action} on resource" in found[2]
    assert session.sts.get_caller_identity()["Account"]


def test_tags_of_what_is_there_decide(aws: AwsStandIn, session: Session) -> None:
    ours, other = hold(aws, session), hold(aws, session, "other", digest="")
    own = {"Null": {"aws:ResourceTag/lkcloud:digest": "false"}}
    aws.windows.policies = (policy(allow("ec2:DeregisterImage", "arn:aws:ec2:*::image/*", **own)),)
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        session.ec2.deregister_image(ImageId=other.id)
    session.ec2.deregister_image(ImageId=ours.id)


def test_tags_on_what_is_made_need_a_permission_of_their_own(aws: AwsStandIn, session: Session) -> None:
    aws.windows.policies = (policy(allow("ebs:*")),)
    assert session.ebs.start_snapshot(VolumeSize=1)["Status"] == "pending"
    with pytest.raises(ClientError, match="ec2:CreateTags"):
        session.ebs.start_snapshot(VolumeSize=1, Tags=[{"Key": "a", "Value": "b"}])


def test_a_dry_run_tells_it_too(aws: AwsStandIn, session: Session) -> None:
    aws.windows.policies = (policy(allow("ec2:CopyImage")),)
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        session.ec2.modify_image_attribute(
            ImageId="ami-ffffffffffffffff0", LaunchPermission={"Add": [{"Group": "all"}]}, DryRun=True
        )


def test_who_may_not_list_is_not_told_that_an_object_is_missing(aws: AwsStandIn, session: Session) -> None:
    session.s3.create_bucket(Bucket="the-bucket")
    aws.windows.policies = (policy(allow("s3:GetObject")),)
    with pytest.raises(ClientError) as raised:
        session.s3.head_object(Bucket="the-bucket", Key="k")
    assert refused(raised.value)[1] == 403
    aws.windows.policies = (policy(allow("s3:*")),)
    with pytest.raises(ClientError) as raised:
        session.s3.head_object(Bucket="the-bucket", Key="k")
    assert refused(raised.value)[1] == 404


def test_a_denial_is_said_to_be_one(aws: AwsStandIn, session: Session) -> None:
    aws.windows.policies = (policy(allow(), DENY),)
    with pytest.raises(ClientError, match="with an explicit deny in an identity-based policy"):
        session.ec2.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)
