# SPDX-License-Identifier: Apache-2.0
"""What Azure must allow whoever uses lkcloud: the actions, and which of them the options of a push ask for.

The list follows from the calls that are made; the actions are those of
https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations.
"""

from collections.abc import Iterator, Mapping

from lkcloud.permissions import Permission, actions
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.roles import BLOB_DATA

USES: Mapping[str, str] = {
    "disk": "`push` with `--method disk`",
    "blob": "`push` with `--method blob`",
    "image": "... to a managed image",
    "gallery": "... to a gallery",
    "blob-gallery": "... with `--method blob` to a gallery",
    "create-gallery": "... `--create-gallery`",
    "trusted": "... a `...Supported` security type with `--method disk`",
    "encrypt": "... `--disk-encryption-set`",
    "group": "a resource group that is made",
    "check": "to have all checked before the upload, and by `doctor`",
    "test": "`--test`, `test`",
    "promote": "`--latest`, `promote`",
    "share": "`--share-with`, `share`",
    "public": "`--public`",
    "deprecate": "`deprecate`",
    "list": "`list`, `show`",
    "delete": "`delete`",
    "prune": "`prune`",
    "sweep": "`sweep`",
    "gc": "`gc`",
}
"""What needs permissions, and how the user calls it. A push goes one way to one kind of image: it needs both."""

ON: Mapping[str, str] = {
    "subscription": "the subscription",
    "group": "the resource group",
    "gallery": "the gallery, or its resource group",
    "shared": "the image, or the definition in the gallery",
    "account": "the storage account",
    "encryption set": "the disk encryption set",
}
"""Where a role can be given that has the action."""

_COMPUTE = "Microsoft.Compute"
_DISKS = f"{_COMPUTE}/disks"
_IMAGES = f"{_COMPUTE}/images"
_GALLERY = f"{_COMPUTE}/galleries"
_VERSIONS = f"{_GALLERY}/images/versions"
_MACHINES = f"{_COMPUTE}/virtualMachines"
_NETWORK = "Microsoft.Network"
_GROUPS = "Microsoft.Resources/subscriptions/resourceGroups"
_ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
_ACCOUNT = "Microsoft.Storage/storageAccounts"

_HELD = ("prune", "sweep")
"""What looks first whether something uses an image."""
_REMOVES = ("delete", "gc")
"""What looks for leftovers of all kinds, and passes over those that it may not see."""

