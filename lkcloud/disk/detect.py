# SPDX-License-Identifier: Apache-2.0
"""Tells by its bytes, never by its name, what form an image has.

Sources: RFC 1952 (gzip), RFC 8878 (zstd), the xz file format 1.2, QEMU's docs/interop/qcow2.rst, VMware's Virtual Disk
Format 5.0, Microsoft's Virtual Hard Disk Image Format Specification 1.0 and MS-VHDX.
"""

import os
import struct
from enum import StrEnum
from typing import TYPE_CHECKING

from lkcloud.errors import UnusableImage

if TYPE_CHECKING:
    from lkcloud.formats.layout import Readable

HEAD_BYTES = 4096 + 512
"""What is looked at of the beginning: the GPT header of a disk with sectors of 4096 bytes is in it."""

KERNEL_HEAD = 1024
"""Bytes: enough to tell a kernel by."""

KERNEL_ENDING = "-kernel"
"""What LinuxKit's output `kernel+initrd` puts behind the name of a build, for its kernel."""

_VHD_FOOTER_BYTES = 512
_VHD_COOKIE = b"conectix"
_VHD_FIXED = 2
_GPT_SIGNATURE = b"EFI PART"
_ISO_DESCRIPTORS = 16 * 2048
_CPIO = (b"070701", b"070702")  # the kernel's documentation, driver-api/early-userspace/buffer-format
_KNOWN_ELSEWHERE = (
    (0, b"BZh", "a bzip2 file", "unpack it with bunzip2"),
    (0, b"PK\x03\x04", "a zip archive", "unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (0, b"\x04\x22\x4d\x18", "an lz4 file", "unpack it with lz4"),
    (257, b"ustar", "a tar archive", "unpack it with tar"),
    (0x40, b"\x7f\x10\xda\xbe", "a VirtualBox VDI", "convert it: qemu-img convert -O raw IMAGE image.raw"),
)


class Form(StrEnum):
    """What an image file can be; the value is the word for it in messages."""

    RAW = "raw"
    FIXED_VHD = "fixed VHD"
    GZIP = "gzip"
    XZ = "xz"
    ZSTD = "zstd"
    QCOW2 = "qcow2"
    VMDK = "VMDK"
    VHD = "VHD"
    VHDX = "VHDX"


RAW_FORMS = (Form.RAW, Form.FIXED_VHD)
"""The forms in which the bytes of the disk stand one after the other from the first byte of the file on."""

_MAGIC = (
    (b"\x1f\x8b\x08", Form.GZIP),
    (b"\xfd7zXZ\x00", Form.XZ),
    (b"\x28\xb5\x2f\xfd", Form.ZSTD),
    (b"QFI\xfb", Form.QCOW2),
    (b"KDMV", Form.VMDK),
    (b"COWD", Form.VMDK),
    (b"# Disk DescriptorFile", Form.VMDK),
    (_VHD_COOKIE, Form.VHD),
    (b"vhdxfile", Form.VHDX),
)


def detect(descriptor: int, size: int, name: str) -> Form:
    """Return the form of the open file of SIZE bytes; NAME is for messages.

    Raises UnusableImage for a form that is known and cannot be used, OSError if the file cannot be read. What is not
    known is raw. A disk with a GPT is raw whatever its boot code looks like.
    """
    head = os.pread(descriptor, HEAD_BYTES, 0)
    if not any(head[sector : sector + 8] == _GPT_SIGNATURE for sector in (512, 4096)):
        for magic, form in _MAGIC:
            if head.startswith(magic):
                return form
        # pzstd begins with a skippable frame, one of 16 numbers.
        if head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F:
            return Form.ZSTD
        if head.startswith(_CPIO):
            raise UnusableImage(
                f"{name} is an initramfs, not a disk", hint="name the kernel that it is for, and this with --initrd"
            )
        for offset, magic, what, todo in _KNOWN_ELSEWHERE:
            if head.startswith(magic, offset):
                raise UnusableImage(f"{name} is {what}, not a disk", hint=f"{todo}, and name the disk that comes out")
    if size >= _VHD_FOOTER_BYTES:
        footer = os.pread(descriptor, _VHD_FOOTER_BYTES, size - _VHD_FOOTER_BYTES)
        if _is_fixed_vhd_footer(footer, size - _VHD_FOOTER_BYTES):
            return Form.FIXED_VHD
    return Form.RAW


def ends_in_vhd_footer(descriptor: int, size: int) -> bool:
    """Return whether the open file of SIZE bytes, a raw disk, ends in the footer of a VHD, of 512 or 511 bytes.

    There it can be some other VHD's in the last partition, or that of a fixed VHD that was damaged. Raises OSError.
    """
    end = os.pread(descriptor, _VHD_FOOTER_BYTES, max(size - _VHD_FOOTER_BYTES, 0))
    return len(end) == _VHD_FOOTER_BYTES and end.startswith((_VHD_COOKIE, end[:1] + _VHD_COOKIE))


def disk_bytes(form: Form, size: int) -> int:
    """Return the size of the disk in a file of SIZE bytes that is FORM raw or fixed VHD."""
    return size - _VHD_FOOTER_BYTES if form is Form.FIXED_VHD else size


def is_kernel(disk: "Readable") -> bool:
    """Return whether DISK is no disk but a Linux kernel; see `begins_kernel`."""
    return begins_kernel(disk.read(0, min(KERNEL_HEAD, disk.size)))


def begins_kernel(head: bytes) -> bool:
    """Return whether HEAD, of KERNEL_HEAD bytes, begins a bzImage, an Image of arm64 or an EFI zboot.

    Sources: https://docs.kernel.org/arch/x86/boot.html, https://docs.kernel.org/arch/arm64/booting.html and
    drivers/firmware/efi/libstub/zboot-header.S of Linux.
    """
    return (
        (head[0x202:0x206] == b"HdrS" and head[0x1FE:0x200] == b"\x55\xaa")
        or head[0x38:0x3C] == b"ARM\x64"
        or (head[:2] == b"MZ" and head[4:8] == b"zimg")
    )


def is_iso(disk: "Readable") -> bool:
    """Return whether there is a file system of ISO 9660 on the whole of DISK (ECMA-119, 6.2 and 8.1)."""
    return disk.size > _ISO_DESCRIPTORS + 6 and disk.read(_ISO_DESCRIPTORS, 6)[1:] == b"CD001"


def _is_fixed_vhd_footer(footer: bytes, disk_size: int) -> bool:
    """Return whether FOOTER says that the DISK_SIZE bytes before it are a fixed VHD, with a right checksum.

    All of it must fit: a raw disk can end in a sector of some other VHD that lies in its last partition.
    """
    if not footer.startswith(_VHD_COOKIE):
        return False
    current_size, kind, checksum = struct.unpack_from(">Q4xII", footer, 48)
    total = sum(footer) - sum(footer[64:68])
    return bool(kind == _VHD_FIXED and current_size == disk_size and checksum == ~total & 0xFFFFFFFF)
