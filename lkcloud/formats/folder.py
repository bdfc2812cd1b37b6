# SPDX-License-Identifier: Apache-2.0
"""A folder that is there with all of its files or not at all."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lkcloud.disk.assemble.pieces import whole
from lkcloud.disk.linux.feed import File
from lkcloud.formats.atomic import whole_file
from lkcloud.reporting import Meter


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
    folder: Path, files: Iterable[NewFile], meter: Meter, *, replace: bool, check: Callable[[], None]
) -> None:
    """Write FILES to FOLDER; METER is told of their bytes.

    CHECK is called of each before it has its name, and raises if it shall have none.

    A FOLDER that is not there or empty gets all of them at once. In another one, which only REPLACE allows, each is
    replaced by itself, the last one last, and all else stays. Raises FileExistsError if FOLDER is in the way, OSError,
    and what CHECK and reading the files raise.
    """
    if replace and folder.is_dir() and any(folder.iterdir()):
        for file in files:
            _write(folder, file, meter, check, replace=True)
        return
    new = folder.parent / f".lkcloud-{secrets.token_hex(8)}"
    new.mkdir()
    try:
        for file in files:
            _write(new, file, meter, check, replace=False)
        _rename(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


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
