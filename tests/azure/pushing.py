# SPDX-License-Identifier: Apache-2.0
"""Pushes for tests: uploads with a session that is there, failures at the seams, and a look at the bytes."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from lkcloud.disk import Disk
from lkcloud.disk.inspect import inspect
from lkcloud.formats import vhd
from lkcloud.provider import Blob, Run, Source
from lkcloud.reporting import Silent
from lkcloud.sandbox.http import DropConnection, Response
from lkcloud.testing import CutOff
from lkcloud.transfer.journal import Journal
from lkcloud_azure import AzureOptions
from lkcloud_azure.pages import MOST
from lkcloud_azure.sandbox import ACCOUNT, AzureStandIn, Seen
from lkcloud_azure.sandbox.cloud import LOCATION
from lkcloud_azure.sandbox.disk import Disk as ManagedDisk
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.own_blobs import OwnBlobs
from lkcloud_azure.sandbox.page_file import PageFile
from lkcloud_azure.sandbox.store import StoredBlob
from lkcloud_azure.session import Session
from lkcloud_azure.upload import upload as azure_upload

DiskMaker = Callable[..., Disk]

MIB = 1 << 20


def noise(seed: int, length: int) -> bytes:
    """Return LENGTH bytes that do not compress, the same for the same SEED."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(length)


def source_of(disk: Disk, name: str = "image", description: str = "") -> Source:
    return Source(disk, name, inspect(disk), disk.content().digest, description)


def options_of(**options: object) -> AzureOptions:
    return AzureOptions.model_validate({"location": LOCATION, "storage_account": ACCOUNT, **options})


def upload(session: Session, disk: Disk, run: Run, *, name: str = "image", **options: object) -> Blob:
    """Upload as `Azure.upload` does, with the session that there is."""
    return azure_upload(session, options_of(**options), source_of(disk, name), run)


def cut_off(azure: AzureStandIn, session: Session, disk: Disk, run: Run, parts: int, **options: object) -> None:
    """Upload until the first PARTS, of 4 MiB each, are there, then be interrupted as by Ctrl-C."""
    before = list(azure.traffic.hooks)
    drop(azure, "PutPage", 99, skip=parts)  # more would be there by the time that the first ones are seen
    try:
        upload(session, disk, replace(run, reporter=CutOff("upload", after=parts * MOST)), workers=1, **options)
    except KeyboardInterrupt:
        return
    finally:
        azure.traffic.hooks[:] = before
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


def disks(azure: AzureStandIn) -> list[ManagedDisk]:
    """Return all managed disks that there are."""
    with azure.holdings.lock:
        return list(azure.holdings.every(ManagedDisk))


def blobs(azure: AzureStandIn) -> list[StoredBlob]:
    """Return all blobs of the storage account."""
    service = azure.holdings.blobs
    assert isinstance(service, OwnBlobs)
    with service.store.lock:
        containers = service.store.accounts[ACCOUNT].containers.values()
        return [blob for container in containers for blob in container.blobs.values()]


def pages(azure: AzureStandIn, method: str) -> PageFile:
    """Return the pages of the one upload that goes on."""
    if method == "disk":
        (disk,) = disks(azure)
        assert disk.upload is not None
        return disk.upload
    (blob,) = blobs(azure)
    assert isinstance(blob.contents, PageFile)
    return blob.contents


def assert_same_bytes(azure: AzureStandIn, blob: Blob, disk: Disk, folder: Path) -> None:
    """Compare what Azure holds with DISK, the zeros behind it, and of a blob the footer."""
    if blob.kind == "disk":
        with azure.disk_file(blob.id).open("rb") as file:
            _compare(file, disk, vhd.padded_size(disk, 20 * MIB), b"")
        return
    copy = folder / "stored.vhd"
    azure.holdings.blobs.fetch(blob.id, copy)
    with copy.open("rb") as file:
        _compare(file, disk, vhd.padded_size(disk), vhd.footer(disk, vhd.Kind.FIXED))
    copy.unlink()


def _compare(file: IO[bytes], disk: Disk, size: int, ending: bytes) -> None:
    step = 16 * MIB
    for position in range(0, disk.size, step):
        length = min(step, disk.size - position)
        assert file.read(length) == disk.read(position, length), f"differs behind byte {position}"
    while position := min(step, size - file.tell()):
        assert file.read(position) == bytes(position)
    assert file.read() == ending


def counted(azure: AzureStandIn, operation: str) -> int:
    return azure.traffic.operations().count(operation)


def refuse(azure: AzureStandIn, operation: str, error: ApiError, times: int = 1, *, skip: int = 0) -> None:
    """Let TIMES requests of OPERATION, after the first SKIP of them, fail with ERROR."""
    hook(azure, "before", operation, lambda one: _said(one, error), times, skip=skip)


def lose_answers(azure: AzureStandIn, operation: str, times: int = 1, *, skip: int = 0) -> None:
    """Do what TIMES requests of OPERATION, after the first SKIP of them, ask for, and do not answer them."""
    hook(azure, "after", operation, _drop, times, skip=skip)


def drop(azure: AzureStandIn, operation: str, times: int = 1, *, skip: int = 0) -> None:
    """Close the connection on TIMES requests of OPERATION, after the first SKIP of them, before they are read."""
    hook(azure, "before", operation, _drop, times, skip=skip)


def once(azure: AzureStandIn, phase: str, operation: str, act: Callable[[], object], *, skip: int = 0) -> None:
    """Do ACT when the next request of OPERATION, after the first SKIP of them, is in PHASE."""

    def do(one: Seen) -> None:
        del one
        act()

    hook(azure, phase, operation, do, 1, skip=skip)


def hook(
    azure: AzureStandIn,
    phase: str,
    operation: str,
    act: Callable[[Seen], Response | None],
    times: int,
    *,
    skip: int = 0,
) -> None:
    """Let ACT see TIMES requests of OPERATION in PHASE, after the first SKIP of them, and answer them if it does."""
    lock = threading.Lock()
    passed = 0

    def see(one: Seen) -> Response | None:
        nonlocal passed
        if one.phase != phase or one.operation != operation:
            return None
        with lock:
            passed += 1
            if not skip < passed <= skip + times:
                return None
        return act(one)

    azure.traffic.hooks.append(see)


def _said(one: Seen, error: ApiError) -> Response:
    return error.xml() if one.service == "blob" else error.json()


def _drop(one: Seen) -> Response:
    raise DropConnection


@contextmanager
def others(azure: AzureStandIn) -> Iterator[None]:
    """Let requests be those of somebody who may do everything, whatever the identity of the tests is allowed."""
    windows = azure.windows
    before = windows.allowed_actions, windows.allowed_data_actions
    windows.allowed_actions = windows.allowed_data_actions = None
    try:
        yield
    finally:
        windows.allowed_actions, windows.allowed_data_actions = before


class Noting(Silent):
    """A reporter that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)
