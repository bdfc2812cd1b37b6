# SPDX-License-Identifier: Apache-2.0
"""The objects and unfinished uploads of all buckets: what is known of them in memory, their bytes in files."""

import hashlib
import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from lkcloud.sandbox.http import CHUNK, FileRange
from lkcloud.sandbox.ranges import cut
from lkcloud_aws.sandbox.s3_checksums import Algorithm, Type
from lkcloud_aws.sandbox.s3_upload import Stored


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload or of an object."""

    number: int
    stored: Stored
    modified: datetime

    @property
    def etag(self) -> str:
        """The ETag without its quotation marks."""
        return self.stored.md5.hex()


@dataclass(frozen=True, slots=True)
class Object:
    """An object: the files of its parts, one after the other."""

    key: str
    parts: tuple[Part, ...]
    etag: str
    headers: dict[str, str]
    """What was given when it was made and is given back: content type, user metadata."""
    checksums: dict[Algorithm, str]
    checksum_type: Type = "FULL_OBJECT"
    tags: dict[str, str] = field(default_factory=dict)
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(part.stored.size for part in self.parts)

    def ranges(self, offset: int, length: int) -> tuple[FileRange, ...]:
        """Return the pieces of files that hold LENGTH bytes from OFFSET on."""
        return cut((FileRange(part.stored.path, 0, part.stored.size) for part in self.parts), offset, length)

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes, at most a MiB at a time."""
        for piece in self.ranges(0, self.size):
            yield from piece.pieces()

    def copy_to(self, path: Path) -> None:
        """Write the bytes to a file, zeros as holes."""
        zeros = bytes(CHUNK)
        with path.open("wb") as file:
            for piece in self.pieces():
                if piece == zeros[: len(piece)]:
                    file.seek(len(piece), 1)
                else:
                    file.write(piece)
            file.truncate(self.size)


@dataclass(slots=True)
class Upload:
    """A multipart upload that has not been completed."""

    id: str
    key: str
    order: int
    algorithm: Algorithm | None
    checksum_type: Type
    headers: dict[str, str]
    tags: dict[str, str]
    initiated: datetime = field(default_factory=lambda: datetime.now(UTC))
    parts: dict[int, Part] = field(default_factory=dict)


@dataclass(slots=True)
class ObjectStore:
    """The objects and uploads by bucket. Its caller holds the cloud's lock."""

    home: Path
    objects: dict[str, dict[str, Object]] = field(default_factory=dict)
    uploads: dict[str, dict[str, Upload]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_file(self) -> Path:
        """Return the path of a file that does not exist yet."""
        self.home.mkdir(parents=True, exist_ok=True)
        return self.home / secrets.token_hex(16)

    def find(self, bucket: str, key: str) -> Object | None:
        """Return an object."""
        return self.objects.get(bucket, {}).get(key)

    def put(self, bucket: str, item: Object) -> None:
        """Keep an object, in the place of one with the same key."""
        self.delete(bucket, item.key)
        self.objects.setdefault(bucket, {})[item.key] = item

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        item = self.objects.get(bucket, {}).pop(key, None)
        if item:
            for part in item.parts:
                part.stored.path.unlink(missing_ok=True)

    def start(self, bucket: str, upload: Upload) -> None:
        """Keep an upload."""
        self.uploads.setdefault(bucket, {})[upload.id] = upload

    def end(self, bucket: str, upload: Upload, kept: tuple[Part, ...] = ()) -> None:
        """Forget an upload, and remove all of its parts but those KEPT for an object."""
        self.uploads[bucket].pop(upload.id, None)
        paths = {part.stored.path for part in kept}
        for part in upload.parts.values():
            if part.stored.path not in paths:
                part.stored.path.unlink(missing_ok=True)

    def next_order(self) -> int:
        """Return a number that is larger than all before."""
        return next(self._numbers)

    def is_empty(self, bucket: str) -> bool:
        """Say whether a bucket has no object; unfinished uploads do not keep a bucket from being deleted."""
        return not self.objects.get(bucket)

    def forget(self, bucket: str) -> None:
        """Remove what a deleted bucket still had."""
        for upload in tuple(self.uploads.get(bucket, {}).values()):
            self.end(bucket, upload)
        self.uploads.pop(bucket, None)
        self.objects.pop(bucket, None)


def multipart_etag(parts: tuple[Part, ...]) -> str:
    """Return the ETag of an object of several parts: the MD5 of their MD5s, and their number."""
    digest = hashlib.md5(b"".join(part.stored.md5 for part in parts), usedforsecurity=False)
    return f"{digest.hexdigest()}-{len(parts)}"
