# SPDX-License-Identifier: Apache-2.0
"""Where the data of a disk is, and the hashes of its blocks: one pass, in threads, in little memory.

A page of 4 KiB is data if it holds any byte but zero. Holes are skipped by SEEK_DATA and SEEK_HOLE (lseek(2)); what
they leave over is read and compared with zeros, so the result follows from the bytes alone, whatever the file system.
"""

import errno
import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from lkcloud.disk.content import BLOCK, Content
from lkcloud.disk.extent import Extents
from lkcloud.disk.memory import aligned
from lkcloud.reporting import Meter
from lkcloud.workers import in_order

PAGE = 4096
"""Bytes of the smallest run of zeros that is looked for."""

_CHUNK = 64 * 1024
PIECE = 1024 * 1024
"""Bytes read at once: small enough to be still in the processor's cache when compared and hashed."""

_BATCH_BYTES = 8 * PIECE
_BATCH_RANGES = 1024
_ZEROS = bytes(PIECE)
_ZERO_CHUNK = bytes(_CHUNK)
_ZERO_PAGE = bytes(PAGE)
_NO_HOLES_KNOWN = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY}

ReadInto = Callable[[int, memoryview], None]
"""Fills the buffer with the bytes from an offset on; called from several threads at once."""


def allocated(descriptor: int, size: int) -> Extents:
    """Return what the file system says is data in the first SIZE bytes: all of them where it does not know holes.

    To be asked once: ext4 may answer differently after a read, when unwritten extents have come into its cache.
    Raises OSError.
    """
    bounds = array("Q")
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data from here on
                break
            if error.errno not in _NO_HOLES_KNOWN:
                raise
            start, end = position, size
        if start >= size:
            break
        _append(bounds, start, min(end, size))
        position = end
    return Extents(bounds)


def find_extents(readinto: ReadInto, size: int, where: Extents) -> Extents:
    """Return the data in WHERE, to the page; outside of WHERE the disk is known to be zero."""
    bounds = array("Q")
    for found in _survey(readinto, size, where, PAGE, hashing=False):
        _extend(bounds, found.bounds)
    return Extents(bounds)


def find_content(readinto: ReadInto, size: int, where: Extents, meter: Meter | None = None) -> tuple[Extents, Content]:
    """Return the data in WHERE, to the page, and the blocks that hold it; METER shows how far it is."""
    bounds, indexes, hashes = array("Q"), array("Q"), bytearray()
    if meter:
        meter.expect(sum(end - start for start, end in _widened(where, BLOCK, size)))
    for found in _survey(readinto, size, where, BLOCK, hashing=True):
        _extend(bounds, found.bounds)
        indexes.extend(found.indexes)
        hashes += found.hashes
        if meter:
            meter.advance(found.surveyed)
    return Extents(bounds), Content(size, indexes, bytes(hashes))


def append_data(data: bytes | bytearray, length: int, offset: int, bounds: "array[int]", *, begin: int = 0) -> None:
    """Append to BOUNDS where the LENGTH (up to PIECE) bytes of DATA from BEGIN on, which stand at OFFSET, are not zero.

    From large to small: whole pieces of zeros and whole pages of data are the two common cases.
    """
    if data.startswith(_zeros(length), begin):
        return
    start = -1  # of the data that has not been appended
    # startswith with an offset is a memcmp in place; a slice would copy and a memoryview compare by element.
    for chunk in range(0, length, _CHUNK):
        chunk_end = min(chunk + _CHUNK, length)
        zeros = _ZERO_CHUNK if chunk_end - chunk == _CHUNK else _zeros(chunk_end - chunk)
        is_zero = data.startswith(zeros, begin + chunk)
        for page in range(chunk, chunk + PAGE if is_zero else chunk_end, PAGE):
            zeros = _ZERO_PAGE if page + PAGE <= length else _zeros(length - page)
            if is_zero or data.startswith(zeros, begin + page):
                if start >= 0:
                    _append(bounds, offset + start, offset + page)
                    start = -1
            elif start < 0:
                start = page
    if start >= 0:
        _append(bounds, offset + start, offset + length)


@dataclass(frozen=True, slots=True)
class _Found:
    surveyed: int
    bounds: "array[int]"
    indexes: "array[int]"
    hashes: bytes


def _survey(readinto: ReadInto, size: int, where: Extents, align: int, *, hashing: bool) -> Iterator[_Found]:
    """Yield what is in WHERE, widened to multiples of ALIGN, in order and batch by batch."""

    def look(batch: "array[int]") -> _Found:
        return _look(readinto, batch, hashing=hashing)

    with closing(in_order(look, _batches(_widened(where, align, size)), name="scan")) as found:
        yield from found


def _look(readinto: ReadInto, batch: "array[int]", *, hashing: bool) -> _Found:
    buffer, begin = aligned(PIECE)
    view = memoryview(buffer)[begin:]
    surveyed, bounds, indexes, hashes = 0, array("Q"), array("Q"), bytearray()
    for extent in Extents(batch):
        surveyed += extent.length
        for offset in range(extent.offset, extent.end, PIECE):
            length = min(PIECE, extent.end - offset)
            readinto(offset, view[:length])
            data: array[int] = array("Q")
            append_data(buffer, length, offset, data, begin=begin)
            if hashing:
                for index in _blocks(data):
                    start = index * BLOCK - offset
                    indexes.append(index)
                    hashes += _block_hash(view[start : min(start + BLOCK, length)])
            _extend(bounds, data)
    return _Found(surveyed, bounds, indexes, bytes(hashes))


def _blocks(bounds: "array[int]") -> Iterator[int]:
    """Yield the number of each block that BOUNDS touch, once."""
    following = 0
    for extent in Extents(bounds):
        first, behind = max(extent.offset // BLOCK, following), -(-extent.end // BLOCK)
        yield from range(first, behind)
        following = max(following, behind)


def _block_hash(data: memoryview) -> bytes:
    total = hashlib.sha256(data)
    if len(data) < BLOCK:
        total.update(_zeros(BLOCK - len(data)))
    return total.digest()


def _widened(where: Extents, align: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (first, behind the last) of WHERE, widened to multiples of ALIGN, cut at SIZE and merged."""
    start = end = 0
    for extent in where:
        low = extent.offset - extent.offset % align
        high = min(-(-extent.end // align) * align, size)
        if low > end:
            if end > start:
                yield start, end
            start = low
        end = max(end, high)
    if end > start:
        yield start, end


def _batches(ranges: Iterable[tuple[int, int]]) -> Iterator["array[int]"]:
    """Cut RANGES into batches that are worth a worker's while; cuts are at multiples of _BATCH_BYTES from a start."""
    batch, held = array("Q"), 0
    for start, end in ranges:
        position = start
        while position < end:
            until = min(end, position + _BATCH_BYTES)
            batch.extend((position, until))
            held += until - position
            position = until
            if held >= _BATCH_BYTES or len(batch) >= 2 * _BATCH_RANGES:
                yield batch
                batch, held = array("Q"), 0
    if batch:
        yield batch


def _append(bounds: "array[int]", start: int, end: int) -> None:
    if bounds and bounds[-1] == start:
        bounds[-1] = end
    else:
        bounds.extend((start, end))


def _extend(bounds: "array[int]", more: "array[int]") -> None:
    if bounds and more and bounds[-1] == more[0]:
        bounds[-1] = more[1]
        more = more[2:]
    bounds.extend(more)


def _zeros(length: int) -> bytes:
    return _ZEROS if length == PIECE else _ZEROS[:length]
