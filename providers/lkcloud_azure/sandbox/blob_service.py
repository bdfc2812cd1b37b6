# SPDX-License-Identifier: Apache-2.0
"""What the rest of the stand-in needs of a blob service: its own, or Azurite."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from lkcloud_azure.sandbox.grants import Grants
from lkcloud_azure.sandbox.own_blobs_call import Address
from lkcloud_azure.sandbox.store import Kind


@dataclass(frozen=True, slots=True)
class Found:
    """A blob: SIZE in bytes."""

    kind: Kind
    size: int


class BlobService(Protocol):
    """Storage accounts and their blobs, over https, at addresses like https://127.0.0.1:PORT/ACCOUNT."""

    @property
    def grants(self) -> Grants:
        """The URLs that give access to managed disks."""
        ...

    def start(self) -> None:
        """Serve on free ports of the loopback address; return when they answer."""
        ...

    def add_account(self, name: str) -> None:
        """Let there be a storage account, with new keys; one that is there stays as it is."""
        ...

    def remove_account(self, name: str) -> None:
        """Remove an account with all its blobs; one that is not there is no error."""
        ...

    def keys(self, account: str) -> tuple[str, str]:
        """Return the keys of an account. Raises KeyError."""
        ...

    def renew_key(self, account: str, index: int) -> None:
        """Give an account another key in place of the first (0) or second (1). Raises KeyError."""
        ...

    def endpoint(self, account: str) -> str:
        """Return the URL of an account, without a slash at its end."""
        ...

    def find(self, url: str) -> Found | None:
        """Return what the blob at URL is, None if there is none; a query is not looked at."""
        ...

    def fetch(self, url: str, target: Path) -> None:
        """Copy the bytes of the blob at URL into the file TARGET, with holes where there are none. Raises KeyError."""
        ...

    def idle(self) -> float:
        """Return the seconds since the last request that the log of requests does not have."""
        ...

    def reset(self) -> None:
        """Remove all blobs, containers, accounts and grants; addresses stay."""
        ...

    def stop(self) -> None:
        """End the servers."""
        ...


def address_of(url: str, root: str) -> Address | None:
    """Return what URL names, None if it is not below ROOT, the address of the service."""
    if not url.startswith(f"{root}/"):
        return None
    found = Address.of(urlsplit(url).path)
    return found if found.blob else None
