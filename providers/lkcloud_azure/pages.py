# SPDX-License-Identifier: Apache-2.0
"""What is written of a disk into a page blob, in which requests; and arithmetic with sorted ranges of pages.

A page blob begins as zeros, and so does a managed disk that is made for an upload: only pages with data are written.
https://learn.microsoft.com/rest/api/storageservices/put-page
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from lkcloud.disk.extent import Extent, Extents
from lkcloud.formats import vhd
from lkcloud.formats.layout import Layout, Readable
from lkcloud.transfer.engine import Part

PAGE = 512
"""Bytes that offset and length of every write are multiples of."""

MOST = 4 * 1024 * 1024
"""Bytes: the most that one request writes."""

GAP = 60 * 1024 * 1024 // 500
"""Bytes of zeros between two pieces of data from which on they are two requests.

A page blob is made for 60 MiB and 500 requests a second
(https://learn.microsoft.com/azure/storage/blobs/scalability-targets), so in the time of one request it takes
60 MiB / 500 = 123 KiB: fewer zeros cost less than another request, more cost more. Against an emulator on the same
machine gaps of 123 and 256 KiB took equally long on an aged file system, 64 KiB and 1 MiB longer.
"""


@dataclass(frozen=True)
class Plan:
    """The requests that write DISK as a fixed VHD; the same disk gives the same ones, with the same numbers.

    The footer is none of the parts: it is written when all of them are there, and seen to be. Without it Azure takes
    the bytes for no disk, so nobody can mistake a part of an upload for the whole.
    """

    disk: Readable
    least: int = 0
    """Bytes that the disk in the VHD has at least; a smaller one is padded with zeros."""

    @cached_property
    def layout(self) -> Layout:
        """The whole VHD. Raises what `lkcloud.formats.vhd.fixed` raises."""
        return vhd.fixed(self.disk, least=self.least)

    @cached_property
    def body(self) -> Layout:
        """What is before the footer."""
        return Layout(self.disk, self.layout.size - vhd.FOOTER_SIZE, (self.layout.segments[0],))

    @property
    def size(self) -> int:
        """Bytes of the page blob: a whole number of MiB, and the footer."""
        return self.layout.size

    @property
    def footer(self) -> Extent:
        """Where the footer is."""
        return Extent(self.body.size, vhd.FOOTER_SIZE)

    def parts(self) -> Iterator[Part]:
        """Yield the requests in order: at most MOST bytes each, beginning and ending with data.

        They end where a gap of GAP bytes or more begins; shorter ones are sent with what is around them, unless a
        request ends there anyway.
        """
        number = 0
        start = stop = -1
        for extent in self.body.data_ranges(PAGE):
            if start >= 0 and (extent.offset - stop >= GAP or extent.offset >= start + MOST):
                yield Part(number, start, stop - start)
                number += 1
                start = -1
            if start < 0:
                start = extent.offset
            stop = extent.end
            while stop > start + MOST:
                yield Part(number, start, MOST)
                number += 1
                start += MOST
        if start >= 0:
            yield Part(number, start, stop - start)

    def written(self) -> Iterator[Extent]:
        """Yield the ranges of all parts, in order."""
        return (Extent(part.offset, part.length) for part in self.parts())

    @cached_property
    def total(self) -> int:
        """Bytes of all parts."""
        return sum(part.length for part in self.parts())

    def holds_data(self, extent: Extent) -> bool:
        """Tell whether anything in EXTENT is not zero."""
        for piece in cut(extent):
            data = self.layout.read(piece.offset, piece.length)
            if data != bytes(piece.length):
                return True
        return False


def cut(extent: Extent) -> Iterator[Extent]:
    """Yield EXTENT in pieces that one request can write."""
    for offset in range(extent.offset, extent.end, MOST):
        yield Extent(offset, min(MOST, extent.end - offset))


def merged(extents: Iterable[Extent]) -> Extents:
    """Return EXTENTS, sorted by their offsets, with those that touch or overlap as one."""
    bounds = array("Q")
    for extent in extents:
        if bounds and extent.offset <= bounds[-1]:
            bounds[-1] = max(bounds[-1], extent.end)
        elif extent.length:
            bounds.extend((extent.offset, extent.end))
    return Extents(bounds)


def without(extents: Iterable[Extent], others: Iterable[Extent]) -> Iterator[Extent]:
    """Yield what of EXTENTS is not in OTHERS; both are sorted, and members of one do not overlap."""
    holes = iter(others)
    hole = next(holes, None)
    for extent in extents:
        position = extent.offset
        while hole is not None and hole.offset < extent.end:
            if hole.offset > position:
                yield Extent(position, hole.offset - position)
            position = max(position, min(hole.end, extent.end))
            if hole.end > extent.end:
                break  # it reaches into the next one
            hole = next(holes, None)
        if position < extent.end:
            yield Extent(position, extent.end - position)
