# SPDX-License-Identifier: Apache-2.0
"""Opens what the user named as a disk."""

import errno
import os
import stat
import time
from pathlib import Path

from lkcloud.disk.detect import RAW_FORMS, detect, disk_bytes
from lkcloud.disk.disk import Disk
from lkcloud.disk.identity import Identity
from lkcloud.disk.objects import is_url
from lkcloud.errors import UnusableImage
from lkcloud.reporting import Reporter, Silent

_SILENT = Silent()
_NOT_A_FILE = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
)


def open_disk(path: str | os.PathLike[str], *, reporter: Reporter = _SILENT) -> Disk:
    """Open the image file, block device or object PATH, whatever its form; docs/input-formats.md lists the forms.

    A raw disk and a fixed VHD are read where they are. Anything else is unpacked to the cache folder first, and an
    object, which is named by its URL, is fetched there; REPORTER shows both as stages. A disk of 0 bytes is a disk.
    Raises UnusableImage; UsageError and what the object's service says, for a URL.
    """
    if not isinstance(path, str) or not is_url(path):
        return _open_file(Path(path), reporter)
    from lkcloud.disk.fetch import fetched

    file, held = fetched(path, reporter)
    try:
        disk = _open_file(file, reporter)
    except BaseException:
        os.close(held)
        raise
    disk.hold(held)
    return disk


def _open_file(named: Path, reporter: Reporter) -> Disk:
    opened_ns = time.time_ns()
    descriptor = _open(named)
    try:
        source = Identity.of_open(descriptor)
        form = detect(descriptor, source.size, str(named))
        if form in RAW_FORMS:
            return Disk(named, descriptor, size=disk_bytes(form, source.size), source=source, opened_ns=opened_ns)
        # Only here: a raw disk needs neither the decompressors nor qemu-img's answers parsed, and starts sooner.
        from lkcloud.disk.unpack import open_unpacked

        unpacked = open_unpacked(named, form, source, opened_ns, reporter)
        os.close(descriptor)
        descriptor = unpacked
        return Disk(named, unpacked, size=os.fstat(unpacked).st_size, source=source, opened_ns=opened_ns)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, OSError):
            raise _unopened(named, error) from error
        raise


def _open(path: Path) -> int:
    try:
        mode = path.stat().st_mode  # before opening: that of a pipe would wait for a writer
        for is_kind, kind in _NOT_A_FILE:
            if is_kind(mode):
                raise UnusableImage(f"{path} is {kind}", hint="name an image file or a block device")
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unopened(path, error) from error


def _unopened(path: Path, error: OSError | ValueError) -> UnusableImage:
    """Return the error for the user; ValueError is a name with a null byte."""
    if not isinstance(error, OSError):
        return UnusableImage(f"{str(path)!r} cannot be the name of a file", hint="check the path of the image")
    if error.errno == errno.ENOENT:
        return UnusableImage(f"there is no file {path}", hint="check the path of the image, and that it was built")
    if error.errno in (errno.EACCES, errno.EPERM):
        return UnusableImage(
            f"{path} may not be read by this user", hint="change its permissions, or run as a user who may read it"
        )
    return UnusableImage(f"cannot open {path}: {error.strerror}", hint="check the path of the image")
