# SPDX-License-Identifier: Apache-2.0
"""A folder that is there with all of its files or not at all."""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lkcloud.disk.assemble.pieces import whole
from lkcloud.disk.kept import JUST_MADE_NS, remove_unlocked
from lkcloud.disk.linux.feed import File
from lkcloud.errors import UsageError
from lkcloud.formats.atomic import whole_file
from lkcloud.reporting import Meter

_NEW = ".lkcloud-"
"""What the name of a folder begins with that is being written; 16 digits follow."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file of SIZE bytes that is to be written under NAME."""

    name: str
    size: int
    source: File | bytes

    def parts(self) -> Iterator[bytes]:
        """Yield what is in it. Raises UnusableImage and what reading the disk raises."""
        if isinstance(self.source, bytes):
            yield self.source
        else:
            yield from whole(self.source)


def write_folder(
    folder: Path, files: Collection[NewFile], meter: Meter, *, replace: bool, check: Callable[[], None]
) -> None:
    """Write FILES to FOLDER; METER is told of their bytes.

    CHECK is called of each before it has its name, and raises if it shall have none.

    A FOLDER that is not there or empty gets all of them at once. In another one, which only REPLACE allows, each is
    replaced by itself, the last one last, and all else stays; a folder of such a name is seen before that, and raises
    UsageError. Raises FileExistsError if FOLDER is in the way, OSError,
    and what CHECK and reading the files raise.
    """
    if replace and folder.is_dir() and any(folder.iterdir()):
        for file in files:
            if (path := folder / file.name).is_dir():
                raise UsageError(f"{path} is a folder", hint="remove or rename it, or name another folder")
        for file in files:
            _write(folder, file, meter, check, replace=True)
        return
    _remove_dead(folder.parent)
    with _locked_folder(folder.parent) as new:
        for file in files:
            _write(new, file, meter, check, replace=False)
        _rename(new, folder)


@contextmanager
def _locked_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in PARENT; it is removed unless it was renamed.

    The lock on it tells it from what a killed run has left. Where the file system has no locks nobody can tell, and
    what was left stays.
    """
    new = parent / f"{_NEW}{secrets.token_hex(8)}"
    new.mkdir()
    lock = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)
        os.close(lock)


def _remove_dead(parent: Path) -> None:
    """Remove the folders that killed runs have left in PARENT; what cannot be removed stays."""
    with suppress(OSError):
        for old in parent.glob(_NEW + 16 * "[0-9a-f]"):
            if old.is_dir() and time.time_ns() - old.stat().st_mtime_ns > JUST_MADE_NS:
                remove_unlocked(old, old)


def _rename(new: Path, folder: Path) -> None:
    """Rename NEW to FOLDER, which the kernel lets take the place of an empty folder and of no other (rename(2))."""
    try:
        new.rename(folder)
    except NotADirectoryError as error:
        raise FileExistsError from error
    except OSError as error:
        if folder.is_dir() and any(folder.iterdir()):
            raise FileExistsError from error
        raise


def _write(folder: Path, file: NewFile, meter: Meter, check: Callable[[], None], *, replace: bool) -> None:
    with whole_file(folder / file.name, replace=replace, flush=False) as output:
        for part in file.parts():
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(output, rest) :]
            meter.advance(len(part))
        check()
