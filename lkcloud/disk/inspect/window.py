# SPDX-License-Identifier: Apache-2.0
"""Read a range of a disk whose description is not to be trusted, and text out of it that is safe to print."""

from dataclasses import dataclass

from lkcloud.formats.layout import Readable

LARGEST_READ = 2 * 1024 * 1024
"""Bytes; whatever a length field says, no single read asks for more."""


@dataclass(frozen=True, slots=True)
class Window:
    """LENGTH bytes of DISK from START on; they may lie behind its end, in part or as a whole."""

    disk: Readable
    start: int
    length: int

    def read(self, offset: int, length: int) -> bytes:
        """Return LENGTH bytes from OFFSET on, or as many of them as there are in the window and on the disk."""
        first = self.start + offset
        last = min(first + min(length, LARGEST_READ), self.start + self.length, self.disk.size)
        if offset < 0 or last <= first:
            return b""
        return self.disk.read(first, last - first)


def printable(text: str) -> str:
    """Return TEXT without what a terminal could take for a command or a line break, and without blanks around it."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text.strip())
