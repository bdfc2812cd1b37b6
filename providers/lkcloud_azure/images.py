# SPDX-License-Identifier: Apache-2.0
"""Images of both kinds, managed images and gallery versions: found by name or id, listed, deleted."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lkcloud.errors import LkcloudError, Refused, UsageError
from lkcloud.polling import poll
from lkcloud.provider import Image
from lkcloud_azure import gallery, gallery_version, managed_image, operations
from lkcloud_azure.errors import is_busy, status_of
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.session import Session

IMAGE = ("images",)
VERSION = ("galleries", "images", "versions")
"""The kinds of resource that an image can be."""

_BUSY = 1800.0
"""Seconds to wait for an image at which another operation is at work, or that is on its way out: a version has copies
in many regions."""


def find(session: Session, options: AzureOptions, name: str) -> Image | None:
    """Return the image called NAME.

    Without a gallery that is the managed image of the resource group, whoever made it; with one, the version of the
    definition that has it in its tags.
    """
    if options.gallery is None:
        return managed_image.get(session, managed_image.place_of(session, options.resource_group, name))
    return gallery_version.find(session, options, name)


def get(session: Session, image_id: str) -> Image | None:
    """Return the image with this resource id, whoever made it; None for what is no id of an image here."""
    place = ResourceId.parse(image_id)
    if place is None or place.subscription.lower() != session.subscription.lower():
        return None
    if place.is_of(*IMAGE):
        return managed_image.get(session, place)
    return gallery_version.get(session, place) if place.is_of(*VERSION) else None


def every(session: Session, options: AzureOptions) -> list[Image]:
    """Return the images that lkcloud made, oldest first.

    Those of the resource group, and if a gallery is named its versions, of one definition or of all.
    """
    try:
        found = managed_image.every(session, options.resource_group)
    except Refused as error:
        # Who uses a gallery need not be allowed to see managed images.
        if options.gallery is None or status_of(error.__cause__) != 403:
            raise
        found = []
    if options.gallery is not None:
        found += gallery_version.every(session, gallery.place_of(session, options), options.definition)
    return sorted(found, key=lambda image: (image.created or datetime.min.replace(tzinfo=UTC), image.id))


def released(session: Session, image: Image) -> bool:
    """Tell whether others may be led to IMAGE, so that it is not to be taken away as a failure.

    A version is that which `latest` does not pass over; a managed image is never changed, and so has failed at once.
    """
    place = ResourceId.parse(image.id)
    if place is None or not place.is_of(*VERSION):
        return False
    shown = gallery_version.show(session, place)
    return shown is not None and not gallery_version.excluded(shown)


def in_the_way(session: Session, place: ResourceId, error: LkcloudError) -> bool:
    """Tell whether ERROR says of an image that something else is done with it, which will be over after a while.

    Azure has many words for that, so that the image's state is looked at as well.
    """
    if is_busy(error.__cause__):
        return True
    if status_of(error.__cause__) != 409:
        return False
    found = get(session, str(place))
    return found is not None and found.state in ("Creating", gallery_version.UPDATING, "Deleting")


def delete(session: Session, image: Image) -> None:
    """Delete the image and wait until it is gone; what is gone is no error.

    One at which another operation is at work, such as its own making, is deleted when that has ended. Raises
    Unreachable if that takes too long.
    """
    doing = f"deleting {image.id}"
    place, request = _deletion(session, image.id)

    def attempt() -> bool | None:
        try:
            operations.wait(session, operations.begin(session, doing, request), doing=doing, limit=_BUSY)
        except LkcloudError as error:
            if in_the_way(session, place, error):
                return None
            if status_of(error.__cause__) != 404:
                raise
        # The operation can have ended before the image is gone for everybody (Azure/azure-rest-api-specs#19686).
        return True if get(session, str(place)) is None else None

    poll(
        attempt,
        what=f"azure: what goes on with the image {image.id}",
        every=0.5,
        limit=_BUSY,
        hint="run the same command again later",
    )


def _deletion(session: Session, image_id: str) -> tuple[ResourceId, Callable[..., Any]]:
    """Return the image's id, and the request of the SDK that deletes it."""
    place, compute = ResourceId.parse(image_id), session.compute
    if place is not None and place.subscription.lower() == session.subscription.lower():
        if place.is_of(*IMAGE):
            return place, lambda **how: compute.images.begin_delete(place.group, *place.names, **how)
        if place.is_of(*VERSION):
            return place, lambda **how: compute.gallery_image_versions.begin_delete(place.group, *place.names, **how)
    raise UsageError(
        f"azure: {image_id!r} is no image of the subscription {session.subscription}",
        hint="give the id of a managed image or of a gallery image version, and its --subscription",
    )
