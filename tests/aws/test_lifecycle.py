# SPDX-License-Identifier: Apache-2.0
"""Images that are deprecated, disabled, protected, and what deleting them then does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lkcloud.errors import NotFound, Refused, UsageError
from lkcloud.provider import Deprecation, Image, Run, Status
from lkcloud_aws import Aws, AwsOptions, deprecation, images, protection
from lkcloud_aws.naming import DELETED, OBSOLETE, REPLACEMENT
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.session import Session
from lkcloud_aws.sharing import Grants, grant, granted
from tests.aws.imaging import held, hold, known, snapshots_in, standing_images
from tests.aws.pushing import Noting, counted, lose_answers, refuse


@pytest.fixture
def image(aws: AwsStandIn, session: Session) -> Image:
    return hold(aws, session)


def deprecate(session: Session, image: Image, *said: object, **more: object) -> Noting:
    noting = Noting()
    run = Run(journal=None, reporter=noting)  # type: ignore[arg-type]  # nothing is remembered
    deprecation.deprecate(session, image, Deprecation(*said, **more), run)  # type: ignore[arg-type]  # as a test says it
    return noting


def protect(session: Session, image: Image, how: str | None) -> Noting:
    noting = Noting()
    run = Run(journal=None, reporter=noting)  # type: ignore[arg-type]  # nothing is remembered
    protection.protect(session, AwsOptions.model_validate({"deregistration_protection": how}), image, run)
    return noting


def date_of(session: Session, image: Image) -> datetime | None:
    return images.standing(session, image.id).deprecated


def public(session: Session, image: Image) -> None:
    session.ec2.disable_image_block_public_access()
    grant(session, image, Grants(frozenset({"all"}), (frozenset(),)))


def test_deprecated_now_is_so_within_two_minutes(session: Session, image: Image) -> None:
    noting = deprecate(session, image)
    date, now = date_of(session, image), datetime.now(UTC)
    assert date is not None
    assert (date.second, now < date < now + timedelta(minutes=2)) == (0, True)
    assert noting.notes == [f"{image.id} in us-east-1 is deprecated from {date:%Y-%m-%d %H:%M} UTC on"]


def test_what_is_deprecated_already_stays_so(aws: AwsStandIn, session: Session, image: Image) -> None:
    """A new date, which cannot be in the past, would take it back for a minute."""
    held(aws, image).deprecation = datetime(2025, 1, 1, tzinfo=UTC)
    assert deprecate(session, image).notes == [f"{image.id} is deprecated already"]
    assert counted(aws, "EnableImageDeprecation") == 0


def test_active_until_a_date(session: Session, image: Image) -> None:
    when = (datetime.now(UTC) + timedelta(days=30)).replace(second=0, microsecond=0)
    deprecate(session, image, Status.ACTIVE, deprecated=when)
    assert date_of(session, image) == when
    deprecate(session, image, Status.ACTIVE)
    assert date_of(session, image) is None


def test_the_replacement_is_a_tag(aws: AwsStandIn, session: Session, image: Image) -> None:
    new = hold(aws, session, "new")
    deprecate(session, image, replacement=new.id)
    assert dict(known(session, image.id).tags)[REPLACEMENT] == new.id
    deprecate(session, known(session, image.id), Status.ACTIVE)
    assert REPLACEMENT not in dict(known(session, image.id).tags)
    deprecate(session, known(session, image.id), Status.ACTIVE)
    assert counted(aws, "DeleteTags") == 1


def test_obsolete_is_disabled_and_active_enables_again(aws: AwsStandIn, session: Session, image: Image) -> None:
    grant(session, image, Grants(frozenset({"111111111111"}), (frozenset(),)))
    noting = deprecate(session, image, Status.OBSOLETE)
    assert known(session, image.id).state == "disabled"
    assert "no longer shared" in noting.notes[0]
    assert deprecate(session, image, Status.OBSOLETE).notes == [f"{image.id} is disabled already"]
    assert counted(aws, "DisableImage") == 1
    noting = deprecate(session, image, Status.ACTIVE)
    assert known(session, image.id).ready
    assert "shared with nobody" in noting.notes[0]
    assert granted(session, image).launch == frozenset()


def test_obsolete_can_become_deprecated(session: Session, image: Image) -> None:
    deprecate(session, image, Status.OBSOLETE)
    deprecate(session, image, Status.DEPRECATED)
    assert known(session, image.id).ready
    assert date_of(session, image) is not None


def test_a_public_image_keeps_the_date_that_aws_gives_it(aws: AwsStandIn, session: Session, image: Image) -> None:
    public(session, image)
    noting = deprecate(session, image, Status.ACTIVE)
    assert "AWS deprecates it at" in noting.warnings[0]
    assert "reset-image-attribute" in noting.warnings[0]
    later = datetime.now(UTC) + timedelta(days=800)
    with pytest.raises(Refused) as raised:
        deprecate(session, image, Status.ACTIVE, deprecated=later)
    assert "two years" in raised.value.hint
    held(aws, image).deprecation = datetime(2025, 1, 1, tzinfo=UTC)
    with pytest.raises(Refused, match="is public and stays deprecated") as raised:
        deprecate(session, image, Status.ACTIVE)
    assert "private first" in raised.value.hint


SOON = datetime.now(UTC) + timedelta(days=1)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (Deprecation(Status.DELETED), "cannot be marked as deleted"),
        (Deprecation(deleted=datetime(2027, 1, 1)), "no time zone"),
        (Deprecation(obsolete=SOON, deleted=datetime(2026, 1, 1, tzinfo=UTC)), "deprecated first"),
        (Deprecation(replacement="SELF"), "cannot replace itself"),
        (Deprecation(Status.ACTIVE, replacement="ami-1"), "stays active has no replacement"),
        (Deprecation(Status.ACTIVE, deprecated=datetime(2027, 1, 1)), "no time zone"),
        (Deprecation(Status.ACTIVE, deprecated=datetime(2020, 1, 1, tzinfo=UTC)), "no date in the past"),
        (Deprecation(Status.ACTIVE, deprecated=SOON + timedelta(days=3700)), "nor one after ten years"),
        (Deprecation(Status.DEPRECATED, deprecated=SOON), "not to be deprecated at a date"),
        (Deprecation(Status.OBSOLETE, deprecated=SOON), "not to be deprecated at a date"),
    ],
)
def test_what_cannot_be_said_is_not_sent(
    said: Deprecation, message: str, aws: AwsStandIn, session: Session, image: Image
) -> None:
    if said.replacement == "SELF":
        said = replace(said, replacement=image.id)
    aws.traffic.clear()
    with pytest.raises(UsageError, match=message) as raised:
        deprecation.deprecate(session, image, said, Run(journal=None))  # type: ignore[arg-type]  # nothing is remembered
    assert raised.value.hint
    assert aws.traffic.operations() == []


def test_the_dates_that_aws_has_no_place_for_are_tags(aws: AwsStandIn, session: Session, image: Image) -> None:
    obsolete, deleted = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    deprecate(session, image, obsolete=obsolete, deleted=deleted)
    tags = dict(known(session, image.id).tags)
    assert (tags[OBSOLETE], tags[DELETED]) == ("2027-01-01T00:00:00+00:00", "2028-01-01T00:00:00+00:00")
    deprecate(session, known(session, image.id), Status.OBSOLETE, deleted=deleted)
    tags = dict(known(session, image.id).tags)
    assert (OBSOLETE in tags, tags[DELETED]) == (False, "2028-01-01T00:00:00+00:00")
    deprecate(session, known(session, image.id), Status.ACTIVE)
    assert {OBSOLETE, DELETED}.isdisjoint(dict(known(session, image.id).tags))


def test_a_date_is_told_to_belong_to_active(session: Session, image: Image) -> None:
    with pytest.raises(UsageError) as raised:
        deprecate(session, image, deprecated=SOON)
    assert "--status active" in raised.value.hint


def test_deprecation_with_a_lost_answer(aws: AwsStandIn, session: Session, image: Image) -> None:
    lose_answers(aws, "EnableImageDeprecation")
    deprecate(session, image)
    assert date_of(session, image) is not None


def test_what_is_not_there(aws: AwsStandIn, session: Session, image: Image) -> None:
    images.delete(session, image)
    with pytest.raises(NotFound, match="no image"):
        deprecate(session, image)
    del aws.holdings.region("us-east-1").images[image.id]
    with pytest.raises(NotFound):
        deprecate(session, image)
    with pytest.raises(NotFound):
        protect(session, image, "on")


def test_life_goes_on_where_the_image_is(aws: AwsStandIn, session: Session, run: Run) -> None:
    there = hold(aws, session, region="eu-west-1")
    provider = Aws(AwsOptions(deregistration_protection="on"))
    provider.deprecate(there, Deprecation(), run)
    provider.protect(there, run)
    standing = images.standing(session.at("eu-west-1"), there.id)
    assert standing.deprecated is not None
    assert standing.protected
    Aws(AwsOptions(deregistration_protection="off")).protect(there, run)
    provider.delete(there)
    assert (standing_images(aws, "eu-west-1"), snapshots_in(aws, "eu-west-1")) == ([], [])


def test_protection_is_said_or_not(aws: AwsStandIn, session: Session, image: Image) -> None:
    aws.traffic.clear()
    assert protect(session, image, None).notes == []
    assert aws.traffic.operations() == []
    for how, words in (("on", "on now"), ("on", "on already"), ("cooldown", "cooldown now"), ("off", "24 hours")):
        assert words in protect(session, image, how).notes[0]
    assert counted(aws, "EnableImageDeregistrationProtection") == 2


def test_a_protected_image_is_not_deleted_and_the_way_is_told(aws: AwsStandIn, session: Session, image: Image) -> None:
    protect(session, image, "on")
    with pytest.raises(Refused, match=f"{image.id} is protected") as raised:
        images.delete(session, image)
    assert f"lkcloud protect aws {image.id} --region us-east-1 --deregistration-protection off" in raised.value.hint
    assert (standing_images(aws, "us-east-1"), snapshots_in(aws, "us-east-1")) == ([image.id], [image.blobs[0].id])
    protect(session, image, "off")
    images.delete(session, image)
    assert (standing_images(aws, "us-east-1"), snapshots_in(aws, "us-east-1")) == ([], [])


def test_the_cooldown_of_a_protection_is_told(aws: AwsStandIn, session: Session, image: Image) -> None:
    protect(session, image, "cooldown")
    protect(session, image, "off")
    with pytest.raises(Refused, match="with a cooldown") as raised:
        images.delete(session, image)
    assert "24 hours" in raised.value.hint
    held(aws, image).protected_until = 0
    images.delete(session, image)
    assert standing_images(aws, "us-east-1") == []


def test_who_may_not_deregister_hears_of_the_permission(aws: AwsStandIn, session: Session, image: Image) -> None:
    protect(session, image, "on")
    refuse(aws, "DeregisterImage", ApiError("UnauthorizedOperation", "You are not authorized.", 403))
    with pytest.raises(Refused) as raised:
        images.delete(session, image)
    assert "ec2:DeregisterImage" in raised.value.hint
