# SPDX-License-Identifier: Apache-2.0
"""Stream-optimised VMDK: the grains of 64 KiB that hold data, each compressed, and behind them what finds them again.

It can be written and read from its start to its end, and is what vSphere and the importers of clouds mean by VMDK.
Format: VMware, "Virtual Disk Format 5.0" (2011), section "Stream-Optimized Compressed Sparse Extents", all numbers
little-endian.
"""

import hashlib
import struct
import sys
from array import array
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from enum import IntEnum

import deflate

from lkcloud.errors import UnusableImage
from lkcloud.formats.append import Appender
from lkcloud.formats.clusters import Batch, compressed_clusters, data_in_clusters
from lkcloud.formats.layout import Readable
from lkcloud.reporting import Meter

SECTOR = 512
GRAIN = 128 * SECTOR
"""What is compressed by itself, in bytes."""

ALIGNMENT = 1024 * 1024
"""The format wants whole grains; whole MiB are also whole for those who count in them, as vSphere's dialogues do."""

MAX_SIZE = 62 * 1024**4
"""The largest virtual disk of vSphere in bytes (VMware, "Configuration Maximums")."""

MEMBER = "disk.vmdk"
"""What the file is called in its own descriptor; readers take the name that it has."""

_ENTRIES = 512  # grains in a grain table
_DESCRIPTOR_SECTORS = 20
_OPENING_SECTORS = 128  # header, descriptor and padding: the first grain begins at a whole grain of the file
_MOST_SECTORS = 2**32  # grain tables and the directory tell places in the file by 32 bits

_AT_END = 2**64 - 1  # in place of the directory's sector in the header: the footer knows
_FLAGS = 0x3_0001  # the line ends tell a text transfer, grains are compressed, there are markers

# magic, version, flags, capacity, sectors of a grain, sector and length of the descriptor, entries of a grain table,
# sector of the redundant directory, that of the directory, sectors in front of the grains, unclean shutdown, line
# ends, way of compression (1: deflate); the rest is zeros.
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_GRAIN_MARKER = struct.Struct("<QI")  # first sector of the disk, bytes of the zlib stream, which begins at once
_MARKER = struct.Struct("<QII")  # sectors that follow, 0, kind; the rest of the sector is zeros

_HEAD = 64 * 1024

Append = Callable[[bytes], None]
"""Writes the next bytes of the file. Raises OSError."""


class _Marker(IntEnum):
    END = 0
    TABLE = 1
    DIRECTORY = 2
    FOOTER = 3


