# SPDX-License-Identifier: Apache-2.0
"""Files that are read piece by piece, and a stream of bytes that can be looked into before it is taken."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

PIECE = 1024 * 1024
"""Bytes that are read or unpacked at once."""


_FEW = 32 * 1024
_NOT_ZERO = re.compile(rb"[^\0]")

MOST_BYTES = 1024 * 1024 * 1024
"""Of one file: where a file is mostly a hole, its size says nothing of the disk's."""

TOO_LARGE = "it is too large to be read whole"


class Unreadable(Exception):
    """What was to be read is broken, or in a form that is not read here; the message says which."""


class File(Protocol):
    """A file of SIZE bytes as the disk states it; it may end before."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return LENGTH bytes from OFFSET on, fewer if it ends before."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """LENGTH bytes of FILE from START on, as a file."""

    file: File
    start: int
    length: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.length

    def read(self, offset: int, length: int) -> bytes:
        """Return LENGTH bytes from OFFSET on, fewer if it ends before."""
        length = min(length, self.length - offset)
        return self.file.read(self.start + offset, length) if offset >= 0 and length > 0 else b""


def pieces(file: File) -> Iterator[bytes]:
    """Yield what is in FILE. Raises Unreadable when it has more than MOST_BYTES."""
    offset = 0
    while piece := file.read(offset, min(PIECE, file.size - offset)):
        yield piece
        offset += len(piece)
        if offset > MOST_BYTES:
            raise Unreadable(TOO_LARGE)


class Feed:
    """A stream of PIECES."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._position = 0
        """Of what is at hand, so much was taken: to cut it off each time would copy the rest again and again."""

    def some(self) -> bytes:
        """Take a few KiB, b"" at the end: little to put back if it was too much."""
        return self.take(min(_FEW, len(self._piece) - self._position)) if self._fill() else b""

    def unread(self, data: bytes) -> None:
        """Put DATA back in front."""
        start = self._position - len(data)
        if start >= 0 and self._piece.startswith(data, start):
            self._position = start
        else:
            self._piece, self._position = data + self._piece[self._position :], 0

    def peek(self, length: int) -> bytes:
        """Return the next LENGTH bytes, fewer at the end, and leave them in the stream; meant for a few."""
        while len(self._piece) - self._position < length:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._piece, self._position = self._piece[self._position :] + piece, 0
        return self._piece[self._position : self._position + length]

    def take(self, length: int) -> bytes:
        """Take the next LENGTH bytes, fewer at the end; meant for what fits into memory."""
        taken: list[bytes] = []
        while length > 0 and self._fill():
            taken.append(self._piece[self._position : self._position + length])
            self._position += len(taken[-1])
            length -= len(taken[-1])
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def skip(self, length: int) -> bool:
        """Pass over LENGTH bytes and return whether there were as many."""
        while length > 0 and self._fill():
            step = min(length, len(self._piece) - self._position)
            self._position += step
            length -= step
        return length <= 0

    def skip_zeros(self) -> int:
        """Pass over zeros and return how many there were."""
        passed = 0
        while self._fill():
            # A comparison is a hundred times as fast as a search, and zeros can be many.
            empty = self._position == 0 and self._piece == bytes(len(self._piece))
            found = None if empty else _NOT_ZERO.search(self._piece, self._position)
            end = found.start() if found else len(self._piece)
            passed += end - self._position
            self._position = end
            if found:
                break
        return passed

    def _fill(self) -> bool:
        """Have something at hand; return False at the end."""
        while self._position >= len(self._piece):
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._piece, self._position = piece, 0
        return True
