# SPDX-License-Identifier: Apache-2.0
"""Fixed VHD: the disk, zeros up to a whole MiB, a footer of 512 bytes; and the footer that both kinds of VHD share.

Format: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (2006), all numbers big-endian.
"""

import hashlib
import os
import re
import struct
from enum import IntEnum
from uuid import UUID, uuid5

from lkcloud.errors import UnusableImage, UsageError
from lkcloud.formats.layout import DiskRange, Layout, Literal, Readable

SECTOR = 512
ALIGNMENT = 1024 * 1024
"""Azure takes only disks of whole MiB (https://learn.microsoft.com/azure/virtual-machines/linux/create-upload-generic)."""

MAX_SIZE = 2040 * 1024**3
"""The largest disk in bytes: what 32-bit sector numbers leave room for, and the limit of QEMU and Hyper-V."""

FOOTER_SIZE = 512

_EPOCH = 946_684_800  # 2000-01-01 00:00 UTC, from which a VHD counts its seconds
_NAMESPACE = UUID("3c0f4f5e-7b1d-5a52-9a0e-0d6a2f6f8b51")
_HEAD = 64 * 1024

# cookie, features, version, data offset, time, creator application, its version, its host, original size,
# current size, cylinders, heads, sectors a track, kind, checksum, identifier; the rest is zeros.
_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16s")
_CHECKSUM_AT = 64

# Readers take the creator as the dialect of the file: QEMU believes the size field only of those it knows (block/vpc.c)
# and else multiplies the geometry, which loses up to some MiB. `qem2` is what `qemu-img -o force_size=on` writes, and
# so what the instructions of Azure and the importers of other clouds have been fed for years.
_CREATOR = (b"qem2", 0x0005_0003, b"Wi2k")

# The largest geometry there is says "look at the size field" to the readers that know no `qem2`.
_GEOMETRY = (65535, 16, 255)


class Kind(IntEnum):
    """What a footer says of the file that it ends."""

    FIXED = 2
    DYNAMIC = 3


def fixed(disk: Readable, *, timestamp: int | None = None, identifier: UUID | None = None, least: int = 0) -> Layout:
    """Return DISK as a fixed VHD, byte for byte as `qemu-img convert -o subformat=fixed,force_size=on` writes it.

    TIMESTAMP (Unix, seconds) and IDENTIFIER are those of the footer, see `footer`. A disk that is no whole number of
    MiB, or has less than LEAST bytes, is padded with zeros; any other stays as it is. Raises UnusableImage for a disk
    that no VHD can hold.
    """
    size = padded_size(disk, least)
    ending = footer(disk, Kind.FIXED, timestamp=timestamp, identifier=identifier, least=least)
    return Layout(disk, size + FOOTER_SIZE, (DiskRange(0, 0, disk.size), Literal(size, ending)))


def padded_size(disk: Readable, least: int = 0) -> int:
    """Return the size in bytes that DISK has in a VHD: the next whole MiB, of LEAST bytes at least.

    Raises UnusableImage if no VHD holds it.
    """
    if disk.size == 0:
        raise UnusableImage("an empty disk cannot be a VHD", hint="give an image that holds at least one byte")
    size = -(-max(disk.size, least) // ALIGNMENT) * ALIGNMENT
    if size > MAX_SIZE:
        raise UnusableImage(
            f"the disk has {disk.size} bytes and a VHD holds at most {MAX_SIZE} (2040 GiB)",
            hint="use the raw format, or build the image with a smaller disk",
        )
    return size


def footer(
    disk: Readable, kind: Kind, *, timestamp: int | None = None, identifier: UUID | None = None, least: int = 0
) -> bytes:
    """Return the 512 bytes that end a VHD of DISK, which is padded to LEAST bytes.

    The same disk gives the same bytes: without TIMESTAMP (Unix, seconds; what a VHD cannot say is moved to the nearest
    that it can) the time is SOURCE_DATE_EPOCH or else 2000-01-01, and without IDENTIFIER it follows from the size and
    the first 64 KiB of the disk, where the identifiers of a GPT lie. Raises UnusableImage and UsageError (a
    SOURCE_DATE_EPOCH that is no number).
    """
    size = padded_size(disk, least)
    moment = source_date() if timestamp is None else timestamp
    data_offset = 2**64 - 1 if kind is Kind.FIXED else FOOTER_SIZE
    block = bytearray(FOOTER_SIZE)
    _FOOTER.pack_into(
        block,
        0,
        *(b"conectix", 2, 0x0001_0000, data_offset, min(max(moment - _EPOCH, 0), 2**32 - 1), *_CREATOR),
        *(size, size, *_GEOMETRY, kind, 0, (identifier or _identifier(disk)).bytes),
    )
    struct.pack_into(">I", block, _CHECKSUM_AT, checksum(block))
    return bytes(block)


def checksum(block: bytes | bytearray) -> int:
    """Return the ones' complement of the sum of the bytes of BLOCK, whose checksum field must still be zero."""
    return ~sum(block) & 0xFFFF_FFFF


def source_date() -> int:
    """Return SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/) or 2000-01-01, Unix seconds.

    What a format cannot say is moved to the nearest that it can. Raises UsageError if the variable is anything but
    decimal ASCII digits.
    """
    value = os.environ.get("SOURCE_DATE_EPOCH")
    if not value:
        return _EPOCH
    if not re.fullmatch("[0-9]{1,1000}", value):
        raise UsageError(
            f"SOURCE_DATE_EPOCH is no number of seconds: {value!r}",
            hint="set SOURCE_DATE_EPOCH to seconds since 1970, in digits, or unset it",
        )
    return int(value)


def _identifier(disk: Readable) -> UUID:
    head = hashlib.sha256(disk.read(0, min(_HEAD, disk.size))).hexdigest()
    return uuid5(_NAMESPACE, f"{disk.size}:{head}")
