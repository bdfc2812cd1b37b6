# SPDX-License-Identifier: Apache-2.0
"""Who may use an image and its snapshots: added to, read back, and refused in words that say what to do."""

import pytest

from lkcloud.errors import LkcloudError, Refused, UsageError
from lkcloud.provider import Image, Run
from lkcloud_aws import Aws, AwsOptions, sharing
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.session import Session
from lkcloud_aws.sharing import Grants
from tests.aws.imaging import hold
from tests.aws.pushing import Noting, counted, described, lose_answers, refuse

ALLY, FRIEND = "111111111111", "222222222222"
ORGANIZATION = "arn:aws:organizations::123456789012:organization/o-abcdefghij"
UNIT = "arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-abcd-12345678"
KEY = "arn:aws:kms:us-east-1:123456789012:key/0123"


@pytest.fixture
def image(aws: AwsStandIn, session: Session) -> Image:
    return hold(aws, session)


def share(session: Session, image: Image, **options: object) -> Noting:
    noting = Noting()
    run = Run(journal=None, reporter=noting)  # type: ignore[arg-type]  # nothing is remembered
    sharing.share(session, AwsOptions.model_validate(options), image, run)
    return noting


def unblock(session: Session) -> None:
    session.ec2.disable_image_block_public_access()
    session.ec2.disable_snapshot_block_public_access()


def granted(session: Session, image: Image) -> tuple[list[str], list[str]]:
    found = sharing.granted(session, image)
    [volumes] = found.volumes
    return sorted(found.launch), sorted(volumes)


def test_nobody_named_nothing_asked(aws: AwsStandIn, session: Session, image: Image) -> None:
    aws.traffic.clear()
    assert share(session, image).notes == []
    assert aws.traffic.operations() == []


def test_accounts_organizations_and_units(session: Session, image: Image) -> None:
    noting = share(session, image, share_with=(ALLY, ORGANIZATION, UNIT))
    assert granted(session, image) == ([ALLY, ORGANIZATION, UNIT], [])
    assert noting.notes == [f"{image.id} in us-east-1 can now be used by {ALLY}, {ORGANIZATION}, {UNIT}"]


def test_everybody_and_the_snapshot(aws: AwsStandIn, session: Session, image: Image) -> None:
    unblock(session)
    noting = share(session, image, public=True, share_snapshot=True)
    assert granted(session, image) == (["all"], ["all"])
    assert described(session, image.id)["Public"]
    assert noting.notes == [f"{image.id} in us-east-1 can now be used by everybody"]
    done = aws.traffic.operations()
    assert done.index("ModifySnapshotAttribute") < done.index("ModifyImageAttribute")


def test_snapshots_are_for_accounts_alone(session: Session, image: Image) -> None:
    share(session, image, share_with=(ALLY, ORGANIZATION), share_snapshot=True)
    assert granted(session, image) == ([ALLY, ORGANIZATION], [ALLY])
    for options in ({}, {"share_with": (ORGANIZATION,)}):
        with pytest.raises(UsageError, match="snapshot"):
            share(session, image, share_snapshot=True, **options)


def test_what_was_there_stays_and_again_changes_nothing(aws: AwsStandIn, session: Session, image: Image) -> None:
    sharing.grant(session, image, Grants(frozenset({FRIEND}), (frozenset(),)))
    share(session, image, share_with=(ALLY,))
    assert granted(session, image) == ([ALLY, FRIEND], [])
    before = counted(aws, "ModifyImageAttribute")
    assert share(session, image, share_with=(ALLY, FRIEND)).notes == []
    assert counted(aws, "ModifyImageAttribute") == before


def test_many_accounts_go_in_parts(aws: AwsStandIn, session: Session, image: Image) -> None:
    accounts = tuple(f"{number:012}" for number in range(1, 602))
    share(session, image, share_with=accounts, share_snapshot=True)
    assert granted(session, image) == (sorted(accounts), sorted(accounts))
    assert counted(aws, "ModifySnapshotAttribute") == counted(aws, "ModifyImageAttribute") == 2


