# SPDX-License-Identifier: Apache-2.0
"""Opens a kernel with its initramfs, or an ISO, as the disk that is put together from it; kept in the cache folder."""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from lkcloud.disk.assemble import grub, systemd_boot
from lkcloud.disk.assemble.build import architecture_of, build, firmware_for
from lkcloud.disk.assemble.order import Contents, Wanted
from lkcloud.disk.cached import DISK, cached_disk
from lkcloud.disk.detect import KERNEL_ENDING
from lkcloud.disk.disk import Disk
from lkcloud.disk.identity import Identity
from lkcloud.disk.inspect.facts import Architecture, Firmware
from lkcloud.disk.inspect.window import printable
from lkcloud.disk.linux.boot import Boot
from lkcloud.disk.linux.feed import File
from lkcloud.disk.linux.initramfs import begins_initramfs
from lkcloud.disk.linux.iso_image import look_into_iso
from lkcloud.errors import ImageChanged, UnusableImage, UsageError
from lkcloud.formats.vhd import source_date
from lkcloud.reporting import Meter, Reporter

_INITRD_ENDING, _COMMAND_LINE_ENDING = "-initrd.img", "-cmdline"
"""What LinuxKit's output `kernel+initrd` is called, each behind the name of the build."""

_OTHER_KERNEL = "build it for x86-64 or arm64"
_MOST_COMMAND_LINE = 64 * 1024
_BLANKS = str.maketrans("\t\n\v\f\r", " " * 5)


def from_kernel(disk: Disk, wanted: Wanted, reporter: Reporter) -> Disk:
    """Return the disk that the kernel in DISK, which is closed, and its initramfs come to.

    What WANTED leaves open is taken from the files that LinuxKit puts beside it. Raises UnusableImage and UsageError.
    """
    with disk, ExitStack() as opened:
        paths = _beside(disk.path) if wanted.initrds is None else wanted.initrds
        command_line = _command_line_of(disk.path) if wanted.command_line is None else wanted.command_line
        if paths is None and wanted.command_line is None:
            raise UnusableImage(
                f"{disk.path} is a Linux kernel, and there is no initramfs with it",
                hint="call them NAME-kernel, NAME-initrd.img and NAME-cmdline; or name the initramfs with --initrd and "
                "what the kernel is told with --cmdline (without an initramfs: only that)",
            )
        initrds = tuple(opened.enter_context(_opened(path)) for path in paths or ())
        for file in initrds:
            _check_initramfs(file, str(file.path), reporter)
        contents = Contents(_FileOfDisk(disk), initrds, _one_line(command_line or ""))
        return _assembled(disk, contents, wanted.firmware, initrds, reporter)


def from_iso(disk: Disk, wanted: Wanted, reporter: Reporter, *, looking: bool) -> Disk | None:
    """Return the disk that the ISO in DISK, which is then closed, comes to; None if it is a disk as it is.

    It is one if it is no ISO 9660 file system after all, and, where WANTED says nothing, if UEFI starts it as a disk,
    it boots nothing, or nothing can be put together of it and a BIOS starts it as a disk or the user is just LOOKING.
    Raises UnusableImage and UsageError.
    """
    iso = look_into_iso(disk)
    if iso is None or ("uefi" in iso.hybrid and not wanted):
        return None
    boot = iso.boot
    line = _told(boot, wanted) if boot else None
    if boot is None or boot.kernel is None or line is None or boot.missing or not architecture_of(boot.kernel):
        if not wanted and (looking or iso.hybrid or not (iso.bios or iso.efi_image)):
            return None
        lack, hint = _lacking(boot)
        raise UnusableImage(f"{disk.path} is an ISO that boots as a CD, and {lack}", hint=hint)
    if wanted.initrds is not None:
        raise UsageError("--initrd is for a kernel, and an ISO has its own", hint="leave --initrd out")
    if wanted.command_line is None and boot.command_line and not boot.command_line.complete:
        reporter.warn(f"the kernel is told no more than could be worked out (see --cmdline): {printable(line)}")
    for file in boot.initramfs:
        _check_initramfs(file, f"what its loader names in {disk.path}", reporter)
    medium = _FileOfDisk(disk) if iso.rest else None
    with disk:
        return _assembled(
            disk, Contents(boot.kernel, boot.initramfs, _one_line(line), medium), wanted.firmware, (), reporter
        )


def _check_initramfs(file: File, called: str, reporter: Reporter) -> None:
    """Warn if FILE is none; it is taken all the same, for a kernel may know what is not known here."""
    if not begins_initramfs(file):
        reporter.warn(
            f"{called} does not begin like an initramfs: Linux takes cpio archives (`cpio -H newc`), packed or not"
        )


def _told(boot: Boot, wanted: Wanted) -> str | None:
    """Return what the kernel of BOOT is to be told; None if that is not known."""
    if wanted.command_line is not None:
        # A kernel that no loader's menu names needs an initramfs beside it, or it may well be the wrong one.
        return wanted.command_line if boot.command_line or boot.initramfs else None
    return boot.command_line.without_initrd if boot.command_line else None


def _one_line(command_line: str) -> str:
    """Return COMMAND_LINE with spaces for all that separates words for the kernel: loaders want it on one line."""
    return command_line.translate(_BLANKS).strip()


