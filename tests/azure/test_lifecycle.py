# SPDX-License-Identifier: Apache-2.0
"""What `latest` leads to, and how versions are marked."""

import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from lkcloud.errors import NotFound, Refused, UsageError
from lkcloud.provider import Deprecation, Image, Run, Status
from lkcloud_azure import images, lifecycle
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.cloud import LOCATION
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.gallery import Region, latest
from lkcloud_azure.session import Session
from tests.azure.imaging import (
    GROUP,
    OPERATION,
    hold_image,
    hold_version,
    make_definition,
    make_gallery,
    options_of,
    put_disk,
    registered,
    tiny_disk,
)
from tests.azure.pushing import Noting, counted, lose_answers, once, refuse

UPDATE = "GalleryImageVersions.Update"
SOON = datetime(2099, 1, 1, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def gallery(session: Session) -> None:
    make_gallery(session)
    make_definition(session)


@pytest.fixture
def image(azure: AzureStandIn, session: Session, gallery: None) -> Image:
    hold_version(azure, "1.0.0")
    found = images.find(session, options_of(gallery="gal"), "image")
    assert found is not None
    return found


def promote(session: Session, image: Image, run: Run, *, to_latest: bool = True) -> Noting:
    noting = Noting()
    lifecycle.promote(session, options_of(gallery="gal", latest=to_latest), image, Run(run.journal, noting))
    return noting


def mark(session: Session, image: Image, run: Run, *args: Any, **given: Any) -> Noting:
    noting = Noting()
    lifecycle.deprecate(session, image, Deprecation(*args, **given), Run(run.journal, noting))
    return noting


def head(azure: AzureStandIn, image: Image, region: str = LOCATION) -> str:
    """Return the number that machines in REGION are made from with `latest`."""
    found = latest(azure.holdings, image.id.rpartition("/versions/")[0], region)
    return found.name if found else ""


def publishing(session: Session, number: str = "1.0.0") -> Any:
    shown = session.compute.gallery_image_versions.get(GROUP, "gal", "image", number)
    assert shown.properties is not None
    return shown.properties.publishing_profile


def test_not_asked_for_nothing_asked(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    azure.traffic.clear()
    promote(session, image, run, to_latest=False)
    assert azure.traffic.operations() == []


def test_a_version_that_was_made_here_is_led_to_when_it_is_promoted_and_once(
    azure: AzureStandIn, session: Session, gallery: None, run: Run, tmp_path: Path
) -> None:
    with tiny_disk(tmp_path) as disk:
        regions = ("eastus=2:Premium_LRS", "westeurope=3")
        image = registered(session, disk, put_disk(azure), run, gallery="gal", target_region=regions, end_of_life=SOON)
    assert head(azure, image) == ""
    before = publishing(session)
    noting = promote(session, image, run)
    assert head(azure, image) == head(azure, image, "eastus") == "1.0.0"
    assert noting.notes == ["`latest` of image no longer passes over 1.0.0"]
    assert noting.warnings == []
    assert promote(session, image, run).notes == ["`latest` of image does not pass over 1.0.0 already"]
    assert counted(azure, UPDATE) == 1
    # All else is as it was.
    after = publishing(session)
    assert not after.exclude_from_latest
    for field in ("target_regions", "end_of_life_date", "published_date", "replication_mode", "storage_account_type"):
        assert getattr(after, field) == getattr(before, field)


def test_a_higher_number_is_warned_of(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    hold_version(azure, "1.0.10", name="newer", excluded=False)
    hold_version(azure, "1.0.11", name="excluded")
    hold_version(azure, "1.0.12", name="failed", excluded=False, state="Failed")
    noting = promote(session, image, run)
    [warning] = noting.warnings
    assert "`latest` of image still leads to 1.0.10, the higher number" in warning
    assert head(azure, image) == "1.0.10"
    assert promote(session, image, run).warnings == [warning]


def test_a_region_that_excludes_it_by_itself_is_warned_of(
    azure: AzureStandIn, session: Session, gallery: None, run: Run
) -> None:
    held = hold_version(azure, "1.0.0")
    held.regions = (*held.regions, Region("eastus", 1, "Standard_LRS", excluded=True, state="Completed"))
    image = images.find(session, options_of(gallery="gal"), "image")
    assert image is not None
    [warning] = promote(session, image, run).warnings
    assert "in eastus" in warning
    assert (head(azure, image), head(azure, image, "eastus")) == ("1.0.0", "")


@pytest.mark.parametrize("operation", [UPDATE, OPERATION, "GalleryImageVersions.Get"])
def test_promotion_with_a_lost_answer(
    operation: str, azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    lose_answers(azure, operation)
    promote(session, image, run)
    assert head(azure, image) == "1.0.0"


def test_a_version_that_something_else_changes_is_waited_for(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    held = hold_version(azure, "1.0.0", state="Updating")
    timer = threading.Timer(0.3, setattr, [held, "state", "Succeeded"])
    timer.start()
    promote(session, image, run)
    timer.join()
    assert head(azure, image) == "1.0.0"


def test_one_that_has_begun_to_change_meanwhile_is_waited_for(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    held = hold_version(azure, "1.0.0")
    timer = threading.Timer(0.3, setattr, [held, "state", "Succeeded"])

    def change() -> None:
        held.state = "Updating"
        timer.start()

    once(azure, "before", UPDATE, change)
    promote(session, image, run)
    timer.join()
    assert head(azure, image) == "1.0.0"
    assert counted(azure, UPDATE) == 2


def test_who_may_not_list_versions_can_promote(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    refuse(azure, "GalleryImageVersions.ListByGalleryImage", ApiError(403, "AuthorizationFailed", "Not allowed."))
    assert promote(session, image, run).warnings == []
    assert head(azure, image) == "1.0.0"


def test_promotion_that_is_refused(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    azure.windows.denied_actions = ("Microsoft.Compute/galleries/images/versions/write",)
    with pytest.raises(Refused, match="versions/write"):
        promote(session, image, run)
    azure.windows.denied_actions = ()
    images.delete(session, image)
    with pytest.raises(NotFound, match="there is no image"):
        promote(session, image, run)


def test_a_managed_image_has_no_latest_and_no_end(azure: AzureStandIn, session: Session, run: Run) -> None:
    hold_image(azure)
    image = images.find(session, options_of(), "image")
    assert image is not None
    with pytest.raises(UsageError, match="versions in a gallery only") as raised:
        promote(session, image, run)
    assert "--gallery" in raised.value.hint
    with pytest.raises(UsageError, match="managed image"):
        mark(session, image, run, obsolete=SOON)


def test_the_end_of_life_is_the_date_of_being_obsolete(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    here = datetime(2099, 6, 1, 12, 30, tzinfo=timezone(timedelta(hours=-7)))
    assert mark(session, image, run, obsolete=here).notes == []
    assert publishing(session).end_of_life_date == here
    assert publishing(session).exclude_from_latest
    mark(session, image, run, obsolete=here)
    assert counted(azure, UPDATE) == 1


def test_else_it_is_the_date_of_being_deleted(session: Session, image: Image, run: Run) -> None:
    mark(session, image, run, deleted=LATER)
    assert publishing(session).end_of_life_date == LATER
    [note] = mark(session, image, run, obsolete=SOON, deleted=LATER).notes
    assert "2099-01-01" in note
    assert publishing(session).end_of_life_date == SOON


def test_latest_passes_over_what_is_obsolete(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    promote(session, image, run)
    mark(session, image, run, Status.OBSOLETE)
    assert head(azure, image) == ""
    assert publishing(session).end_of_life_date is None
    mark(session, image, run, Status.OBSOLETE, obsolete=SOON)
    assert publishing(session).end_of_life_date == SOON
    assert publishing(session).exclude_from_latest


def test_active_moves_the_end_and_leaves_latest_to_promotion(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    mark(session, image, run, Status.ACTIVE)
    assert counted(azure, UPDATE) == 0
    mark(session, image, run, Status.OBSOLETE, obsolete=SOON)
    with pytest.raises(UsageError, match="does not take an end of life away") as raised:
        mark(session, image, run, Status.ACTIVE)
    assert "promote" in raised.value.hint
    mark(session, image, run, Status.ACTIVE, obsolete=LATER)
    assert publishing(session).end_of_life_date == LATER
    assert publishing(session).exclude_from_latest


@pytest.mark.parametrize(
    ("deprecation", "message"),
    [
        (Deprecation(), "by the date of its end of life"),
        (Deprecation(Status.DELETED), "cannot mark an image as deleted"),
        (Deprecation(replacement="other", obsolete=SOON), "which image to use instead"),
        (Deprecation(deprecated=SOON), "no date of becoming deprecated"),
        (Deprecation(obsolete=datetime(2099, 1, 1)), "no time zone"),
        (Deprecation(obsolete=datetime(2020, 1, 1, tzinfo=UTC)), "has to be in the future"),
        (Deprecation(Status.OBSOLETE, deleted=datetime(2020, 1, 1, tzinfo=UTC)), "has to be in the future"),
    ],
)
def test_what_cannot_be_said_is_not_sent(
    deprecation: Deprecation, message: str, azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    with pytest.raises(UsageError, match=message):
        lifecycle.deprecate(session, image, deprecation, run)
    assert counted(azure, UPDATE) == 0


def test_deprecation_with_a_lost_answer(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    lose_answers(azure, UPDATE)
    mark(session, image, run, obsolete=SOON)
    assert publishing(session).end_of_life_date == SOON
