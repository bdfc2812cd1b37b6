# SPDX-License-Identifier: Apache-2.0
"""Pushes for tests: uploads with a session that is there, failures at the seams, and a look at the bytes."""

import base64
import hashlib
import json
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from lkcloud.disk import Disk
from lkcloud.disk.inspect import inspect
from lkcloud.provider import Blob, Run, Source
from lkcloud.reporting import Silent
from lkcloud.sandbox.http import DropConnection, Response
from lkcloud.testing import CutOff
from lkcloud.transfer.journal import Journal
from lkcloud_gcp import GcpOptions, objects
from lkcloud_gcp.sandbox import GcpStandIn, Seen
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.store import StoredObject
from lkcloud_gcp.session import Session
from lkcloud_gcp.upload import upload as gcp_upload

DiskMaker = Callable[..., Disk]

BUCKET = "pushes"
MIB = 1 << 20
GIB = 1 << 30
KEY = "projects/lkcloud-sandbox/locations/us/keyRings/ring/cryptoKeys/key"


def noise(seed: int, length: int) -> bytes:
    """Return LENGTH bytes that do not compress, the same for the same SEED."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(length)


def source_of(disk: Disk, name: str = "image", description: str = "") -> Source:
    return Source(disk, name, inspect(disk), disk.content().digest, description)


def options_of(**options: object) -> GcpOptions:
    return GcpOptions.model_validate({"bucket": BUCKET, **options})


def upload(session: Session, disk: Disk, run: Run, *, name: str = "image", **options: object) -> Blob:
    """Upload as `Gcp.upload` does, with the session that there is."""
    return gcp_upload(session, options_of(**options), source_of(disk, name), run)


def cut_off(session: Session, disk: Disk, run: Run, after: int, **options: object) -> None:
    """Upload until AFTER bytes of the tar are there, then be interrupted as by Ctrl-C."""
    try:
        upload(session, disk, replace(run, reporter=CutOff("upload", after=after)), **options)
    except KeyboardInterrupt:
        return
    raise AssertionError("the upload was not interrupted")


class OtherMachine:
    """A run with a journal of another machine: nothing is known there of what went before."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "other-machine" / "journal.db"

    def __enter__(self) -> Run:
        self._journal = Journal.open(self._path)
        return Run(self._journal)

    def __exit__(self, *_: object) -> None:
        self._journal.close()


def stored(stand_in: GcpStandIn, blob: Blob) -> StoredObject:
    """Return the object that BLOB means."""
    bucket, name, generation = objects.parse(blob.id)
    found = stand_in.holdings.store.find(bucket, name)
    assert found is not None
    assert found.generation == generation
    return found


def names(stand_in: GcpStandIn, bucket: str = BUCKET) -> list[str]:
    """Return the names of all objects of a bucket."""
    return sorted(stand_in.holdings.store.buckets[bucket].objects)


def assert_same_bytes(stand_in: GcpStandIn, blob: Blob, disk: Disk, folder: Path) -> None:
    """Take apart what is stored, by the standard library and GNU tar's own way with holes, and compare with DISK."""
    tar = folder / "stored.tar"
    inflate = zlib.decompressobj(wbits=31)
    with tar.open("wb") as file:
        for piece in stored(stand_in, blob).pieces():
            file.write(inflate.decompress(piece))
        file.write(inflate.flush())
    assert inflate.eof
    assert inflate.unused_data == b""
    with tarfile.open(tar) as archive:
        (member,) = archive.getmembers()
        assert member.name == "disk.raw"
        size = -(-disk.size // GIB) * GIB
        assert member.size == size
        data = archive.extractfile(member)
        assert data is not None
        _compare(data, size, disk)
    tar.unlink()


def _compare(file: IO[bytes], size: int, disk: Disk) -> None:
    """Compare FILE of SIZE bytes with DISK; the rest are zeros, of which the first and the last are looked at."""
    step = 16 * MIB
    for position in range(0, disk.size, step):
        length = min(step, disk.size - position)
        assert file.read(length) == disk.read(position, length), f"differs behind byte {position}"
    for position in (disk.size, max(disk.size, size - step)):
        file.seek(position)
        rest = file.read(step)
        assert rest == bytes(min(step, size - position)), f"no zeros behind byte {position}"


def shown(found: StoredObject, *, crc32c: str = "", kms_key: str = "") -> Response:
    """Return what the JSON API shows of an object, with another checksum if one is given."""
    document = {
        "bucket": found.bucket,
        "name": found.name,
        "generation": str(found.generation),
        "size": str(found.size),
        "crc32c": crc32c or base64.b64encode(found.crc32c.to_bytes(4, "big")).decode(),
        **({"kmsKeyName": kms_key} if kms_key else {}),
    }
    return Response(200, {"Content-Type": "application/json"}, json.dumps(document).encode())


def seen(stand_in: GcpStandIn, operation: str) -> Iterator[Seen]:
    """Yield the requests of OPERATION that have been answered."""
    return (one for one in tuple(stand_in.traffic.log) if one.operation == operation)


def counted(stand_in: GcpStandIn, operation: str) -> int:
    return stand_in.traffic.operations().count(operation)


def refuse(stand_in: GcpStandIn, operation: str, error: ApiError, times: int = 1, *, skip: int = 0) -> None:
    """Let TIMES requests of OPERATION, after the first SKIP of them, fail with ERROR."""
    _hook(stand_in, "before", operation, times, skip, lambda one: error.xml() if one.service == "xml" else error.json())


def lose_answers(stand_in: GcpStandIn, operation: str, times: int = 1, *, skip: int = 0) -> None:
    """Do what TIMES requests of OPERATION, after the first SKIP of them, ask for, and do not answer them."""
    _hook(stand_in, "after", operation, times, skip, _drop)


def drop(stand_in: GcpStandIn, operation: str, times: int = 1, *, skip: int = 0) -> None:
    """Close the connection on TIMES requests of OPERATION, after the first SKIP of them, before they are read."""
    _hook(stand_in, "before", operation, times, skip, _drop)


def answer(stand_in: GcpStandIn, operation: str, response: Callable[[Seen], Response | None], times: int = 1) -> None:
    """Do what the next TIMES requests of OPERATION ask for, and let RESPONSE answer them."""
    _hook(stand_in, "after", operation, times, 0, response)


def _drop(one: Seen) -> Response:
    raise DropConnection


def _hook(
    stand_in: GcpStandIn,
    phase: str,
    operation: str,
    times: int,
    skip: int,
    act: Callable[[Seen], Response | None],
) -> None:
    lock = threading.Lock()
    passed = 0

    def hook(one: Seen) -> Response | None:
        nonlocal passed
        if one.phase != phase or one.operation != operation:
            return None
        with lock:
            passed += 1
            if not skip < passed <= skip + times:
                return None
        return act(one)

    stand_in.traffic.hooks.append(hook)


class Noting(Silent):
    """A reporter that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)
