# SPDX-License-Identifier: Apache-2.0
"""The tarball of a disk in parts: each is compressed by itself, and all of them in order make one gzip member."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import google_crc32c
from isal import isal_zlib

from lkcloud.disk import Disk
from lkcloud.formats import gce, gzip_member
from lkcloud.formats.layout import Layout
from lkcloud.transfer.engine import Part

MIB = 1024**2
PART = 4 * gzip_member.PIECE
"""Bytes of the tar, before compression, that travel as one: a request costs little beside them, and some tens of them
are in memory at once."""

_PACKERS = 4
"""Threads that compress, at most: each does some hundred MB a second."""
MOST = PART + PART // 256 + 64 * 1024
"""Bytes that a part can have after compression: what cannot be compressed has 5 more for each 64 KiB at least."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A part as it is sent: DATA has the CRC-32C CRC32C; the LENGTH bytes before compression have the CRC-32 CRC."""

    data: bytes | memoryview
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

    def pack(self, part: Part, buffer: bytearray) -> Packed:
        """Compress PART into BUFFER, which `Packed.data` then is a view of; the first part begins with gzip's header.

        A new buffer for each part would make holes in the memory of the process. Raises what reading the disk raises.
        """
        header = gzip_member.HEADER if part.number == 0 else b""
        buffer[: len(header)] = header
        end, crc, stream = len(header), 0, google_crc32c.value(header)
        for offset in range(part.offset, part.offset + part.length, gzip_member.PIECE):
            length = min(gzip_member.PIECE, part.offset + part.length - offset)
            piece = gzip_member.deflate(self.layout, offset, length, level=self.level)
            buffer[end : end + len(piece.data)] = piece.data  # it grows if it must
            end += len(piece.data)
            stream = google_crc32c.extend(stream, piece.data)
            crc = gzip_member.combined(crc, piece.crc, piece.length)
        return Packed(memoryview(buffer)[:end], stream, crc, part.length)

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
    """The part that the calling thread is at: compressed once, by PACKERS, however often it has to be sent.

    Compressing leaves some MiB of memory behind in each thread that does it, so few do it for all that send.
    """

    def __init__(self, tarball: Tarball, packers: ThreadPoolExecutor) -> None:
        self._tarball = tarball
        self._packers = packers
        self._number = -1
        self._buffer = bytearray(MOST)
        self._packed = Packed(b"", 0, 0, 0)

    def pack(self, part: Part) -> Packed:
        """Return PART compressed; it lasts until the next one."""
        if self._number != part.number:
            self._packed = Packed(b"", 0, 0, 0)  # a buffer that there is a view of cannot grow
            self._packed = self._packers.submit(self._tarball.pack, part, self._buffer).result()
            self._number = part.number
        return self._packed


def packers(workers: int) -> ThreadPoolExecutor:
    """Return threads that compress for WORKERS that send."""
    return ThreadPoolExecutor(min(_PACKERS, os.cpu_count() or 1, workers), thread_name_prefix="lkcloud-gcp")
