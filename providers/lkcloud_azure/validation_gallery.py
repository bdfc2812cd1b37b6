# SPDX-License-Identifier: Apache-2.0
"""What an Azure Compute Gallery would refuse of an image definition, a version, or of making a gallery public.

https://learn.microsoft.com/azure/virtual-machines/azure-compute-gallery,
https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries, and what each rule names beside it.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from lkcloud.provider import Finding
from lkcloud_azure import version_number
from lkcloud_azure.naming import IMAGE_NAME, suggestion
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.plain import is_url

_GALLERY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._]{0,78}[A-Za-z0-9])?")
"""https://learn.microsoft.com/azure/virtual-machines/create-gallery#requirements-for-gallery-names."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]*[A-Za-z0-9_-]")
_IDENTIFIERS = (("publisher", 128), ("offer", 64), ("sku", 64))
"""Characters of each (SharedImageIdentifierAttribute in hashicorp/terraform-provider-azurerm)."""

_PREFIX = re.compile(r"[A-Za-z0-9]{5,16}")
"""SharedImageGalleryPrefix in hashicorp/terraform-provider-azurerm."""
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

_MAX_REPLICAS = 100

_OF_A_GALLERY = (
    *("definition", "gallery_version", "gallery_resource_group", "create_gallery", "publisher", "offer", "sku"),
    *("security_type", "target_region", "replicas", "storage_type", "replication_mode", "end_of_life"),
    *("uefi_template", "platform_key", "key_exchange_key", "signature_db", "revoked_db", "latest", "public"),
    *("community_prefix", "publisher_uri", "publisher_contact", "eula"),
)
"""Options that mean nothing for a managed image."""

_ONLY_PRIVATE = ("TrustedLaunch", "ConfidentialVM")
"""Security types that no shared gallery has, and that are of disks with a guest state (VMGS), which a plain disk has
not: https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries#image-definitions."""


def validate(options: AzureOptions, name: str) -> Iterator[Finding]:
    """Yield what stands in the way of an image called NAME becoming a version in the gallery of OPTIONS."""
    if options.gallery is None:
        yield from _without_gallery(options)
        return
    if options.family is not None:
        yield Finding(
            "--family is a tag of managed images: a version is one of its image definition",
            f"give --definition {options.family} in its place",
        )
    yield from _names(options, name)
    yield from _regions(options)
    yield from _security_type(options)
    if options.public:
        yield from _community(options)
    if options.end_of_life is not None and _in_utc(options.end_of_life) <= datetime.now(UTC):
        yield Finding(f"the end of life {options.end_of_life.isoformat()} is over", "give an --end-of-life to come")


def _without_gallery(options: AzureOptions) -> Iterator[Finding]:
    fields = type(options).model_fields
    given = [key for key in _OF_A_GALLERY if getattr(options, key) != fields[key].get_default()]
    if given:
        flags = ", ".join(f"--{key.replace('_', '-')}" for key in given)
        yield Finding(f"a managed image knows nothing of {flags}", "give --gallery, or leave that out")
    if options.os_state == "Specialized":
        # https://learn.microsoft.com/azure/virtual-machines/capture-image-resource
        yield Finding("managed images are always generalized", "give --gallery, or leave --os-state out")


def _names(options: AzureOptions, name: str) -> Iterator[Finding]:
    assert options.gallery is not None
    if not _GALLERY.fullmatch(options.gallery):
        better = re.sub(r"[^A-Za-z0-9.]+", "_", options.gallery).strip("._")[:80].rstrip("._")
        yield Finding(
            f"Azure does not take {options.gallery!r} as the name of a gallery",
            f"give --gallery {better}" if better else "use 1 to 80 letters, digits, . and _, but no -",
        )
    definition = options.definition or name
    if not IMAGE_NAME.fullmatch(definition):
        better = suggestion(definition)
        yield Finding(
            f"Azure does not take {definition!r} as the name of an image definition",
            f"give --definition {better}" if better else "give a --definition of letters, digits, . _ and -",
        )
    version = options.gallery_version
    if version is not None and version_number.parse(version) is None:
        yield Finding(
            f"{version!r} is no version of an image",
            f"give three numbers of at most {version_number.MOST}, as in 1.2.3",
        )
    for key, most in _IDENTIFIERS:
        value = getattr(options, key)
        if value is not None and not (_IDENTIFIER.fullmatch(value) and len(value) <= most):
            yield Finding(
                f"Azure does not take {value!r} as --{key}",
                f"use 1 to {most} letters, digits, . _ and -, and no . last",
            )


