# SPDX-License-Identifier: Apache-2.0
"""What doctor finds on AWS: each thing is broken, found, and mended by what was printed."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from lkcloud.diagnosis import SET_CLOCK, Diagnosis, Health, Purpose
from lkcloud.errors import NotAuthenticated
from lkcloud.permissions import needed
from lkcloud_aws import Aws, AwsOptions, policy
from lkcloud_aws.permissions import PERMISSIONS, SMALL
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.moto_side import ACCOUNT
from lkcloud_aws.session import Session
from tests.aws.imaging import hold
from tests.doctor.printed import blocks, differences, rows, run

BUCKET = "disks"
IMPORT = {"method": "import", "bucket": BUCKET}
PUBLIC = {"public": True, "share_snapshot": True}
PUSH, TEST, COPY, SHARE, PROMOTE = Purpose.PUSH, Purpose.TEST, Purpose.COPY, Purpose.SHARE, Purpose.PROMOTE


def doctor(*purposes: Purpose, session: Session | None = None, **options: Any) -> list[Diagnosis]:
    """Return what doctor finds; with a SESSION, whose clients are made already, it takes a tenth of the time."""
    made = Aws(AwsOptions.model_validate(options))
    if session is not None:
        made.__dict__["_session"] = session
    return list(made.diagnose(purposes))


@dataclass(frozen=True)
class Broken:
    """A thing that can be wrong: how it is broken in a healthy account, and what doctor then says."""

    about: str
    says: str
    break_it: Callable[[AwsStandIn, Session], object]
    purposes: tuple[Purpose, ...] = (PUSH,)
    options: Mapping[str, Any] = field(default_factory=dict)
    health: Health = Health.PROBLEM


def no_public_access_block(aws: AwsStandIn, session: Session) -> None:
    session.s3.delete_public_access_block(Bucket=BUCKET)


def no_role(aws: AwsStandIn, session: Session) -> None:
    session.iam.delete_role_policy(RoleName="vmimport", PolicyName="vmimport")
    session.iam.delete_role(RoleName="vmimport")


def role_of_others(aws: AwsStandIn, session: Session) -> None:
    document = json.dumps(policy.TRUST).replace("vmie.amazonaws.com", "ec2.amazonaws.com")
    session.iam.update_assume_role_policy(RoleName="vmimport", PolicyDocument=document)


def role_that_may_not_read(aws: AwsStandIn, session: Session) -> None:
    session.iam.delete_role_policy(RoleName="vmimport", PolicyName="vmimport")


def full_of_snapshots(aws: AwsStandIn, session: Session) -> None:
    hold(aws, session)
    aws.windows.snapshots = 1


def full_of_public_images(aws: AwsStandIn, session: Session) -> None:
    image = hold(aws, session)
    session.ec2.modify_image_attribute(ImageId=image.id, LaunchPermission={"Add": [{"Group": "all"}]})
    aws.windows.unseen_permissions = 0
    aws.windows.public_images = 1


BREAKS = {
    "the bucket is not there": Broken(
        "bucket", "there is no bucket", lambda aws, session: session.s3.delete_bucket(Bucket=BUCKET), options=IMPORT
    ),
    "the bucket can be made public": Broken(
        "bucket", "being made public", no_public_access_block, options=IMPORT, health=Health.NOTE
    ),
    "the role is not there": Broken("role", "there is no role", no_role, options=IMPORT),
    "the role trusts others": Broken("role", "may not assume", role_of_others, options=IMPORT),
    "the role may not read": Broken("role", "is not allowed", role_that_may_not_read, options=IMPORT),
    "no room for snapshots": Broken("quota", "1 of 1 snapshots", full_of_snapshots),
    "no room for public images": Broken("quota", "are public", full_of_public_images, (SHARE,), PUBLIC),
    "images must not be public": Broken(
        "public",
        "block public access for images",
        lambda aws, session: session.ec2.enable_image_block_public_access(
            ImageBlockPublicAccessState="block-new-sharing"
        ),
        (SHARE,),
        PUBLIC,
    ),
    "snapshots must not be public": Broken(
        "public",
        "block public access for snapshots",
        lambda aws, session: session.ec2.enable_snapshot_block_public_access(State="block-all-sharing"),
        (SHARE,),
        PUBLIC,
    ),
    "all is encrypted": Broken(
        "encryption",
        "encrypts all snapshots",
        lambda aws, session: session.ec2.enable_ebs_encryption_by_default(),
        (SHARE,),
        PUBLIC,
    ),
    "a clock that is late": Broken(
        "clock", "behind the cloud's", lambda aws, session: aws.set_clock(120), health=Health.NOTE
    ),
    "a clock that is early": Broken(
        "clock", "before the cloud's", lambda aws, session: aws.set_clock(-1200)
    ),
}  # fmt: skip


@pytest.fixture
def healthy(aws: AwsStandIn, session: Session) -> Iterator[AwsStandIn]:
    """Return an account that is ready for all of it."""
    session.s3.create_bucket(Bucket=BUCKET)
    settings = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    session.s3.put_public_access_block(
        Bucket=BUCKET,
        PublicAccessBlockConfiguration=dict.fromkeys(settings, True),  # type: ignore[arg-type]  # a TypedDict
    )
    session.ec2.disable_image_block_public_access()
    session.ec2.disable_snapshot_block_public_access()
    yield aws
    aws.set_clock(0)


def apply(terraform: str, session: Session, aws: AwsStandIn) -> None:
    """Make of the resources what Terraform would; one that is not known here is an error."""
    for kind, _, given in blocks(terraform):
        match kind:
            case "aws_iam_policy":
                aws.windows.policies = (*aws.windows.policies, json.loads(given["policy"]))
            case "aws_iam_user_policy_attachment":
                assert given["user"] == "lkcloud"
            case "aws_iam_role":
                try:
                    session.iam.create_role(
                        RoleName=given["name"], AssumeRolePolicyDocument=given["assume_role_policy"]
                    )
                except session.iam.exceptions.EntityAlreadyExistsException:
                    assert f'id = "{given["name"]}"' in terraform  # it is imported
                    session.iam.update_assume_role_policy(
                        RoleName=given["name"], PolicyDocument=given["assume_role_policy"]
                    )
            case "aws_iam_role_policy":
                session.iam.put_role_policy(
                    RoleName=given["role"], PolicyName=given["name"], PolicyDocument=given["policy"]
                )
            case "aws_s3_bucket":
                assert given["region"] == "us-east-1"
                session.s3.create_bucket(Bucket=given["bucket"])
            case "aws_s3_bucket_public_access_block":
                words = ("block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets")
                settings: Any = {word.title().replace("_", ""): given[word] for word in words}
                session.s3.put_public_access_block(Bucket=given["bucket"], PublicAccessBlockConfiguration=settings)
            case "aws_servicequotas_service_quota":
                session.quotas.request_service_quota_increase(
                    ServiceCode=given["service_code"], QuotaCode=given["quota_code"], DesiredValue=given["value"]
                )
            case "aws_ec2_image_block_public_access":
                assert given["state"] == "unblocked"
                session.ec2.disable_image_block_public_access()
            case "aws_ebs_snapshot_block_public_access":
                assert given["state"] == "unblocked"
                session.ec2.disable_snapshot_block_public_access()
            case "aws_ebs_encryption_by_default":
                assert given["enabled"] is False
                session.ec2.disable_ebs_encryption_by_default()
            case _:
                raise AssertionError(f"{kind} is not known here")


@pytest.mark.parametrize("way", ["commands", pytest.param("terraform", marks=pytest.mark.long)])
@pytest.mark.parametrize("what", BREAKS)
def test_it_is_found_and_mended(healthy: AwsStandIn, session: Session, what: str, way: str) -> None:
    case = BREAKS[what]
    before = doctor(*case.purposes, session=session, **case.options)
    assert {one.health for one in before} == {Health.GOOD}, rows(before)
    case.break_it(healthy, session)
    broken = differences(before, doctor(*case.purposes, session=session, **case.options))
    found = [one for one in broken if case.says in one.what]
    assert [(one.about, one.health) for one in found] == [(case.about, case.health)], rows(broken)
    # A role that is made anew, or a bucket, has more than one thing that is not well; nothing else has.
    assert {one.about for one in broken} == {case.about}
    assert found[0].why
    remedy = found[0].remedy
    if way == "terraform" and not remedy.terraform:
        assert remedy.commands == (SET_CLOCK,)  # Terraform keeps no clocks
        return
    if way == "commands":
        run(remedy.commands, lambda: healthy.set_clock(0))
    else:
        apply(remedy.terraform, session, healthy)
    again = doctor(*case.purposes, session=session, **case.options)
    left = [one for one in again if one.health is Health.PROBLEM or one.what == found[0].what]
    assert left == []


@pytest.mark.parametrize("way", ["commands", "terraform"])
def test_a_region_that_is_not_enabled(healthy: AwsStandIn, session: Session, way: str) -> None:
    [found] = doctor(PUSH, region="ap-east-1")
    assert (found.about, found.health) == ("region", Health.PROBLEM)
    copying = doctor(COPY, copy_to=["ap-east-1"])
    assert [one.remedy for one in copying if one.health is Health.PROBLEM] == [found.remedy]
    if way == "commands":
        run(found.remedy.commands, lambda: None)
    else:
        [(kind, _, given)] = blocks(found.remedy.terraform)
        assert (kind, given) == ("aws_account_region", {"region_name": "ap-east-1", "enabled": True})
        session.boto.client("account").enable_region(RegionName=given["region_name"])
    assert {one.health for one in doctor(PUSH, region="ap-east-1")} == {Health.GOOD}
    assert {one.health for one in doctor(COPY, copy_to=["ap-east-1"])} == {Health.GOOD}


def uses(purpose: Purpose) -> list[str]:
    return ["ebs"] if purpose is PUSH else [purpose.value]


PLACES: Mapping[str, tuple[str, ...]] = {
    "partition": ("aws",),
    "account": (ACCOUNT,),
    "bucket": (),
    "source": (),
    "role": ("vmimport",),
    "parameter": ("*",),
    "key": (),
    "instance_type": SMALL,
}
ASKING = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["iam:SimulatePrincipalPolicy", "servicequotas:GetServiceQuota"], "Resource": "*"}
    ],
}


@pytest.mark.parametrize("purpose", Purpose)
def test_each_permission_that_is_missing_is_named_and_given(
    healthy: AwsStandIn, session: Session, purpose: Purpose
) -> None:
    """All that a command needs, one after the other; what is printed is all that it needs."""
    wanted = [one for one in needed(PERMISSIONS, uses(purpose), helps=False) if policy.resources(one, PLACES)]
    assert wanted
    printed = ""
    for action in sorted({one.action for one in wanted}):
        rest = [one for one in PERMISSIONS if one.action != action]
        healthy.windows.policies = (ASKING, policy.document(rest, uses(purpose), PLACES))
        found = [one for one in doctor(purpose, session=session) if one.health is not Health.GOOD]
        named = [one.what for one in found if one.about == "permissions"]
        assert named == [f"{purpose.value}: not allowed {action}"]
        printed = next(one.remedy.terraform for one in found if one.about == "permissions")
    healthy.windows.policies = (ASKING,)
    apply(printed, session, healthy)
    mended = [one for one in doctor(purpose, session=session) if one.about == "permissions"]
    assert [one.health for one in mended] == [Health.GOOD]


def test_nothing_is_known_where_iam_may_not_be_asked(healthy: AwsStandIn) -> None:
    healthy.windows.policies = (policy.document(PERMISSIONS, ["ebs"], PLACES, helps=False),)
    [found] = [one for one in doctor(PUSH) if one.about == "permissions"]
    assert found.health is Health.UNKNOWN
    assert "ebs:PutSnapshotBlock" in found.what  # which has no dry run
    assert "ec2:DescribeImages" not in found.what
    assert "ec2:RegisterImage" not in found.what
    assert found.remedy.do == "allow iam:SimulatePrincipalPolicy"
    healthy.windows.policies = (*healthy.windows.policies, ASKING)
    assert {one.health for one in doctor(PUSH)} == {Health.GOOD}


def test_a_parameter_that_holds_no_image(healthy: AwsStandIn, session: Session) -> None:
    session.ssm.put_parameter(Name="/my/os", Value="something", Type="String")
    [found] = [one for one in doctor(PROMOTE, ssm_parameter=["/my/os"]) if one.health is Health.PROBLEM]
    assert found.about == "parameter"
    assert "aws ssm delete-parameter" in found.remedy.do
    session.ssm.delete_parameter(Name="/my/os")
    assert {one.health for one in doctor(PROMOTE, ssm_parameter=["/my/os"])} == {Health.GOOD}


def test_a_bucket_elsewhere(healthy: AwsStandIn, session: Session) -> None:
    place: Any = {"LocationConstraint": "eu-west-1"}
    session.at("eu-west-1").s3.create_bucket(Bucket="far", CreateBucketConfiguration=place)
    [found] = [one for one in doctor(PUSH, method="import", bucket="far") if one.health is Health.PROBLEM]
    assert (found.about, "eu-west-1" in found.what) == ("bucket", True)
    assert "--method ebs" in found.remedy.do
    assert not [one for one in doctor(PUSH) if one.health is not Health.GOOD]


def test_no_bucket(healthy: AwsStandIn) -> None:
    [found] = [one for one in doctor(PUSH, method="import") if one.health is Health.PROBLEM]
    assert found.remedy.do.startswith("give --bucket")


def test_the_root_user_is_noted(healthy: AwsStandIn, session: Session) -> None:
    healthy.windows.caller = f"arn:aws:iam::{ACCOUNT}:root"
    found = doctor(PUSH, session=session)
    [noted] = [one for one in found if one.health is not Health.GOOD]
    assert (noted.about, noted.health) == ("identity", Health.NOTE)
    assert "permissions" not in {one.about for one in found}  # it needs none
    assert noted.remedy.do.startswith("make a user or a role")
    healthy.windows.caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/vmimport/somebody"
    first = doctor(PUSH, session=session)[0]
    assert (first.about, first.health) == ("identity", Health.GOOD)


def test_a_bucket_that_may_not_be_used(healthy: AwsStandIn, session: Session) -> None:
    places = {**PLACES, "bucket": ("another",)}
    healthy.windows.policies = (ASKING, policy.document(PERMISSIONS, ["import", "doctor"], places))
    [found] = [one for one in doctor(PUSH, session=session, **IMPORT) if one.about == "bucket"]
    assert (found.health, "may not use the bucket" in found.what) == (Health.PROBLEM, True)
    assert "s3:ListBucket" in found.remedy.do
    healthy.windows.policies = (
        ASKING,
        policy.document(PERMISSIONS, ["import", "doctor"], {**PLACES, "bucket": (BUCKET,)}),
    )
    assert {one.health for one in doctor(PUSH, session=session, **IMPORT)} == {Health.GOOD}


def test_credentials_that_have_run_out(healthy: AwsStandIn) -> None:
    healthy.expire_credentials()
    with pytest.raises(NotAuthenticated):
        doctor(PUSH)


def test_nothing_is_made(healthy: AwsStandIn, session: Session) -> None:
    healthy.traffic.clear()
    doctor(*Purpose, **IMPORT, **PUBLIC)
    changed = {one.operation for one in healthy.traffic.log if one.status < 300 and not _looks(one.operation)}
    assert changed == set()
    assert session.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def _looks(operation: str) -> bool:
    return operation.startswith(("Describe", "Get", "GET ", "Head", "List", "Simulate"))
