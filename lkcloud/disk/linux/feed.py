# SPDX-License-Identifier: Apache-2.0
"""Files that are read piece by piece, and a stream of bytes that can be looked into before it is taken."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

PIECE = 1024 * 1024
"""Bytes that are read or unpacked at once."""


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


def pieces(file: File, offset: int = 0) -> Iterator[bytes]:
    """Yield what is in FILE from OFFSET on."""
    while piece := file.read(offset, min(PIECE, file.size - offset)):
        yield piece
        offset += len(piece)


class Feed:
    """A stream of PIECES."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""

    def some(self) -> bytes:
        """Take what is at hand, b"" at the end."""
        held, self._held = self._held, b""
        while not held:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            held = piece
        return held

    def unread(self, data: bytes) -> None:
        """Put DATA back in front."""
        self._held = data + self._held

    def peek(self, length: int) -> bytes:
        """Return the next LENGTH bytes, fewer at the end, and leave them in the stream."""
        data = self.take(length)
        self.unread(data)
        return data

    def take(self, length: int) -> bytes:
        """Take the next LENGTH bytes, fewer at the end; meant for what fits into memory."""
        taken: list[bytes] = []
        while length > 0 and (piece := self.some()):
            taken.append(piece[:length])
            length -= len(taken[-1])
            if len(piece) > len(taken[-1]):
                self._held = piece[len(taken[-1]) :]
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def skip(self, length: int) -> bool:
        """Pass over LENGTH bytes and return whether there were as many."""
        while length > 0 and (piece := self.some()):
            if len(piece) > length:
                self._held = piece[length:]
            length -= min(length, len(piece))
        return length <= 0

    def skip_zeros(self) -> int:
        """Pass over zeros and return how many there were."""
        passed = 0
        while piece := self.some():
            rest = piece.lstrip(b"\0")
            passed += len(piece) - len(rest)
            if rest:
                self._held = rest
                break
        return passed
