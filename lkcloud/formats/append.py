# SPDX-License-Identifier: Apache-2.0
"""Writes a file from its start to its end."""

import os


class Appender:
    """Appends to the open FILE. POSITION is where the next byte goes."""

    def __init__(self, file: int, position: int = 0) -> None:
        self.position = position
        self._file = file

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Write DATA behind what is there. Raises OSError."""
        self.position = write_all(self._file, data, self.position)


def write_all(file: int, data: bytes | bytearray | memoryview, offset: int) -> int:
    """Write DATA at OFFSET of FILE and return where it ends. Raises OSError."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written
    return offset
