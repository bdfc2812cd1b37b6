# SPDX-License-Identifier: Apache-2.0
"""What Azure would refuse, or never boot, as far as it can be known without asking Azure.

Names: https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules. What a gallery asks for
is in `validation_gallery`, and what a disk must have to boot in `validation_boot`.
"""

import re
from collections.abc import Iterator
from uuid import UUID

from lkcloud.provider import Finding, Source
from lkcloud_azure import naming, validation_boot, validation_gallery
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.plain import is_url

MIB = 1024**2

LEAST_MIB = 20
"""The smallest managed disk that can be uploaded (CreationData.upload_size_bytes in the API's model)."""

MAX_GIB = 2040
"""The largest VHD; a page blob (8 TiB) and a direct upload (32 TiB + 512 bytes) would be larger."""

_GROUP = re.compile(r"[-\w._()]{0,89}[-\w_()]")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")
_REGION = re.compile(r"[a-z0-9]+")
_SIZE = re.compile(r"(Standard|Basic)_[A-Za-z0-9_-]+")

_MAX_TAGS = 50
"""https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations."""
_MAX_TAG = 256


def validate(options: AzureOptions, source: Source) -> Iterator[Finding]:
    """Yield what stands in the way of making SOURCE an image with OPTIONS."""
    yield from _names(options, source)
    yield from _size(options, source)
    yield from _places(options)
    yield from _upload(options)
    yield from _ids(options)
    yield from validation_gallery.validate(options, source.name)
    yield from validation_boot.validate(options, source.facts)


def _names(options: AzureOptions, source: Source) -> Iterator[Finding]:
    # In a gallery the name is a tag, and beside it that of the definition unless another is given.
    if options.gallery is None and not naming.IMAGE_NAME.fullmatch(source.name):
        better = naming.suggestion(source.name)
        rule = "1 to 80 letters, digits, . _ and -, a letter or digit first and no . or - last"
        yield Finding(
            f"Azure does not take {source.name!r} as the name of an image",
            f"give --name {better}" if better else f"use {rule}",
        )
    elif options.gallery is not None and not (0 < len(source.name) <= _MAX_TAG and source.name.isprintable()):
        yield Finding(
            f"Azure does not take {source.name!r} as the value of a tag", f"use 1 to {_MAX_TAG} printable characters"
        )
    own = len(naming.tags_of("", "")) + len((naming.CREATED, naming.STAGE, naming.FAMILY, naming.WITHDRAWN))
    if len(options.tag) + own > _MAX_TAGS:
        yield Finding(
            f"{len(options.tag)} tags and the {own} of lkcloud are more than the {_MAX_TAGS} of a resource",
            f"give at most {_MAX_TAGS - own} tags",
        )


def _size(options: AzureOptions, source: Source) -> Iterator[Finding]:
    size = source.disk.size
    least = LEAST_MIB if options.method == "disk" else 1
    if not size:
        yield Finding("the image is empty", "give a disk image with at least one byte")
    elif size > MAX_GIB * 1024**3:
        yield Finding(
            f"the disk is {size / 1024**3:.1f} GiB and a VHD holds {MAX_GIB}",
            "make the disk smaller: Azure makes it larger again for each machine that asks for it",
        )
    elif size % MIB or size < least * MIB:
        # https://learn.microsoft.com/azure/virtual-machines/linux/create-upload-generic#resizing-vhds
        rule = "whole MiB" if size > least * MIB else f"at least {least} MiB"
        filled = max(-(-size // MIB), least)
        yield Finding(
            f"Azure takes {rule}: the disk of {size} bytes is filled up with zeros to {filled} MiB",
            "build it so large: the second header of a GPT is then at its end",
            obstacle=False,
        )


def _places(options: AzureOptions) -> Iterator[Finding]:
    for option, value in (
        ("--resource-group", options.resource_group),
        ("--gallery-resource-group", options.gallery_resource_group),
    ):
        if value is not None and not _GROUP.fullmatch(value):
            yield Finding(
                f"{option} {value!r} is no name of a resource group",
                "use 1 to 90 letters, digits, - . _ ( and ), and no . last",
            )
    if options.location is not None and not _REGION.fullmatch(options.location):
        yield Finding(f"{options.location!r} is no region", "give one like westeurope (az account list-locations)")
    if options.resource_manager is not None and not is_url(options.resource_manager, "https"):
        yield Finding(f"--resource-manager {options.resource_manager!r} is no https URL", "give https://HOST")


def _upload(options: AzureOptions) -> Iterator[Finding]:
    if options.method == "blob" and options.storage_account is None:
        yield Finding("--method blob needs a storage account", "give --storage-account, or leave --method out")
    if options.storage_account is not None and not _ACCOUNT.fullmatch(options.storage_account):
        yield Finding(
            f"{options.storage_account!r} is no name of a storage account",
            "give its name alone: 3 to 24 lower-case letters and digits",
        )
    if not _CONTAINER.fullmatch(options.container):
        yield Finding(
            f"{options.container!r} is no name of a container",
            "use 3 to 63 lower-case letters, digits and single - between them",
        )


def _ids(options: AzureOptions) -> Iterator[Finding]:
    if options.subscription is not None and not _is_guid(options.subscription):
        yield Finding(
            f"{options.subscription!r} is no id of a subscription", "give its id, not its name (az account list)"
        )
    if options.disk_encryption_set is not None and not _is_id(
        options.disk_encryption_set, naming.COMPUTE, ("diskEncryptionSets",)
    ):
        yield Finding(
            "--disk-encryption-set is no resource id of a disk encryption set",
            "give the id that `az disk-encryption-set show` tells: /subscriptions/S/resourceGroups/G/providers/"
            "Microsoft.Compute/diskEncryptionSets/NAME",
        )
    if options.subnet is not None and not _is_id(options.subnet, naming.NETWORK, ("virtualNetworks", "subnets")):
        yield Finding(
            "--subnet is no resource id of a subnet",
            "give the id that `az network vnet subnet show` tells: /subscriptions/S/resourceGroups/G/providers/"
            "Microsoft.Network/virtualNetworks/V/subnets/NAME",
        )
    if options.vm_size is not None and not _SIZE.fullmatch(options.vm_size):
        yield Finding(f"{options.vm_size!r} is no size of a machine", "give one like Standard_B2s (az vm list-sizes)")


def _is_guid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _is_id(text: str, namespace: str, kinds: tuple[str, ...]) -> bool:
    found = naming.ResourceId.parse(text)
    return (
        found is not None
        and found.namespace.lower() == namespace.lower()
        and [kind.lower() for kind in found.kinds] == [kind.lower() for kind in kinds]
    )
