# SPDX-License-Identifier: Apache-2.0
"""Writes a disk to a file in another format: sparse, and whole or not at all."""

import errno
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from lkcloud.disk import Disk
from lkcloud.errors import LkcloudError, UsageError
from lkcloud.formats.atomic import whole_file
from lkcloud.formats.catalogue import PXE, format_named, level_of
from lkcloud.formats.folder import write_folder
from lkcloud.reporting import Reporter, Silent

_SILENT = Silent()


@dataclass(frozen=True, slots=True)
class Converted:
    """A file that was written: SIZE bytes, of which DATA bytes are not holes."""

    path: Path
    format: str
    size: int
    data: int


def convert(
    disk: Disk,
    output: Path,
    *,
    format: str,  # noqa: A002  the name of the option, which is worth more here than the built-in function
    force: bool = False,
    compression_level: int | None = None,
    reporter: Reporter = _SILENT,
) -> Converted:
    """Write DISK to OUTPUT, a file or for pxe a folder, in the format of that name, holes staying holes.

    OUTPUT appears whole or not at all; a file that is there is replaced only with FORCE. When it is written to
    the disk is left to the kernel, as by `cp`. COMPRESSION_LEVEL is for formats that are compressed, and None what is
    best for them.
    Raises UsageError (a format, a level, a folder or a file that cannot be used), UnusableImage (a disk too large for
    the format, or one that cannot be read), ImageChanged, and LkcloudError (no space, a failing file system).
    """
    if format == PXE:
        return _convert_to_folder(disk, output, force=force, compression_level=compression_level, reporter=reporter)
    chosen = format_named(format)
    level = level_of(chosen, compression_level)
    target = Path(os.path.realpath(output))
    needed = 0
    try:
        _check_target(target, output, disk, force=force)  # first: to find the data may take a while
        job = chosen.prepare(disk, level)
        needed = job.work
        with reporter.stage(f"writing {output.name}") as meter, whole_file(target, replace=force, flush=False) as file:
            meter.expect(needed)
            written = job.write(file, meter)
            disk.check_unchanged()
    except OSError as error:
        raise _explained(error, target, f"up to {needed}" if chosen.levels else f"{needed}") from error
    return Converted(output, format, written.size, written.data)


def _convert_to_folder(
    disk: Disk, output: Path, *, force: bool, compression_level: int | None, reporter: Reporter
) -> Converted:
    if compression_level is not None:
        raise UsageError(f"{PXE} is not compressed", hint="leave out the compression level")
    target = Path(os.path.realpath(output))
    _check_folder(target, output, force=force)
    from lkcloud.formats.pxe import netboot  # what reads a Linux system is of no use to the other formats

    files = netboot(disk, reporter)
    size = sum(file.size for file in files)
    try:
        with reporter.stage(f"writing {output.name}") as meter:
            meter.expect(size)
            write_folder(target, files, meter, replace=force, check=disk.check_unchanged)
    except OSError as error:
        raise _explained(error, target, f"{size}") from error
    return Converted(output, PXE, size, size)


def _check_folder(target: Path, output: Path, *, force: bool) -> None:
    _check_name(target)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is no folder, and {PXE} is several files", hint="name a folder to write them to")
    if target.is_dir() and any(target.iterdir()) and not force:
        raise UsageError(
            f"{output} is not empty", hint="name another folder, or write over the files in it with --force"
        )


def _check_name(target: Path) -> None:
    """Refuse the name of what is to be written in a folder that cannot be, or longer than file systems have it."""
    try:
        target.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise _explained(error, target, "") from error
    folder = target.parent
    if folder.is_dir():
        return
    for above in (folder, *folder.parents):
        if above.exists():
            if not above.is_dir():
                raise UsageError(f"{above} is no folder", hint="name a file in a folder")
            break
    raise UsageError(f"there is no folder {folder}", hint=f"make it first: mkdir -p {shlex.quote(str(folder))}")


def _check_target(target: Path, output: Path, disk: Disk, *, force: bool) -> None:
    """Refuse what cannot be written; TARGET is OUTPUT with links followed."""
    if target.is_dir():
        raise UsageError(f"{output} is a folder", hint=f"name a file in it, such as {output / 'image.vhd'}")
    if output.exists() and not output.is_file():  # not TARGET: /dev/stdout leads to a pipe, which has no path
        raise UsageError(f"{output} is no regular file", hint="convert to a file, and copy that to a device")
    _check_name(target)
    if not target.exists():
        return
    if any(file.exists() and target.samefile(file) for file in disk.files):
        raise UsageError(f"{output} is the image itself", hint="name another file for the output")
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
        case errno.ENAMETOOLONG:
            return UsageError(f"the name is too long for {folder}: {output.name}", hint="choose a shorter name")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return UsageError(f"cannot write in {folder}: {error.strerror}", hint="choose a folder that you may write")
    return LkcloudError(f"cannot write {output}: {error.strerror}", hint="look at the file system, then run it again")
