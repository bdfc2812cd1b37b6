# SPDX-License-Identifier: Apache-2.0
"""Families, and how images are marked."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from lkcloud.errors import NotFound, Refused, UsageError
from lkcloud.provider import Deprecation, Image, Run, Status
from lkcloud_gcp import GcpOptions, images, lifecycle
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.session import Session
from tests.gcp.imaging import hold
from tests.gcp.pushing import Noting, counted, lose_answers, refuse


@pytest.fixture
def image(gcp: GcpStandIn, session: Session) -> Image:
    hold(gcp)
    return found(session, "image")


def found(session: Session, name: str) -> Image:
    image = images.find(session, name)
    assert image is not None
    return image


def promote(session: Session, image: Image, run: Run, family: str | None) -> Noting:
    noting = Noting()
    lifecycle.promote(session, GcpOptions(family=family), image, Run(run.journal, noting))
    return noting


def head(session: Session, family: str) -> str:
    return session.images.get_from_family(project=session.project, family=family).name


def mark(gcp: GcpStandIn, name: str = "image") -> dict[str, str]:
    """Return the deprecation status that the stand-in holds."""
    return gcp.holdings.engine.images[name].deprecation.described()


def test_no_family_nothing_asked(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    gcp.traffic.clear()
    promote(session, image, run, None)
    assert gcp.traffic.operations() == []


def test_an_image_joins_its_family_once(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    noting = promote(session, image, run, "stable")
    assert head(session, "stable") == "image"
    assert noting.notes == ["image is in the family stable"]
    assert noting.warnings == []
    assert promote(session, image, run, "stable").notes == ["image is in the family stable already"]
    assert counted(gcp, "images.patch") == 1


def test_an_image_leaves_its_old_family(gcp: GcpStandIn, session: Session, run: Run) -> None:
    hold(gcp, family="testing")
    noting = promote(session, found(session, "image"), run, "stable")
    assert noting.notes == ["image is in the family stable, no longer in testing"]
    assert head(session, "stable") == "image"


def test_a_family_that_leads_elsewhere_is_warned_of(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    hold(gcp, "newer", family="stable")
    gcp.holdings.engine.images["image"].created -= timedelta(days=1)
    noting = promote(session, image, run, "stable")
    assert head(session, "stable") == "newer"
    [warning] = noting.warnings
    assert "leads to newer" in warning
    assert promote(session, image, run, "stable").warnings == [warning]


@pytest.mark.parametrize("operation", ["images.patch", "globalOperations.get", "images.getFromFamily"])
def test_promotion_with_a_lost_answer(
    operation: str, gcp: GcpStandIn, session: Session, image: Image, run: Run
) -> None:
    lose_answers(gcp, operation)
    promote(session, image, run, "stable")
    assert head(session, "stable") == "image"


def test_who_may_not_look_at_families_can_promote(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    refuse(gcp, "images.getFromFamily", ApiError(403, "forbidden", "Required 'compute.images.getFromFamily'"))
    promote(session, image, run, "stable")
    assert head(session, "stable") == "image"


def test_promotion_that_is_refused(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    refuse(gcp, "images.patch", ApiError(403, "forbidden", "Required 'compute.images.update' permission for 'i'"))
    with pytest.raises(Refused, match="family stable") as raised:
        promote(session, image, run, "stable")
    assert "compute.images.update" in raised.value.hint
    images.delete(session, image)
    with pytest.raises(NotFound, match="no image image"):
        promote(session, image, run, "stable")


def test_deprecation_with_replacement_and_dates(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    hold(gcp, "next")
    deprecation = Deprecation(
        replacement="next",
        deprecated=datetime(2026, 1, 1, tzinfo=UTC),
        obsolete=datetime(2027, 1, 1, 12, 30, tzinfo=timezone(timedelta(hours=-7))),
        deleted=datetime(2028, 1, 1, tzinfo=UTC),
    )
    lifecycle.deprecate(session, image, deprecation, run)
    assert mark(gcp) == {
        "state": "DEPRECATED",
        "replacement": "https://www.googleapis.com/compute/v1/projects/lkcloud-sandbox/global/images/next",
        "deprecated": "2026-01-01T00:00:00+00:00",
        "obsolete": "2027-01-01T12:30:00-07:00",
        "deleted": "2028-01-01T00:00:00+00:00",
    }


@pytest.mark.parametrize("status", list(Status))
def test_every_status(status: Status, gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    lifecycle.deprecate(session, image, Deprecation(status), run)
    assert mark(gcp) == {"state": status.name}
    # Marked or not, it is still ours to find.
    assert images.every(session) == [found(session, "image")]


def test_active_takes_the_marks_away_and_leaves_the_family_to_it(gcp: GcpStandIn, session: Session, run: Run) -> None:
    hold(gcp, family="stable")
    image = found(session, "image")
    lifecycle.deprecate(session, image, Deprecation(Status.OBSOLETE, deleted=datetime(2028, 1, 1, tzinfo=UTC)), run)
    lifecycle.deprecate(session, image, Deprecation(Status.ACTIVE), run)
    assert mark(gcp) == {"state": "ACTIVE"}
    assert head(session, "stable") == "image"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("projects/other/global/images/i", "https://www.googleapis.com/compute/v1/projects/other/global/images/i"),
        ("https://www.googleapis.com/compute/v1/projects/o/global/images/i",) * 2,
    ],
)
def test_a_replacement_of_another_project(
    given: str, sent: str, gcp: GcpStandIn, session: Session, image: Image, run: Run
) -> None:
    lifecycle.deprecate(session, image, Deprecation(replacement=given), run)
    assert mark(gcp)["replacement"] == sent


@pytest.mark.parametrize(
    ("deprecation", "message"),
    [
        (Deprecation(replacement="image"), "cannot replace itself"),
        (Deprecation(Status.ACTIVE, replacement="next"), "active has no replacement"),
        (Deprecation(deleted=datetime(2027, 1, 1)), "no time zone"),
        (
            Deprecation(obsolete=datetime(2027, 1, 2, tzinfo=UTC), deleted=datetime(2027, 1, 1, tzinfo=UTC)),
            "deleted .* comes before obsolete",
        ),
        (
            Deprecation(deprecated=datetime(2027, 1, 2, tzinfo=UTC), deleted=datetime(2027, 1, 1, tzinfo=UTC)),
            "deleted .* comes before deprecated",
        ),
    ],
)
def test_what_cannot_be_said_is_not_sent(
    deprecation: Deprecation, message: str, gcp: GcpStandIn, session: Session, image: Image, run: Run
) -> None:
    with pytest.raises(UsageError, match=message):
        lifecycle.deprecate(session, image, deprecation, run)
    assert counted(gcp, "images.deprecate") == 0


def test_a_replacement_that_does_not_exist(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    with pytest.raises(NotFound, match="no image next"):
        lifecycle.deprecate(session, image, Deprecation(replacement="next"), run)
    assert counted(gcp, "images.deprecate") == 0


def test_deprecation_with_a_lost_answer(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    lose_answers(gcp, "images.deprecate")
    lifecycle.deprecate(session, image, Deprecation(), run)
    assert mark(gcp) == {"state": "DEPRECATED"}