def test_the_permissions_are_read_back(aws: AwsStandIn, session: Session, image: Image) -> None:
    aws.windows.unseen_permissions = 3
    aws.traffic.clear()
    share(session, image, share_with=(ALLY,))
    assert counted(aws, "DescribeImageAttribute") > 3


@pytest.mark.parametrize("operation", ["ModifyImageAttribute", "DescribeImageAttribute"])
def test_a_lost_answer(operation: str, aws: AwsStandIn, session: Session, image: Image) -> None:
    lose_answers(aws, operation)
    aws.traffic.throttle(operation, 1)
    share(session, image, share_with=(ALLY,))
    assert granted(session, image) == ([ALLY], [])


def test_an_image_is_shared_where_it_is(aws: AwsStandIn, session: Session, run: Run) -> None:
    """A provider of one region is given a copy in another."""
    there = hold(aws, session, region="eu-west-1")
    Aws(AwsOptions(share_with=(ALLY,))).share(there, run)
    assert granted(session.at("eu-west-1"), there) == ([ALLY], [])


def test_block_public_access(session: Session, image: Image) -> None:
    with pytest.raises(Refused, match="block public access") as raised:
        share(session, image, public=True)
    assert "aws ec2 disable-image-block-public-access --region us-east-1" in raised.value.hint
    session.ec2.disable_image_block_public_access()
    session.ec2.enable_snapshot_block_public_access(State="block-new-sharing")
    with pytest.raises(Refused, match="block public access") as raised:
        share(session, image, public=True, share_snapshot=True)
    assert "aws ec2 disable-snapshot-block-public-access --region us-east-1" in raised.value.hint
    assert granted(session, image) == ([], [])


def test_the_quota_of_public_images(aws: AwsStandIn, session: Session, image: Image) -> None:
    aws.windows.public_images = 0
    unblock(session)
    with pytest.raises(Refused, match="quota of 0") as raised:
        share(session, image, public=True)
    assert "L-0E3CBAB9" in raised.value.hint


@pytest.mark.parametrize(
    ("key", "options", "code"),
    [
        ("", {"public": True}, "UnsupportedOperation"),
        (KEY, {"public": True}, "UnsupportedOperation"),
        ("", {"share_with": (ALLY,)}, "InvalidParameter"),
        ("", {"share_with": (ALLY,), "share_snapshot": True}, "OperationNotPermitted"),
    ],
)
def test_what_is_encrypted(key: str, options: dict[str, object], code: str, aws: AwsStandIn, session: Session) -> None:
    unblock(session)
    secret = hold(aws, session, "secret", encrypted=True, key=key)
    with pytest.raises(Refused, match=code) as raised:
        share(session, secret, **options)
    assert "key of your own" in raised.value.hint


def test_a_key_of_ones_own_can_be_shared(aws: AwsStandIn, session: Session) -> None:
    secret = hold(aws, session, "secret", encrypted=True, key=KEY)
    share(session, secret, share_with=(ALLY,), share_snapshot=True)
    assert granted(session, secret) == ([ALLY], [ALLY])


def test_who_does_not_exist(aws: AwsStandIn, session: Session, image: Image) -> None:
    refuse(aws, "ModifyImageAttribute", ApiError("InvalidAMIAttributeItemValue", f'Invalid value "{ALLY}" for userId'))
    with pytest.raises(LkcloudError, match=ALLY) as raised:
        share(session, image, share_with=(ALLY,))
    assert "--share-with" in raised.value.hint


def test_who_may_not_share(aws: AwsStandIn, session: Session, image: Image) -> None:
    refuse(aws, "ModifySnapshotAttribute", ApiError("UnauthorizedOperation", "You are not authorized.", 403))
    with pytest.raises(Refused, match="sharing snap-") as raised:
        share(session, image, share_with=(ALLY,), share_snapshot=True)
    assert "ec2:ModifySnapshotAttribute" in raised.value.hint
    assert granted(session, image) == ([], [])
