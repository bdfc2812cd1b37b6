# SPDX-License-Identifier: Apache-2.0
"""VHDX: dynamic, only the blocks that hold data, each at a whole MiB of the file.

Format: Microsoft, [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format", version 1; all numbers little-endian.
"""

import hashlib
import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid5

import anycrc

from lkcloud.errors import UnusableImage
from lkcloud.formats.layout import Layout, Literal, Readable, Segment
from lkcloud.formats.runs import Runs, runs_of

MAX_SIZE = 64 * 1024**4
"""The largest disk in bytes (section 2.6.2.2)."""

SECTOR = 512
PHYSICAL_SECTOR = 4096
"""What Hyper-V gives to new disks, besides sectors of 512 bytes; the disk is padded to whole ones."""

_MIB = 1024 * 1024
_KIB_64 = 64 * 1024
_SMALLEST_BLOCK = _MIB
_MOST_BLOCKS = 2 * _MIB
_SECTORS_OF_BITMAP = 1 << 23  # the bits of the 1 MiB that one sector bitmap has, if it is there (section 2.4)

# Order of the file, each at a whole MiB: headers and tables of regions, log, table of blocks, metadata, blocks.
_LOG_AT, _LOG_SIZE = _MIB, _MIB
_BLOCK_TABLE_AT = 2 * _MIB
_METADATA_SIZE = _MIB

_CREATOR = "lkcloud"
_HEADS_AT = (_KIB_64, 2 * _KIB_64)
_REGION_TABLES_AT = (3 * _KIB_64, 4 * _KIB_64)
_HEADER_SIZE = 4096
_CHECKSUM_AT = 4

# signature, checksum, sequence number, identifiers of the file, its data and its log, versions of log and file, size
# and place of the log.
_HEADER = struct.Struct("<4sIQ16s16s16sHHIQ")
_REGIONS = struct.Struct("<4sIII")  # signature, checksum, entries, reserved
_REGION = struct.Struct("<16sQII")  # identifier, place, size, whether a reader must know it
_METADATA = struct.Struct("<8sHH20x")  # signature, reserved, entries
_ITEM = struct.Struct("<16sIIII")  # identifier, place in the region, size, flags, reserved

_BLOCK_TABLE_REGION = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
_METADATA_REGION = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_FILE_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_VIRTUAL_DISK_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_VIRTUAL_DISK_ID = UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
_LOGICAL_SECTOR_SIZE = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
_PHYSICAL_SECTOR_SIZE = UUID("cda348c7-445d-4471-9cc9-e9885251c556")
_OF_DISK, _REQUIRED = 2, 4

# Blocks without data are said to be zeros. "Not present" would be shorter, but what a reader finds there is undefined
# (section 2.5.1.1), and an image relies on its zeros.
_ZERO_BLOCK = 2
_FULL_BLOCK = 6

_NAMESPACE = UUID("a2f0b8f4-94c2-5a0b-8f0f-5be2ac1d7b5e")
_HEAD = 64 * 1024
_CRC32C = anycrc.Model("CRC32C")