PERMISSIONS = (
    Permission(f"{_GROUPS}/read", "group", ("disk", "blob", "image", "gallery", "group", "test")),
    Permission(f"{_GROUPS}/write", "subscription", ("group",)),
    # Waiting for what is made and deleted
    Permission(
        f"{_COMPUTE}/locations/operations/read", "group", ("image", "trusted", "test", "delete", "prune"), ("gc",)
    ),
    Permission(f"{_COMPUTE}/locations/diskOperations/read", "group", ("disk", "test"), _REMOVES),
    Permission(
        f"{_COMPUTE}/locations/capsOperations/read",
        "gallery",
        ("gallery", "create-gallery", "promote", "deprecate", "public", "delete", *_HELD),
        ("gc",),
    ),
    # The ways up
    Permission(f"{_DISKS}/read", "group", ("disk",), _REMOVES),
    Permission(f"{_DISKS}/write", "group", ("disk", "test")),
    Permission(f"{_DISKS}/delete", "group", ("disk", "test"), _REMOVES),
    Permission(f"{_DISKS}/beginGetAccess/action", "group", ("disk",)),
    Permission(f"{_DISKS}/endGetAccess/action", "group", ("disk",), _REMOVES),
    Permission(f"{_ACCOUNT}/read", "account", ("blob", *_REMOVES)),
    Permission(f"{_ACCOUNT}/blobServices/containers/write", "account", ("blob",)),
    # Of who makes a version of a VHD: https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries
    Permission(f"{_ACCOUNT}/listKeys/action", "account", ("blob-gallery",)),
    Permission(f"{BLOB_DATA}read", "account", ("blob", *_REMOVES)),
    Permission(f"{BLOB_DATA}write", "account", ("blob",)),
    Permission(f"{BLOB_DATA}delete", "account", ("blob", *_REMOVES)),
    # Of who makes a disk with one: kubernetes-sigs/azuredisk-csi-driver#2609
    Permission(f"{_COMPUTE}/diskEncryptionSets/read", "encryption set", ("encrypt",)),
    # Managed images; a push deletes one whose making has failed
    Permission(f"{_IMAGES}/read", "group", ("image", "trusted", "test", "share", "list", "delete", "prune"), ("gc",)),
    Permission(f"{_IMAGES}/write", "group", ("image", "trusted", "prune")),
    Permission(f"{_IMAGES}/delete", "group", ("trusted", "delete", "prune"), ("image", "gc")),
    # Galleries
    Permission(f"{_GALLERY}/read", "gallery", ("gallery", "public")),
    Permission(f"{_GALLERY}/write", "gallery", ("create-gallery",)),
    Permission(f"{_GALLERY}/share/action", "gallery", ("public",)),
    Permission(
        f"{_GALLERY}/images/read",
        "gallery",
        ("gallery", "test", "promote", "share", "public", "deprecate", "list", "delete", *_HELD),
        ("gc",),
    ),
    Permission(f"{_GALLERY}/images/write", "gallery", ("create-gallery",)),
    Permission(
        f"{_VERSIONS}/read",
        "gallery",
        ("gallery", "test", "promote", "share", "public", "deprecate", "list", "delete", *_HELD),
        ("gc",),
    ),
    Permission(f"{_VERSIONS}/write", "gallery", ("gallery", "promote", "deprecate", *_HELD)),
    Permission(f"{_VERSIONS}/delete", "gallery", ("delete", *_HELD), ("gallery", "gc")),
    # The boot test
    Permission(f"{_MACHINES}/read", "group", (), _REMOVES),
    Permission(f"{_MACHINES}/write", "group", ("test",)),
    Permission(f"{_MACHINES}/delete", "group", ("test",), _REMOVES),
    Permission(f"{_MACHINES}/instanceView/read", "group", ("test",)),
    Permission(f"{_MACHINES}/retrieveBootDiagnosticsData/action", "group", ("test",)),
    Permission(f"{_NETWORK}/virtualNetworks/read", "group", (), _REMOVES),
    Permission(f"{_NETWORK}/virtualNetworks/write", "group", ("test",)),
    Permission(f"{_NETWORK}/virtualNetworks/delete", "group", ("test",), _REMOVES),
    Permission(f"{_NETWORK}/virtualNetworks/subnets/join/action", "group", ("test",)),
    Permission(f"{_NETWORK}/networkInterfaces/read", "group", (), _REMOVES),
    Permission(f"{_NETWORK}/networkInterfaces/write", "group", ("test",)),
    Permission(f"{_NETWORK}/networkInterfaces/delete", "group", ("test",), _REMOVES),
    Permission(f"{_NETWORK}/networkInterfaces/join/action", "group", ("test",)),
    Permission(f"{_NETWORK}/locations/operations/read", "group", ("test",), _REMOVES),
    # To others
    Permission(f"{_ASSIGNMENTS}/read", "shared", ("prune",), ("share",)),
    Permission(f"{_ASSIGNMENTS}/write", "shared", ("share",)),
    Permission(f"{_ASSIGNMENTS}/delete", "shared", ("prune",)),
    # Whether something uses an image
    Permission(f"{_MACHINES}/read", "subscription", _HELD),
    Permission(f"{_COMPUTE}/virtualMachineScaleSets/read", "subscription", _HELD),
    # Nothing fails without these
    Permission("Microsoft.Resources/subscriptions/read", "subscription", (), ("check",)),
    Permission("Microsoft.Resources/subscriptions/providers/read", "subscription", (), ("check",)),
    Permission("Microsoft.Authorization/permissions/read", "group", (), ("check",)),
    Permission(f"{_COMPUTE}/locations/usages/read", "subscription", (), ("check",)),
)


def of_group(options: AzureOptions) -> list[str]:
    """Return the actions that a push needs in the resource group."""
    found = _changing(options, "group")
    if options.keep_upload and f"{_DISKS}/delete" in found:
        found.remove(f"{_DISKS}/delete")
    if options.gallery is None:
        found += _changing(options, "shared")
    return found


def of_gallery(options: AzureOptions) -> list[str]:
    """Return the actions that a push needs on the gallery, or on its resource group if it is not there yet."""
    if options.gallery is None:
        return []
    return [*_changing(options, "gallery"), *_changing(options, "shared")]


def of_account(options: AzureOptions) -> tuple[list[str], list[str]]:
    """Return the actions and the data actions that a push needs on the storage account."""
    every = _changing(options, "account")
    if options.keep_upload and f"{BLOB_DATA}delete" in every:
        every.remove(f"{BLOB_DATA}delete")
    return (
        [action for action in every if not action.startswith(BLOB_DATA)],
        [action for action in every if action.startswith(BLOB_DATA)],
    )


def uses_of(options: AzureOptions) -> Iterator[str]:
    """Yield the words of USES that a push with OPTIONS is."""
    yield options.method
    if options.gallery is None:
        yield "image"
    else:
        yield "gallery"
        if options.method == "blob":
            yield "blob-gallery"
        elif options.security_type.endswith("Supported"):
            yield "trusted"  # a managed image is made in between, and deleted again
        if options.create_gallery:
            yield "create-gallery"
        if options.public:
            yield "public"
    if options.disk_encryption_set:
        yield "encrypt"
    if options.share_with:
        yield "share"


def _changing(options: AzureOptions, place: str) -> list[str]:
    """Return what a push with OPTIONS needs on PLACE of what a role is looked at for.

    What is only read to wait, and the group itself, whoever may do the rest has.
    """
    uses = tuple(uses_of(options))
    found = actions((one for one in PERMISSIONS if one.on == place), uses, helps=False)
    return [action for action in found if "/locations/" not in action and not action.startswith(_GROUPS)]
