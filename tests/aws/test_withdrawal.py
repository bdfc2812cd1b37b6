# SPDX-License-Identifier: Apache-2.0
"""Images that are withdrawn, what that keeps others from, and how it is taken back."""

from datetime import UTC, datetime, timedelta

import pytest

from lkcloud.errors import Conflict, NotFound, Refused
from lkcloud.provider import Deprecation, Image, Run, Status
from lkcloud_aws import Aws, AwsOptions, images, withdrawal
from lkcloud_aws.naming import FAMILY, WITHDRAWN
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.session import Session
from lkcloud_aws.sharing import Grants, grant, granted
from tests.aws.imaging import hold, known, snapshots_in, standing_images
from tests.aws.pushing import Noting, counted, lose_answers, refuse

ACCOUNT = "111111111111"


@pytest.fixture
def image(aws: AwsStandIn, session: Session) -> Image:
    image = hold(aws, session)
    grant(session, image, Grants(frozenset({ACCOUNT}), (frozenset({ACCOUNT}),)))
    return image


def withdraw(session: Session, image: Image) -> Noting:
    noting = Noting()
    withdrawal.withdraw(session, image, Run(journal=None, reporter=noting))  # type: ignore[arg-type]  # nothing is remembered
    return noting


def test_it_is_taken_from_all_and_marked_last(aws: AwsStandIn, session: Session, image: Image) -> None:
    aws.windows.unseen_permissions = 0
    before = datetime.now(UTC).replace(microsecond=0)
    noting = withdraw(session, image)
    now = known(session, image.id)
    assert granted(session, now) == Grants(frozenset(), (frozenset(),))
    assert (now.state, now.ready, now.digest) == ("disabled", False, image.digest)
    assert now.withdrawn is not None
    assert before <= now.withdrawn <= datetime.now(UTC)
    assert "no longer shared" in noting.notes[0]
    changes = [
        one for one in aws.traffic.operations() if one in ("DisableImage", "ResetSnapshotAttribute", "CreateTags")
    ]
    assert changes == ["DisableImage", "ResetSnapshotAttribute", "CreateTags"]
    assert images.every(session) == [now]


def test_again_it_keeps_its_date(aws: AwsStandIn, session: Session, image: Image) -> None:
    withdraw(session, image)
    since = known(session, image.id).withdrawn
    aws.traffic.clear()
    assert withdraw(session, image).notes == [f"{image.id} is withdrawn already"]
    assert known(session, image.id).withdrawn == since
    assert counted(aws, "CreateTags") == 0


@pytest.mark.parametrize("operation", ["DisableImage", "ResetSnapshotAttribute", "CreateTags"])
def test_an_interruption_is_gone_on_from(aws: AwsStandIn, session: Session, image: Image, operation: str) -> None:
    refuse(aws, operation, ApiError("UnauthorizedOperation", "You are not authorized.", 403))
    with pytest.raises(Refused):
        withdraw(session, image)
    assert known(session, image.id).withdrawn is None
    withdraw(session, image)
    assert known(session, image.id).withdrawn is not None


@pytest.mark.parametrize("operation", ["DisableImage", "ResetSnapshotAttribute", "CreateTags"])
def test_with_a_lost_answer(aws: AwsStandIn, session: Session, image: Image, operation: str) -> None:
    lose_answers(aws, operation)
    withdraw(session, image)
    assert known(session, image.id).withdrawn is not None


def test_a_snapshot_of_another_image_too_stays_shared(aws: AwsStandIn, session: Session, image: Image) -> None:
    [blob] = image.blobs
    session.ec2.register_image(
        Name="second",
        Architecture="x86_64",
        VirtualizationType="hvm",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": blob.id}}],
    )
    withdraw(session, image)
    assert granted(session, image).volumes == (frozenset({ACCOUNT}),)


def test_what_is_disabled_already_is_marked(aws: AwsStandIn, session: Session, image: Image) -> None:
    session.ec2.disable_image(ImageId=image.id)
    aws.traffic.clear()
    withdraw(session, image)
    assert known(session, image.id).withdrawn is not None
    assert counted(aws, "DisableImage") == 0