def _lacking(boot: Boot | None) -> tuple[str, str]:
    """Return what an ISO with BOOT lacks, and what to do."""
    hint = (
        "give its kernel and initramfs instead (lkcloud convert KERNEL disk.raw --initrd FILE --cmdline TEXT), or "
        "build a disk image"
    )
    if boot and boot.missing:
        return f"the initramfs {printable(boot.missing[0])} is not on it", hint
    if boot and boot.kernel and not architecture_of(boot.kernel):
        return "its kernel is for no 64-bit machine of a cloud", _OTHER_KERNEL
    if boot and boot.kernel:
        hint = f"say it with --cmdline, or {hint}" if boot.initramfs else hint
        return "what its loader tells the kernel was not found", hint
    return "no Linux kernel that its loader starts was found on it", hint


def _beside(kernel: Path) -> tuple[Path, ...] | None:
    file = _sibling(kernel, _INITRD_ENDING)
    return (file,) if file else None


def _command_line_of(kernel: Path) -> str | None:
    file = _sibling(kernel, _COMMAND_LINE_ENDING)
    if file is None:
        return None
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST_COMMAND_LINE).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UnusableImage(f"cannot read {file}: {reason}", hint="give its text with --cmdline") from error


def _sibling(kernel: Path, ending: str) -> Path | None:
    if not kernel.name.endswith(KERNEL_ENDING):
        return None
    file = kernel.with_name(kernel.name.removesuffix(KERNEL_ENDING) + ending)
    return file if file.is_file() else None


@dataclass(frozen=True, slots=True)
class _FileOfDisk:
    disk: Disk

    @property
    def size(self) -> int:
        return self.disk.size

    def read(self, offset: int, length: int) -> bytes:
        last = min(offset + length, self.disk.size)
        return self.disk.read(offset, last - offset) if last > offset else b""


@dataclass(frozen=True, slots=True)
class _OpenFile:
    """A file of the user's, as it was when it was opened."""

    path: Path
    descriptor: int
    identity: Identity

    @property
    def size(self) -> int:
        return self.identity.size

    def read(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self.descriptor, length, offset)
        except OSError as error:
            raise UnusableImage(f"cannot read {self.path}: {error.strerror}", hint="build it again") from error

    def check_unchanged(self) -> None:
        """Raise ImageChanged if it was written to or replaced since it was opened."""
        with suppress(OSError):
            if self.identity.same_bytes(Identity.of(self.path)):
                return
        raise ImageChanged(f"{self.path} changed while it was read", hint="wait until it is written, then run it again")


@contextmanager
def _opened(path: Path) -> Iterator[_OpenFile]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening: a pipe would wait for a writer
            raise UnusableImage(f"{path} is no file", hint="name the file of an initramfs with --initrd")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UnusableImage(f"cannot open the initramfs {path}: {error.strerror}", hint="check its path") from error
    try:
        file = _OpenFile(path, descriptor, Identity.of_open(descriptor))
        if not file.size:
            raise UnusableImage(f"the initramfs {path} is empty", hint="build it again")
        yield file
    finally:
        os.close(descriptor)


def _assembled(
    disk: Disk,
    contents: Contents,
    firmware: tuple[Firmware, ...] | None,
    files: tuple[_OpenFile, ...],
    reporter: Reporter,
) -> Disk:
    """Return the disk of CONTENTS, which are in DISK and FILES."""
    architecture = architecture_of(contents.kernel)
    if architecture is None:
        raise UnusableImage(f"the kernel in {disk.path} is for no 64-bit machine of a cloud", hint=_OTHER_KERNEL)
    starting = firmware_for(architecture, firmware)
    opened_ns = time.time_ns()

    def make(new: Path, lock: int, meter: Meter) -> None:  # noqa: ARG001  the lock is for programs that are started
        output = os.open(new / DISK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            build(contents, starting, architecture, output, meter)
            os.fsync(output)  # a name that outlives a power cut must not stand for half a disk
        finally:
            os.close(output)
        disk.check_unchanged()
        for file in files:
            file.check_unchanged()

    identities = (disk.source, *(file.identity for file in files))
    settled = all(identity.settled(opened_ns) for identity in identities)
    # Another lkcloud may find other files on an ISO, or make another disk of the same.
    key = (
        version("lkcloud"),
        identities,
        contents.command_line,
        starting,
        _loaders(starting, architecture),
        source_date(),
    )
    descriptor = cached_disk(
        disk.path, (*key, () if settled else opened_ns), make, kind="assembled", title="assemble", reporter=reporter
    )
    identity = Identity.of_open(descriptor)
    line = _sibling(disk.path, _COMMAND_LINE_ENDING)
    made_of = (disk.path, *(file.path for file in files), *([line] if line else []))
    # What is remembered of it is not its files': another command line or another loader makes another disk of them.
    return Disk(disk.path, descriptor, size=identity.size, source=identity, opened_ns=opened_ns, made_of=made_of)


def _loaders(firmware: tuple[Firmware, ...], architecture: Architecture) -> tuple[Identity, ...]:
    """Return the state of the boot loaders that are installed: another version makes another disk."""
    found = []
    if "uefi" in firmware:
        found.append(systemd_boot.loader(architecture))
    if "bios" in firmware:
        found += grub.images()
    return tuple(Identity.of(path) for path in found)
