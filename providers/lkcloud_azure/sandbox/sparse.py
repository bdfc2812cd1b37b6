# SPDX-License-Identifier: Apache-2.0
"""Files with holes: copied, and walked through, by their extents of data."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path


def extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield start and exclusive end of what holds data in the first SIZE bytes of a file."""
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        at = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        if start < at:
            yield start, at


def copy(source: Path, target: Path, size: int | None = None) -> None:
    """Make TARGET, which may be there, a copy of SOURCE that has its holes; of SIZE bytes, cut off or grown."""
    with source.open("rb") as read, target.open("wb") as write:
        length = os.fstat(read.fileno()).st_size
        wanted = length if size is None else size
        write.truncate(wanted)
        for start, end in extents(read.fileno(), min(length, wanted)):
            at = start
            while at < end:
                moved = os.copy_file_range(read.fileno(), write.fileno(), end - at, at, at)
                if moved == 0:
                    raise OSError(errno.EIO, "the file became shorter while it was copied", str(source))
                at += moved


def share(source: Path, target: Path) -> None:
    """Make TARGET, which is not there, another name of SOURCE: for bytes that nobody changes any more."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)
