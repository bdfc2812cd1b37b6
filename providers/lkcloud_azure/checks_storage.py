# SPDX-License-Identifier: Apache-2.0
"""What Azure says of the storage account before a byte travels.

https://learn.microsoft.com/azure/storage/common/storage-account-overview#types-of-storage-accounts: which kinds of
accounts have page blobs.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lkcloud.provider import Finding
from lkcloud_azure import permission_checks, permissions, storage
from lkcloud_azure.naming import ResourceId, word
from lkcloud_azure.options import AzureOptions, region_name
from lkcloud_azure.session import Session

if TYPE_CHECKING:
    from azure.mgmt.storage import models

_KINDS = ("StorageV2", "Storage")
"""BlobStorage, BlockBlobStorage and FileStorage have no page blobs."""


def check(session: Session, options: AzureOptions, region: str | None) -> Iterator[Finding]:
    """Yield what stands in the way of a page blob in the account of OPTIONS, for an image in REGION."""
    name = options.storage_account or ""
    found = storage.find(session, name)
    if found is None:
        yield missing(name)
        return
    yield from problems(found, region)
    place = ResourceId.parse(found.id or "")
    assert place is not None
    actions, data_actions = permissions.of_account(options)
    yield from permission_checks.on_resource(session, place, actions, data_actions)


def missing(name: str) -> Finding:
    """Return what to tell of an account that is not there."""
    return Finding(
        f"the subscription has no storage account {name} that this identity may see",
        "make it (az storage account create), check --storage-account and --subscription, "
        "or allow Microsoft.Storage/storageAccounts/read",
    )


def problems(found: "models.StorageAccount", region: str | None) -> Iterator[Finding]:
    """Yield what of an account stands in the way of a page blob in it, for an image in REGION."""
    name, said, kind = found.name, found.properties, word(found.kind)
    if kind not in _KINDS:
        yield Finding(f"the storage account {name} is of kind {kind}, without page blobs", "give one of kind StorageV2")
    elif said is not None and said.is_hns_enabled:
        # https://learn.microsoft.com/azure/storage/blobs/storage-feature-support-in-storage-accounts
        yield Finding(
            f"the storage account {name} has a hierarchical namespace, and so no page blobs",
            "give an account without it, or leave --method out",
        )
    home = region_name(found.location)
    if region is not None and home != region:
        # nanovms/ops#635, Azure/AgentBaker#7353
        yield Finding(
            f"the storage account {name} is in {home}, and the image would be in {region}",
            f"give --location {home}, an account in {region}, or leave --method out",
        )
    if said is not None and word(said.public_network_access or "Enabled").lower() != "enabled":
        yield Finding(
            f"the storage account {name} is closed to the Internet",
            "run where its private endpoint is reached, or leave --method out",
            obstacle=False,
        )
    elif said is not None and said.network_rule_set and word(said.network_rule_set.default_action).lower() == "deny":
        yield Finding(
            f"the storage account {name} lets in chosen networks only",
            "see that this machine is in one of them, or leave --method out",
            obstacle=False,
        )
