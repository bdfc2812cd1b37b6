# SPDX-License-Identifier: Apache-2.0
"""Locks between processes that the kernel releases when their holder dies."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lkcloud.errors import Conflict


@contextmanager
def exclusive(folder: Path, key: str) -> Iterator[None]:
    """Hold KEY for the length of the context, by a lock file in FOLDER.

    Raises Conflict at once if it is held.
    """
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.lock"
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
                raise Conflict(
                    f"another run is uploading this{f' (process {holder})' if holder else ''}",
                    hint="wait until it has ended, or stop it, and run the same command again",
                ) from error
            if not _still_there(path, descriptor):
                continue  # its holder removed the file between our open and our lock: the next one is another file
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


@contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Hold the lock file PATH for the length of the context, after its holder if there is one. The file stays."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _still_there(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
