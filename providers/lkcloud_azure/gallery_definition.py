# SPDX-License-Identifier: Apache-2.0
"""Image definitions: what all versions in one have in common, and whether a disk fits into it.

https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries#image-definitions. Most of it cannot be
changed once it is made, and machines are made as the definition says, whatever is in the version.
"""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from lkcloud.errors import Conflict, LkcloudError, NotFound, UsageError
from lkcloud.provider import Finding, Run, Source
from lkcloud_azure import features, operations, uefi
from lkcloud_azure.errors import fault, is_absent, status_of
from lkcloud_azure.naming import COMPUTE, IMAGE_NAME, ResourceId, word
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.session import Session
from lkcloud_azure.validation_boot import WITH_KEYS

if TYPE_CHECKING:
    from azure.mgmt.compute import models

SECURITY_TYPE = "SecurityType"
CONTROLLERS = "DiskControllerTypes"
ACCELERATED = "IsAcceleratedNetworkSupported"
"""Features. Names and values are compared without regard to case."""

_OLD_CONTROLLERS = "DiskControllerType"
"""Another name of the feature, on some of Microsoft's pages."""

STANDARD = "Standard"
"""The security type that is meant where a definition names none."""

_IDENTIFIER = re.compile(r"publisher.*offer.*sku.*already exists", re.IGNORECASE | re.DOTALL)
"""What Azure says of an identifier that another definition has, with the code OperationNotAllowed

(https://learn.microsoft.com/azure/virtual-machines/troubleshooting-shared-images)."""

_RIVAL_HINT = "give another --publisher, --offer or --sku, or the --definition that has these"

_MOST_OFFER = 64
"""Characters of an offer, fewer than a definition's name has (same page)."""


def place_of(session: Session, options: AzureOptions, name: str) -> ResourceId:
    """Return the id of the definition for images called NAME, in the gallery of the options, which name one."""
    assert options.gallery is not None
    names = (options.gallery, options.definition or name)
    return ResourceId(session.subscription, options.gallery_group, COMPUTE, ("galleries", "images"), names)


def find(session: Session, place: ResourceId) -> "models.GalleryImage | None":
    """Return the definition with this id, None if it or its gallery is not there."""
    gallery, name = place.names
    if not IMAGE_NAME.fullmatch(name):
        return None  # Azure would refuse it
    with session.errors(f"looking for the image definition {name}"):
        try:
            return session.attempt(lambda: session.compute.gallery_images.get(place.group, gallery, name))
        except Exception as error:
            if is_absent(error):
                return None
            raise


def architecture(shown: "models.GalleryImage | None") -> str:
    """Return the architecture of a definition's images; x64 where it says nothing, as Azure takes it."""
    return word(shown.properties.architecture if shown and shown.properties else None) or "x64"


def security_type(shown: "models.GalleryImage") -> str:
    """Return the security type of a definition's images."""
    return _features(shown).get(SECURITY_TYPE.lower(), STANDARD)


def controllers(shown: "models.GalleryImage") -> tuple[str, ...]:
    """Return the disk controllers of a definition's images in our words, SCSI where it names none."""
    found = _features(shown)
    named = found.get(CONTROLLERS.lower()) or found.get(_OLD_CONTROLLERS.lower()) or "SCSI"
    known = {"scsi": "SCSI", "nvme": features.NVME}
    return tuple(known.get(word, word) for word in _words(named))


def check(session: Session, options: AzureOptions, source: Source) -> Iterator[Finding]:
    """Yield what stands in the way of a version of SOURCE in the definition, making nothing; the gallery is there."""
    place = place_of(session, options, source.name)
    shown = find(session, place)
    if shown is not None:
        yield from differences(options, source, shown)
    elif not options.create_gallery:
        yield _missing(place)
    else:
        yield from _rivals(session, options, source, place)


