# SPDX-License-Identifier: Apache-2.0
"""Files of the cache folder that took long to make: whole or not there, and never removed while somebody uses them.

An entry is a folder with one file in it. It is made in a folder `.new-*` beside the others, which is renamed when it
is whole; a lock tells such a folder from what a killed run has left. Whoever uses an entry holds a shared lock on its
file.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

JUST_MADE_NS = 60 * 1_000_000_000
"""How long a new folder stays even if nobody has locked it: it is locked a moment after it is there."""

_NEW = ".new-"


def open_kept(entry: Path) -> int | None:
    """Return the open file of ENTRY, which stays as long as it is open; None if there is no such entry."""
    try:
        file = next(entry.iterdir())
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, StopIteration):
        return None
    # Whoever removes the entry holds the other lock for a moment; the open file outlives its name.
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    with contextlib.suppress(FileNotFoundError):
        os.utime(entry)  # the time of the last use
    return descriptor


@contextmanager
def new_folder(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield an empty folder in FOLDER and the open file that holds the lock on it."""
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder))
    lock = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield new, lock
    finally:
        shutil.rmtree(new, ignore_errors=True)  # gone already if it was renamed
        os.close(lock)


def settle(new: Path, entry: Path) -> None:
    """Let NEW be ENTRY; if another run was faster, with the same bytes, its work stands."""
    try:
        new.rename(entry)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def remove_old(folder: Path, most: int) -> None:
    """Remove what killed runs have left, and all but the MOST entries used last; never what is in use."""
    kept: list[tuple[int, Path]] = []
    for entry in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            used_ns = entry.stat().st_mtime_ns
            if not entry.name.startswith(_NEW):
                kept.append((used_ns, entry))
            elif time.time_ns() - used_ns > JUST_MADE_NS:
                remove_unlocked(entry, entry)
    for _, entry in sorted(kept, reverse=True)[most:]:
        remove_unused(entry)


def entries(folder: Path) -> list[Path]:
    """Return the entries of FOLDER, those used longest ago first, and what killed runs have left among them."""
    found: list[tuple[int, Path]] = []
    for entry in folder.iterdir() if folder.exists() else ():
        with contextlib.suppress(FileNotFoundError):
            found.append((entry.stat().st_mtime_ns, entry))
    return [entry for _, entry in sorted(found)]


def remove_unused(entry: Path) -> None:
    """Remove ENTRY unless somebody uses it or makes it; one that is gone is no error."""
    with contextlib.suppress(FileNotFoundError):
        remove_unlocked(entry, entry if entry.name.startswith(_NEW) else next(entry.iterdir(), entry))


def remove_unlocked(entry: Path, locked: Path) -> None:
    """Remove ENTRY unless somebody holds the lock on LOCKED."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(locked, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(entry, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
