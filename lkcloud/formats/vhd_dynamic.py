# SPDX-License-Identifier: Apache-2.0
"""Dynamic VHD: only the blocks of 2 MiB that hold data, found again by a table.

Format: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (2006), all numbers big-endian.
"""

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from lkcloud.formats.layout import DiskRange, Layout, Literal, Readable, Segment
from lkcloud.formats.vhd import FOOTER_SIZE, SECTOR, Kind, checksum, footer, padded_size

BLOCK = 2 * 1024 * 1024

_HEADER_SIZE = 1024
# cookie, data offset (unused), table offset, version, table entries, block size, checksum; the rest is for disks that
# have a parent.
_HEADER = struct.Struct(">8sQQIIII")
_CHECKSUM_AT = 36
_ABSENT = 0xFFFF_FFFF

# One bit a sector, 512 bytes in all: a block that is there is there as a whole.
_BITMAP = b"\xff" * (BLOCK // SECTOR // 8)


def dynamic(disk: Readable, *, timestamp: int | None = None, identifier: UUID | None = None) -> Layout:
    """Return DISK as a dynamic VHD, byte for byte as `qemu-img convert -o subformat=dynamic,force_size=on` writes it.

    Order: footer, header, table, then each block with its bitmap, footer. The disk is padded with zeros to whole MiB,
    as in a fixed VHD: importers count in MiB, and none can then cut off the last bytes of the disk. TIMESTAMP (Unix,
    seconds) and IDENTIFIER as in `vhd.footer`. Raises UnusableImage for a disk that no VHD can hold.
    """
    size = padded_size(disk)
    ending = footer(disk, Kind.DYNAMIC, timestamp=timestamp, identifier=identifier)
    entries = -(-size // BLOCK)
    stored = _blocks_with_data(disk)
    start = FOOTER_SIZE + _HEADER_SIZE + _table_size(entries)
    opening = ending + _header(entries) + _table(entries, stored, start)
    segments = _Segments(disk.size, stored, opening, ending)
    return Layout(disk, segments.end, segments)


def _blocks_with_data(disk: Readable) -> "array[int]":
    blocks = array("I")
    following = 0
    for extent in disk.extents():
        first = max(extent.offset // BLOCK, following)
        following = max(-(-extent.end // BLOCK), following)
        blocks.extend(range(first, following))
    return blocks


def _table_size(entries: int) -> int:
    return -(-4 * entries // SECTOR) * SECTOR


def _header(entries: int) -> bytes:
    block = bytearray(_HEADER_SIZE)
    table_offset = FOOTER_SIZE + _HEADER_SIZE
    _HEADER.pack_into(block, 0, b"cxsparse", 2**64 - 1, table_offset, 0x0001_0000, entries, BLOCK, 0)
    struct.pack_into(">I", block, _CHECKSUM_AT, checksum(block))
    return bytes(block)


def _table(entries: int, stored: "array[int]", start: int) -> bytes:
    """Return the sector number of each block's bitmap, filled up to whole sectors with "absent"."""
    table = array("I", [_ABSENT]) * (_table_size(entries) // 4)
    for position, block in enumerate(stored):
        table[block] = (start + position * (len(_BITMAP) + BLOCK)) // SECTOR
    if sys.byteorder == "little":
        table.byteswap()
    return table.tobytes()


@dataclass(frozen=True, slots=True)
class _Segments:
    """The segments of a dynamic VHD, made when asked for: 4 bytes a block, so that 2 TiB of data need 4 MiB."""

    disk_size: int
    stored: "array[int]"
    opening: bytes
    ending: bytes

    @property
    def end(self) -> int:
        """Bytes of the whole file."""
        return self._block_at(len(self.stored)) + len(self.ending)

    def __len__(self) -> int:
        return 2 + 2 * len(self.stored)

    def __getitem__(self, index: int, /) -> Segment:
        if index == 0:
            return Literal(0, self.opening)
        position, is_data = divmod(index - 1, 2)
        offset = self._block_at(position)
        if position == len(self.stored):
            return Literal(offset, self.ending)
        if not is_data:
            return Literal(offset, _BITMAP)
        source = self.stored[position] * BLOCK
        return DiskRange(offset + len(_BITMAP), source, min(BLOCK, self.disk_size - source))

    def __iter__(self) -> Iterator[Segment]:
        return map(self.__getitem__, range(len(self)))

    def _block_at(self, position: int) -> int:
        return len(self.opening) + position * (len(_BITMAP) + BLOCK)
