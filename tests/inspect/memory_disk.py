# SPDX-License-Identifier: Apache-2.0
"""A disk in memory, as strict about what is inside it as one in a file, that counts what is read of it."""

from collections.abc import Sequence

from lkcloud.disk.extent import Extent


class MemoryDisk:
    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        self.bytes_read = 0

    @property
    def size(self) -> int:
        return len(self._data)

    def extents(self) -> Sequence[Extent]:
        return [Extent(0, len(self._data))] if self._data else []

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > len(self._data):
            raise ValueError(f"[{offset}, {offset + length}) is not inside a disk of {len(self._data)} bytes")
        self.bytes_read += length
        return bytes(self._data[offset : offset + length])

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        memoryview(buffer)[:] = self.read(offset, len(buffer))
