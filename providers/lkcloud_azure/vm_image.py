# SPDX-License-Identifier: Apache-2.0
"""What an image says of the machines that can be made from it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lkcloud.errors import UsageError
from lkcloud.provider import Image
from lkcloud_azure import gallery_definition
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.options import Architecture, Generation, region_name
from lkcloud_azure.session import Session

if TYPE_CHECKING:
    from azure.mgmt.compute import models

_TRUSTED = ("trustedlaunch", "trustedlaunchsupported", "trustedlaunchandconfidentialvmsupported")
_CONFIDENTIAL = "confidentialvm"
"""https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries: values of the feature SecurityType."""


@dataclass(frozen=True, slots=True)
class Bootable:
    """An image as a machine sees it."""

    os_type: str
    """Linux or Windows."""
    generalized: bool
    generation: Generation
    architecture: Architecture
    controllers: tuple[str, ...]
    """The disk controllers that it has drivers for: SCSI, NVMe."""
    trusted_launch: bool
    """Whether machines are to be made from it with Trusted Launch."""
    locations: tuple[str, ...]
    """The regions that machines can be made in."""


def look(session: Session, image: Image) -> Bootable:
    """Return what Azure says of IMAGE, a managed image or a version in a gallery.

    Raises NotFound if it is gone, and UsageError for an id of something else and for an image for confidential
    machines only.
    """
    place = ResourceId.parse(image.id)
    if place is None or not (place.is_of("images") or place.is_of("galleries", "images", "versions")):
        raise UsageError(
            f"azure: {image.id!r} is no id of an image",
            hint="give /subscriptions/.../providers/Microsoft.Compute/images/NAME, or that of a gallery image version",
        )
    if place.subscription.lower() != session.subscription.lower():
        raise UsageError(
            f"azure: the image is in the subscription {place.subscription}, not in {session.subscription}",
            hint=f"give --subscription {place.subscription}",
        )
    return _managed(session, place) if place.is_of("images") else _version(session, place)


def _managed(session: Session, place: ResourceId) -> Bootable:
    shown = session.call(
        f"looking at the image {place.names[0]}", lambda: session.compute.images.get(place.group, place.names[0])
    )
    said = shown.properties
    disk = said.storage_profile.os_disk if said and said.storage_profile else None
    return Bootable(
        os_type=disk.os_type if disk else "Linux",
        generalized=disk is None or disk.os_state == "Generalized",
        generation="V2" if said and said.hyper_v_generation == "V2" else "V1",
        # A managed image says nothing of either: it is for x64 (Azure/azure-sdk-for-go#19665), and a machine of it
        # never gets NVMe ("Disk controller type 'NVMe' not supported for user VM image").
        architecture="x64",
        controllers=("SCSI",),
        # https://learn.microsoft.com/azure/virtual-machines/trusted-launch#unsupported-features: Managed Image.
        trusted_launch=False,
        locations=(region_name(shown.location),),
    )


def _version(session: Session, place: ResourceId) -> Bootable:
    gallery, definition, version = place.names
    doing = f"looking at the image definition {definition}"
    shown = session.call(doing, lambda: session.compute.gallery_images.get(place.group, gallery, definition))
    said = shown.properties
    assert said is not None
    security = gallery_definition.security_type(shown).lower()
    if security == _CONFIDENTIAL:
        raise UsageError(
            f"azure: {definition} is for confidential machines only, which are not used for tests",
            hint="leave the test out, or make the definition with --security-type ConfidentialVMSupported",
        )
    found = session.call(
        f"looking at {definition} {version}",
        lambda: session.compute.gallery_image_versions.get(place.group, gallery, definition, version),
    )
    return Bootable(
        os_type=said.os_type,
        generalized=said.os_state == "Generalized",
        generation="V2" if said.hyper_v_generation == "V2" else "V1",
        architecture="Arm64" if said.architecture == "Arm64" else "x64",
        controllers=gallery_definition.controllers(shown),
        # An image that says that it can is tested as most will use it: Azure's portal and tools choose Trusted Launch.
        trusted_launch=security in _TRUSTED,
        locations=tuple(_regions(found)),
    )


def _regions(version: "models.GalleryImageVersion") -> list[str]:
    publishing = version.properties.publishing_profile if version.properties else None
    named = [region_name(target.name) for target in (publishing.target_regions if publishing else None) or ()]
    return named or [region_name(version.location)]
