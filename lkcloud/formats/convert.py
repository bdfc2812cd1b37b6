# SPDX-License-Identifier: Apache-2.0
"""Writes a disk to a file in another format: sparse, and whole or not at all."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lkcloud.disk import Disk
from lkcloud.errors import LkcloudError, UsageError
from lkcloud.formats import gce, raw, vhd, vhd_dynamic
from lkcloud.formats.atomic import whole_file
from lkcloud.formats.gzip_member import DEFAULT_LEVEL, LEVELS
from lkcloud.formats.layout import Layout, Readable
from lkcloud.formats.write import write_gzip, write_sparse
from lkcloud.reporting import Reporter, Silent

_SILENT = Silent()


@dataclass(frozen=True, slots=True)
class Format:
    """A format of image files; a file with one of SUFFIXES is taken to be in it.

    The file is the LAYOUT of the disk: sparse, or COMPRESSED by gzip.
    """

    name: str
    suffixes: tuple[str, ...]
    description: str
    layout: Callable[[Readable], Layout]
    compressed: bool = False


FORMATS = (
    Format("raw", (".raw", ".img", ".bin"), "the disk as it is, sparse", raw.layout),
    Format("vhd", (".vhd",), "fixed VHD of whole MiB, as Azure takes it", vhd.fixed),
    Format("vhd-dynamic", (), "dynamic VHD: only the blocks of 2 MiB that hold data", vhd_dynamic.dynamic),
    Format(
        "gce",
        (".tar.gz",),
        "gzipped tar of disk.raw, sparse and of whole GiB, as Compute Engine takes it",
        gce.tarball,
        compressed=True,
    ),
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
    name = path.name.lower()
    for candidate in FORMATS:
        if any(name.endswith(suffix) and name != suffix for suffix in candidate.suffixes):
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
    compression_level: int | None = None,
    reporter: Reporter = _SILENT,
) -> Converted:
    """Write DISK to OUTPUT in the format of that name, holes staying holes.

    OUTPUT appears whole and flushed to the disk, or not at all; a file that is there is replaced only with FORCE.
    COMPRESSION_LEVEL, 0 to 9, is for formats that are compressed (see `gzip_member`), and None what is best for them.
    Raises UsageError (a format, a level, a folder or a file that cannot be used), UnusableImage (a disk too large for
    the format, or one that cannot be read), ImageChanged, and LkcloudError (no space, a failing file system).
    """
    chosen = format_named(format)
    level = _level(chosen, compression_level)
    target = Path(os.path.realpath(output))
    needed = 0
    try:
        _check_target(target, output, disk, force=force)  # first: to find the data may take a while
        layout = chosen.layout(disk)
        needed = layout.size if chosen.compressed else sum(extent.length for extent in layout.data_ranges())
        with reporter.stage(f"writing {output.name}") as meter, whole_file(target, replace=force) as file:
            meter.expect(needed)
            if chosen.compressed:
                size = data = write_gzip(layout, file, meter, level=level)
            else:
                write_sparse(layout, file, meter)
                size, data = layout.size, needed
            disk.check_unchanged()
    except OSError as error:
        raise _explained(error, target, f"up to {needed}" if chosen.compressed else f"{needed}") from error
    return Converted(output, format, size, data)


def _level(chosen: Format, level: int | None) -> int:
    if level is None:
        return DEFAULT_LEVEL
    if not chosen.compressed:
        compressed = " or ".join(candidate.name for candidate in FORMATS if candidate.compressed)
        raise UsageError(
            f"{chosen.name} is not compressed", hint=f"leave out the compression level, or use the format {compressed}"
        )
    if level not in LEVELS:
        raise UsageError(
            f"there is no compression level {level}", hint=f"use {LEVELS[0]} (fast) to {LEVELS[-1]} (small)"
        )
    return level


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


def _explained(error: OSError, output: Path, needed: str) -> LkcloudError:
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
