# SPDX-License-Identifier: Apache-2.0
"""A snapshot: a sparse raw file on disk, and which of its blocks have been written."""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Literal

from lkcloud_aws.sandbox.permissions import Permissions

BLOCK = 512 * 1024
"""Bytes of a block of the EBS direct APIs: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-accessing-snapshot.html"""
GIB = 1024**3

State = Literal["pending", "completed", "error"]


@dataclass(slots=True)
class Snapshot:
    """A snapshot of VOLUME_SIZE GiB; block i is at i * BLOCK of the file RAW."""

    id: str
    raw: Path
    volume_size: int
    description: str = ""
    parent: str = ""
    encrypted: bool = False
    kms_key: str = ""
    timeout: float = float("inf")
    """Seconds without a write or a completion after which it ends in `error`."""
    unseen_puts: int = 0
    unseen_describes: int = 0
    unseen_tags: int = 0
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    shared_with: Permissions = field(default_factory=Permissions)
    """Accounts, and `all`."""
    copied: bool = False
    """Whether it is a copy of another."""
    broken: bool = False
    """Whether it ends in `error`, as a copy whose key cannot be used."""
    inherited: frozenset[int] = frozenset()
    """Blocks that came with the parent."""
    digests: dict[int, bytes] = field(default_factory=dict)
    """SHA-256 of each block that was put, by index."""
    in_flight: set[int] = field(default_factory=set)
    lock: Lock = field(default_factory=Lock)
    _touched: float = field(default_factory=time.monotonic)
    _complete_at: float | None = None
    _handle: int | None = None

    @property
    def state(self) -> State:
        """EC2 and EBS direct show the same one."""
        now = time.monotonic()
        if self._complete_at is not None:
            if now < self._complete_at:
                return "pending"
            return "error" if self.broken else "completed"
        return "error" if now > self._touched + self.timeout else "pending"

    @property
    def sealed(self) -> bool:
        """Whether it has been completed, so that nothing can be put any more."""
        return self._complete_at is not None

    @property
    def progress(self) -> str:
        """In per cent, as EC2 shows it."""
        return {"completed": "100%", "pending": "99%" if self.sealed else "0%", "error": "0%"}[self.state]

    @property
    def blocks(self) -> int:
        """How many blocks the volume has."""
        return self.volume_size * GIB // BLOCK

    def listed(self) -> list[int]:
        """Return the indexes of all blocks that hold data, ascending."""
        return sorted(self.inherited.union(self.digests))

    def put(self, index: int, data: bytes, digest: bytes) -> None:
        """Write a block."""
        with self.lock:
            if self._handle is None:
                self._handle = os.open(self.raw, os.O_RDWR | os.O_CREAT, 0o600)
        view = memoryview(data)
        offset = index * BLOCK
        while view:
            written = os.pwrite(self._handle, view, offset)
            view, offset = view[written:], offset + written
        with self.lock:
            self.digests[index] = digest
            self._touched = time.monotonic()

    def get(self, index: int) -> bytes:
        """Return the bytes of a block."""
        with self.raw.open("rb") as file:
            file.seek(index * BLOCK)
            return file.read(BLOCK).ljust(BLOCK, b"\0")

    def linear_checksum(self) -> bytes:
        """SHA-256 over the SHA-256 of the blocks that were put, ascending: the method LINEAR of CompleteSnapshot."""
        return hashlib.sha256(b"".join(self.digests[index] for index in sorted(self.digests))).digest()

    def seal(self, pending: float) -> None:
        """Take no more blocks; `completed` after PENDING seconds."""
        with self.lock:
            self.close()
            self.raw.touch(mode=0o600)
            # A file system may hold no file as large as the largest volume; what is missing reads as zeros anyway.
            with contextlib.suppress(OSError):
                os.truncate(self.raw, self.volume_size * GIB)
            self._complete_at = time.monotonic() + pending

    def adopt(self) -> None:
        """Take what the file already holds as the blocks of the snapshot, all but those of zeros."""
        zeros = bytes(BLOCK)
        with self.raw.open("rb") as file:
            for start, end in _data(file.fileno()):
                for index in range(start // BLOCK, -(-end // BLOCK)):
                    if index not in self.digests:
                        file.seek(index * BLOCK)
                        block = file.read(BLOCK).ljust(BLOCK, b"\0")
                        if block != zeros:
                            self.digests[index] = hashlib.sha256(block).digest()

    def close(self) -> None:
        """Close the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def remove(self) -> None:
        """Remove the bytes."""
        with self.lock:
            self.close()
            self.raw.unlink(missing_ok=True)


def share_bytes(source: Path, target: Path) -> None:
    """Let TARGET have the bytes of SOURCE, the file of a completed snapshot, which nobody writes to any more."""
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without links
        copy_sparse(source, target)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file, leaving its holes as holes."""
    target.touch(mode=0o600)
    if not source.exists():
        return
    with source.open("rb") as reader, target.open("r+b") as writer:
        os.truncate(writer.fileno(), source.stat().st_size)
        for start, end in _data(reader.fileno()):
            at = start
            while at < end:
                at += os.copy_file_range(reader.fileno(), writer.fileno(), end - at, at, at)


def _data(handle: int) -> Iterator[tuple[int, int]]:
    end = 0
    size = os.fstat(handle).st_size
    while end < size:
        try:
            start = os.lseek(handle, end, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole follows
            return
        end = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, end
