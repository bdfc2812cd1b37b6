# SPDX-License-Identifier: Apache-2.0
"""Access to the bytes of managed disks by URL, as beginGetAccess grants it and endGetAccess takes it back.

https://learn.microsoft.com/rest/api/compute/disks/grant-access. The URL is that of a blob which exists already, in a
storage account that is Azure's own, with a service SAS that names a stored policy: permissions and expiry are in the
policy and not in the URL. Azure/azure-cli#10192 shows one, with sv, sr=b, si and sig as its whole query.
"""

import base64
import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal
from urllib.parse import quote
from uuid import uuid4

from lkcloud_azure.sandbox.page_file import PageFile

Access = Literal["Read", "Write"]

PREFIX = "md-impexp-"
"""What the names of Azure's own storage accounts for disks begin with (ste/sender-pageBlob.go of
Azure/azure-storage-azcopy); those for reading often begin with `md-` only, which makes no difference here."""

BLOB = "abcd"
"""The name of the blob in such a URL, of every disk."""

_VERSION = "2018-03-28"
_LETTERS = string.ascii_lowercase + string.digits


@dataclass(slots=True)
class Grant:
    """A URL that gives access to a disk until it is revoked or UNTIL (of time.monotonic) has come."""

    pages: PageFile
    access: Access
    until: float
    account: str
    container: str
    policy: str
    signature: str
    revoked: bool = False
    created: float = field(default_factory=time.time)
    """When it was granted, in seconds since 1970."""
    modified: float = field(default_factory=time.time)
    """When a page was written last through it."""
    revision: int = 1
    """Counts the writes; the ETag follows from it."""
    lock: Lock = field(default_factory=Lock)
    """Held while pages are written, so that nothing is written any more when the grant has been revoked."""

    @property
    def good(self) -> bool:
        """Whether the disk can be reached by it now."""
        return not self.revoked and time.monotonic() < self.until

    @property
    def path(self) -> str:
        """Path of the blob: /ACCOUNT/CONTAINER/abcd."""
        return f"/{self.account}/{self.container}/{BLOB}"


class Grants:
    """All grants that were ever issued since the last reset; ADDRESS tells where the server is that honours them."""

    def __init__(self, address: Callable[[], str]) -> None:
        self._address = address
        self._lock = Lock()
        self._grants: dict[tuple[str, str], Grant] = {}

    def issue(self, pages: PageFile, access: Access, seconds: float) -> str:
        """Return a URL by which PAGES can be read, or read and written, for SECONDS."""
        account = PREFIX + _word(12)
        signature = base64.b64encode(secrets.token_bytes(32)).decode()
        grant = Grant(pages, access, time.monotonic() + seconds, account, _word(12), str(uuid4()), signature)
        with self._lock:
            self._grants[account, grant.container] = grant
        query = f"sv={_VERSION}&sr=b&si={grant.policy}&sig={quote(signature, safe='')}"
        return f"{self._address()}{grant.path}?{query}"

    def revoke(self, pages: PageFile) -> None:
        """Let no URL give access to PAGES any longer; none at all is no error."""
        with self._lock:
            grants = [grant for grant in self._grants.values() if grant.pages is pages]
        for grant in grants:
            with grant.lock:
                grant.revoked = True

    def granted(self, pages: PageFile) -> bool:
        """Tell whether some URL gives access to PAGES now."""
        with self._lock:
            return any(grant.pages is pages and grant.good for grant in self._grants.values())

    def find(self, account: str, container: str) -> Grant | None:
        """Return the grant whose URL names ACCOUNT and CONTAINER, good or not."""
        with self._lock:
            return self._grants.get((account, container))

    def clear(self) -> None:
        """Forget all grants."""
        with self._lock:
            self._grants.clear()


def _word(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
