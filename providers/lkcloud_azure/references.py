# SPDX-License-Identifier: Apache-2.0
"""What in the subscription uses an image, leads to it or protects it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from lkcloud.errors import Refused
from lkcloud.provider import Hold, Image
from lkcloud_azure import gallery_version, images, lifecycle
from lkcloud_azure.errors import status_of
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.session import Session


def holds(session: Session, wanted: Sequence[Image]) -> Iterator[Hold]:
    """Yield why images among WANTED have to stay. What other subscriptions make of an image is not seen.

    A machine or a scale set that names a definition takes `latest` of it.
    """
    places = {image.id: place for image in wanted if (place := ResourceId.parse(image.id)) is not None}
    versions = {identity: place for identity, place in places.items() if place.is_of(*images.VERSION)}
    for definition in dict.fromkeys(place.parent for place in versions.values()):
        head = lifecycle.head(session, definition)
        for identity, place in versions.items():
            if place.parent == definition and place.names[2] == head:
                yield Hold(identity, f"is what `latest` of {definition.names[1]} leads to", leads=True)
    for identity, place in versions.items():
        if (until := _protected(session, place)) is not None:
            yield Hold(identity, f"is kept from deletion until its end of life, {until:%Y-%m-%d}")
    if places:
        yield from _used(session, tuple(places))


def _protected(session: Session, place: ResourceId) -> datetime | None:
    """Return the end of life of a version that cannot be deleted before it (GalleryImageVersionSafetyProfile)."""
    shown = gallery_version.show(session, place)
    safety = shown.properties.safety_profile if shown and shown.properties else None
    if shown is None or not (safety and safety.block_deletion_before_end_of_life):
        return None
    ends = lifecycle.end_of_life(shown)
    return ends if ends is not None and ends > datetime.now(UTC) else None


def _used(session: Session, ids: Sequence[str]) -> Iterator[Hold]:
    """Yield machines, which are made anew from their image, and scale sets, which make more."""
    compute = session.compute
    for kind, request, image_of in (
        ("machine", lambda: list(compute.virtual_machines.list_all()), _image_of_machine),
        ("scale set", lambda: list(compute.virtual_machine_scale_sets.list_all()), _image_of_scale_set),
    ):
        users: dict[str, list[str]] = defaultdict(list)
        for one in _listed(session, kind, request):
            users[image_of(one).lower()].append(str(one.name))
        for identity in ids:
            names = sorted(users.get(identity.lower(), ()))
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                yield Hold(identity, f"is used by the {kind} {', '.join(names[:3])}{more}")


def _listed(session: Session, kind: str, request: Callable[[], list[Any]]) -> list[Any]:
    try:
        return session.call(f"looking for a {kind} that uses the images", request)
    except Refused as error:
        if status_of(error.__cause__) == 403:
            error.hint = "give this identity the role Reader on the subscription: what uses an image must not lose it"
        raise


def _image_of_machine(shown: Any) -> str:
    """Return the id of the image that a machine was made from."""
    storage = shown.properties.storage_profile if shown.properties else None
    return _id(storage.image_reference if storage else None)


def _image_of_scale_set(shown: Any) -> str:
    profile = shown.properties.virtual_machine_profile if shown.properties else None
    storage = profile.storage_profile if profile else None
    return _id(storage.image_reference if storage else None)


def _id(reference: Any) -> str:
    return str(reference.id or "") if reference else ""
