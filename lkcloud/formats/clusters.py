# SPDX-License-Identifier: Apache-2.0
"""The clusters of a disk that hold anything but zeros, each compressed by itself, by all processors, in order.

Formats that compress and still find any byte at once do it so: qcow2, and VMDK, which calls clusters grains.
"""

from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from lkcloud.disk.memory import aligned
from lkcloud.formats.layout import Readable
from lkcloud.reporting import Meter
from lkcloud.workers import in_order

_BATCH_BYTES = 1024 * 1024  # what a worker reads and compresses at a time: some milliseconds

Compress = Callable[[int, memoryview], bytes]
"""Takes the index of a cluster and all its bytes, and returns what the file holds of it; called from any thread."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Clusters by INDEXES, ascending, and what became of each; LENGTH bytes of the disk were read for them."""

    indexes: "array[int]"
    packed: list[bytes]
    length: int


def data_in_clusters(disk: Readable, size: int) -> int:
    """Return the bytes of all clusters of SIZE bytes in which DISK has data, the last one cut at the end of DISK."""
    total = 0
    for first, behind in _runs(disk, size):
        total += min(behind * size, disk.size) - first * size
    return total


def compressed_clusters(disk: Readable, size: int, compress: Compress, meter: Meter) -> Generator[Batch]:
    """Yield the clusters of SIZE bytes that hold anything but zeros, in the order of DISK, as COMPRESS makes them.

    The last cluster, where the disk ends within it, is filled up with zeros. METER is told of `data_in_clusters` bytes.
    The bytes do not depend on the number of workers. Takes the memory of some batches of about 1 MiB (one cluster at
    least) a worker. Raises what COMPRESS and reading the disk raise. Close it, so that no thread is left.
    """
    zeros = bytes(size)

    def work(indexes: "array[int]") -> Batch:
        buffer, begin = aligned(len(indexes) * size)
        view, found, packed = memoryview(buffer)[begin:], array("Q"), []
        length = _read(disk, size, indexes, view)
        for place, index in enumerate(indexes):
            start = place * size
            if not buffer.startswith(zeros, begin + start):  # with an offset it is a memcmp in place
                found.append(index)
                packed.append(compress(index, view[start : start + size]))
        return Batch(found, packed, length)

    with closing(in_order(work, _batches(disk, size), name="compress")) as batches:
        for batch in batches:
            meter.advance(batch.length)
            yield batch


def _read(disk: Readable, size: int, indexes: "array[int]", view: memoryview) -> int:
    """Read the clusters at INDEXES, one after the other, into VIEW, neighbours at once; return how many bytes."""
    total, place = 0, 0
    while place < len(indexes):
        first = place
        while place < len(indexes) and indexes[place] - indexes[first] == place - first:
            place += 1
        start = indexes[first] * size
        length = min((place - first) * size, disk.size - start)
        disk.readinto(start, view[first * size : first * size + length])
        total += length
    return total


def _batches(disk: Readable, size: int) -> Iterator["array[int]"]:
    """Yield the indexes of the clusters with data in batches that are worth a worker's while."""
    room = max(1, _BATCH_BYTES // size)
    batch = array("Q")
    for first, behind in _runs(disk, size):
        index = first
        while index < behind:
            until = min(behind, index + room - len(batch))
            batch.extend(range(index, until))
            index = until
            if len(batch) == room:
                yield batch
                batch = array("Q")
    if batch:
        yield batch


def _runs(disk: Readable, size: int) -> Iterator[tuple[int, int]]:
    """Yield (first, behind the last) of the clusters that extents of DISK touch, each cluster once."""
    following = 0
    for extent in disk.extents():
        first, behind = max(extent.offset // size, following), -(-extent.end // size)
        if first < behind:
            yield first, behind
            following = behind
