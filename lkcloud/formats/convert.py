# SPDX-License-Identifier: Apache-2.0
"""Writes a disk to a file in another format: sparse, and whole or not at all."""

import errno
import os
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from lkcloud.disk import Disk, Extent
from lkcloud.errors import LkcloudError, UsageError
from lkcloud.formats import raw, vhd, vhd_dynamic
from lkcloud.formats.atomic import whole_file
from lkcloud.formats.layout import Layout, Readable
from lkcloud.reporting import Meter, Reporter, Silent

# One worker reads while the other writes: a quarter less time than one alone, and more of them gain nothing.
_PIECE = 1024 * 1024
_WORKERS = 2
_SILENT = Silent()


@dataclass(frozen=True, slots=True)
class Format:
    """A format of image files; a file with one of SUFFIXES is taken to be in it."""

    name: str
    suffixes: tuple[str, ...]
    description: str
    layout: Callable[[Readable], Layout]


FORMATS = (
    Format("raw", (".raw", ".img", ".bin"), "the disk as it is, sparse", raw.layout),
    Format("vhd", (".vhd",), "fixed VHD of whole MiB, as Azure takes it", vhd.fixed),
    Format("vhd-dynamic", (), "dynamic VHD: only the blocks of 2 MiB that hold data", vhd_dynamic.dynamic),
)


@dataclass(frozen=True, slots=True)
class Converted:
    """A file that was written: SIZE bytes, of which DATA bytes are not holes."""

    path: Path
    format: str
    size: int
    data: int


def format_for(path: Path) -> Format:
    """Return the format that the ending of PATH asks for. Raises UsageError for one that says nothing."""
    suffix = path.suffix.lower()
    for candidate in FORMATS:
        if suffix in candidate.suffixes:
            return candidate
    known = ", ".join(ending for candidate in FORMATS for ending in candidate.suffixes)
    raise UsageError(
        f"{path.name}: the ending says no format that lkcloud writes",
        hint=f"end the name with one of {known}, or give --format ({_names()})",
    )


def format_named(name: str) -> Format:
    """Return the format called NAME. Raises UsageError if there is none."""
    for candidate in FORMATS:
        if candidate.name == name:
            return candidate
    raise UsageError(f"lkcloud writes no format {name!r}", hint=f"use one of {_names()}")


def convert(
    disk: Disk,
    output: Path,
    *,
    format: str,  # noqa: A002  the name of the option, which is worth more here than the built-in function
    force: bool = False,
    reporter: Reporter = _SILENT,
) -> Converted:
    """Write DISK to OUTPUT in the format of that name, holes staying holes.

    OUTPUT appears whole and flushed to the disk, or not at all; a file that is there is replaced only with FORCE.
    Raises UsageError (a format, a folder or a file that cannot be used), UnusableImage (a disk too large for the
    format, or one that cannot be read), ImageChanged, and LkcloudError (no space, a failing file system).
    """
    chosen = format_named(format)
    target = Path(os.path.realpath(output))
    data = 0
    try:
        _check_target(target, output, disk, force=force)  # first: to find the data may take a while
        layout = chosen.layout(disk)
        data = sum(extent.length for extent in layout.data_ranges())
        with reporter.stage(f"writing {output.name}") as meter, whole_file(target, replace=force) as file:
            meter.expect(data)
            _write(layout, file, meter)
            disk.check_unchanged()
    except OSError as error:
        raise _explained(error, target, data) from error
    return Converted(output, format, layout.size, data)


def _names() -> str:
    return ", ".join(candidate.name for candidate in FORMATS)


def _check_target(target: Path, output: Path, disk: Disk, *, force: bool) -> None:
    """Refuse what cannot be written; TARGET is OUTPUT with links followed."""
    if target.is_dir():
        raise UsageError(f"{output} is a folder", hint=f"name a file in it, such as {output / 'image.vhd'}")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", hint=f"make it first: mkdir -p {target.parent}")
    if not target.exists():
        return
    if disk.path.exists() and target.samefile(disk.path):
        raise UsageError(f"{output} is the image itself", hint="name another file for the output")
    if not target.is_file():
        raise UsageError(f"{output} is no regular file", hint="convert to a file, and copy that to a device")
    if not force:
        raise _exists(output)


def _exists(output: Path) -> UsageError:
    return UsageError(f"{output} exists", hint="name another file, or replace it with --force")


def _write(layout: Layout, file: int, meter: Meter) -> None:
    """Write the data of LAYOUT to the empty FILE. If a worker fails, or on Ctrl-C, the others end after their piece."""
    os.truncate(file, layout.size)
    pieces = _pieces(layout)
    lock = Lock()

    def work() -> None:
        buffer = memoryview(bytearray(_PIECE))
        try:
            while True:
                with lock:
                    piece = next(pieces, None)
                if piece is None:
                    return
                data = buffer[: piece.length]
                layout.readinto(piece.offset, data)
                _write_all(file, data, piece.offset)
                meter.advance(piece.length)
        finally:
            stop()

    def stop() -> None:
        with lock:
            pieces.close()

    with ThreadPoolExecutor(_WORKERS) as executor:
        try:
            for worker in [executor.submit(work) for _ in range(_WORKERS)]:
                worker.result()
        finally:
            stop()


def _pieces(layout: Layout) -> Generator[Extent]:
    for extent in layout.data_ranges():
        for offset in range(extent.offset, extent.end, _PIECE):
            yield Extent(offset, min(_PIECE, extent.end - offset))


def _write_all(file: int, data: memoryview, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written


def _explained(error: OSError, output: Path, needed: int) -> LkcloudError:
    if isinstance(error, FileExistsError):
        return _exists(output)
    folder = output.parent
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return LkcloudError(
                f"no space left in {folder}: {output.name} needs {needed} bytes",
                hint="make room there, or write to another file system",
            )
        case errno.EFBIG:
            return LkcloudError(
                f"{folder} takes no file as large as {output.name}: {error.strerror}",
                hint="write to another file system, or raise the limit (ulimit -f)",
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return UsageError(f"cannot write in {folder}: {error.strerror}", hint="choose a folder that you may write")
    return LkcloudError(f"cannot write {output}: {error.strerror}", hint="look at the file system, then run it again")
