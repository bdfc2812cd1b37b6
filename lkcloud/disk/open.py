# SPDX-License-Identifier: Apache-2.0
"""Opens what the user named as a disk."""

import contextlib
import errno
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lkcloud.disk.detect import (
    KERNEL_ENDING,
    RAW_FORMS,
    Form,
    detect,
    disk_bytes,
    ends_in_vhd_footer,
    is_iso,
    is_kernel,
)
from lkcloud.disk.disk import Disk
from lkcloud.disk.identity import Identity
from lkcloud.disk.objects import is_url
from lkcloud.errors import UnusableImage, UsageError
from lkcloud.reporting import Reporter, Silent

if TYPE_CHECKING:
    from lkcloud.disk.assemble.order import Wanted


_SILENT = Silent()
_NOT_A_FILE = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
)


def open_disk(
    path: str | os.PathLike[str],
    *,
    wanted: "Wanted | None" = None,
    looking: bool = False,
    reporter: Reporter = _SILENT,
) -> Disk:
    """Open the image file, block device or object PATH, whatever its form; docs/input-formats.md lists the forms.

    A raw disk and a fixed VHD are read where they are. Anything else is unpacked to the cache folder first, and an
    object, which is named by its URL, is fetched there. Of a kernel with its initramfs and of an ISO a disk is put
    together there, as WANTED says; an ISO of which none can be is refused, or if the user is just LOOKING a disk as it
    is. REPORTER shows all that as stages. A disk of 0 bytes is a disk. Raises
    UnusableImage; UsageError for a WANTED that does not suit PATH; and what an object's service says.
    """
    if isinstance(path, str) and is_url(path):
        return _bootable(_fetched(path, reporter), wanted, reporter, looking=looking, of_build=False)
    named = named_file(path)
    of_build = named != Path(path)
    return _bootable(_open_file(named, reporter), wanted, reporter, looking=looking, of_build=of_build)


def named_file(path: str | os.PathLike[str]) -> Path:
    """Return the file that PATH names: itself, or the kernel of the LinuxKit build that has this name.

    A folder of that name, such as that with the sources of the build, is not in the way: it can be no disk.
    """
    kernel = Path(f"{os.fspath(path)}{KERNEL_ENDING}")
    with contextlib.suppress(OSError, ValueError):
        if kernel.is_file() and (not Path(path).exists() or Path(path).is_dir()):
            return kernel
    return Path(path)


def _fetched(url: str, reporter: Reporter) -> Disk:
    from lkcloud.disk.fetch import fetched

    file, held = fetched(url, reporter)
    try:
        disk = _open_file(file, reporter)
    except BaseException:
        os.close(held)
        raise
    disk.hold(held)
    return disk


def _bootable(disk: Disk, wanted: "Wanted | None", reporter: Reporter, *, looking: bool, of_build: bool) -> Disk:
    """Return DISK, or what is put together from the kernel or the ISO that it is; if it is OF BUILD, it is a kernel."""
    try:
        kernel, iso = is_kernel(disk), is_iso(disk)
        if of_build and not kernel:
            raise UnusableImage(
                f"{disk.path} is no Linux kernel that boots in a cloud",
                hint="build it for x86-64 or arm64 (bzImage, Image or EFI zboot), or name a disk",
            )
        if not (kernel or iso or wanted):
            return disk
        # Only here: a disk that is one already needs nothing of this, and starts sooner.
        from lkcloud.disk.assemble.opening import from_iso, from_kernel
        from lkcloud.disk.assemble.order import Wanted

        made = None
        if kernel:
            made = from_kernel(disk, wanted or Wanted(), reporter)
        elif iso:
            made = from_iso(disk, wanted or Wanted(), reporter, looking=looking)
        if made is None and wanted:
            raise UsageError(
                f"{disk.path} is neither a Linux kernel nor an ISO that boots as a CD",
                hint="leave out --initrd, --cmdline and --boots-by: a disk boots what is on it",
            )
    except BaseException:
        disk.close()
        raise
    return made or disk


def _open_file(named: Path, reporter: Reporter) -> Disk:
    opened_ns = time.time_ns()
    descriptor = _open(named)
    try:
        source = Identity.of_open(descriptor)
        form = detect(descriptor, source.size, str(named))
        if form is Form.RAW and ends_in_vhd_footer(descriptor, source.size):
            reporter.warn(
                f"{named} ends in the footer of a VHD, of another disk or damaged: it is taken for a raw disk, "
                "the footer with it"
            )
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
