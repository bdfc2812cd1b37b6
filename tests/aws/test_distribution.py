# SPDX-License-Identifier: Apache-2.0
"""What is asked before the first byte about the image's way to others, in every region that it is to be in."""

from collections.abc import Callable
from typing import Any

import pytest

from lkcloud.provider import Finding
from lkcloud_aws import AwsOptions, distribution
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.session import Session
from lkcloud_aws.sharing import Grants, grant
from tests.aws.imaging import hold
from tests.aws.pushing import MIB, DiskMaker, counted, refuse, source_of

Look = Callable[..., list[Finding]]

WEST, EUROPE, CLOSED = "us-west-2", "eu-west-1", "ap-east-1"
ALLY = "111111111111"
DENIED = ApiError("UnauthorizedOperation", "You are not authorized to perform this operation.", 403)


@pytest.fixture
def look(aws: AwsStandIn, session: Session, make_disk: DiskMaker) -> Look:
    source = source_of(make_disk(MIB, blocks=(0,)))
    aws.traffic.clear()

    def find(**options: object) -> list[Finding]:
        return list(distribution.check(session, AwsOptions.model_validate(options), source))

    return find


def unblock(session: Session, *regions: str) -> None:
    for region in regions or ("us-east-1",):
        session.at(region).ec2.disable_image_block_public_access()


def test_who_wants_nothing_is_asked_nothing(aws: AwsStandIn, look: Look) -> None:
    assert look() == []
    assert aws.traffic.operations() == []


def test_an_account_that_is_ready_has_no_finding_and_nothing_is_made(
    aws: AwsStandIn, session: Session, look: Look
) -> None:
    unblock(session, "us-east-1", WEST, EUROPE)
    options = {"public": True, "share_with": (ALLY,), "share_snapshot": True, "ssm_parameter": ("/os/stable",)}
    assert look(copy_to=(WEST, EUROPE), **options) == []
    assert counted(aws, "GetImageBlockPublicAccessState") == counted(aws, "GetServiceQuota") == 3
    for region in ("us-east-1", WEST, EUROPE):
        assert aws.holdings.region(region).images == {}
        assert session.at(region).ssm.describe_parameters()["Parameters"] == []


def test_regions_that_are_not_enabled(look: Look) -> None:
    closed, foreign, optional = look(copy_to=(CLOSED, "cn-north-1", "me-south-1", WEST), copy_optional=("me-south-1",))
    assert (closed.obstacle, foreign.obstacle, optional.obstacle) == (True, True, False)
    assert f"enable-region --region-name {CLOSED}" in closed.hint
    assert "no region cn-north-1" in foreign.problem


def test_block_public_access_in_each_region(session: Session, look: Look) -> None:
    unblock(session)
    session.at(WEST).ec2.enable_snapshot_block_public_access(State="block-all-sharing")
    image, snapshot = look(copy_to=(WEST,), public=True, share_snapshot=True)
    assert image.problem == f"block public access for images is on in {WEST}"
    assert f"disable-image-block-public-access --region {WEST}" in image.hint
    assert snapshot.problem == f"block public access for snapshots is on in {WEST}"
    assert image.obstacle
    [optional] = look(copy_to=(WEST,), copy_optional=(WEST,), public=True)
    assert not optional.obstacle


def test_what_is_public_already_is_let_be(aws: AwsStandIn, session: Session, look: Look) -> None:
    unblock(session)
    image = hold(aws, session)
    grant(session, image, Grants(frozenset({"all"}), (frozenset(),)))
    session.ec2.enable_image_block_public_access(ImageBlockPublicAccessState="block-new-sharing")
    aws.windows.public_images = 1
    assert look(public=True) == []


def test_the_quota_of_public_images(aws: AwsStandIn, session: Session, look: Look) -> None:
    unblock(session)
    aws.windows.public_images = 1
    assert look(public=True) == []
    grant(session, hold(aws, session, "other"), Grants(frozenset({"all"}), (frozenset(),)))
    [finding] = look(public=True)
    assert finding.problem == "1 images of the account are public in us-east-1, and its quota is 1"
    assert "L-0E3CBAB9" in finding.hint


def test_encryption_by_default_keeps_images_from_others(session: Session, look: Look) -> None:
    unblock(session, "us-east-1", WEST)
    session.at(WEST).ec2.enable_ebs_encryption_by_default()
    [finding] = look(copy_to=(WEST,), public=True)
    assert f"encrypts all snapshots in {WEST}, and what is encrypted cannot be public" in finding.problem
    [finding] = look(copy_to=(WEST,), share_with=(ALLY,))
    assert "AWS's own key" in finding.problem
    assert "--copy-to REGION=KMS_KEY" in finding.hint
    assert look(copy_to=(f"{WEST}=alias/images",), share_with=(ALLY,)) == []
    key: Any = session.boto.client("kms", WEST)
    session.at(WEST).ec2.modify_ebs_default_kms_key_id(KmsKeyId=key.create_key()["KeyMetadata"]["Arn"])
    key.close()
    assert look(copy_to=(WEST,), share_with=(ALLY,)) == []
    assert look(copy_to=(WEST,)) == []


@pytest.mark.parametrize(
    ("operation", "options", "action"),
    [
        ("CopyImage", {"copy_to": (WEST,)}, "ec2:CopyImage"),
        ("ModifyImageAttribute", {"share_with": (ALLY,)}, "ec2:ModifyImageAttribute"),
    ],
)
def test_a_missing_permission_is_an_obstacle(
    operation: str, options: dict[str, object], action: str, aws: AwsStandIn, look: Look
) -> None:
    refuse(aws, operation, DENIED)
    [finding] = look(**options)
    assert finding.obstacle
    assert action in finding.hint


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("GetImageBlockPublicAccessState", DENIED),
        ("GetEbsEncryptionByDefault", DENIED),
        ("GetServiceQuota", ApiError("AccessDeniedException", "User is not authorized", 400)),
    ],
)
def test_what_we_may_not_look_at_is_told_and_no_obstacle(
    operation: str, error: ApiError, aws: AwsStandIn, session: Session, look: Look
) -> None:
    unblock(session)
    refuse(aws, operation, error)
    [finding] = look(public=True)
    assert not finding.obstacle
    assert finding.problem.startswith("cannot look at ")
    assert operation in finding.hint


def test_a_parameter_of_another_kind(session: Session, look: Look) -> None:
    session.at(WEST).ssm.put_parameter(Name="/os/stable", Type="String", Value="1")
    [finding] = look(copy_to=(WEST,), ssm_parameter=("/os/stable",))
    assert f"/os/stable in {WEST} is of the kind text" in finding.problem
    assert finding.obstacle
