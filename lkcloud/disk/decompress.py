# SPDX-License-Identifier: Apache-2.0
"""Unpacks gzip, xz and zstd into a sparse file."""

import gzip
import io
import lzma
import os
import zlib
from typing import BinaryIO, Protocol

import zstandard

from lkcloud.disk.detect import Form
from lkcloud.disk.scan import PIECE
from lkcloud.disk.sparse import write_sparsely
from lkcloud.errors import UnusableImage
from lkcloud.reporting import Meter

_LONGEST_WINDOW = 2**31
"""Bytes: what `zstd --long=31` needs; the library alone would stop at 128 MiB."""

_FED_BYTES = 64 * 1024
_LONGEST_FRAME_HEADER = 18


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes:
        """Return SIZE bytes, fewer only at the end."""
        ...


def decompress(packed: BinaryIO, form: Form, output: int, name: str, meter: Meter) -> None:
    """Write what is in PACKED to the open file OUTPUT, leaving holes where it is zero.

    METER counts packed bytes. Raises UnusableImage, which calls the image NAME, if PACKED is broken or was cut short,
    and OSError if reading or writing fails.
    """
    meter.expect(os.fstat(packed.fileno()).st_size)
    try:
        if form is Form.ZSTD and not _ends_with_a_frame(packed):
            raise EOFError
        size = _copy(_stream(packed, form), packed, output, meter)
    except EOFError as error:
        raise UnusableImage(
            f"{name} ends in the middle of its {form} data", hint="download or build it again, it was cut short"
        ) from error
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise UnusableImage(
            f"the {form} data of {name} is broken: {error}", hint="download or build it again"
        ) from error
    os.ftruncate(output, size)


class _XzStreams:
    """What is in the streams of an xz file; `lzma.LZMAFile` takes a broken second stream for the end of the file."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)

    def read(self, size: int, /) -> bytes:
        """Return SIZE bytes, fewer only at the end; raises EOFError and LZMAError."""
        pieces: list[bytes] = []
        while size and not (self._decoder.eof and not self._next_stream()):
            fed = self._packed.read(_FED_BYTES) if self._decoder.needs_input else b""
            if self._decoder.needs_input and not fed:
                raise EOFError
            pieces.append(self._decoder.decompress(fed, size))
            size -= len(pieces[-1])
        return b"".join(pieces)

    def _next_stream(self) -> bool:
        """Go on to the next stream, if there is one; between streams zeros may stand."""
        self._packed.seek(-len(self._decoder.unused_data), io.SEEK_CUR)
        while more := self._packed.read(_FED_BYTES):
            if stream := more.lstrip(b"\0"):
                self._packed.seek(-len(stream), io.SEEK_CUR)
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
                return True
        return False


def _stream(packed: BinaryIO, form: Form) -> _Stream:
    if form is Form.GZIP:
        return gzip.GzipFile(fileobj=packed, mode="rb")
    if form is Form.XZ:
        return _XzStreams(packed)
    unpacker = zstandard.ZstdDecompressor(max_window_size=_LONGEST_WINDOW)
    return unpacker.stream_reader(packed, read_across_frames=True, closefd=False)


def _copy(stream: _Stream, packed: BinaryIO, output: int, meter: Meter) -> int:
    """Return how many bytes came out."""
    offset = told = 0
    while piece := stream.read(PIECE):
        write_sparsely(output, piece, offset)
        offset += len(piece)
        position = packed.tell()
        meter.advance(position - told)
        told = position
    return offset


def _ends_with_a_frame(packed: BinaryIO) -> bool:
    """Return whether a zstd file is whole, looking at the lengths of its frames and blocks alone (RFC 8878, 3.1).

    python-zstandard's readers take a file that was cut short for one that ends there. Leaves the file at its start.
    """
    size = packed.seek(0, io.SEEK_END)
    position = packed.seek(0)
    while position < size:
        head = packed.read(_LONGEST_FRAME_HEADER)
        if head[1:4] == b"\x2a\x4d\x18":
            position = packed.seek(position + 8 + int.from_bytes(head[4:8], "little"))
            continue
        has_checksum = zstandard.get_frame_parameters(head).has_checksum  # first: it is the one that checks the magic
        position = _end_of_blocks(packed, position + zstandard.frame_header_size(head))
        position += 4 if has_checksum else 0
        packed.seek(position)
    packed.seek(0)
    return position == size


def _end_of_blocks(packed: BinaryIO, position: int) -> int:
    """Return where the blocks of a frame that begin at POSITION end."""
    last = False
    while not last:
        packed.seek(position)
        head = int.from_bytes(_exactly(packed, 3), "little")
        last = bool(head & 1)
        repeated = head >> 1 & 3 == 1
        position += 3 + (1 if repeated else head >> 3)
    return position


def _exactly(packed: BinaryIO, length: int) -> bytes:
    data = packed.read(length)
    if len(data) < length:
        raise EOFError
    return data
