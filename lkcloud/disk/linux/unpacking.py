# SPDX-License-Identifier: Apache-2.0
"""Unpack what kernels and initramfs archives are compressed with: gzip, bzip2, xz, lzma, zstd, LZ4.

Each yields pieces of about a MiB, however small the input that they come from, and takes no more of the stream than its
own bytes. The forms and their marks: https://github.com/torvalds/linux/blob/master/lib/decompress.c .
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol, cast

import lz4.block
import zstandard

from lkcloud.disk.linux.feed import PIECE, Feed, Unreadable

_WINDOW = 128 * 1024 * 1024
"""Bytes; that of `zstd --ultra -22`, with which kernels are packed, and twice the dictionary of `xz -9`."""

_LZ4_LEGACY = b"\x02\x21\x4c\x18"
_LZ4_BLOCK = 8 * 1024 * 1024  # what a block of the legacy form holds, but for the last
_LZ4_LARGEST = _LZ4_BLOCK + _LZ4_BLOCK // 255 + 16  # LZ4_compressBound of it

_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"


class _Decompressor(Protocol):
    """What `bz2` and `lzma` have."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def form(head: bytes) -> str:
    """Return what data that begins with HEAD (6 bytes or more) is compressed with, `""` if with nothing known."""
    return next((name for magic, name, _ in _FORMS if head.startswith(magic)), "")


def unpack(feed: Feed) -> Iterator[bytes]:
    """Yield what is in the compressed member that FEED begins with. Raises Unreadable if it is broken or not read."""
    head = feed.peek(6)
    decode = next((decode for magic, _, decode in _FORMS if head.startswith(magic)), None)
    if decode is None:
        raise Unreadable("it is compressed with something unknown")
    try:
        yield from decode(feed)
    except (zlib.error, lzma.LZMAError, OSError, zstandard.ZstdError, lz4.block.LZ4BlockError) as error:
        raise Unreadable(f"its {form(head)} data is broken: {error}") from error


def _gzip(feed: Feed) -> Iterator[bytes]:
    decoder = zlib.decompressobj(31)
    data = b""
    while not decoder.eof:
        data = data or _more(feed)
        yield decoder.decompress(data, PIECE)
        data = decoder.unconsumed_tail
    feed.unread(decoder.unused_data)


def _by(decoder: _Decompressor, feed: Feed) -> Iterator[bytes]:
    while not decoder.eof:
        yield decoder.decompress(_more(feed) if decoder.needs_input else b"", PIECE)
    feed.unread(decoder.unused_data)


def _bzip2(feed: Feed) -> Iterator[bytes]:
    return _by(bz2.BZ2Decompressor(), feed)


def _xz(feed: Feed) -> Iterator[bytes]:
    return _by(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_WINDOW + PIECE), feed)


def _lzma(feed: Feed) -> Iterator[bytes]:
    return _by(lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_WINDOW + PIECE), feed)


def _zstd(feed: Feed) -> Iterator[bytes]:
    source = _Frame(feed)
    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(cast(BinaryIO, source), read_size=PIECE)
    while piece := reader.read(PIECE):
        yield piece
    source.finish()


class _Frame:
    """One zstd frame of a stream, as a file: the lengths of its blocks say where it ends (RFC 8878, 3.1.1).

    The library itself does not say how much of its input it has used, or puts out as much as the input asks for.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        head = feed.peek(18)
        self._checksum = zstandard.get_frame_parameters(head).has_checksum
        self._left = zstandard.frame_header_size(head)
        self._last = False

    def read(self, size: int = -1, /) -> bytes:
        """Return SIZE bytes, fewer at the end."""
        taken: list[bytes] = []
        while size > 0 and (self._left or self._next_block()):
            piece = self._feed.take(min(size, self._left))
            if not piece:
                raise Unreadable("its zstd data ends in the middle")
            taken.append(piece)
            self._left -= len(piece)
            size -= len(piece)
        return b"".join(taken)

    def finish(self) -> None:
        """Take what the library has left: the checksum."""
        while self.read(PIECE):
            pass

    def _next_block(self) -> bool:
        if self._last:
            return False
        head = int.from_bytes(self._feed.peek(3), "little")
        self._last = bool(head & 1)
        repeated = head >> 1 & 3 == 1
        self._left = 3 + (1 if repeated else head >> 3) + (4 if self._last and self._checksum else 0)
        return True


def _lz4(feed: Feed) -> Iterator[bytes]:
    """Unpack the legacy form, which has no end of its own: it ends where no length of a block can be."""
    while True:
        head = feed.peek(4)
        length = int.from_bytes(head, "little")
        if head == _LZ4_LEGACY:
            feed.skip(4)
        elif len(head) < 4 or not 0 < length <= _LZ4_LARGEST:
            return
        else:
            feed.skip(4)
            block = feed.take(length)
            if not block:  # it was the unpacked size, which Linux's build puts behind the last block
                return
            if len(block) < length:
                raise Unreadable("its LZ4 data ends in the middle")
            yield lz4.block.decompress(block, uncompressed_size=_LZ4_BLOCK)


def _lzo(feed: Feed) -> Iterator[bytes]:
    del feed
    raise Unreadable("it is compressed with LZO, which is not read")


def _more(feed: Feed) -> bytes:
    data = feed.some()
    if not data:
        raise Unreadable("its compressed data ends in the middle")
    return data


_FORMS: tuple[tuple[bytes, str, Callable[[Feed], Iterator[bytes]]], ...] = (
    (b"\x1f\x8b", "gzip", _gzip),
    (b"BZh", "bzip2", _bzip2),
    (b"\xfd7zXZ\0", "xz", _xz),
    (b"\x5d\0\0", "lzma", _lzma),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd),
    (_LZ4_LEGACY, "LZ4", _lz4),
    (b"\x89LZO", "LZO", _lzo),
)
