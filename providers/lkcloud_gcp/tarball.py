# SPDX-License-Identifier: Apache-2.0
"""The tarball of a disk in parts: each is compressed by itself, and all of them in order make one gzip member."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import google_crc32c
from isal import isal_zlib

from lkcloud.disk import Disk
from lkcloud.formats import gce, gzip_member
from lkcloud.formats.layout import Layout
from lkcloud.transfer.engine import Part

MIB = 1024**2
PART = 8 * gzip_member.PIECE
"""Bytes of the tar, before compression, that travel as one: a request costs little beside them, and some tens of them
are in memory at once."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A part as it is sent: DATA has the CRC-32C CRC32C; the LENGTH bytes before compression have the CRC-32 CRC."""

    data: bytes | bytearray
    crc32c: int
    crc: int
    length: int


@dataclass(frozen=True)
class Tarball:
    """The gzipped tar of DISK, compressed with LEVEL; for any thread."""

    disk: Disk
    level: int

    @cached_property
    def layout(self) -> Layout:
        """The tar."""
        return gce.tarball(self.disk)

    @property
    def size(self) -> int:
        """Bytes of the tar."""
        return self.layout.size

    @property
    def count(self) -> int:
        """How many parts there are."""
        return -(-self.size // PART)

    def part(self, number: int) -> Part:
        """Return part NUMBER, from 0 on."""
        return Part(number, number * PART, min(PART, self.size - number * PART))

    def parts(self) -> Iterator[Part]:
        """Yield all parts in order."""
        return (self.part(number) for number in range(self.count))

    def pack(self, part: Part) -> Packed:
        """Compress PART; the first one begins with the header of gzip. Raises what reading the disk raises."""
        data = bytearray(gzip_member.HEADER if part.number == 0 else b"")
        crc, stream = 0, google_crc32c.value(bytes(data))
        # Piece by piece into the one buffer: the whole of a part is in memory once.
        for offset in range(part.offset, part.offset + part.length, gzip_member.PIECE):
            length = min(gzip_member.PIECE, part.offset + part.length - offset)
            piece = gzip_member.deflate(self.layout, offset, length, level=self.level)
            data += piece.data
            stream = google_crc32c.extend(stream, piece.data)  # which takes no bytearray
            crc = gzip_member.combined(crc, piece.crc, piece.length)
        return Packed(data, stream, crc, part.length)

    def crc(self, part: Part) -> int:
        """Return the CRC-32 of PART before compression, which is read and not compressed."""
        crc = 0
        for offset in range(part.offset, part.offset + part.length, MIB):
            length = min(MIB, part.offset + part.length - offset)
            crc = isal_zlib.crc32(self.layout.read(offset, length), crc)
        return crc

    def trailer(self, crc: int) -> Packed:
        """Return what follows the last part; CRC is the CRC-32 of the whole tar."""
        data = gzip_member.trailer(crc, self.size)
        return Packed(data, google_crc32c.value(data), 0, 0)


class Kept(threading.local):
    """The part that the calling thread is at: compressed once, however often it has to be sent."""

    def __init__(self, tarball: Tarball) -> None:
        self._tarball = tarball
        self._number = -1
        self._packed = Packed(b"", 0, 0, 0)

    def pack(self, part: Part) -> Packed:
        """Return PART compressed."""
        if self._number != part.number:
            self._packed = Packed(b"", 0, 0, 0)  # two of them at once would be too much memory
            self._packed, self._number = self._tarball.pack(part), part.number
        return self._packed