@dataclass(frozen=True, slots=True)
class StreamOptimized:
    """DISK as a stream-optimised VMDK of CAPACITY bytes, compressed at LEVEL; WORK is the bytes that will be read."""

    disk: Readable
    level: int
    capacity: int
    work: int

    def write(self, file: int, meter: Meter) -> int:
        """Write it to the empty open FILE and return its bytes; as `stream` otherwise."""
        output = Appender(file)
        self.stream(output.append, meter)
        return output.position

    def stream(self, append: Append, meter: Meter) -> None:
        """Write it by calls of APPEND; METER is told of WORK bytes.

        The same disk gives the same bytes. Compressed by all processors; takes the memory of some MiB a processor and
        4 bytes for each 32 MiB of capacity. Raises UnusableImage for a file beyond 2 TiB, and what APPEND and reading
        the disk raise.
        """
        append(_header(self.capacity, _AT_END) + _padded(_descriptor(self.disk, self.capacity), _DESCRIPTOR_SECTORS))
        append(bytes((_OPENING_SECTORS - 1 - _DESCRIPTOR_SECTORS) * SECTOR))
        tables = _Tables(self.capacity)
        with closing(compressed_clusters(self.disk, GRAIN, self._grain, meter)) as batches:
            for batch in batches:
                append(tables.add(batch))
        append(tables.ending())

    def _grain(self, index: int, data: memoryview) -> bytes:
        packed = deflate.zlib_compress(data, self.level)
        grain = _GRAIN_MARKER.pack(index * GRAIN // SECTOR, len(packed)) + packed
        return grain + bytes(-len(grain) % SECTOR)


def stream_optimized(disk: Readable, level: int) -> StreamOptimized:
    """Return DISK as a stream-optimised VMDK, padded with zeros to a whole MiB, compressed at LEVEL, 1 to 12.

    Raises UnusableImage for a disk of no bytes or one that is too large, and what `disk.extents()` raises.
    """
    if disk.size == 0:
        raise UnusableImage("an empty disk cannot be a VMDK", hint="give an image that holds at least one byte")
    capacity = -(-disk.size // ALIGNMENT) * ALIGNMENT
    if capacity > MAX_SIZE:
        raise UnusableImage(
            f"the disk has {disk.size} bytes and a VMDK holds at most {MAX_SIZE} (62 TiB)",
            hint="use the raw format, or build the image with a smaller disk",
        )
    return StreamOptimized(disk, level, capacity, data_in_clusters(disk, GRAIN))


class _Tables:
    """Where in the file the grains and the grain tables are: each table is written behind the last of its grains."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._sector = _OPENING_SECTORS
        self._directory = array("I", bytes(4 * -(-capacity // (_ENTRIES * GRAIN))))
        self._table = array("I", bytes(4 * _ENTRIES))
        self._number = -1  # of the table whose grains are being written

    def add(self, batch: Batch) -> bytes:
        """Return the bytes of BATCH, and the tables of the grains before it that are complete."""
        pieces: list[bytes] = []
        for index, grain in zip(batch.indexes, batch.packed, strict=True):
            number, entry = divmod(index, _ENTRIES)
            if number != self._number:
                pieces.append(self._finished())
                self._number = number
            self._table[entry] = self._sector
            pieces.append(grain)
            self._advance(len(grain))
        return b"".join(pieces)

    def ending(self) -> bytes:
        """Return what follows the last grain: its table, the directory, the footer, the end of the stream."""
        table = self._finished()
        directory = _little_endian(self._directory)
        directory += bytes(-len(directory) % SECTOR)
        footer = _header(self._capacity, self._sector + 1)
        return b"".join(
            (
                table,
                _marker(_Marker.DIRECTORY, len(directory)) + directory,
                _marker(_Marker.FOOTER, len(footer)) + footer,
                _marker(_Marker.END, 0),
            )
        )

    def _finished(self) -> bytes:
        """Return the table of the grains that have been written, and begin an empty one; the first time nothing."""
        if self._number < 0:
            return b""
        self._directory[self._number] = self._sector + 1
        table = _little_endian(self._table)
        self._table = array("I", bytes(len(table)))
        self._advance(SECTOR + len(table))
        return _marker(_Marker.TABLE, len(table)) + table

    def _advance(self, length: int) -> None:
        self._sector += length // SECTOR
        if self._sector + 1 >= _MOST_SECTORS:
            raise UnusableImage(
                "the compressed disk is larger than 2 TiB, and a VMDK cannot tell where something is beyond that",
                hint="use the raw or the qcow2 format, or build the image with a smaller disk",
            )


def _header(capacity: int, directory: int) -> bytes:
    """Return the header of a file for CAPACITY bytes whose directory is at that sector."""
    header = _HEADER.pack(
        *(b"KDMV", 3, _FLAGS, capacity // SECTOR, GRAIN // SECTOR, 1, _DESCRIPTOR_SECTORS, _ENTRIES),
        *(0, directory, _OPENING_SECTORS, 0, b"\n \r\n", 1),
    )
    return _padded(header, 1)


def _descriptor(disk: Readable, capacity: int) -> bytes:
    """Return the descriptor, whose identifiers follow from the size and the first 64 KiB of the disk.

    255 heads of 63 sectors are what VMware takes for disks at a SCSI adapter, and `toolsVersion` says that the machine
    itself looks after its tools.
    """
    head = disk.read(0, min(_HEAD, disk.size))
    digest = hashlib.sha256(b"%d:" % disk.size + head).digest()
    content = 1 + int.from_bytes(digest[-4:]) % 0xFFFF_FFFD  # the two highest numbers, and to some 0, say "none"
    cylinders = min(-(-capacity // (255 * 63 * SECTOR)), 65535)
    text = f"""# Disk DescriptorFile
version=1
encoding="UTF-8"
CID={content:08x}
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW {capacity // SECTOR} SPARSE "{MEMBER}"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.longContentID = "{digest[:12].hex()}{content:08x}"
ddb.toolsVersion = "2147483647"
ddb.virtualHWVersion = "4"
"""
    return text.encode()


def _marker(kind: _Marker, length: int) -> bytes:
    """Return the sector that says that LENGTH bytes of KIND follow."""
    return _padded(_MARKER.pack(length // SECTOR, 0, kind), 1)


def _padded(data: bytes, sectors: int) -> bytes:
    return data.ljust(sectors * SECTOR, b"\0")


def _little_endian(numbers: "array[int]") -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()
