# SPDX-License-Identifier: Apache-2.0
"""Reads the tarball of an image as Compute Engine does: gzip, GNU tar, one member `disk.raw`, sparse or not.

It shares nothing with the code that writes tarballs. The format of GNU tar:
https://www.gnu.org/software/tar/manual/html_node/Standard.html and Sparse-Formats.html there. What is refused, and in
which words: google/syzkaller#825, nix-community/nixos-generators#221, openshift/sandboxed-containers-operator#777.
"""

import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from lkcloud_gcp.sandbox.image import GIB

BLOCK = 512
_PIECE = 1 << 20
_GRAIN = 64 * 1024
"""Bytes that are left out of the raw file if all of them are zero."""

_NOTHING = bytes(_GRAIN)
_MAGIC = b"ustar  \0"
"""GNU tar's. POSIX has `ustar\\0` and `00` here (formats ustar and pax), Unix V7 nothing."""


class UnusableTarball(Exception):
    """The object is no image; the text is what the operation says."""


def invalid() -> UnusableTarball:
    """Return what Compute Engine says of most that is wrong."""
    return UnusableTarball("The tar archive is not a valid image.")


def extract(pieces: Iterable[bytes], raw: Path) -> int:
    """Write the disk inside a tarball, given as its PIECES, to the new sparse file RAW; return its size in bytes.

    Raises UnusableTarball; RAW may be there then.
    """
    archive = _Stream(_unzipped(pieces))
    with raw.open("xb") as file:
        size = _member(archive, file)
        file.truncate(size)
    _end(archive)
    if size == 0 or size % GIB:
        # The requirement is documented (a whole number of GB, which are GiB); these words are the sandbox's own.
        raise UnusableTarball(f"The disk in the tar archive has {size} bytes, which is not a whole number of GiB.")
    return size


def _unzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes in a gzip file, which may have several members (RFC 1952, 2.2); each one's CRC is checked."""
    member = zlib.decompressobj(wbits=31)
    begun = False
    for piece in pieces:
        data = piece
        while data:
            if member.eof:
                member = zlib.decompressobj(wbits=31)
            begun = True
            yield _inflated(member, data)
            data = member.unused_data if member.eof else member.unconsumed_tail
        # What zlib holds back for want of room comes out now, without further input.
        while not member.eof and (more := _inflated(member, b"")):
            yield more
    if not begun or not member.eof:
        raise invalid()


def _inflated(member: "zlib._Decompress", data: bytes) -> bytes:
    try:
        return member.decompress(data, _PIECE)
    except zlib.error:
        raise invalid() from None


class _Stream:
    """The bytes of an archive, one after another."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = memoryview(b"")

    def some(self, most: int) -> memoryview:
        """Return up to MOST bytes, none at the end only."""
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return memoryview(b"")
            self._held = memoryview(piece)
        taken, self._held = self._held[:most], self._held[most:]
        return taken

    def block(self) -> bytes:
        """Return the next 512 bytes, b"" at the end of the archive. Raises UnusableTarball inside of a block."""
        block = b""
        while len(block) < BLOCK and (piece := self.some(BLOCK - len(block))):
            block += piece
        if 0 < len(block) < BLOCK:
            raise invalid()
        return block


def _member(archive: _Stream, file: BinaryIO) -> int:
    header = archive.block()
    if not header or not any(header):
        raise invalid()
    if header[257:265] != _MAGIC:
        if not header.startswith(b"disk.raw") and header[257:262] != b"ustar":
            raise invalid()
        raise UnusableTarball("The tar archive format is not supported. Supported formats are: GNU and OLDGNU.")
    checked = header[:148] + b" " * 8 + header[156:]
    if _number(header[148:156]) != sum(checked):
        raise invalid()
    kind = header[156:157]
    if kind not in (b"0", b"\0", b"S"):
        raise invalid()
    name = header[:100].split(b"\0", 1)[0].decode(errors="replace")
    if name != "disk.raw":
        raise UnusableTarball(f"The file inside the tar archive was named ''{name}''. It should be named ''disk.raw''.")
    stored = _number(header[124:136])
    if kind == b"S":
        size, parts = _number(header[483:495]), _sparse_map(archive, header)
    else:
        size, parts = stored, [(0, stored)]
    if sum(length for _, length in parts) != stored:
        raise invalid()
    end = 0
    for offset, length in parts:
        if offset < end or offset + length > size:
            raise invalid()
        _copy(archive, file, offset, length)
        end = offset + length
    if stored % BLOCK:
        _skip(archive, BLOCK - stored % BLOCK)
    return size


def _sparse_map(archive: _Stream, header: bytes) -> list[tuple[int, int]]:
    """Return offset and length of each piece of a sparse member: four are in its header, 21 in each block after it."""
    parts = _entries(header[386:482])
    more = header[482]
    while more:
        block = archive.block()
        if not block:
            raise invalid()
        parts += _entries(block[:504])
        more = block[504]
    return parts


def _entries(data: bytes) -> list[tuple[int, int]]:
    fields = [data[start : start + 24] for start in range(0, len(data), 24)]
    # Places that are not used are zeros; one of length 0 at the end of the file is used.
    return [(_number(field[:12]), _number(field[12:])) for field in fields if any(field)]


def _number(data: bytes) -> int:
    """Return a number of a header: octal digits, or, if the first bit is set, base 256."""
    if data[0] & 0x80:
        return int.from_bytes(data[1:], "big") + ((data[0] & 0x7F) << 8 * (len(data) - 1))
    digits = data.strip(b" \0")
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise invalid()
    return int(digits, 8)


def _copy(archive: _Stream, file: BinaryIO, offset: int, length: int) -> None:
    end = offset + length
    while offset < end:
        # Grains lie at multiples of their size, so that what stays unwritten is whole blocks of the file system.
        piece = archive.some(min(end - offset, _GRAIN - offset % _GRAIN))
        if not piece:
            raise invalid()
        if piece != _NOTHING[: len(piece)]:
            os.pwrite(file.fileno(), piece, offset)
        offset += len(piece)


def _skip(archive: _Stream, length: int) -> None:
    while length:
        piece = archive.some(length)
        if not piece:
            raise invalid()
        length -= len(piece)


def _end(archive: _Stream) -> None:
    """Read two blocks of zeros, which end an archive, and nothing but zeros after them."""
    for _ in range(2):
        if (block := archive.block()) != bytes(BLOCK):
            # A second member: "only one file" is how gcloud's help has it; or the archive was cut off.
            del block
            raise invalid()
    while piece := archive.some(_GRAIN):
        if piece != _NOTHING[: len(piece)]:
            raise invalid()
