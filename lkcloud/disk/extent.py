# SPDX-License-Identifier: Apache-2.0
"""A range of bytes, and many of them in little memory."""

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload


class Extent(NamedTuple):
    """LENGTH bytes from OFFSET on; a sequence of extents is sorted and its members neither touch nor overlap."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.length


class Extents(Sequence[Extent]):
    """A sequence of extents that takes 16 bytes a member: a fragmented disk has millions of them.

    BOUNDS holds the first byte and the byte behind the last of each, one after the other (`array("Q")`).
    """

    def __init__(self, bounds: "array[int]") -> None:
        if len(bounds) % 2:
            raise ValueError("an extent has two bounds")
        self.bounds = bounds

    def __len__(self) -> int:
        return len(self.bounds) // 2

    @overload
    def __getitem__(self, index: int) -> Extent: ...

    @overload
    def __getitem__(self, index: slice) -> list[Extent]: ...

    def __getitem__(self, index: int | slice) -> Extent | list[Extent]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        position = 2 * range(len(self))[index]
        start, end = self.bounds[position : position + 2]
        return Extent(start, end - start)

    def __iter__(self) -> Iterator[Extent]:
        bounds = iter(self.bounds)
        for start, end in zip(bounds, bounds, strict=True):
            yield Extent(start, end - start)

    @property
    def total(self) -> int:
        """The bytes in all of them."""
        return sum(self.bounds[1::2]) - sum(self.bounds[::2])