def dynamic(disk: Readable) -> Layout:
    """Return DISK as a dynamic VHDX, padded with zeros to whole sectors of 4096 bytes.

    The same disk gives the same bytes: the identifiers follow from the size and the first 64 KiB of the disk, where the
    identifiers of a GPT lie. Raises UnusableImage for a disk that no VHDX can hold, and what reading the disk raises.
    """
    if disk.size == 0:
        raise UnusableImage("an empty disk cannot be a VHDX", hint="give an image that holds at least one byte")
    size = -(-disk.size // PHYSICAL_SECTOR) * PHYSICAL_SECTOR
    if size > MAX_SIZE:
        raise UnusableImage(
            f"the disk has {disk.size} bytes and a VHDX holds at most {MAX_SIZE} (64 TiB)",
            hint="use the raw format, or build the image with a smaller disk",
        )
    block = block_size(size)
    table = _BlockTable(runs_of(disk, block), -(-size // block), _SECTORS_OF_BITMAP * SECTOR // block)
    segments = _Segments(_opening(disk, table), table, _metadata(disk, size, block, table))
    return Layout(disk, segments.end, segments)


def block_size(size: int) -> int:
    """Return the bytes of a block for a disk of SIZE bytes: 1 MiB up to 2 TiB, and so many that the table stays small.

    1 MiB is the least there is, and what Microsoft advises for Linux
    (https://learn.microsoft.com/windows-server/virtualization/hyper-v/best-practices-for-running-linux-on-hyper-v):
    a block is stored as a whole, so that in the 32 MiB that Hyper-V takes by itself little data takes much room.
    """
    block = _SMALLEST_BLOCK
    while size > block * _MOST_BLOCKS:
        block *= 2
    return block


@dataclass(frozen=True, slots=True)
class _BlockTable:
    """The table of blocks: BLOCKS entries, and behind those of each chunk of CHUNK blocks that of its sector bitmap."""

    runs: Runs
    blocks: int
    chunk: int

    @property
    def chunks(self) -> int:
        """Chunks of the disk, the last one as long as it is."""
        return -(-self.blocks // self.chunk)

    @property
    def size(self) -> int:
        """Bytes of the region; the last sector bitmap would be only for a disk that has a parent."""
        return -(-8 * (self.blocks + self.chunks - 1) // _MIB) * _MIB

    @property
    def data_at(self) -> int:
        """Where the blocks begin in the file."""
        return _BLOCK_TABLE_AT + self.size + _METADATA_SIZE

    def of_chunk(self, number: int) -> Literal:
        """Return the entries of the blocks of one chunk; that of the sector bitmap, which is not there, is zero."""
        start = number * self.chunk
        end = min(start + self.chunk, self.blocks)
        entries = array("Q", [_ZERO_BLOCK]) * (end - start)
        unit = self.runs.unit
        for first, place, length in self.runs.within(start, end):
            at = self.data_at + place * unit | _FULL_BLOCK
            entries[first - start : first - start + length] = array("Q", range(at, at + length * unit, unit))
        if sys.byteorder == "big":
            entries.byteswap()
        return Literal(_BLOCK_TABLE_AT + 8 * (start + number), entries.tobytes())


@dataclass(frozen=True, slots=True)
class _Segments:
    """The segments of a VHDX, made when asked for; OPENING is what comes before the log, which is empty."""

    opening: tuple[Literal, ...]
    table: _BlockTable
    metadata: tuple[Literal, ...]

    @property
    def end(self) -> int:
        """Bytes of the whole file."""
        return self.table.data_at + self.table.runs.total * self.table.runs.unit

    def __len__(self) -> int:
        return len(self.opening) + self.table.chunks + len(self.metadata) + len(self.table.runs)

    def __getitem__(self, index: int, /) -> Segment:
        if index < len(self.opening):
            return self.opening[index]
        index -= len(self.opening)
        if index < self.table.chunks:
            return self.table.of_chunk(index)
        index -= self.table.chunks
        if index < len(self.metadata):
            return self.metadata[index]
        return self.table.runs.stored(index - len(self.metadata), self.table.data_at)

    def __iter__(self) -> Iterator[Segment]:
        return map(self.__getitem__, range(len(self)))


def _opening(disk: Readable, table: _BlockTable) -> tuple[Literal, ...]:
    """Return the identifier of the type of the file, both headers and both tables of regions (section 2.2)."""
    type_identifier = b"vhdxfile" + _CREATOR.encode("utf-16-le")
    # The one with the larger sequence number counts; the other would be the state before.
    headers = (_header(disk, number) for number in (1, 2))
    regions = _region_table(table).rstrip(b"\0")  # the rest of it is a hole in the file
    return (
        Literal(0, type_identifier),
        *(Literal(at, header) for at, header in zip(_HEADS_AT, headers, strict=True)),
        *(Literal(at, regions) for at in _REGION_TABLES_AT),
    )


def _header(disk: Readable, sequence_number: int) -> bytes:
    block = bytearray(_HEADER_SIZE)
    identifiers = (_identifier(disk, "file"), _identifier(disk, "data"), bytes(16))  # no log: nothing to do again
    _HEADER.pack_into(block, 0, b"head", 0, sequence_number, *identifiers, 0, 1, _LOG_SIZE, _LOG_AT)
    return _checked(block)


def _region_table(table: _BlockTable) -> bytes:
    block = bytearray(_KIB_64)
    _REGIONS.pack_into(block, 0, b"regi", 0, 2, 0)
    regions = (
        (_BLOCK_TABLE_REGION, _BLOCK_TABLE_AT, table.size),
        (_METADATA_REGION, _BLOCK_TABLE_AT + table.size, _METADATA_SIZE),
    )
    for number, (identifier, place, size) in enumerate(regions):
        _REGION.pack_into(block, _REGIONS.size + number * _REGION.size, identifier.bytes_le, place, size, 1)
    return _checked(block)


def _metadata(disk: Readable, size: int, block: int, blocks: _BlockTable) -> tuple[Literal, Literal]:
    """Return the region of metadata: its table, and behind 64 KiB what that leads to (section 2.6)."""
    items = (
        (_FILE_PARAMETERS, _REQUIRED, struct.pack("<II", block, 0)),  # blocks may be given up, and there is no parent
        (_VIRTUAL_DISK_SIZE, _REQUIRED | _OF_DISK, struct.pack("<Q", size)),
        (_VIRTUAL_DISK_ID, _REQUIRED | _OF_DISK, _identifier(disk, "disk")),
        (_LOGICAL_SECTOR_SIZE, _REQUIRED | _OF_DISK, struct.pack("<I", SECTOR)),
        (_PHYSICAL_SECTOR_SIZE, _REQUIRED | _OF_DISK, struct.pack("<I", PHYSICAL_SECTOR)),
    )
    table, values = _METADATA.pack(b"metadata", 0, len(items)), b""
    for identifier, flags, value in items:
        table += _ITEM.pack(identifier.bytes_le, _KIB_64 + len(values), len(value), flags, 0)
        values += value
    at = _BLOCK_TABLE_AT + blocks.size
    return Literal(at, table), Literal(at + _KIB_64, values)


def _checked(block: bytearray) -> bytes:
    """Return BLOCK, whose checksum must still be zero, with the CRC-32C of it."""
    struct.pack_into("<I", block, _CHECKSUM_AT, _CRC32C.calc(bytes(block)))
    return bytes(block)


def _identifier(disk: Readable, what: str) -> bytes:
    head = hashlib.sha256(disk.read(0, min(_HEAD, disk.size))).hexdigest()
    return uuid5(_NAMESPACE, f"{what}:{disk.size}:{head}").bytes_le
