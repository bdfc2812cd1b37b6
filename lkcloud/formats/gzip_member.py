# SPDX-License-Identifier: Apache-2.0
"""One gzip member of a layout, made of pieces by any number of workers, on any number of machines.

HEADER, then the `Deflated.data` of consecutive ranges, then `trailer`. The bytes do not depend on where the ranges are
cut: the layout is compressed in pieces of PIECE bytes, each by itself, with the 32 KiB before it as its dictionary.
Formats: RFC 1951 (deflate) and RFC 1952 (gzip).
"""

import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

from lkcloud.formats.deflate import LEVELS, RAW, compressor, crc32
from lkcloud.formats.layout import Layout

PIECE = 1024 * 1024
"""Bytes of the layout that are compressed by themselves: the offset of every range is a multiple of it."""

HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, no name, no time, an unknown system: nothing that would differ from run to run."""

_WINDOW = 32 * 1024  # as far as deflate looks back
_ZEROS = bytes(PIECE)
_FINAL_BLOCK = b"\x03\x00"  # the last block, of fixed codes, with nothing but the code for its end
_POLYNOMIAL = 0xEDB8_8320  # of CRC-32, its highest power in the lowest bit
_ONE = 0x8000_0000  # the polynomial 1 in that order


@dataclass(frozen=True, slots=True)
class Deflated:
    """DATA is the deflate stream of LENGTH bytes whose CRC-32 is CRC; it ends at a byte and has no final block."""

    data: bytes
    crc: int
    length: int


def deflate(layout: Layout, offset: int, length: int, *, level: int) -> Deflated:
    """Return [OFFSET, OFFSET + LENGTH) of LAYOUT, compressed at LEVEL, one of LEVELS; from any thread.

    Takes the memory of what it returns and about 2 MiB. Raises ValueError if OFFSET is no multiple of PIECE, LENGTH is
    none either and stops short of the end of LAYOUT, or LEVEL is not one of LEVELS; and what reading the disk raises.
    """
    _check(layout, offset, length, level)
    window = bytearray(_WINDOW + PIECE)  # a piece and what stands before it
    view = memoryview(window)
    if offset:
        layout.readinto(offset - _WINDOW, view[:_WINDOW])
    output, crc = BytesIO(), 0
    for position in range(offset, offset + length, PIECE):
        piece = view[_WINDOW : _WINDOW + min(PIECE, offset + length - position)]
        layout.readinto(position, piece)
        crc = crc32(piece, crc)
        if window.startswith(_ZEROS if len(piece) == PIECE else _ZEROS[: len(piece)], _WINDOW):
            output.write(_deflated_zeros(len(piece)))
        else:
            packer = compressor(level, bytes(view[:_WINDOW]) if position else b"")
            output.write(packer.compress(piece))
            output.write(packer.flush(zlib.Z_SYNC_FLUSH))
        view[:_WINDOW] = view[PIECE:]  # only the last piece can be shorter, and nothing follows that
    return Deflated(output.getvalue(), crc, length)


def trailer(crc: int, length: int) -> bytes:
    """Return what ends the member: the final block, which holds nothing, and CRC and LENGTH of what was compressed."""
    return _FINAL_BLOCK + struct.pack("<II", crc, length % 2**32)


def combined(crc: int, other: int, other_length: int) -> int:
    """Return the CRC-32 of bytes whose CRC-32 is CRC with OTHER_LENGTH more behind them whose CRC-32 is OTHER."""
    return _product(crc, _shift(other_length)) ^ other


def _check(layout: Layout, offset: int, length: int, level: int) -> None:
    if level not in LEVELS:
        raise ValueError(f"level {level} is not one of {LEVELS.start} to {LEVELS.stop - 1}")
    end = offset + length
    if offset % PIECE or (length % PIECE and end != layout.size) or not 0 <= offset <= end <= layout.size:
        raise ValueError(f"[{offset}, {end}) of {layout.size} bytes is not cut at multiples of {PIECE}")


@lru_cache(maxsize=4)
def _deflated_zeros(length: int) -> bytes:
    """Return the deflate stream of LENGTH zeros; the same at every level, some of which take a long time for them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, RAW)
    return packer.compress(_ZEROS[:length]) + packer.flush(zlib.Z_SYNC_FLUSH)


@lru_cache(maxsize=64)
def _shift(count: int) -> int:
    """Return x^(8 COUNT) modulo the polynomial: to multiply a CRC by it is to append COUNT bytes of zeros."""
    result, power = _ONE, _ONE >> 8
    while count:
        if count & 1:
            result = _product(result, power)
        power = _product(power, power)
        count >>= 1
    return result


def _product(one: int, other: int) -> int:
    """Return ONE times OTHER, polynomials over the field of two elements, modulo that of CRC-32."""
    result, term = 0, _ONE
    while term:
        if one & term:
            result ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
        term >>= 1
    return result
