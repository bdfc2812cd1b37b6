# SPDX-License-Identifier: Apache-2.0
"""The permissions that documents and Terraform modules give are those that AWS asks for: no fewer, and no more."""

from collections.abc import Mapping, Sequence

import pytest

from lkcloud.errors import LkcloudError
from lkcloud.permissions import Permission, actions
from lkcloud.provider import Run
from lkcloud_aws import policy
from lkcloud_aws.permissions import PERMISSIONS, SMALL, USES
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.moto_side import ACCOUNT
from lkcloud_aws.session import Session
from tests.aws.pushing import BUCKET, KEY, DiskMaker
from tests.aws.scenes import SCENES, Stage
from tests.permission_pairs import pairs

PLACES: Mapping[str, Sequence[str]] = {
    "partition": ("aws",),
    "account": (ACCOUNT,),
    "bucket": (BUCKET,),
    "source": ("disks",),
    "role": ("vmimport",),
    "parameter": ("my-os/*",),
    "key": (KEY,),
    "instance_type": SMALL,
}

ALSO = {
    # A push has a way, sharing an image is part of sharing its snapshot, and what is checked is what is then done.
    "encrypt": ("ebs",),
    "share-snapshot": ("share",),
    "check": ("share", "ebs"),
    "doctor": ("import",),
}
"""Uses that are never alone: what they need beside their own."""


@pytest.fixture
def stage(aws: AwsStandIn, session: Session, run: Run, make_disk: DiskMaker) -> Stage:
    return Stage(aws, session, run, make_disk)


def uses(use: str) -> tuple[str, ...]:
    return use, *ALSO.get(use, ())


def allow(aws: AwsStandIn, permissions: Sequence[Permission], use: str, *, helps: bool) -> None:
    aws.windows.policies = (policy.document(permissions, uses(use), PLACES, helps=helps),)


def without(action: str) -> list[Permission]:
    return [one for one in PERMISSIONS if one.action != action]


def denied(aws: AwsStandIn) -> list[str]:
    """Return the operations that were denied. Only EC2's own word for a dry run has a status near it, 412."""
    json = ("ssm", "servicequotas")
    return [
        seen.operation
        for seen in aws.traffic.log
        if seen.status == 403 or (seen.service in json and seen.status == 400)
    ]


def test_there_is_a_scene_of_each_use() -> None:
    assert SCENES.keys() == USES.keys()


@pytest.mark.parametrize("use", USES)
def test_a_use_does_with_what_it_needs(aws: AwsStandIn, stage: Stage, use: str) -> None:
    act = SCENES[use](stage)
    allow(aws, PERMISSIONS, use, helps=False)
    act()


@pytest.mark.parametrize("use", USES)
def test_nothing_is_denied_that_it_would_have_something_of(aws: AwsStandIn, stage: Stage, use: str) -> None:
    act = SCENES[use](stage)
    allow(aws, PERMISSIONS, use, helps=True)
    aws.traffic.clear()
    act()
    assert denied(aws) == []


def needed() -> list[tuple[str, str]]:
    """Return each use with each action that it alone needs."""
    found = []
    for use in USES:
        others = actions(PERMISSIONS, ALSO.get(use, ()), helps=False)
        own = [action for action in actions(PERMISSIONS, [use], helps=False) if action not in others]
        found += [(use, action) for action in own]
    return found


@pytest.mark.parametrize(("use", "action"), pairs(needed()))
def test_what_is_needed_and_missing_is_named(aws: AwsStandIn, stage: Stage, use: str, action: str) -> None:
    act = SCENES[use](stage)
    allow(aws, without(action), use, helps=True)
    with pytest.raises(LkcloudError) as raised:
        act()
    said = f"{raised.value.message} {raised.value.hint}"
    # Of a key AWS does not say which action it is.
    assert (action in said) or (action.startswith("kms:") and "KMS key" in said), said


def helping() -> list[tuple[str, str]]:
    return [
        (use, action)
        for use in USES
        for action in actions(PERMISSIONS, [use])
        if action not in actions(PERMISSIONS, uses(use), helps=False) and (use, action) not in UNSEEN
    ]


UNSEEN = {
    ("import", "iam:PassRole"): "not among what AWS says it asks for",
    ("encrypt", "kms:Encrypt"): "not among what AWS says that EBS asks for",
    ("ebs", "ec2:DescribeRegions"): "asked only where the credentials are not known",
    ("import", "ec2:DescribeRegions"): "asked only where the credentials are not known",
}
"""What is given all the same, and why no test sees it asked for."""


@pytest.mark.parametrize(("use", "action"), pairs(helping()))
def test_what_helps_is_asked_for_and_not_needed(aws: AwsStandIn, stage: Stage, use: str, action: str) -> None:
    act = SCENES[use](stage)
    allow(aws, without(action), use, helps=True)
    aws.traffic.clear()
    act()
    assert denied(aws) != []
