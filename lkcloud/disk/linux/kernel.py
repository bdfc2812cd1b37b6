# SPDX-License-Identifier: Apache-2.0
"""Read a kernel as a loader or the firmware starts it: x86 bzImage, arm64 Image, EFI zboot, unified kernel image.

Sources: https://docs.kernel.org/arch/x86/boot.html, https://docs.kernel.org/arch/arm64/booting.html and
drivers/firmware/efi/libstub/zboot-header.S of Linux.
"""

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lkcloud.disk.inspect.facts import Architecture
from lkcloud.disk.inspect.pe import efi_program
from lkcloud.disk.inspect.window import printable
from lkcloud.disk.linux import kernel_scan, unpacking
from lkcloud.disk.linux.feed import PIECE, TOO_LARGE, Feed, File, Part, Unreadable, pieces

_ARM64_MAGIC = b"ARM\x64"
_ARM64_MAGIC_OFFSET = 0x38
_ELF_MACHINES = MappingProxyType[int, Architecture]({62: "x86_64", 183: "arm64"})
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel; what it does not tell is empty or None, and PROBLEM says what kept it from being read."""

    architecture: Architecture | None
    release: str = ""
    """What `uname -r` would say: `6.1.0-56-cloud-amd64`."""
    config: Mapping[str, str] | None = None
    """What its configuration sets, if it carries it."""
    symbols: frozenset[str] | None = None
    """Which of the functions that were asked for are built in; None if its table of symbols was not found."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Header:
    architecture: Architecture | None
    release: str
    content: Iterator[bytes] = field(default_factory=lambda: iter(()))
    problem: str = ""


def read_kernel(file: File, wanted: Collection[str], *, unpack: bool = True) -> Kernel | None:
    """Return what FILE says of itself as a kernel, and which functions of WANTED are in it; None if it is none.

    Without UNPACK only its header is read.
    """
    header = _read_header(file)
    if header is None:
        return None
    if header.problem or not unpack:
        return Kernel(header.architecture, header.release, problem=header.problem)
    try:
        found = kernel_scan.scan(header.content, [name.encode() for name in wanted])
    except Unreadable as error:
        return Kernel(header.architecture, header.release, problem=str(error))
    symbols = None if found.symbols is None else frozenset(name.decode() for name in found.symbols)
    problem = "" if found.whole else TOO_LARGE
    return Kernel(header.architecture, header.release or found.release or "", found.config, symbols, problem)


def _read_header(file: File) -> _Header | None:
    head = file.read(0, _HEAD)
    if header := _x86(file, head):
        return header
    if header := _arm64(file, head):
        return header
    if head[:2] == b"MZ" and head[4:8] == b"zimg":
        return _zboot(file, head)
    if head.startswith(b"\x7fELF") and len(head) > 64:
        (machine,) = struct.unpack_from("<H", head, 18)
        return _Header(_ELF_MACHINES.get(machine), "", pieces(file))
    if head.startswith(b"\x1f\x8b"):
        return _packed_image(file)
    return None


def _x86(file: File, head: bytes) -> _Header | None:
    if len(head) < 0x268 or head[0x1FE:0x200] != b"\x55\xaa" or head[0x202:0x206] != b"HdrS":
        return None
    (protocol,) = struct.unpack_from("<H", head, 0x206)
    (version_offset,) = struct.unpack_from("<H", head, 0x20E)
    (flags,) = struct.unpack_from("<H", head, 0x236)
    words = file.read(0x200 + version_offset, 128).partition(b"\0")[0].split() if version_offset else []
    release = printable(words[0].decode("ascii", "replace")) if words else ""
    architecture: Architecture | None = "x86_64" if protocol >= 0x20C and flags & 1 else None
    if protocol < 0x208:
        return _Header(architecture, release, problem="it is older than Linux 2.6.26")
    setup_sectors = head[0x1F1] or 4
    start, length = struct.unpack_from("<II", head, 0x248)
    payload = Part(file, (setup_sectors + 1) * 512 + start, length)
    if payload.read(0, 4) == b"\x7fELF":
        return _Header(architecture, release, pieces(payload))
    return _Header(architecture, release, unpacking.unpack(Feed(pieces(payload))))


def _arm64(file: File, head: bytes) -> _Header | None:
    if head[_ARM64_MAGIC_OFFSET : _ARM64_MAGIC_OFFSET + 4] != _ARM64_MAGIC:
        return None
    return _Header("arm64", "", pieces(file))


def _zboot(file: File, head: bytes) -> _Header:
    program = efi_program(file)
    start, length = struct.unpack_from("<II", head, 8)
    payload = unpacking.unpack(Feed(pieces(Part(file, start, length))))
    return _Header(program.architecture if program else None, "", payload)


def _packed_image(file: File) -> _Header | None:
    """Return the header of an arm64 Image.gz, which GRUB and U-Boot unpack themselves."""
    try:
        first = next(unpacking.unpack(Feed(iter([file.read(0, PIECE)]))), b"")
    except Unreadable:
        return None
    if first[_ARM64_MAGIC_OFFSET : _ARM64_MAGIC_OFFSET + 4] != _ARM64_MAGIC:
        return None
    return _Header("arm64", "", unpacking.unpack(Feed(pieces(file))))
