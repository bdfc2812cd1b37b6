# SPDX-License-Identifier: Apache-2.0
"""The image that a machine is made from: a managed image, a version in a gallery, or the latest of a definition."""

from dataclasses import dataclass
from pathlib import Path

from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox.arm_call import Body, Call, required
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.gallery import Definition, Version, latest
from lkcloud_azure.sandbox.image import Image
from lkcloud_azure.sandbox.vm_sizes import Architecture


@dataclass(frozen=True, slots=True)
class Source:
    """An image as a machine sees it: SIZE raw bytes in FILE."""

    id: ResourceId
    file: Path
    size: int
    os_type: str
    generalized: bool
    generation: str
    """V1 or V2."""
    architecture: Architecture = "x64"
    controllers: tuple[str, ...] = ("SCSI",)
    security: str = "Standard"
    """The SecurityType of the image definition."""
    managed: bool = False
    """Whether it is a managed image, which can neither have NVMe nor Trusted Launch."""


def find(call: Call, reference: Body | None, location: str) -> Source:
    """Return the image of an imageReference, for a machine in LOCATION. Raises ApiError."""
    if not reference:
        raise required("imageReference")
    text = str(reference.get("id") or "")
    if not text:
        publisher, offer, sku = (str(reference.get(name) or "") for name in ("publisher", "offer", "sku"))
        message = f"The platform image '{publisher}:{offer}:{sku}:{reference.get('version')}' is not available."
        raise ApiError(404, "PlatformImageNotFound", f"{message} The sandbox has none.", target="imageReference")
    named = ResourceId.parse(text)
    if named is not None and named.is_of("images"):
        return _managed(call, named, location)
    if named is not None and named.is_of("galleries", "images", "versions"):
        return _version(call, call.cloud.get(Version, named), named, location)
    if named is not None and named.is_of("galleries", "images"):
        return _latest(call, named, location)
    message = f"The value '{text}' of parameter 'imageReference.id' is invalid."
    raise ApiError(400, "InvalidParameter", message, target="imageReference.id")


def _latest(call: Call, named: ResourceId, location: str) -> Source:
    found = latest(call.cloud, named, location)
    if found is None:
        message = f'There is no latest image version exists for "{named}"'
        raise ApiError(404, "GalleryImageNotFound", message, target="imageReference")
    return _version(call, found, found.id, location)


def _version(call: Call, version: Version | None, named: ResourceId, location: str) -> Source:
    call.require_linked("Microsoft.Compute/galleries/images/versions/read", named)
    there = version.region(location) if version is not None else None
    if version is None or there is None or there.state != "Completed":
        # https://learn.microsoft.com/azure/virtual-machines/troubleshooting-shared-images, which has no code.
        message = (
            f"The gallery image {named} is not available in {location} region. Please contact image owner to replicate "
            "to this region, or change your requested region."
        )
        raise ApiError(404, "GalleryImageNotFound", message, target="imageReference")
    definition = call.cloud.get(Definition, version.definition_id)
    assert definition is not None, "a version is in a definition"
    controllers = definition.feature("DiskControllerTypes") or definition.feature("DiskControllerType") or "SCSI"
    return Source(
        id=version.id,
        file=version.file,
        size=version.size,
        os_type=str(definition.sent["osType"]),
        generalized=definition.sent["osState"] == "Generalized",
        generation=definition.generation,
        architecture="Arm64" if definition.architecture == "Arm64" else "x64",
        controllers=tuple(name.strip() for name in controllers.split(",")),
        security=definition.security,
    )


def _managed(call: Call, named: ResourceId, location: str) -> Source:
    call.require_linked("Microsoft.Compute/images/read", named)
    image = call.cloud.get(Image, named)
    if image is None or image.location != location:
        # MicrosoftDocs/azure-docs#53728
        message = f"The Image '{named}' cannot be found in '{location}' region."
        raise ApiError(404, "NotFound", message, target="imageReference")
    if image.state != "Succeeded":
        message = f"The Image '{named}' is in provisioning state '{image.state}', and cannot be used."
        raise ApiError(409, "OperationNotAllowed", message, target="imageReference")
    return Source(
        id=image.id,
        file=image.file,
        size=image.size,
        os_type=str(image.os_disk["osType"]),
        generalized=image.os_disk["osState"] == "Generalized",
        generation=image.generation,
        managed=True,
    )
