# SPDX-License-Identifier: Apache-2.0
"""Deflate (RFC 1951) in pieces that look back: levels 0 to 3 are ISA-L's, 4 to 9 zlib-ng's, which take longer.

What zlib-ng writes is the same on every processor, and what ISA-L writes is not: it is made for each kind anew. Without
the package `isal` (it has no build for every platform) zlib-ng does all levels, which is slower and gives other bytes.
"""

from typing import Protocol

from zlib_ng import zlib_ng

try:
    from isal import isal_zlib
except ImportError:  # zlib-ng does it then, see above
    isal_zlib = None  # type: ignore[assignment]  # a module, or none

LEVELS = range(10)
DEFAULT_LEVEL = 2

RAW = -15
"""The `wbits` of no frame and the largest window, 32 KiB."""

_ISAL_LEVELS = range(4)
_ISAL_MEMORY = 4  # of 1 to 9: the codes are fitted anew more often than with the usual 8; 0.4 % smaller, 3 % slower


class Compressor(Protocol):
    """What `compressobj` of both libraries returns."""

    def compress(self, data: memoryview, /) -> bytes:
        """Take DATA and return what of it is compressed by now."""
        ...

    def flush(self, mode: int, /) -> bytes:
        """Return the rest; MODE says whether more may follow."""
        ...


def compressor(level: int, dictionary: bytes) -> Compressor:
    """Return a compressor at LEVEL, one of LEVELS, without a frame, that may point back into DICTIONARY."""
    if isal_zlib is not None and level in _ISAL_LEVELS:
        return isal_zlib.compressobj(level=level, wbits=RAW, memLevel=_ISAL_MEMORY, zdict=dictionary)
    # ISA-L's level 0 compresses, that of zlib-ng does not.
    return zlib_ng.compressobj(max(level, 1), zlib_ng.DEFLATED, RAW, zdict=dictionary)


def crc32(data: memoryview, start: int) -> int:
    """Return the CRC-32 of DATA behind bytes whose CRC-32 is START."""
    return zlib_ng.crc32(data, start) if isal_zlib is None else isal_zlib.crc32(data, start)
