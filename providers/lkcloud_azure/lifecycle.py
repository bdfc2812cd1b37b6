# SPDX-License-Identifier: Apache-2.0
"""What `latest` leads to, and how a gallery image version is marked when it is no longer to be used.

https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries#image-versions. Azure knows two things of a
version's life: whether `latest` passes it over, and a date of its end, which is told and changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError, NotFound, UsageError
from lkcloud.polling import poll
from lkcloud.provider import Deprecation, Image, Run, Status
from lkcloud_azure import gallery_version, images, managed_image, operations
from lkcloud_azure.gallery_version import excluded, number_of
from lkcloud_azure.naming import WITHDRAWN, ResourceId, tag, word
from lkcloud_azure.options import AzureOptions, region_name
from lkcloud_azure.session import Session

if TYPE_CHECKING:
    from azure.mgmt.compute import models

_UPDATE = 1800.0
"""Seconds for a change of a version, which goes to all its regions."""

_SEEN = 120.0
"""Seconds until a change is to be read."""


@dataclass(frozen=True)
class Change:
    """What a version is to say in its publishing profile and its tags; None leaves that as it is."""

    excluded: bool | None = None
    end_of_life: datetime | None = None
    withdrawn: str | None = None
    """The tag of a version that is withdrawn; "" takes it away."""

    def is_in(self, shown: "models.GalleryImageVersion") -> bool:
        """Tell whether a version says it."""
        ends = end_of_life(shown)
        return (
            (self.excluded is None or excluded(shown) == self.excluded)
            and (self.end_of_life is None or (ends is not None and abs((ends - self.end_of_life).total_seconds()) < 1))
            and (self.withdrawn is None or tag(shown.tags, WITHDRAWN) == self.withdrawn)
        )


def promote(session: Session, options: AzureOptions, image: Image, run: Run) -> None:
    """Let `latest` of the definition lead to the version, if the options say so.

    `latest` is the highest number that is not excluded, and no version can be named for it: the user is warned if it
    leads to another, and of regions that exclude this one by themselves.
    """
    if not options.latest:
        return
    place = _version(image, "`latest` leads to versions in a gallery only")
    number, definition = place.names[2], place.names[1]
    if change(session, place, Change(excluded=False), run, "promote"):
        run.reporter.note(f"`latest` of {definition} no longer passes over {number}")
    else:
        run.reporter.note(f"`latest` of {definition} does not pass over {number} already")
    shown = _shown(session, place)
    if regions := _excluding(shown):
        run.reporter.warn(f"`latest` still passes over {number} in {', '.join(regions)}, by a mark of their own")
    try:
        leads_to = head(session, place.parent)
    except LkcloudError:
        leads_to = ""  # the change is made; this only tells more of it
    if leads_to and leads_to != number:
        run.reporter.warn(
            f"`latest` of {definition} still leads to {leads_to}, the higher number: mark that as obsolete if {number} "
            "is to be taken"
        )


def deprecate(session: Session, image: Image, deprecation: Deprecation, run: Run) -> None:
    """Say of a version what DEPRECATION says, as far as Azure can say it.

    - The date of being obsolete, else that of being deleted, is its end of life: Azure shows it, and still makes
      machines from the version. A version that is DEPRECATED needs one of them.
    - OBSOLETE lets `latest` pass over it.
    - ACTIVE moves the end of life, as Azure does not take it away; what `latest` leads to, promotion decides.
    - All but OBSOLETE take the mark of an image that was withdrawn away, and of a managed image that is all there is.

    Raises UsageError for all else (another image instead, DELETED, a date that has passed), and for a managed image
    that is not withdrawn, of which nothing of this can be said.
    """
    managed = ResourceId.parse(image.id)
    if image.withdrawn and managed and managed.is_of(*images.IMAGE) and deprecation == Deprecation(Status.ACTIVE):
        with run.reporter.stage("deprecate"):
            managed_image.put_tag(session, managed, WITHDRAWN, "")
        return
    place = _version(image, "of a managed image Azure cannot say that it should no longer be used")
    shown = _shown(session, place)
    wanted = _wanted(shown, deprecation)
    change(session, place, wanted, run, "deprecate")
    if deprecation.obsolete and deprecation.deleted and deprecation.obsolete != deprecation.deleted:
        run.reporter.note(f"Azure has one date: the end of life is {deprecation.obsolete:%Y-%m-%d}")


def _wanted(shown: "models.GalleryImageVersion", deprecation: Deprecation) -> Change:
    ends, marked = deprecation.obsolete or deprecation.deleted, bool(tag(shown.tags, WITHDRAWN))
    for refused, what, hint in (
        (
            bool(deprecation.replacement),
            "Azure cannot say which image to use instead",
            "leave --replacement out; `latest` leads to the highest version that is not excluded",
        ),
        (
            deprecation.deprecated is not None,
            "Azure has no date of becoming deprecated, only one of the end of life",
            "give --obsolete-on",
        ),
        (
            deprecation.status is Status.DELETED,
            "Azure cannot mark an image as deleted",
            f"delete it: lkcloud delete azure {shown.id}",
        ),
        (ends is not None and ends.tzinfo is None, f"the date has no time zone: {ends}", "end it with Z or +00:00"),
        (
            ends is not None and ends.tzinfo is not None and ends <= datetime.now(UTC),
            f"the end of life has to be in the future, and {ends} is not",
            "give a later date, or --status obsolete and no date",
        ),
        (
            deprecation.status is Status.DEPRECATED and ends is None,
            "Azure says that a version is deprecated by the date of its end of life",
            "give --obsolete-on, or --status obsolete to have `latest` pass over it now",
        ),
        (
            deprecation.status is Status.ACTIVE and ends is None and not marked and end_of_life(shown) is not None,
            "Azure does not take an end of life away",
            "give a later date with --obsolete-on; lkcloud promote azure --latest is what leads `latest` to it again",
        ),
    ):
        if refused:
            raise UsageError(f"azure: {what}", hint=hint)
    if deprecation.status is Status.OBSOLETE:
        return Change(excluded=True, end_of_life=ends)
    return Change(end_of_life=ends, withdrawn="" if marked else None)


def end_of_life(shown: "models.GalleryImageVersion") -> datetime | None:
    """Return the end of life of a version, None if nothing is said of it."""
    publishing = shown.properties.publishing_profile if shown.properties else None
    return publishing.end_of_life_date if publishing else None


def change(session: Session, place: ResourceId, wanted: Change, run: Run, stage: str) -> bool:
    """Make a version say what is WANTED, and see that it does; return False if it did before."""
    number = place.names[2]
    if wanted.is_in(_shown(session, place)):
        return False
    with run.reporter.stage(stage) as meter:
        doing = f"changing version {number} of {place.names[1]}"

        def attempt() -> bool | None:
            shown = _shown(session, place)
            state = _state(shown)
            if state not in (operations.SUCCEEDED, operations.FAILED, operations.CANCELED):
                meter.status(state)
                return None  # something else is done with it
            try:
                operation = operations.begin(session, doing, _update(session, place, shown, wanted))
                operations.wait(session, operation, doing=doing, limit=_UPDATE, meter=meter)
            except LkcloudError as error:
                if images.in_the_way(session, place, error):
                    return None
                raise
            return True

        hint = "run the same command again later"
        poll(attempt, what=f"azure: what goes on with version {number}", every=0.5, limit=_UPDATE, hint=hint)
        poll(
            lambda: True if wanted.is_in(_shown(session, place)) else None,
            what=f"azure: {doing}",
            every=0.5,
            limit=_SEEN,
            hint="look at the version in the portal, or run the same command again",
        )
    return True


def _update(
    session: Session, place: ResourceId, shown: "models.GalleryImageVersion", wanted: Change
) -> Callable[..., object]:
    """Return the request of the SDK that makes the change.

    The profile is sent as Azure shows it: where regions are named, all have to be, as the others would lose
    their copies (hashicorp/terraform-provider-azurerm#21999).
    """
    from azure.mgmt.compute import models

    assert shown.properties is not None
    profile = shown.properties.publishing_profile or models.GalleryImageVersionPublishingProfile()
    if wanted.excluded is not None:
        profile.exclude_from_latest = wanted.excluded
    if wanted.end_of_life is not None:
        profile.end_of_life_date = wanted.end_of_life
    elif (ends := end_of_life(shown)) is not None and ends <= datetime.now(UTC):
        profile.end_of_life_date = None  # Azure takes none that has passed, not even the one that it shows
    # The storage profile cannot change, and goes empty (GalleryImageVersion_Update_WithoutSourceId.json of
    # Azure/azure-rest-api-specs).
    storage = models.GalleryImageVersionStorageProfile()
    properties = models.GalleryImageVersionProperties(storage_profile=storage, publishing_profile=profile)
    update = models.GalleryImageVersionUpdate(properties=properties)
    if wanted.withdrawn is not None:
        # A change says all tags.
        tags = {key: value for key, value in (shown.tags or {}).items() if key.lower() != WITHDRAWN}
        update.tags = {**tags, **({WITHDRAWN: wanted.withdrawn} if wanted.withdrawn else {})}
    versions, (gallery, definition, number) = session.compute.gallery_image_versions, place.names
    return lambda **how: versions.begin_update(place.group, gallery, definition, number, update, **how)


def head(session: Session, definition: ResourceId) -> str:
    """Return the number that `latest` of a definition leads to, "" if to none."""
    found = [
        shown
        for shown in gallery_version.listed(session, definition)
        if not excluded(shown) and _state(shown) in (operations.SUCCEEDED, gallery_version.UPDATING)
    ]
    return max(found, key=number_of).name or "" if found else ""


def _excluding(shown: "models.GalleryImageVersion") -> list[str]:
    """Return the regions that exclude a version from `latest` by themselves."""
    publishing = shown.properties.publishing_profile if shown.properties else None
    targets = (publishing.target_regions if publishing else None) or ()
    return [region_name(one.name) for one in targets if one.exclude_from_latest]


def _state(shown: "models.GalleryImageVersion") -> str:
    return word(shown.properties.provisioning_state if shown.properties else None)


def _version(image: Image, otherwise: str) -> ResourceId:
    place = ResourceId.parse(image.id)
    if place is None or not place.is_of(*images.VERSION):
        raise UsageError(f"azure: {otherwise}", hint="push it with --gallery; lkcloud delete azure removes an image")
    return place


def _shown(session: Session, place: ResourceId) -> "models.GalleryImageVersion":
    shown = gallery_version.show(session, place)
    if shown is None:
        raise NotFound(f"azure: there is no image {place}", hint="lkcloud list azure shows those there are")
    return shown
