# SPDX-License-Identifier: Apache-2.0
"""Image definitions in galleries.

https://learn.microsoft.com/rest/api/compute/gallery-images; what is said no with is, where nothing else is named, in
https://learn.microsoft.com/azure/virtual-machines/troubleshooting-shared-images.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from azure.mgmt.compute import models

from lkcloud_azure.sandbox.arm_call import Answer, Body, Call, Route, invalid, location, required, tags
from lkcloud_azure.sandbox.arm_galleries import PATH as GALLERY
from lkcloud_azure.sandbox.arm_model import body
from lkcloud_azure.sandbox.arm_names import check_name
from lkcloud_azure.sandbox.arm_nested import check_empty, forget
from lkcloud_azure.sandbox.arm_operations import Operation, started
from lkcloud_azure.sandbox.arm_versions import GALLERIES
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.gallery import SECURITY, STANDARD, Definition, Gallery

PATH = f"{GALLERY}/images/{{image}}"

SUPPORTED = ("TrustedLaunchSupported", "ConfidentialVMSupported", "TrustedLaunchAndConfidentialVmSupported")
"""Security types of images that can have it: https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries."""
EXCLUSIVE = ("TrustedLaunch", "ConfidentialVM")
"""Security types of images that must have it, which private galleries alone can hold."""

_DEFAULT_SINCE = "2025-03-03"
"""From this api-version on an image definition that names no security type is TrustedLaunchSupported, and V2
(https://learn.microsoft.com/azure/virtual-machines/trusted-launch#trusted-launch-as-default-preview)."""
_FIXED = ("osType", "osState", "hyperVGeneration", "identifier", "architecture")
_ASSET = re.compile(r"[A-Za-z0-9\-._]*[A-Za-z0-9\-_]")
_LENGTHS = {"publisher": 128, "offer": 64, "sku": 64}
_VALUE = re.compile(r"[A-Za-z0-9 ,]{1,100}")
_FEATURES = {
    "diskcontrollertypes": re.compile(r"(SCSI|NVMe|SCSI, ?NVMe|NVMe, ?SCSI)", re.IGNORECASE),
    "isacceleratednetworksupported": re.compile("true|false", re.IGNORECASE),
    "ishibernatesupported": re.compile("true|false", re.IGNORECASE),
    SECURITY.lower(): re.compile("|".join((STANDARD, *SUPPORTED, *EXCLUSIVE)), re.IGNORECASE),
}


def _put(call: Call) -> Answer:
    call.group()
    call.parents("write")
    gallery = call.cloud.get(Gallery, _parent(call))
    assert gallery is not None
    sent = body(call, models.GalleryImage)
    existing = call.cloud.get(Definition, call.id)
    place = location(call, sent, existing)
    check_name(call.id.names[-1], "galleryImageName")
    properties = sent.get("properties")
    if not properties:
        raise required("galleryImage.properties")
    if existing is not None:
        return _changed(call, existing, properties, tags(sent))
    _check_identifier(call, properties["identifier"])
    _check_dates(properties)
    features = _checked(properties.get("features") or [])
    generation = properties.get("hyperVGeneration")
    named = any(one["name"].lower() == SECURITY.lower() for one in features)
    if call.version >= _DEFAULT_SINCE and not named and generation != "V1":
        features = (*features, {"name": SECURITY, "value": "TrustedLaunchSupported"})
        generation = "V2"
    definition = Definition(
        id=call.id,
        location=place,
        tags=tags(sent),
        features=features,
        sent={
            **properties,
            "hyperVGeneration": generation or "V1",
            "architecture": properties.get("architecture", "x64"),
        },
    )
    _check_whole(gallery, definition)
    call.cloud.add(definition)
    return _ending(call, definition, 201)


def _parent(call: Call) -> str:
    return str(call.id.parent)


def _check_identifier(call: Call, identifier: Mapping[str, str]) -> None:
    for name, longest in _LENGTHS.items():
        text = identifier[name]
        if len(text) > longest or not _ASSET.fullmatch(text):
            where = f"galleryImage.properties.identifier.{name}"
            message = (
                f"Asset name {where} is not valid. It cannot be empty. Allowed characters are uppercase or lowercase "
                "letters, digits, hyphen(-), period (.), underscore (_). Names are not allowed to end with period(.). "
                f"The length of the name cannot exceed {longest} characters."
            )
            raise ApiError(400, "InvalidParameter", message, target=where)
    wanted = tuple(identifier[name].lower() for name in _LENGTHS)
    for other in call.cloud.every(Definition, _parent(call)):
        if tuple(word.lower() for word in other.identifier) == wanted:
            publisher, offer, sku = (identifier[name] for name in _LENGTHS)
            message = (
                f"Gallery image: {other.name} identified by (publisher:{publisher}, offer:{offer}, sku:{sku}) already "
                "exists. Choose a different publisher, offer, sku combination."
            )
            raise ApiError(409, "Conflict", message, target="galleryImage.properties.identifier")


def _check_dates(properties: Body) -> None:
    text = properties.get("endOfLifeDate")
    if text:
        check_end_of_life(text, "galleryImage.properties.endOfLifeDate")
    for name, kind in (("vCPUs", "recommended.vCPUs"), ("memory", "recommended.memory")):
        span = (properties.get("recommended") or {}).get(name) or {}
        if span.get("min", 0) > span.get("max", span.get("min", 0)):
            message = f"The minimum value of {kind} must not be greater than the maximum value of {kind}."
            raise ApiError(400, "InvalidParameter", message, target=f"galleryImage.properties.{kind}")


def check_end_of_life(text: str, where: str) -> None:
    """Raise ApiError if a date is not in the future."""
    when = datetime.fromisoformat(text)
    if (when if when.tzinfo else when.replace(tzinfo=UTC)) <= datetime.now(UTC):
        raise ApiError(400, "InvalidParameter", "EndOfLifeDate must be set to a future date.", target=where)


def _checked(wanted: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, str], ...]:
    where = "galleryImage.properties.features"
    found: dict[str, Mapping[str, str]] = {}
    for one in wanted:
        name, value = str(one.get("name") or ""), str(one.get("value") or "")
        # https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries writes it without the s too.
        known = _FEATURES.get("diskcontrollertypes" if name.lower() == "diskcontrollertype" else name.lower())
        if known is None:
            raise invalid(where, name, "There is no such feature.")
        if not _VALUE.fullmatch(value) or not known.fullmatch(value):
            # Azure/azure-cli#24142
            message = (
                f"The value '{value}' for feature '{name}' is invalid. Allowed characters are English alphanumerical "
                "characters with spaces and commas. The length of the value cannot exceed 100 characters."
            )
            raise ApiError(400, "InvalidParameter", message, target=where)
        if name.lower() in found:
            raise invalid(where, name, "A feature can be given once only.")
        starts = one.get("startsAtVersion")
        if starts is not None and not re.fullmatch(r"\d+\.\d+\.\d+", str(starts)):
            raise invalid(f"{where}.startsAtVersion", starts)
        found[name.lower()] = {"name": name, "value": value} | ({"startsAtVersion": starts} if starts else {})
    return tuple(found.values())


