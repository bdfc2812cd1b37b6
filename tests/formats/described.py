# SPDX-License-Identifier: Apache-2.0
"""A disk that is larger than anything that a test could write."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from lkcloud.disk.extent import Extent, Extents


@dataclass(frozen=True)
class Described:
    """A disk of which only is said where its data is; all of it reads as one byte."""

    size: int
    bounds: "array[int]"

    def extents(self) -> Sequence[Extent]:
        return Extents(self.bounds)

    def read(self, offset: int, length: int) -> bytes:
        return b"\x5a" * length

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        buffer[:] = self.read(offset, len(buffer))