def _regions(options: AzureOptions) -> Iterator[Finding]:
    regions = {one.name: options.replicas if one.replicas is None else one.replicas for one in options.target_regions}
    if not regions or options.location is not None:
        # The region that a version is made in is always one of its regions.
        regions.setdefault(options.location or "", options.replicas)
    if sum(regions.values()) > _MAX_REPLICAS:
        yield Finding(
            f"{sum(regions.values())} replicas are more than the {_MAX_REPLICAS} of an image version",
            "give fewer --replicas",
        )
    if options.replication_mode == "Shallow" and sum(regions.values()) > 1:
        # hashicorp/packer-plugin-azure, shared_image_gallery_destination
        yield Finding(
            f"a shallow version is in one region, with one replica, and it would be in {len(regions)} "
            f"with {sum(regions.values())}",
            "leave --replication-mode out, or the others",
        )
    if options.disk_encryption_set is not None and len(regions) > 1:
        # https://learn.microsoft.com/azure/virtual-machines/image-version-encryption
        yield Finding(
            "a disk encryption set is of one region, and the version would be in several",
            "give one --target-region, or leave --disk-encryption-set out",
        )


def _security_type(options: AzureOptions) -> Iterator[Finding]:
    kind = options.security_type
    if kind in _ONLY_PRIVATE:
        yield Finding(
            f"images of the security type {kind} come with a guest state, which an uploaded disk has not",
            f"give {kind}Supported: machines of the type can be made of it, and others as well",
            obstacle=False,
        )
    if kind != "Standard" and options.disk_encryption_set is not None:
        yield Finding(
            f"galleries may not take --disk-encryption-set together with the security type {kind}",
            "leave one of them out if it fails (hashicorp/packer-plugin-azure#418)",
            obstacle=False,
        )


def _community(options: AzureOptions) -> Iterator[Finding]:
    """https://learn.microsoft.com/azure/virtual-machines/share-gallery-community#limitations-for-sharing-images-with-the-community."""
    if options.cloud_environment != "AzureCloud":
        # Said of government clouds; of Azure China nothing is said.
        yield Finding(f"{options.cloud_environment} has no community galleries", "leave --public out")
    if options.disk_encryption_set is not None:
        yield Finding("a community gallery takes no encrypted images", "leave --public or --disk-encryption-set out")
    if options.security_type in _ONLY_PRIVATE:
        yield Finding(
            f"a community gallery takes no images of the security type {options.security_type}",
            f"give --security-type {options.security_type}Supported",
        )
    if options.os_state == "Specialized":
        yield Finding(
            "everybody could read what is specialized in the image",
            "publish generalized images only",
            obstacle=False,
        )
    if options.community_prefix is not None and not _PREFIX.fullmatch(options.community_prefix):
        yield Finding(
            f"Azure does not take {options.community_prefix!r} as --community-prefix", "use 5 to 16 letters and digits"
        )
    for option, value in (("--publisher-uri", options.publisher_uri), ("--eula", options.eula)):
        if value is not None and not is_url(value, "http", "https"):
            yield Finding(f"{option} {value!r} is no URL", "give one like https://example.com/terms")
    if options.publisher_contact is not None and not _MAIL.fullmatch(options.publisher_contact):
        yield Finding(f"{options.publisher_contact!r} is no e-mail address", "give --publisher-contact NAME@HOST")


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
