# SPDX-License-Identifier: Apache-2.0
"""A storage account, as Azure Resource Manager has it; its blobs are the blob service's."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox.cloud import Cloud, Resource
from lkcloud_azure.sandbox.own_blobs import OwnBlobs

_DEFAULTS = {
    "allowSharedKeyAccess": True,
    "allowBlobPublicAccess": False,
    "isHnsEnabled": False,
    "minimumTlsVersion": "TLS1_2",
    "publicNetworkAccess": "Enabled",
    "supportsHttpsTrafficOnly": True,
    "accessTier": "Hot",
}


@dataclass(kw_only=True)
class StorageAccount(Resource):
    """A storage account; SETTINGS are those of its properties that can be chosen."""

    sku: str
    account_kind: str
    settings: dict[str, Any]
    endpoint: str
    """The URL of its blobs, without a slash at its end."""

    def top(self) -> dict[str, Any]:
        """Return what its document has beside `properties`."""
        return {"sku": {"name": self.sku, "tier": self.sku.partition("_")[0]}, "kind": self.account_kind}

    def properties(self) -> dict[str, Any]:
        """Return its properties."""
        return {
            **_DEFAULTS,
            **self.settings,
            "creationTime": self.created.isoformat(),
            "primaryLocation": self.location,
            "statusOfPrimary": "available",
            "primaryEndpoints": {"blob": f"{self.endpoint}/"},
            "networkAcls": self.settings.get("networkAcls", {"bypass": "AzureServices", "defaultAction": "Allow"}),
        }

    def apply(self, cloud: Cloud) -> None:
        """Let the blob service do as the settings say; Azurite knows none of them."""
        if isinstance(cloud.blobs, OwnBlobs):
            held = cloud.blobs.store.accounts[self.name]
            shown = self.properties()
            held.shared_key_access = shown["allowSharedKeyAccess"] is not False
            held.hierarchical = bool(shown["isHnsEnabled"])
            # Whoever asks the stand-in is in no network that could be named.
            held.reachable = shown["publicNetworkAccess"] == "Enabled" and (
                shown["networkAcls"].get("defaultAction", "Allow") == "Allow"
            )

    def removed(self, cloud: Cloud) -> None:
        """Remove its blobs."""
        cloud.blobs.remove_account(self.name)


def add(
    cloud: Cloud,
    account_id: ResourceId,
    place: str,
    *,
    sku: str = "Standard_LRS",
    kind: str = "StorageV2",
    settings: Mapping[str, Any] = MappingProxyType({}),
    marks: Mapping[str, str] = MappingProxyType({}),
) -> StorageAccount:
    """Let there be a storage account, or another one of its name with the blobs that it has."""
    name = account_id.names[-1]
    cloud.blobs.add_account(name)
    account = StorageAccount(
        id=account_id,
        location=place,
        tags=dict(marks),
        sku=sku,
        account_kind=kind,
        settings=dict(settings),
        endpoint=cloud.blobs.endpoint(name),
    )
    cloud.add(account)
    account.apply(cloud)
    return account


def account_of(cloud: Cloud, url: str) -> StorageAccount | None:
    """Return the account whose blob service URL leads to, None if it is none of this subscription."""
    return next((one for one in cloud.every(StorageAccount) if url.startswith(f"{one.endpoint}/")), None)
