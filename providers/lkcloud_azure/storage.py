# SPDX-License-Identifier: Apache-2.0
"""Storage accounts, found by their name, and access to what is in them.

Who may do what with blobs is in the role Storage Blob Data Contributor; account keys are not used.
https://learn.microsoft.com/azure/storage/blobs/authorize-access-azure-active-directory
"""

from dataclasses import dataclass, field
from threading import Lock
from time import time
from typing import TYPE_CHECKING

from lkcloud.errors import NotFound, UsageError
from lkcloud_azure.data_plane import Credentials
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.options import AzureOptions, region_name
from lkcloud_azure.session import Session

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.mgmt.storage import models
    from azure.storage.blob import BlobServiceClient

SCOPE = "https://storage.azure.com/.default"
"""What a token for blobs is asked for with, in every cloud."""

_MARGIN = 300.0
"""Seconds before its end at which a token is renewed."""


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account; ENDPOINT is the URL of its blobs, without a slash at its end."""

    id: ResourceId
    location: str
    endpoint: str
    hierarchical: bool
    """Whether it has a hierarchical namespace, and so no page blobs."""


@dataclass
class TokenAccess:
    """Access to the blob at URL by a token of the session's credential; for any thread."""

    session: Session
    url: str
    _lock: Lock = field(default_factory=Lock)
    _token: "AccessToken | None" = None

    def credentials(self) -> Credentials:
        """Return the URL and the token, a new one shortly before it ends."""
        with self._lock:
            if self._token is None or time() > self._token.expires_on - _MARGIN:
                self._token = self.session.credential.get_token(SCOPE)
            return self._shown(self._token)

    def renew(self, refused: Credentials) -> bool:
        """Ask the credential for a token again, unless another thread has done so since."""
        with self._lock:
            if self._token is None or self._shown(self._token) == refused:
                self._token = self.session.credential.get_token(SCOPE)
            return self._shown(self._token) != refused

    def _shown(self, token: "AccessToken") -> Credentials:
        return Credentials(self.url, {"Authorization": f"Bearer {token.token}"})


def find(session: Session, name: str) -> "models.StorageAccount | None":
    """Return the storage account called NAME, in whatever resource group of the subscription, if we may see it."""
    return session.call(
        f"looking for the storage account {name}",
        lambda: next((one for one in session.storage.storage_accounts.list() if one.name == name), None),
    )


def account(session: Session, options: AzureOptions) -> Account:
    """Return the storage account of the options, in whatever resource group of the subscription it is.

    Raises UsageError if none is named, and NotFound.
    """
    name = options.storage_account
    if not name:
        raise UsageError("azure: --method blob needs a storage account", hint="give --storage-account")
    found = find(session, name)
    if found is None:
        raise NotFound(
            f"azure: the subscription {session.subscription} has no storage account {name} that this identity may see",
            hint="check --storage-account and --subscription, or allow Microsoft.Storage/storageAccounts/read",
        )
    where, properties = ResourceId.parse(found.id or ""), found.properties
    endpoint = properties.primary_endpoints.blob if properties and properties.primary_endpoints else None
    assert where is not None
    if not endpoint:
        raise UsageError(f"azure: the storage account {name} has no blobs", hint="give one of kind StorageV2")
    hierarchical = bool(properties and properties.is_hns_enabled)
    return Account(where, region_name(found.location), endpoint.rstrip("/"), hierarchical)


def service(session: Session, account: Account) -> "BlobServiceClient":
    """Return a client of the blobs of ACCOUNT."""
    from azure.storage.blob import BlobServiceClient

    with session.errors("making a client of Blob Storage"):
        return BlobServiceClient(
            account.endpoint,
            session.credential,
            retry_total=0,  # trying again is `retry`'s
            transport=session.transport,
            user_agent="lkcloud",
        )
