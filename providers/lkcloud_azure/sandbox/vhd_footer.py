# SPDX-License-Identifier: Apache-2.0
"""Whether a page blob, or what was uploaded into a managed disk, is a VHD that Azure takes.

https://learn.microsoft.com/azure/virtual-machines/linux/create-upload-generic: fixed VHDs only, of whole MiB. The
format: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0, all numbers big-endian.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

SIZE = 512
MIB = 1 << 20

_COOKIE = b"conectix"
_FIELDS = struct.Struct(">8sIIQI4sI4sQQHBBII16s")
_CHECKSUM_AT = 64
_FIXED = 2


@dataclass(eq=False)
class UnusableVhd(Exception):
    """Why a file is no VHD for Azure; CODE is Azure's."""

    code: str
    message: str


def check(path: Path, name: str, url: str) -> int:
    """Return the bytes of the disk in the fixed VHD at PATH. Raises UnusableVhd, which names disk NAME and blob URL."""
    length = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, length - SIZE))
        footer = file.read(SIZE)
    which = f"disk '{name}' with blob {url}"
    if len(footer) < SIZE or not footer.startswith(_COOKIE):
        # microsoft/AzureStorageExplorer#8800 and osbuild/osbuild-composer#111
        message = (
            f"The specified cookie value in VHD footer indicates that {which} is not a supported VHD. Disk is expected "
            "to have cookie value 'conectix'."
        )
        raise UnusableVhd("InvalidVhd", message)
    fields = _FIELDS.unpack_from(footer)
    size, kind, told = fields[9], fields[13], fields[14]
    if kind != _FIXED:
        # That it is refused: create-upload-generic. The words are made after those for the cookie.
        message = (
            f"The specified disk type in VHD footer indicates that {which} is not a supported VHD. Disk is expected to "
            "be of type 'Fixed'."
        )
        raise UnusableVhd("InvalidVhd", message)
    plain = footer[:_CHECKSUM_AT] + bytes(4) + footer[_CHECKSUM_AT + 4 :]
    if told != ~sum(plain) & 0xFFFF_FFFF:
        # Stricter than is known of Azure, and in our words.
        raise UnusableVhd("InvalidVhd", f"The specified checksum in VHD footer of {which} is not that of the footer.")
    if size % MIB:
        # Azure/azure-xplat-cli#1784, xmigrate/xmigrate#234
        message = (
            f"The VHD {url} has an unsupported virtual size of {size} bytes.  The size must be a whole number (in MBs)."
        )
        raise UnusableVhd("InvalidVhd", message)
    if size != length - SIZE:
        # Stricter than is known of Azure, and in our words: such a file is cut off, or has something behind the disk.
        message = f"The specified current size in VHD footer of {which} is {size}, but there are {length - SIZE} bytes."
        raise UnusableVhd("InvalidVhd", message)
    return int(size)


def footer(size: int) -> bytes:
    """Return the footer of a fixed VHD of a disk of SIZE bytes, as Azure gives it out; its application is `wa`."""
    block = bytearray(SIZE)
    _FIELDS.pack_into(
        block,
        0,
        _COOKIE,
        2,
        0x0001_0000,
        2**64 - 1,
        0,
        b"wa\0\0",
        0x0007_0000,
        b"Wi2k",
        size,
        size,
        65535,
        16,
        255,
        _FIXED,
        0,
        bytes(16),
    )
    struct.pack_into(">I", block, _CHECKSUM_AT, ~sum(block) & 0xFFFF_FFFF)
    return bytes(block)
