# SPDX-License-Identifier: Apache-2.0
"""What a publishing profile and a security profile of a gallery image version may say.

https://learn.microsoft.com/rest/api/compute/gallery-image-versions/create-or-update and, for the words,
https://learn.microsoft.com/azure/virtual-machines/troubleshooting-shared-images.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from cryptography import x509

from lkcloud_azure.sandbox.arm_call import Call, invalid, required
from lkcloud_azure.sandbox.cloud import LOCATIONS
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.gallery import Definition, Gallery, Region

_WHERE = "galleryImageVersion.properties.publishingProfile"
_MOST = 100
"""Replicas in a region: https://learn.microsoft.com/azure/virtual-machines/azure-compute-gallery#limits."""
_ZONAL_SINCE = "2025-03-03"
"""StorageAccountStrategy of the SDK: from this api-version on PreferStandard_ZRS is the default."""
_NO_ZONES = ("northcentralus", "westus")
_UEFI = ("TrustedLaunchSupported", "TrustedLaunchAndConfidentialVmSupported")
"""https://learn.microsoft.com/azure/virtual-machines/trusted-launch-secure-boot-custom-uefi#prerequisites"""


def regions(call: Call, profile: Mapping[str, Any], place: str, gallery: Gallery) -> tuple[Region, ...]:
    """Return the regions that PROFILE names, or else PLACE, the region of the version. Raises ApiError."""
    strategy = profile.get("storageAccountStrategy")
    if strategy and profile.get("storageAccountType"):
        # StorageAccountStrategy of the SDK: "Cannot be specified along with storageAccountType".
        raise invalid(f"{_WHERE}.storageAccountStrategy", strategy, "It cannot be given with storageAccountType.")
    usual = _count(profile.get("replicaCount", 1), f"{_WHERE}.replicaCount")
    found: list[Region] = []
    for wanted in profile.get("targetRegions") or [{"name": place}]:
        name = wanted["name"].replace(" ", "").lower()
        if name not in LOCATIONS:
            raise invalid(f"{_WHERE}.targetRegions", wanted["name"], "There is no such region.")
        count = _count(wanted.get("regionalReplicaCount", usual), f"{_WHERE}.targetRegions.regionalReplicaCount")
        storage = (
            wanted.get("storageAccountType") or profile.get("storageAccountType") or _storage(call, strategy, name)
        )
        found.append(Region(name, count, storage, wanted.get("excludeFromLatest", False), wanted.get("encryption")))
    names = [region.name for region in found]
    if len(set(names)) < len(names):
        raise _refused("Duplicate regions are not allowed in target publishing regions.")
    if place not in names:
        raise _refused(
            f"Gallery image version publishing profile regions '{','.join(names)}' must contain the location of image "
            f"version '{LOCATIONS[place]}'."
        )
    if profile.get("replicationMode") == "Shallow" and (len(found) > 1 or found[0].replicas > 1):
        # shared-image-galleries#shallow-replication: nothing is copied, so that there is nothing to replicate.
        raise _refused("Shallow replication is for one replica in the region of the image version.")
    if gallery.permissions == "Community" and (place != gallery.location or any(one.encryption for one in found)):
        # https://learn.microsoft.com/azure/virtual-machines/share-gallery-community#limitations: the region of the
        # gallery, and no encryption. Words of ours.
        raise _refused(f"Versions in the community gallery {gallery.name} are unencrypted and in {gallery.location}.")
    return tuple(found)


def _storage(call: Call, strategy: str | None, region: str) -> str:
    prefers = strategy == "PreferStandard_ZRS" or (strategy is None and call.version >= _ZONAL_SINCE)
    return "Standard_ZRS" if prefers and region not in _NO_ZONES else "Standard_LRS"


def _count(value: int, where: str) -> int:
    if not 1 <= value <= _MOST:
        message = f"The value '{value}' of parameter '{where}' is out of range."
        message += f" The value must be between 1 and {_MOST}, inclusive."
        raise ApiError(400, "InvalidParameter", message, target=where)
    return value


def _refused(message: str) -> ApiError:
    return ApiError(400, "InvalidParameter", message, target=f"{_WHERE}.targetRegions")


def check_security(profile: Mapping[str, Any], definition: Definition) -> None:
    """Raise ApiError if a version of DEFINITION cannot have the security PROFILE."""
    settings = profile.get("uefiSettings")
    if not settings:
        return
    where = "galleryImageVersion.properties.securityProfile.uefiSettings"
    if definition.security not in _UEFI:
        raise invalid(where, "", f"The security type of the gallery image must be one of {', '.join(_UEFI)}.")
    names = settings.get("signatureTemplateNames") or []
    if not names:
        raise required(f"{where}.signatureTemplateNames")
    if "NoSignatureTemplate" in names and len(names) > 1:
        raise invalid(f"{where}.signatureTemplateNames", ",".join(names), "NoSignatureTemplate stands alone.")
    for name, keys in (settings.get("additionalSignatures") or {}).items():
        for key in keys if isinstance(keys, list) else [keys]:
            _check_key(f"{where}.additionalSignatures.{name}", key)


def _check_key(where: str, key: Mapping[str, Any]) -> None:
    if not key.get("type") or not key.get("value"):
        raise required(f"{where}.type" if not key.get("type") else f"{where}.value")
    for text in key["value"]:
        try:
            decoded = base64.b64decode(text, validate=True)
            if key["type"] == "x509":
                x509.load_der_x509_certificate(decoded)
        except (binascii.Error, ValueError):
            raise invalid(f"{where}.value", text[:40], f"It is no base64 of a {key['type']}.") from None
        if key["type"] == "sha256" and len(decoded) != 32:
            raise invalid(f"{where}.value", text[:40], "It is no base64 of a SHA-256.")
