# SPDX-License-Identifier: Apache-2.0
"""qcow2: only the clusters that hold data, found again by tables of two levels, each counted by another such pair.

Format: QEMU, docs/interop/qcow2.rst, version 3; all numbers big-endian.
"""

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from lkcloud.errors import UnusableImage
from lkcloud.formats.layout import Layout, Literal, Readable, Segment
from lkcloud.formats.runs import Runs, runs_of

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
"""Bytes: what qemu-img takes by default, and so what readers have seen most."""

SECTOR = 512
MAX_SIZE = 1024**5
"""QEMU reads up to 32 MiB of the first table and 8 MiB of that of counts, enough for 2 PiB with all their tables."""

L2_ENTRIES = CLUSTER // 8
"""Clusters of a disk that one table of the second level leads to: 512 MiB."""

COPIED = 1 << 63
"""Of an entry that leads to a cluster: nothing else does, so it may be written in place."""

BLOCK_ENTRIES = CLUSTER // 2
"""Clusters of a file that one block counts: 2 GiB."""

_COUNT_ORDER = 4  # counts of 2^4 bits
_MAGIC = b"QFI\xfb"
_VERSION = 3

# magic, version, backing file (offset, length), bits of a cluster, size, encryption, L1 entries, L1 offset, offset and
# clusters of the table of counts, snapshots (number, offset), features (incompatible, compatible, cleared by those who
# do not know them), order of counts, length of the header, compression. The extensions end where they begin.
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQIIB7x")
_INCOMPATIBLE_COMPRESSION = 1 << 3


def plain(disk: Readable) -> Layout:
    """Return DISK as an uncompressed qcow2, padded with zeros to whole sectors.

    Order: header, table of the first level, counts, tables of the second level, the clusters with data as on the disk.
    Raises UnusableImage for a disk of no bytes or above MAX_SIZE, and what `disk.extents()` raises.
    """
    size = padded_size(disk)
    runs = runs_of(disk, CLUSTER)
    tables = runs.tables(L2_ENTRIES)
    first_level = -(-size // (CLUSTER * L2_ENTRIES))
    counts = 1 + clusters(8 * first_level)
    blocks, count_clusters = blocks_for(counts + len(tables) + runs.total)
    second_level = counts + count_clusters + blocks
    segments = _Segments(
        header(size, first_level, counts, count_clusters),
        l1_table(first_level, tables, second_level),
        runs,
        tables,
        counts + count_clusters,
        blocks,
    )
    return Layout(disk, segments.clusters * CLUSTER, segments)


def padded_size(disk: Readable) -> int:
    """Return the size in bytes that DISK has in a qcow2: whole sectors. Raises UnusableImage if none holds it."""
    if disk.size == 0:
        raise UnusableImage("an empty disk cannot be a qcow2", hint="give an image that holds at least one byte")
    if disk.size > MAX_SIZE:
        raise UnusableImage(
            f"the disk has {disk.size} bytes and a qcow2 holds at most {MAX_SIZE} (1 PiB)",
            hint="use the raw format, or build the image with a smaller disk",
        )
    return -(-disk.size // SECTOR) * SECTOR


def clusters(length: int) -> int:
    """Return how many clusters LENGTH bytes take."""
    return -(-length // CLUSTER)


def blocks_for(others: int) -> tuple[int, int]:
    """Return the blocks of counts for OTHERS clusters and themselves, and the clusters of the table of blocks."""
    blocks = table = 0
    while (needed := -(-(others + table + blocks) // BLOCK_ENTRIES)) > blocks:
        blocks, table = needed, clusters(8 * needed)
    return blocks, table


def header(size: int, first_level: int, counts: int, count_clusters: int, *, compression: int = 0) -> bytes:
    """Return the header of a disk of SIZE bytes whose table of the first level has FIRST_LEVEL entries, in cluster 1.

    The table of blocks of counts has COUNT_CLUSTERS clusters from cluster COUNTS on; COMPRESSION is a type of the
    specification, 0 for deflate or none.
    """
    features = (_INCOMPATIBLE_COMPRESSION if compression else 0, 0, 0)
    return _HEADER.pack(
        *(_MAGIC, _VERSION, 0, 0, CLUSTER_BITS, size, 0, first_level, CLUSTER, counts * CLUSTER, count_clusters),
        *(0, 0, *features, _COUNT_ORDER, _HEADER.size, compression),
    )


def l1_table(entries: int, tables: "array[int]", start: int) -> bytes:
    """Return the table of the first level, of so many ENTRIES; the TABLES of these numbers begin at cluster START."""
    table = array("Q", bytes(8 * entries))
    for position, number in enumerate(tables):
        table[number] = (start + position) * CLUSTER | COPIED
    return big_endian(table)


def big_endian(numbers: "array[int]") -> bytes:
    """Return NUMBERS, which it may change, in the byte order of the format."""
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers.tobytes()


@dataclass(frozen=True, slots=True)
class _Segments:
    """The segments of a plain qcow2, made when asked for: its tables are never in memory at once.

    OPENING is the header and FIRST_LEVEL the table behind it; BLOCKS_AT and BLOCKS are the first cluster and the number
    of the blocks of counts, before which their table ends and behind which TABLES of the second level begin.
    """

    opening: bytes
    first_level: bytes
    runs: Runs
    tables: "array[int]"
    blocks_at: int
    blocks: int

    @property
    def clusters(self) -> int:
        """Clusters of the whole file."""
        return self._data_at + self.runs.total

    @property
    def _tables_at(self) -> int:
        return self.blocks_at + self.blocks

    @property
    def _data_at(self) -> int:
        return self._tables_at + len(self.tables)

    def __len__(self) -> int:
        return 3 + self.blocks + len(self.tables) + len(self.runs)

    def __getitem__(self, index: int, /) -> Segment:
        if index == 0:
            return Literal(0, self.opening)
        if index == 1:
            return Literal(CLUSTER, self.first_level)
        if index == 2:
            return self._count_table()
        index -= 3
        if index < self.blocks:
            used = min(self.clusters - index * BLOCK_ENTRIES, BLOCK_ENTRIES)
            return Literal((self.blocks_at + index) * CLUSTER, b"\0\1" * used)
        index -= self.blocks
        if index < len(self.tables):
            return self._second_level(index)
        return self.runs.stored(index - len(self.tables), self._data_at * CLUSTER)

    def __iter__(self) -> Iterator[Segment]:
        return map(self.__getitem__, range(len(self)))

    def _count_table(self) -> Literal:
        table = array("Q", range(self.blocks_at * CLUSTER, self._tables_at * CLUSTER, CLUSTER))
        at = self.blocks_at - clusters(8 * self.blocks)
        return Literal(at * CLUSTER, big_endian(table))

    def _second_level(self, position: int) -> Literal:
        """Return a table from its first entry in use to its last: what is left out is a hole in the file."""
        start = self.tables[position] * L2_ENTRIES
        parts = list(self.runs.within(start, start + L2_ENTRIES))
        first, behind = parts[0].first, parts[-1].first + parts[-1].length
        table = array("Q", bytes(8 * (behind - first)))
        for unit, place, length in parts:
            at = (self._data_at + place) * CLUSTER | COPIED
            table[unit - first : unit - first + length] = array("Q", range(at, at + length * CLUSTER, CLUSTER))
        return Literal((self._tables_at + position) * CLUSTER + 8 * (first - start), big_endian(table))