def ensure(session: Session, options: AzureOptions, source: Source, region: str, run: Run) -> str:
    """Make the definition in REGION if it is missing and the options say that it may be; the gallery is there.

    Returns the security type of its images. Raises NotFound where it is missing and may not be made, UsageError where
    it is for other images, and Conflict where another definition has its publisher, offer and SKU.
    """
    place = place_of(session, options, source.name)
    shown = _settled(session, place)
    if shown is None:
        if not options.create_gallery:
            missing = _missing(place)
            raise NotFound(f"azure: {missing.problem}", hint=missing.hint)
        shown = _made(session, options, source, region)
        run.reporter.note(f"made the image definition {place.names[1]}")
    for finding in differences(options, source, shown):
        raise UsageError(f"azure: {finding.problem}", hint=finding.hint)
    return security_type(shown)


def differences(options: AzureOptions, source: Source, shown: "models.GalleryImage") -> Iterator[Finding]:
    """Yield what of a definition does not fit what is known of the image, or what the user has asked for.

    What the user has not named may be as it is: a definition for Trusted Launch takes an image that says nothing of it.
    """
    said = shown.properties
    assert said is not None
    name = shown.name
    for what, flag, here, there in (
        ("architecture", "--architecture", features.architecture(options, source.facts), architecture(shown)),
        (
            "Hyper-V generation",
            "--hyper-v-generation",
            features.generation(options, source.facts),
            word(said.hyper_v_generation) or "V1",
        ),
        ("operating system", "--os-type", options.os_type, word(said.os_type)),
        ("operating system state", "--os-state", options.os_state, word(said.os_state)),
    ):
        if here.lower() != there.lower():
            yield Finding(
                f"the image definition {name} has the {what} {there}, and the image has {here}",
                f"give another --definition, or {flag} {there} if the image is that after all",
            )
    yield from _wishes(options, source, shown)


def _wishes(options: AzureOptions, source: Source, shown: "models.GalleryImage") -> Iterator[Finding]:
    """Yield what the user has named and the definition has otherwise."""
    assert shown.properties is not None
    given, identifier = options.model_fields_set, shown.properties.identifier
    security = security_type(shown)
    wanted = ", ".join(features.disk_controller_types(options, source.facts))
    accelerated = _features(shown).get(ACCELERATED.lower(), "False")
    for field, what, here, there in (
        ("security_type", "security type", options.security_type, security),
        ("disk_controller_type", "disk controller types", wanted, ", ".join(controllers(shown))),
        ("accelerated_network", "accelerated network", str(options.accelerated_network), accelerated),
        ("publisher", "publisher", options.publisher, identifier.publisher),
        ("offer", "offer", options.offer or "", identifier.offer),
        ("sku", "SKU", options.sku or "", identifier.sku),
    ):
        if field in given and _words(here) != _words(there):
            yield Finding(
                f"the image definition {shown.name} has the {what} {there}, and not {here}",
                f"leave out --{field.replace('_', '-')}, or give another --definition",
            )
    if uefi.chosen(options) and security.lower() not in {name.lower() for name in WITH_KEYS}:
        yield Finding(
            f"versions in {shown.name} have no Secure Boot keys of their own: its security type is {security}",
            f"give another --definition, with one of the security types {', '.join(WITH_KEYS)}",
        )


def request(options: AzureOptions, source: Source, name: str, region: str) -> "models.GalleryImage":
    """Return what Azure is asked for as the definition NAME in REGION.

    The security type is always said: where it is not, Azure takes TrustedLaunchSupported since the API of 2025-03-03
    (https://learn.microsoft.com/azure/virtual-machines/compute-gallery-whats-new).
    """
    from azure.mgmt.compute import models

    machine, generation = features.architecture(options, source.facts), features.generation(options, source.facts)
    publisher, offer, sku = _identifier(options, source, name)
    values = {
        SECURITY_TYPE: options.security_type,
        CONTROLLERS: ", ".join(features.disk_controller_types(options, source.facts)),
        ACCELERATED: str(options.accelerated_network),
    }
    if generation == "V1":
        # It has SCSI, which is meant where nothing is said; of machines of V1 no controller may be said at all
        # (microsoft/lisa#2628), and of definitions that is not known.
        del values[CONTROLLERS]
    return models.GalleryImage(
        location=region,
        tags=options.tags,
        properties=models.GalleryImageProperties(
            description=source.description or None,
            os_type=options.os_type,
            os_state=options.os_state,
            hyper_v_generation=generation,
            architecture=machine,
            identifier=models.GalleryImageIdentifier(publisher=publisher, offer=offer, sku=sku),
            features=[models.GalleryImageFeature(name=key, value=value) for key, value in values.items()],
        ),
    )


