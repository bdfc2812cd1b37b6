# SPDX-License-Identifier: Apache-2.0
"""What a gallery image version is made from: a managed image, a managed disk, another version, or a page blob.

https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries#rbac-permissions-required-to-create-an-acg-image
and, for the words, https://learn.microsoft.com/azure/virtual-machines/troubleshooting-shared-images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox import arm_blob_source, sparse
from lkcloud_azure.sandbox.arm_call import Call, invalid, required
from lkcloud_azure.sandbox.arm_gallery_images import EXCLUSIVE, SUPPORTED
from lkcloud_azure.sandbox.arm_operations import OperationFailed
from lkcloud_azure.sandbox.cloud import Cloud
from lkcloud_azure.sandbox.disk import Disk
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.gallery import STANDARD, Definition, Version
from lkcloud_azure.sandbox.image import Image
from lkcloud_azure.sandbox.storage_account import StorageAccount

_WHERE = "galleryImageVersion.properties.storageProfile"
_BY_ACCOUNT_SINCE = "2022-03-03"
"""From this api-version on a blob is named by storageAccountId and uri."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a version's bytes come from: the page blob at URL, or the file of ORIGIN."""

    url: str = ""
    origin: Image | Disk | Version | None = None

    def fill(self, cloud: Cloud, file: Path) -> int:
        """Make FILE the raw disk, and return its size. Raises OperationFailed."""
        if self.origin is None:
            return arm_blob_source.fetch(cloud, self.url, file)
        origin = self.origin
        if isinstance(origin, Disk) and origin.disk_state not in ("Unattached", "Reserved"):
            # As for managed images: Azure/azure-cli#10192.
            raise OperationFailed("InternalExecutionError", "An internal execution error occurred. Please retry later.")
        try:
            sparse.share(origin.file, file)
        except FileNotFoundError:
            message = f"Source was not found: {origin.id}. Please make sure the source exists."
            raise OperationFailed("SourceNotFound", message) from None
        return origin.size


def source(call: Call, profile: Mapping[str, Any], place: str, definition: Definition) -> Source:
    """Return the source that a storageProfile names, for a version in PLACE. Raises ApiError if it cannot be one."""
    whole, disk = profile.get("source") or {}, (profile.get("osDiskImage") or {}).get("source") or {}
    if profile.get("dataDiskImages"):
        raise invalid(f"{_WHERE}.dataDiskImages", "", "The sandbox has images of one disk.")
    if bool(whole) == bool(disk):
        message = (
            "The gallery artifact version source can only be specified either directly under storageProfile or within "
            "individual OS or data disks. One and only one source type (user image, snapshot, disk, virtual machine) "
            "can be provided."
        )
        raise ApiError(400, "InvalidParameter", message, target=_WHERE)
    if disk.get("uri") or disk.get("storageAccountId"):
        return _blob(call, disk, place, definition)
    if disk:
        return _disk(call, str(disk.get("id") or ""), place, definition)
    for name in ("virtualMachineId", "communityGalleryImageId"):
        if whole.get(name):
            raise invalid(f"{_WHERE}.source.{name}", whole[name], "The sandbox makes no versions of these.")
    return _image(call, str(whole.get("id") or ""), place, definition)


def _blob(call: Call, disk: Mapping[str, Any], place: str, definition: Definition) -> Source:
    where = f"{_WHERE}.osDiskImage.source"
    url, account_id = disk.get("uri"), disk.get("storageAccountId")
    if not url:
        raise required(f"{where}.uri")
    if call.version < _BY_ACCOUNT_SINCE:
        raise invalid(f"{where}.storageAccountId", account_id, f"It needs api-version {_BY_ACCOUNT_SINCE} or later.")
    if not account_id:
        raise required(f"{where}.storageAccountId")
    call.require_linked("Microsoft.Storage/storageAccounts/listKeys/action", account_id)
    named = call.cloud.get(StorageAccount, account_id)
    if named is None:
        raise _missing(account_id)
    account = arm_blob_source.check_url(call, url, place, f"{where}.uri")
    if account is not named:
        raise invalid(f"{where}.uri", url, f"The blob is not in the storage account {named.name}.")
    if definition.security in EXCLUSIVE:
        raise _unfit(definition, url)
    return Source(url=url)


