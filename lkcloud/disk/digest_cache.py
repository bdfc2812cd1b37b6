# SPDX-License-Identifier: Apache-2.0
"""Remembers what a disk holds, so that an unchanged file is not read again.

One file an image in `digests` of the cache folder: a heading, the key, the tables, and the SHA-256 of all that before
it. A file that does not check is as good as none. Losing the cache costs a read of the image, so no trouble with it
is ever an error.
"""

import contextlib
import hashlib
import os
import struct
import sys
import tempfile
from array import array
from pathlib import Path

from lkcloud.disk.content import Content
from lkcloud.disk.extent import Extents
from lkcloud.disk.identity import Identity
from lkcloud.paths import cache_dir

ENTRIES = 256
"""How many images are remembered; the ones used longest ago are forgotten."""

ENTRY_BYTES = 32 * 1024 * 1024
"""The largest table kept: a full disk of 400 GiB has one of that size."""

# Counts up with every change of the form or of what the tables mean. Tables are in the machine's own byte order.
_HEADING = f"lkcloud disk content 1 {sys.byteorder}\n".encode()
_KEY = struct.Struct("=5Q")
_COUNTS = struct.Struct("=3Q")
_CHECK_BYTES = 32


def load(identity: Identity) -> tuple[Extents, Content] | None:
    """Return what is remembered of the file that IDENTITY describes."""
    try:
        path = _path(identity)
        packed = path.read_bytes()
        os.utime(path)  # the time of the last use, for `_forget_old`
    except OSError:
        return None
    return _unpack(packed, identity)


def store(identity: Identity, extents: Extents, content: Content) -> None:
    """Remember EXTENTS and CONTENT; the caller has made sure that IDENTITY was settled before the file was read."""
    packed = _pack(identity, extents, content)
    if len(packed) > ENTRY_BYTES:
        return
    with contextlib.suppress(OSError):
        path = _path(identity)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
            try:
                file.write(packed)
                file.flush()
                Path(file.name).replace(path)  # no fsync: what a power cut leaves half written does not check
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
        _forget_old(path.parent)


def _path(identity: Identity) -> Path:
    return cache_dir() / "digests" / hashlib.sha256(_key(identity)).hexdigest()[:32]


def _key(identity: Identity) -> bytes:
    return _KEY.pack(*(number % 2**64 for number in identity))  # times before 1970 are negative


def _pack(identity: Identity, extents: Extents, content: Content) -> bytes:
    counts = _COUNTS.pack(content.size, len(extents), len(content))
    tables = extents.bounds.tobytes() + content.indexes.tobytes() + content.hashes
    packed = _HEADING + _key(identity) + counts + tables
    return packed + hashlib.sha256(packed).digest()


def _unpack(packed: bytes, identity: Identity) -> tuple[Extents, Content] | None:
    heading = _HEADING + _key(identity)
    body = packed[:-_CHECK_BYTES]
    if not body.startswith(heading) or hashlib.sha256(body).digest() != packed[-_CHECK_BYTES:]:
        return None
    position = len(heading) + _COUNTS.size
    size, extent_count, block_count = _COUNTS.unpack(body[len(heading) : position])
    bounds, indexes = array("Q"), array("Q")
    for table, count in ((bounds, 2 * extent_count), (indexes, block_count)):
        table.frombytes(body[position : position + 8 * count])
        position += 8 * count
    return Extents(bounds), Content(size, indexes, body[position:])


def _forget_old(folder: Path) -> None:
    """Keep the ENTRIES used last; what a killed run left half written is as old as any other."""
    by_use = sorted(((path.stat().st_mtime_ns, path) for path in folder.iterdir()), reverse=True)
    for _, path in by_use[ENTRIES:]:
        path.unlink(missing_ok=True)