def test_nobody_new_comes_to_it(session: Session, image: Image, run: Run) -> None:
    withdraw(session, image)
    now = known(session, image.id)
    options = {"public": True, "ssm_parameter": "/os/stable", "copy_to": "eu-west-1"}
    provider = Aws(AwsOptions.model_validate(options))
    for lead in (provider.share, provider.promote, provider.copy):
        with pytest.raises(Conflict, match="was withdrawn on") as raised:
            lead(now, run)
        assert f"lkcloud deprecate aws {image.id} --status active" in raised.value.hint


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.DEPRECATED])
def test_it_is_taken_back(aws: AwsStandIn, session: Session, image: Image, run: Run, status: Status) -> None:
    """The mark goes first: whoever dies in between leaves an image that nobody will delete for it."""
    withdraw(session, image)
    aws.traffic.clear()
    Aws().deprecate(known(session, image.id), Deprecation(status), run)
    now = known(session, image.id)
    assert (now.withdrawn, now.ready) == (None, True)
    done = aws.traffic.operations()
    assert done.index("DeleteTags") < done.index("EnableImage")


def test_what_is_obsolete_keeps_the_mark(session: Session, image: Image, run: Run) -> None:
    withdraw(session, image)
    Aws().deprecate(known(session, image.id), Deprecation(Status.OBSOLETE), run)
    assert known(session, image.id).withdrawn is not None


def test_it_can_be_deleted(aws: AwsStandIn, session: Session, image: Image) -> None:
    withdraw(session, image)
    Aws().delete(known(session, image.id))
    assert (standing_images(aws, "us-east-1"), snapshots_in(aws, "us-east-1")) == ([], [])
    with pytest.raises(NotFound):
        withdraw(session, image)


def test_it_goes_on_where_the_image_is(aws: AwsStandIn, session: Session, run: Run) -> None:
    there = hold(aws, session, region="eu-west-1")
    Aws().withdraw(there, run)
    assert known(session, there.id, "eu-west-1").withdrawn is not None


def test_what_tags_say_of_an_image(aws: AwsStandIn, session: Session) -> None:
    image = hold(aws, session, tags={FAMILY: "os", WITHDRAWN: "2026-11-02T03:04:05"})
    # Somebody has enabled it, and not by lkcloud.
    assert (image.family, image.withdrawn) == ("os", None)
    session.ec2.disable_image(ImageId=image.id)
    assert known(session, image.id).withdrawn == datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)
    other = hold(aws, session, "other", tags={WITHDRAWN: "yesterday"})
    session.ec2.disable_image(ImageId=other.id)
    assert known(session, other.id).withdrawn is None


@pytest.mark.parametrize(
    ("obsolete", "deleted", "status", "ends"),
    [(-1, None, Status.OBSOLETE, False), (-2, -1, Status.OBSOLETE, True), (None, -1, Status.OBSOLETE, True)],
)
def test_dates_of_tags_are_due(
    aws: AwsStandIn,
    session: Session,
    image: Image,
    run: Run,
    obsolete: int | None,
    deleted: int | None,
    status: Status,
    ends: bool,
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    dates = {"obsolete": obsolete, "deleted": deleted}
    said = {key: now + timedelta(days=days) for key, days in dates.items() if days is not None}
    provider = Aws()
    provider.deprecate(image, Deprecation(Status.ACTIVE, **said), run)  # type: ignore[arg-type]  # as a test says it
    hold(aws, session, "without dates")
    assert list(provider.due(now - timedelta(days=9))) == []
    [due] = provider.due(now)
    assert (due.image.id, due.ends, due.since) == (image.id, ends, said["deleted" if ends else "obsolete"])
    assert due.deprecation == Deprecation(status, **said)  # type: ignore[arg-type]
    provider.deprecate(due.image, due.deprecation, run)
    assert known(session, image.id).state == "disabled"
    left = list(provider.due(now))
    assert [one.deprecation for one in left] == ([None] if ends else [])
