# SPDX-License-Identifier: Apache-2.0
"""Which units of a disk hold data: the clusters or blocks of a format that stores only those, one after the other."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lkcloud.formats.layout import DiskRange, Readable


class Run(NamedTuple):
    """LENGTH units from FIRST on, stored behind PLACE others."""

    first: int
    place: int
    length: int


@dataclass(frozen=True, slots=True)
class Runs:
    """The units of UNIT bytes that hold data of DISK, as runs of consecutive ones: 24 bytes a run.

    BOUNDS holds the first unit of each run and the one behind its last; PLACES how many units are in the runs before
    it, and in the end how many there are.
    """

    disk: Readable
    unit: int
    bounds: "array[int]"
    places: "array[int]"

    def __len__(self) -> int:
        return len(self.bounds) // 2

    def __getitem__(self, index: int, /) -> Run:
        first, end = self.bounds[2 * index], self.bounds[2 * index + 1]
        return Run(first, self.places[index], end - first)

    @property
    def total(self) -> int:
        """Units in all runs."""
        return self.places[-1]

    def stored(self, index: int, start: int) -> DiskRange:
        """Return the bytes of a run in a file that stores the first unit at START; the last unit ends with the disk."""
        first, place, length = self[index]
        source = first * self.unit
        return DiskRange(start + place * self.unit, source, min(length * self.unit, self.disk.size - source))

    def tables(self, entries: int) -> "array[int]":
        """Return the numbers of the tables, with so many ENTRIES each, in which any unit is."""
        found = array("Q")
        following = 0
        for index in range(len(self)):
            first, _, length = self[index]
            start = max(first // entries, following)
            following = max(-(-(first + length) // entries), following)
            found.extend(range(start, following))
        return found

    def within(self, start: int, end: int) -> Iterator[Run]:
        """Yield the parts of runs that lie in the units from START to END."""
        index = bisect_right(self.bounds, start) // 2  # a bound is even where a run begins: the first run not before it
        while index < len(self) and self.bounds[2 * index] < end:
            first, place, length = self[index]
            low, high = max(first, start), min(first + length, end)
            yield Run(low, place + low - first, high - low)
            index += 1


def runs_of(disk: Readable, unit: int) -> Runs:
    """Return the runs of units of UNIT bytes that hold data of DISK. Raises what `disk.extents()` raises."""
    bounds = array("Q")
    for offset, length in disk.extents():
        first, end = offset // unit, -(-(offset + length) // unit)
        if bounds and first <= bounds[-1]:
            bounds[-1] = max(end, bounds[-1])
        else:
            bounds.extend((first, end))
    places = array("Q", [0])
    for index in range(0, len(bounds), 2):
        places.append(places[-1] + bounds[index + 1] - bounds[index])
    return Runs(disk, unit, bounds, places)