def _identifier(options: AzureOptions, source: Source, name: str) -> tuple[str, str, str]:
    """Return publisher, offer and SKU of the definition NAME."""
    machine, generation = features.architecture(options, source.facts), features.generation(options, source.facts)
    offer = options.offer or name[:_MOST_OFFER].rstrip(".")
    return options.publisher, offer, options.sku or f"{generation}-{machine}".lower()


def _rivals(session: Session, options: AzureOptions, source: Source, place: ResourceId) -> Iterator[Finding]:
    """Yield what has the publisher, offer and SKU already that the definition is to have; the gallery is there."""
    gallery, name = place.names
    wanted = _identifier(options, source, name)
    definitions = session.compute.gallery_images
    found = session.call(
        f"looking for image definitions in {gallery}", lambda: list(definitions.list_by_gallery(place.group, gallery))
    )
    for shown in found:
        has = shown.properties.identifier if shown.properties else None
        if has is not None and _same((has.publisher, has.offer, has.sku), wanted):
            yield Finding(
                f"the image definition {shown.name} has the publisher, offer and SKU {', '.join(wanted)} already",
                _RIVAL_HINT,
            )


def _made(session: Session, options: AzureOptions, source: Source, region: str) -> "models.GalleryImage":
    """Make the definition, and return it; one that another run makes at the same time will do."""
    place = place_of(session, options, source.name)
    gallery, name = place.names
    wanted = request(options, source, name, region)
    doing, definitions = f"making the image definition {name}", session.compute.gallery_images
    try:
        operation = operations.begin(
            session, doing, lambda **how: definitions.begin_create_or_update(place.group, gallery, name, wanted, **how)
        )
        operations.wait(session, operation, doing=doing)
    except LkcloudError as error:
        answer = fault(error.__cause__)
        if answer is not None and _IDENTIFIER.search(answer.message):
            raise Conflict(error.message, hint=_RIVAL_HINT) from error.__cause__
        if status_of(error.__cause__) != 409 or _settled(session, place) is None:
            raise
    return operations.shown(lambda: find(session, place), what=f"the image definition {name}")


def _settled(session: Session, place: ResourceId) -> "models.GalleryImage | None":
    """Return the definition when nobody makes or deletes it any more, None if it is not there then."""
    return operations.settled(lambda: find(session, place), what=f"the image definition {place.names[1]}")


def _missing(place: ResourceId) -> Finding:
    gallery, name = place.names
    return Finding(
        f"there is no image definition {name} in the gallery {gallery}",
        "give --create-gallery to have it made, or check --definition, which is the image's name if not given",
    )


def _features(shown: "models.GalleryImage") -> dict[str, str]:
    """Return the features of a definition by their names in lower case."""
    found = (shown.properties.features if shown.properties else None) or []
    return {(one.name or "").lower(): one.value or "" for one in found}


def _same(one: Iterable[str], other: Iterable[str]) -> bool:
    """Tell whether two identifiers are the same; that case means nothing in them is the strict reading."""
    return [word.lower() for word in one] == [word.lower() for word in other]


def _words(text: str) -> list[str]:
    """Return the words of a value such as `SCSI, NVMe`, so that two that mean the same are equal."""
    return sorted(word.strip().lower() for word in text.split(","))
