# SPDX-License-Identifier: Apache-2.0
"""Compressed qcow2: each cluster by itself, as deflate or zstd, one behind the other and not at whole clusters.

Format: QEMU, docs/interop/qcow2.rst, version 3, "Compressed Clusters Descriptor".
"""

import os
import threading
from array import array
from contextlib import closing
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import zstandard
from zlib_ng import zlib_ng

from lkcloud.formats.append import Appender, write_all
from lkcloud.formats.clusters import Batch, Compress, compressed_clusters, data_in_clusters
from lkcloud.formats.layout import Readable
from lkcloud.formats.qcow2 import (
    BLOCK_ENTRIES,
    CLUSTER,
    CLUSTER_BITS,
    COPIED,
    L2_ENTRIES,
    SECTOR,
    big_endian,
    blocks_for,
    clusters,
    header,
    padded_size,
)
from lkcloud.reporting import Meter

_COMPRESSED = 1 << 62
_SECTORS_AT = 62 - (CLUSTER_BITS - 8)  # in an entry: below are the bits of the place, above those of the length
_WINDOW = -12  # deflate without any frame that looks back 4 KiB, which is all that QEMU keeps of it (block/qcow2.c)
_LEAST_GAIN = SECTOR
"""What a cluster must shrink by; else it is stored as it is, which every reader has faster."""


class Compression(IntEnum):
    """The types of the specification."""

    ZLIB = 0
    ZSTD = 1


class Size(NamedTuple):
    """A file of WHOLE bytes, of which WRITTEN are not holes."""

    whole: int
    written: int


