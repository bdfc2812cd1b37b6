# SPDX-License-Identifier: Apache-2.0
"""Buckets, objects and unfinished uploads: what is known of them in memory, their bytes in files."""

import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import crc32c

from lkcloud.sandbox.http import FileRange
from lkcloud.sandbox.ranges import cut

if TYPE_CHECKING:
    from lkcloud_gcp.sandbox.storage_multipart import Upload
    from lkcloud_gcp.sandbox.storage_resumable import Session


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes that came in whole: the files they lie in, one after the other, and what they hash to."""

    files: tuple[FileRange, ...]
    crc32c: int
    md5: bytes | None
    """None for bytes that were put together from several objects or parts."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.length for file in self.files)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A live object of a bucket."""

    bucket: str
    name: str
    generation: int
    contents: Bytes
    content_type: str
    metadata: Mapping[str, str]
    """The user's own."""
    component_count: int | None
    """How many objects it was composed of; None if it was not composed."""
    kms_key: str
    """projects/P/locations/L/keyRings/R/cryptoKeys/K, "" for Google's own keys."""
    created: datetime
    updated: datetime
    metageneration: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the resource that were given: cacheControl, customTime, temporaryHold, ..."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.contents.size

    @property
    def crc32c(self) -> int:
        """Of all bytes."""
        return self.contents.crc32c

    def ranges(self, offset: int, length: int) -> tuple[FileRange, ...]:
        """Return where LENGTH bytes from OFFSET on are."""
        return cut(self.contents.files, offset, length)

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes in order, at most a MiB at a time."""
        for file in self.contents.files:
            yield from file.pieces()


@dataclass(slots=True)
class Bucket:
    """A bucket: SETTINGS are the writable fields of its resource, as they are sent."""

    name: str
    location: str
    settings: dict[str, Any]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))
    metageneration: int = 1
    policy: dict[str, Any] = field(default_factory=dict)
    """Its IAM policy."""
    objects: dict[str, StoredObject] = field(default_factory=dict)
    uploads: dict[str, "Upload"] = field(default_factory=dict)
    """XML multipart uploads by id."""


@dataclass(slots=True)
class Store:
    """All buckets of the cloud, with bytes in files below HOME. Who changes it holds the cloud's lock."""

    home: Path
    buckets: dict[str, Bucket] = field(default_factory=dict)
    sessions: dict[str, "Session"] = field(default_factory=dict)
    """Resumable uploads by id."""
    _holders: Counter[Path] = field(default_factory=Counter)
    _last_generation: int = 0

    def find(self, bucket: str, name: str) -> StoredObject | None:
        """Return the live version of an object."""
        held = self.buckets.get(bucket)
        return held.objects.get(name) if held else None

    def put(self, item: StoredObject) -> None:
        """Keep an object, in the place of one with the same name."""
        self.hold(item.contents)
        replaced = self.buckets[item.bucket].objects.get(item.name)
        self.buckets[item.bucket].objects[item.name] = item
        if replaced:
            self.release(replaced.contents)

    def delete(self, item: StoredObject) -> None:
        """Remove an object."""
        del self.buckets[item.bucket].objects[item.name]
        self.release(item.contents)

    def hold(self, contents: Bytes) -> None:
        """Keep the files of CONTENTS for one more holder; several objects can be made of the same bytes."""
        self._holders.update({file.path for file in contents.files})

    def release(self, contents: Bytes) -> None:
        """Take back one `hold`; files that nobody holds are removed."""
        for path in {file.path for file in contents.files}:
            self._holders[path] -= 1
            if self._holders[path] <= 0:
                del self._holders[path]
                path.unlink(missing_ok=True)

    def new_file(self) -> Path:
        """Return the path of a file that does not exist yet."""
        self.home.mkdir(parents=True, exist_ok=True)
        return self.home / secrets.token_hex(16)

    def next_generation(self) -> int:
        """Return a number larger than all before: microseconds, as Google's own are."""
        self._last_generation = max(self._last_generation + 1, time.time_ns() // 1000)
        return self._last_generation


def write(path: Path, pieces: Iterable[bytes]) -> Bytes:
    """Write PIECES to a file and return what they are; whatever goes wrong on the way, no file is left."""
    md5 = hashlib.md5(usedforsecurity=False)
    crc, size = 0, 0
    try:
        with path.open("wb") as file:
            for piece in pieces:
                md5.update(piece)
                crc = crc32c.crc32c(piece, crc)
                size += len(piece)
                file.write(piece)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Bytes((FileRange(path, 0, size),), crc, md5.digest())
