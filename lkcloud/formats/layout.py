# SPDX-License-Identifier: Apache-2.0
"""A file that is described and not written: literal bytes and ranges of a disk, with zeros everywhere else."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from lkcloud.disk.extent import Extent


class Readable(Protocol):
    """What a layout needs of a disk: `lkcloud.disk.Disk` is one."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def extents(self) -> Sequence[Extent]:
        """Return where the data is; all else reads as zeros."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly LENGTH bytes from OFFSET on."""
        ...

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill BUFFER with the bytes from OFFSET on."""
        ...


@dataclass(frozen=True, slots=True)
class Literal:
    """DATA at OFFSET of the layout."""

    offset: int
    data: bytes

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + len(self.data)

    def moved(self, by: int) -> "Literal":
        """Return it BY bytes further on."""
        return Literal(self.offset + by, self.data)


@dataclass(frozen=True, slots=True)
class DiskRange:
    """LENGTH bytes of the disk from SOURCE on, at OFFSET of the layout."""

    offset: int
    source: int
    length: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.length


Segment = Literal | DiskRange

_OFFSET = attrgetter("offset")


class Segments(Protocol):
    """A tuple of segments, or what makes them when asked for: a format may cut a disk into millions."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Segment: ...

    def __iter__(self) -> Iterator[Segment]: ...


@dataclass(frozen=True, slots=True)
class Layout:
    """A virtual file of SIZE bytes over DISK; SEGMENTS are sorted and do not overlap, and between them are zeros."""

    disk: Readable
    size: int
    segments: Segments

    def __post_init__(self) -> None:
        position = 0
        for segment in self.segments:
            if segment.offset < position:
                raise ValueError(f"segment at {segment.offset} overlaps the one before it, which ends at {position}")
            position = segment.end
        if position > self.size:
            raise ValueError(f"the last segment ends at {position}, behind the end at {self.size}")

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of [OFFSET, OFFSET + LENGTH), which must lie inside the layout."""
        self._check_range(offset, length)
        data = bytearray(length)
        self.readinto(offset, data)
        return bytes(data)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill BUFFER with the bytes from OFFSET on, which must lie inside the layout."""
        view = memoryview(buffer).cast("B")
        self._check_range(offset, len(view))
        position, end = offset, offset + len(view)
        index = max(bisect_right(self.segments, offset, key=_OFFSET) - 1, 0)
        while position < end and index < len(self.segments):
            segment = self.segments[index]
            index += 1
            if segment.end <= position:
                continue
            if segment.offset >= end:
                break
            if segment.offset > position:
                _clear(view[position - offset : segment.offset - offset])
                position = segment.offset
            until = min(segment.end, end)
            inside = position - segment.offset
            target = view[position - offset : until - offset]
            if isinstance(segment, Literal):
                target[:] = segment.data[inside : inside + len(target)]
            else:
                self.disk.readinto(segment.source + inside, target)
            position = until
        _clear(view[position - offset :])

    def _check_range(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ValueError(f"[{offset}, {offset + length}) is not inside a layout of {self.size} bytes")

    def data_ranges(self, align: int = 1) -> Iterator[Extent]:
        """Yield the ranges that can hold anything but zeros, widened to multiples of ALIGN bytes and merged.

        The end of the last range is cut at the end of the layout.
        """
        start = stop = -1
        for first, last in self._data():
            low = first - first % align
            high = min(-(-last // align) * align, self.size)
            if start < 0:
                start, stop = low, high
            elif low <= stop:
                stop = max(stop, high)
            else:
                yield Extent(start, stop - start)
                start, stop = low, high
        if start >= 0:
            yield Extent(start, stop - start)

    def _data(self) -> Iterator[tuple[int, int]]:
        """Yield (first, behind the last) of each piece of data, in order."""
        extents: Sequence[Extent] | None = None
        for segment in self.segments:
            if isinstance(segment, Literal):
                if segment.data:
                    yield segment.offset, segment.end
                continue
            if extents is None:
                extents = self.disk.extents()
            shift = segment.offset - segment.source
            source_end = segment.source + segment.length
            index = max(bisect_right(extents, segment.source, key=_OFFSET) - 1, 0)
            while index < len(extents) and (extent := extents[index]).offset < source_end:
                index += 1
                first, last = max(extent.offset, segment.source), min(extent.end, source_end)
                if first < last:
                    yield first + shift, last + shift


def _clear(view: memoryview) -> None:
    view[:] = bytes(len(view))