@dataclass(frozen=True, slots=True)
class Compressed:
    """DISK as a qcow2 of SIZE bytes whose clusters are compressed by COMPRESSION at LEVEL; made by `compressed`.

    WORK is what a meter will be told of, bytes of the disk.
    """

    disk: Readable
    size: int
    compression: Compression
    level: int
    work: int

    def write(self, file: int, meter: Meter) -> Size:
        """Write to the empty open FILE.

        Order: header, table of the first level, clusters as on the disk and behind those of each table of the second
        level the table itself, counts. Takes 2 bytes of memory for each 64 KiB that are written, besides what
        `compressed_clusters` takes, and raises what that raises; and OSError.
        """
        first_level = array("Q", [0]) * -(-self.size // (CLUSTER * L2_ENTRIES))
        start = 1 + clusters(8 * len(first_level))
        compress = _zstd(self.level) if self.compression is Compression.ZSTD else _deflate(self.level)
        appender = Appender(file, start * CLUSTER)
        with closing(compressed_clusters(self.disk, CLUSTER, compress, meter)) as batches:
            packer = _Packer(file, appender, first_level)
            for batch in batches:
                packer.add(batch)
            packer.finish()
        counts_at = clusters(appender.position)
        blocks, count_clusters = blocks_for(counts_at)
        end = counts_at + count_clusters + blocks
        places = array("Q", range((end - blocks) * CLUSTER, end * CLUSTER, CLUSTER))
        write_all(file, big_endian(places), counts_at * CLUSTER)
        for number in range(blocks):
            write_all(file, packer.count_block(number, end), (end - blocks + number) * CLUSTER)
        write_all(file, big_endian(first_level), CLUSTER)
        opening = header(self.size, len(first_level), counts_at, count_clusters, compression=self.compression)
        write_all(file, opening, 0)
        os.truncate(file, end * CLUSTER)
        others = len(opening) + 8 * len(first_level) + 8 * blocks + 2 * end
        return Size(end * CLUSTER, appender.position - start * CLUSTER - packer.holes + others)


def compressed(disk: Readable, compression: Compression, level: int) -> Compressed:
    """Return DISK as a qcow2 to be written, padded with zeros to whole sectors.

    Raises UnusableImage for a disk that no qcow2 holds, and what `disk.extents()` raises.
    """
    return Compressed(disk, padded_size(disk), compression, level, data_in_clusters(disk, CLUSTER))


def _deflate(level: int) -> Compress:
    def compress(index: int, data: memoryview) -> bytes:  # noqa: ARG001  all clusters are alike
        packed = zlib_ng.compress(data, level, _WINDOW)
        return packed if len(packed) <= CLUSTER - _LEAST_GAIN else bytes(data)

    return compress


def _zstd(level: int) -> Compress:
    compressors = threading.local()  # each may be used by one thread at a time, and takes long to make

    def compress(index: int, data: memoryview) -> bytes:  # noqa: ARG001
        if not hasattr(compressors, "own"):
            compressors.own = zstandard.ZstdCompressor(level=level)
        packed: bytes = compressors.own.compress(data)
        return packed if len(packed) <= CLUSTER - _LEAST_GAIN else bytes(data)

    return compress


class _Packer:
    """Writes clusters, those that shrank one behind the other and the others each at a whole cluster, and counts.

    FILE is that of APPENDER, which stands at a whole cluster. Tables of the second level are written when they are
    complete, like a cluster that did not shrink, and FIRST_LEVEL leads to them. HOLES counts bytes that were left out.
    """

    def __init__(self, file: int, appender: Appender, first_level: "array[int]") -> None:
        self.holes = 0
        self._file = file
        self._appender = appender
        self._first_level = first_level
        self._table = 0
        self._entries = array("Q")  # of that table, up to the last one in use
        self._start = appender.position // CLUSTER
        self._counts = array("H")
        self._gap, self._gap_end = 0, 0  # what is free before the last cluster that did not shrink

    def add(self, batch: Batch) -> None:
        """Write the clusters of BATCH. Raises OSError."""
        end = bytearray()
        for index, packed in zip(batch.indexes, batch.packed, strict=True):
            table, place = divmod(index, L2_ENTRIES)
            if table != self._table:
                self._end_table(end)
                self._table = table
            self._entries.extend(array("Q", [0]) * (place - len(self._entries)))
            self._entries.append(self._whole(packed, end) if len(packed) == CLUSTER else self._part(packed, end))
        self._appender.append(end)

    def finish(self) -> None:
        """Write the last table. Raises OSError."""
        self._end_table(bytearray())

    def count_block(self, number: int, end: int) -> bytes:
        """Return a block of counts, of a file of END clusters of which all that are not data are used once."""
        start = number * BLOCK_ENTRIES
        counts = array("H", [1]) * (min(start + BLOCK_ENTRIES, end) - start)
        data = self._counts[max(start - self._start, 0) : max(start + len(counts) - self._start, 0)]
        first = max(self._start - start, 0)
        counts[first : first + len(data)] = data
        return big_endian(counts)

    def _end_table(self, end: bytearray) -> None:
        """Write END and the table of the second level, if anything is in it, and begin the next one.

        What the table has before its first entry in use and behind its last is left a hole.
        """
        if not self._entries:
            return
        self._first_level[self._table] = self._whole(b"", end)
        self._appender.append(end)
        end.clear()
        table = big_endian(self._entries)
        used = table.lstrip(b"\0")  # the first byte of an entry is never zero
        self._appender.position += len(table) - len(used)
        self._appender.append(used)
        self._appender.position += CLUSTER - len(table)
        self.holes += CLUSTER - len(used)
        self._entries = array("Q")

    def _whole(self, data: bytes, end: bytearray) -> int:
        """Append DATA to END, which is not written yet, at the next whole cluster, all its own; return its entry."""
        position = self._appender.position + len(end)
        room = -position % CLUSTER
        if room:
            self._gap, self._gap_end = position, position + room
        end += bytes(room)
        end += data
        self._count(position + room, CLUSTER)
        return (position + room) | COPIED

    def _part(self, packed: bytes, end: bytearray) -> int:
        """Write PACKED to the gap if it has room, or append it to END; return its entry."""
        length, written = len(packed), self._appender.position
        if length <= self._gap_end - self._gap:
            at, self._gap = self._gap, self._gap + length
            if at < written:
                write_all(self._file, packed, at)
            else:
                end[at - written : at - written + length] = packed
        else:
            at = written + len(end)
            end += packed
        self._count(at, length)
        more_sectors = (at + length - 1) // SECTOR - at // SECTOR
        return _COMPRESSED | more_sectors << _SECTORS_AT | at

    def _count(self, at: int, length: int) -> None:
        for cluster in range(at // CLUSTER - self._start, (at + length - 1) // CLUSTER - self._start + 1):
            if cluster == len(self._counts):
                self._counts.append(1)
            else:
                self._counts[cluster] += 1