def _check_whole(gallery: Gallery, definition: Definition) -> None:
    security = definition.security
    where = "galleryImage.properties.features"
    if security != STANDARD and definition.generation != "V2":
        # https://learn.microsoft.com/azure/virtual-machines/trusted-launch: generation 2 alone. Words of ours.
        raise invalid(where, security, "The security type needs hyperVGeneration V2.")
    if security in EXCLUSIVE and gallery.permissions != "Private":
        raise invalid(where, security, f"The security type is not supported in galleries with {gallery.permissions}.")
    if definition.architecture == "Arm64":
        # https://learn.microsoft.com/azure/virtual-machines/generation-2: Arm64 machines are of generation 2.
        if definition.generation != "V2":
            raise invalid("galleryImage.properties.hyperVGeneration", "V1", "Arm64 needs hyperVGeneration V2.")
        if "Confidential" in security:
            raise invalid(where, security, "The security type is not supported for Arm64.")
    if gallery.permissions == "Community" and definition.location != gallery.location:
        # share-gallery-community: "Image resources need to be created in the same region as the gallery."
        why = f"It must be that of the community gallery, {gallery.location}."
        raise invalid("galleryImage.location", definition.location, why)


def _changed(call: Call, definition: Definition, properties: Body, marks: dict[str, str]) -> Answer:
    if definition.state in ("Creating", "Deleting"):
        message = (
            f"Gallery image {definition.name} is in provisioning state {definition.state}. Please try again later."
        )
        raise ApiError(409, "Conflict", message)
    for name in _FIXED:
        if name in properties and properties[name] != definition.sent[name]:
            raise _fixed(f"galleryImage.properties.{name}")
    if "features" in properties:
        features = _checked(properties["features"])
        if _by_name(features) != _by_name(definition.features) and properties.get("allowUpdateImage") is not True:
            # GalleryImageProperties.allow_update_image of the SDK
            raise _fixed("galleryImage.properties.features")
        before = definition.features
        definition.features = features
        gallery = call.cloud.get(Gallery, _parent(call))
        assert gallery is not None
        try:
            _check_whole(gallery, definition)
        except ApiError:
            definition.features = before
            raise
    _check_dates(properties)
    definition.sent = {**definition.sent, **properties}
    definition.tags, definition.state = marks, "Updating"
    return _ending(call, definition, 200)


def _by_name(features: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {one["name"].lower(): one["value"].lower().replace(" ", "") for one in features}


def _fixed(where: str) -> ApiError:
    return ApiError(409, "PropertyChangeNotAllowed", f"Changing property '{where}' is not allowed.", target=where)


def _patch(call: Call) -> Answer:
    definition = call.find(Definition)
    sent = body(call, models.GalleryImageUpdate)
    return _changed(call, definition, sent.get("properties") or {}, tags(sent) if "tags" in sent else definition.tags)


def _ending(call: Call, definition: Definition, status: int) -> Answer:
    cloud = call.cloud

    def work(operation: Operation) -> None:
        with cloud.lock:
            definition.state = "Succeeded"
            operation.output = definition.described()

    return Answer(definition.described(), status, started(call, work, seconds=cloud.windows.operation))


def _get(call: Call) -> Answer:
    return Answer(call.find(Definition).described())


def _list(call: Call) -> Answer:
    call.group()
    call.parents("read")
    return call.listed([definition.described() for definition in call.cloud.every(Definition, str(call.id))])


def _delete(call: Call) -> Answer:
    call.group()
    definition, cloud = call.cloud.get(Definition, call.id), call.cloud
    if definition is None:
        return Answer(None, 204)
    check_empty(call, definition)
    definition.state = "Deleting"

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            forget(cloud, definition)

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation, result=True))


ROUTES = (
    Route("PUT", PATH, "GalleryImages.CreateOrUpdate", GALLERIES, _put),
    Route("PATCH", PATH, "GalleryImages.Update", GALLERIES, _patch),
    Route("GET", PATH, "GalleryImages.Get", GALLERIES, _get),
    Route("DELETE", PATH, "GalleryImages.Delete", GALLERIES, _delete),
    Route("GET", f"{GALLERY}/images", "GalleryImages.ListByGallery", GALLERIES, _list),
)
