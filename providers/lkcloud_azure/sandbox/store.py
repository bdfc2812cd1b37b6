# SPDX-License-Identifier: Apache-2.0
"""Storage accounts, containers and blobs: what is known of them in memory, their bytes in files."""

import base64
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from threading import RLock
from typing import Literal

from lkcloud.sandbox.http import FileRange
from lkcloud_azure.sandbox.leases import Lease
from lkcloud_azure.sandbox.page_file import PageFile

Kind = Literal["PageBlob", "BlockBlob"]

_TICKS = 10_000_000
"""ETags count in tenths of microseconds, and from there on upwards."""


def _now() -> datetime:
    return datetime.now(UTC)


_revisions = count(time.time_ns() * _TICKS // 1_000_000_000)


def new_etag() -> str:
    """Return an ETag that nothing has had before."""
    return f'"0x{next(_revisions):X}"'


@dataclass(slots=True)
class Entry:
    """What containers and blobs have alike."""

    name: str
    metadata: dict[str, str]
    """The user's own, names as they were written."""
    etag: str = field(default_factory=new_etag)
    modified: datetime = field(default_factory=_now)
    lease: Lease = field(default_factory=Lease)

    def touch(self) -> None:
        """Give it another ETag, and a time of change of now."""
        self.etag, self.modified = new_etag(), _now()


@dataclass(slots=True)
class StoredBlob(Entry):
    """A blob: its bytes, and HEADERS that go with it to whoever reads it, such as Content-Type."""

    contents: PageFile | FileRange = field(kw_only=True)
    """The pages of a page blob; where the bytes of a block blob are."""
    headers: dict[str, str] = field(default_factory=dict)
    sequence_number: int = 0
    created: datetime = field(default_factory=_now)

    @property
    def kind(self) -> Kind:
        """Its type, as x-ms-blob-type says it."""
        return "PageBlob" if isinstance(self.contents, PageFile) else "BlockBlob"

    @property
    def size(self) -> int:
        """Bytes."""
        return self.contents.size if isinstance(self.contents, PageFile) else self.contents.length

    def stretch(self, offset: int, length: int) -> FileRange:
        """Return where LENGTH bytes from OFFSET on are."""
        start = 0 if isinstance(self.contents, PageFile) else self.contents.offset
        return FileRange(self.contents.path, start + offset, length)

    def remove(self) -> None:
        """Remove the bytes."""
        if isinstance(self.contents, PageFile):
            self.contents.remove()
        else:
            self.contents.path.unlink(missing_ok=True)


@dataclass(slots=True)
class Container(Entry):
    """A container and its blobs by name."""

    blobs: dict[str, StoredBlob] = field(default_factory=dict)


def new_key() -> str:
    """Return an account key as Azure makes them: 64 bytes in base64."""
    return base64.b64encode(secrets.token_bytes(64)).decode()


@dataclass(slots=True)
class Account:
    """A storage account, with its two keys and its containers by name."""

    name: str
    keys: tuple[str, str] = field(default_factory=lambda: (new_key(), new_key()))
    delegation_secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    """What user delegation keys are derived from."""
    shared_key_access: bool = True
    """Whether the keys, and what they sign, are taken."""
    hierarchical: bool = False
    """Whether it has a hierarchical namespace, and so no page blobs."""
    reachable: bool = True
    """Whether its network lets requests in."""
    containers: dict[str, Container] = field(default_factory=dict)
    deleted: dict[str, float] = field(default_factory=dict)
    """Until when (time.monotonic) the name of a deleted container cannot be used again."""


@dataclass(slots=True)
class Store:
    """All storage accounts, with bytes in files below HOME. LOCK is held while state is read and changed."""

    home: Path
    accounts: dict[str, Account] = field(default_factory=dict)
    lock: RLock = field(default_factory=RLock)

    def new_file(self) -> Path:
        """Return the path of a file that does not exist yet."""
        self.home.mkdir(parents=True, exist_ok=True)
        return self.home / secrets.token_hex(16)

    def find(self, account: str, container: str, name: str) -> StoredBlob | None:
        """Return a blob."""
        with self.lock:
            held = self.accounts.get(account)
            where = held.containers.get(container) if held else None
            return where.blobs.get(name) if where else None

    def drop(self, container: Container) -> None:
        """Remove the bytes of all blobs of CONTAINER."""
        for blob in container.blobs.values():
            blob.remove()

    def clear(self) -> None:
        """Remove all accounts with what they hold."""
        with self.lock:
            for account in self.accounts.values():
                for container in account.containers.values():
                    self.drop(container)
            self.accounts.clear()