def _disk(call: Call, text: str, place: str, definition: Definition) -> Source:
    parsed = _parsed(text, "osDiskImage.source.id")
    if not parsed.is_of("disks"):
        raise ApiError(
            400, "InvalidParameter", f"The source id: {text} must be a managed disk or snapshot.", target=_WHERE
        )
    call.require_linked("Microsoft.Compute/disks/write", parsed)
    disk = call.cloud.get(Disk, parsed)
    if disk is None or disk.location != place:
        raise _missing(text)
    shown = disk.properties()
    if definition.security in SUPPORTED:
        raise _unfit(definition, text)
    security = (shown.get("securityProfile") or {}).get("securityType", STANDARD)
    if security.partition("_")[0] != definition.security:
        raise _different(text, "security type", security, definition.security)
    _check_alike(
        text,
        definition,
        shown.get("osType"),
        shown.get("hyperVGeneration"),
        (shown.get("supportedCapabilities") or {}).get("architecture", "x64"),
    )
    return Source(origin=disk)


def _image(call: Call, text: str, place: str, definition: Definition) -> Source:
    parsed = _parsed(text, "source.id")
    if parsed.is_of("images"):
        call.require_linked("Microsoft.Compute/images/read", parsed)
        image = call.cloud.get(Image, parsed)
        if image is None or image.location != place or image.state != "Succeeded":
            raise _missing(text)
        _check_state(text, definition, image.os_disk["osState"])
        # A managed image says nothing of its architecture (ImageProperties of the SDK): those of Arm64 must come from a
        # disk or a blob, as https://docs.fedoraproject.org/en-US/fedora-coreos/provisioning-azure has it.
        _check_alike(text, definition, image.os_disk["osType"], image.generation, "x64")
        if definition.security in EXCLUSIVE:
            raise _unfit(definition, text)
        return Source(origin=image)
    if not parsed.is_of("galleries", "images", "versions"):
        message = (
            f"The source id: {text} must either be a managed image, virtual machine or another gallery image version"
        )
        raise ApiError(400, "InvalidParameter", message, target=_WHERE)
    call.require_linked("Microsoft.Compute/galleries/images/versions/read", parsed)
    version = call.cloud.get(Version, parsed)
    if version is None or version.region(place) is None or version.state != "Succeeded":
        raise _missing(text)
    other = call.cloud.get(Definition, version.definition_id)
    assert other is not None
    _check_state(text, definition, other.sent["osState"])
    _check_alike(text, definition, other.sent["osType"], other.generation, other.architecture)
    return Source(origin=version)


def _parsed(text: str, where: str) -> ResourceId:
    parsed = ResourceId.parse(text)
    if parsed is None:
        message = (
            f"Property id '{text}' at path 'properties.storageProfile.{where}' is invalid. Expect fully qualified "
            "resource Id that start with '/subscriptions/{subscriptionId}' or "
            "'/providers/{resourceProviderNamespace}/'."
        )
        raise ApiError(400, "LinkedInvalidPropertyId", message, target=_WHERE)
    return parsed


def _check_state(text: str, definition: Definition, state: str) -> None:
    if state != definition.sent["osState"]:
        message = (
            f"Cannot create Gallery Image Version from: {text} since the OS State in the parent gallery image "
            f"('{definition.sent['osState']}') is not '{state}'."
        )
        raise ApiError(400, "InvalidParameter", message, target=_WHERE)


def _check_alike(
    text: str, definition: Definition, system: str | None, generation: str | None, architecture: str
) -> None:
    for what, own, wanted in (
        ("Hypervisor generation", generation, definition.generation),
        ("OS type", system, definition.sent["osType"]),
        ("architecture", architecture, definition.architecture),
    ):
        if own is not None and own != wanted:
            raise _different(text, what, own, wanted)


def _different(text: str, what: str, own: str, wanted: str) -> ApiError:
    message = (
        f"The resource with id '{text}' has a different {what} ['{own}'] than the parent gallery image {what} "
        f"['{wanted}']."
    )
    return ApiError(400, "InvalidParameter", message, target=_WHERE)


def _unfit(definition: Definition, text: str) -> ApiError:
    # hashicorp/packer-plugin-azure#304, microsoft/STL#4682
    kinds = "Vhd Blob, User Image and Gallery Image Version" if definition.security in SUPPORTED else "Disk"
    message = (
        f"The security type '{definition.security}' is not supported for the source id '{text}'. Currently only "
        f"{kinds} sources are supported for '{definition.security}' images."
    )
    return ApiError(400, "InvalidParameter", message, target="galleryImageVersion.properties.storageProfile.source.id")


def _missing(text: str) -> ApiError:
    message = (
        f"Source {text} is not found. Please check source exists, and is in the same region as gallery image version "
        "being created."
    )
    return ApiError(404, "NotFound", message, target=_WHERE)
