# SPDX-License-Identifier: Apache-2.0
"""Find the table of symbols that a kernel carries for its own messages (CONFIG_KALLSYMS), and look names up in it.

A driver that is built in has its functions there; one that is a module, or missing, has not. The table, as
scripts/kallsyms.c of Linux 5.0 and later writes it: the number of symbols, their names packed by tokens, a marker
for each 256th name (its offset among the names), perhaps a list for sorting, the 256 tokens, and their offsets. The
last two are easy to recognise, and from them the others are found backwards.
"""

import struct
import sys
from array import array
from collections.abc import Collection, Iterator, Sequence

_TOKENS = 256
_DIGITS = b"".join(bytes((digit, 0)) for digit in b"0123456789")
"""The tokens of `0` to `9`, which stand for themselves in every kernel: they occur in names."""

_LONGEST_TOKEN = 64
INDEX_END = _TOKENS * (_LONGEST_TOKEN + 1) + 8 + _TOKENS * 2
"""Bytes from the first token to the end of the table at most."""

_GROUP = 256  # names for each marker
_LEAST_GROUP, _MOST_GROUP = 2 * _GROUP, 130 * _GROUP  # bytes of so many names
_MOST_SYMBOLS = 2_000_000
REACH = 8 * 1024 * 1024
"""Bytes in front of the tokens in which the rest is looked for; distributions' kernels have 1 to 5 MiB there."""

_MOST_MARKER_TABLES = 32
_MOST_NAME_TABLES = 256


def find_tokens(data: bytes | bytearray, start: int) -> int:
    """Return where the digits of a token table may be in DATA from START on, -1 if nowhere."""
    return data.find(_DIGITS, start)


def has_tokens(data: bytes | bytearray, digits: int) -> bool:
    """Return whether the digits at DIGITS of DATA are in a token table."""
    return _tokens(data, digits) is not None


def look_up(data: bytes | bytearray, digits: int, wanted: Collection[bytes]) -> frozenset[bytes] | None:
    """Return which of WANTED are names of the table whose digits are at DIGITS of DATA; None if there is no table."""
    found = _tokens(data, digits)
    if found is None:
        return None
    start, tokens = found
    tried = 0
    for markers, first_marker in _marker_tables(data, start):
        for names, count in _name_tables(data, markers, first_marker):
            tried += 1
            if tried > _MOST_NAME_TABLES:
                return None
            if _skip_names(data, names, _GROUP, first_marker) == names + markers[1]:
                return _names(data, names, count, tokens, wanted)
    return None


def _tokens(data: bytes | bytearray, digits: int) -> tuple[int, list[bytes]] | None:
    """Return where the first token is, and all; None unless the offsets behind them are theirs."""
    start = digits
    for _ in range(ord("0")):
        start = data.rfind(b"\0", max(0, start - 2 - _LONGEST_TOKEN), start - 1) + 1
        if start <= 0:
            return None
    tokens: list[bytes] = []
    offsets: list[int] = []
    position = start
    for _ in range(_TOKENS):
        end = data.find(b"\0", position, position + _LONGEST_TOKEN + 1)
        if end < 0:
            return None
        offsets.append(position - start)
        tokens.append(bytes(data[position:end]))
        position = end + 1
    index = struct.pack(f"<{_TOKENS}H", *offsets)
    return (start, tokens) if index in (data[end : end + len(index)] for end in range(position, position + 8)) else None


def _marker_tables(data: bytes | bytearray, end: int) -> Iterator[tuple[Sequence[int], int]]:
    """Yield what may be the markers in front of END, nearest first, and where they begin."""
    begin = max(0, end - REACH)
    begin += (end - begin) % 4
    words = array("I")
    words.frombytes(data[begin : end - (end - begin) % 4])
    if sys.byteorder == "big":
        words.byteswap()
    found = 0
    for position in range(len(words) - 3, -1, -1):
        if words[position] == 0 and _LEAST_GROUP <= words[position + 1] <= _MOST_GROUP:
            last = position + 1
            while last + 1 < len(words) and _LEAST_GROUP <= words[last + 1] - words[last] <= _MOST_GROUP:
                last += 1
            if last - position >= 2:
                yield words[position : last + 1], begin + 4 * position
                found += 1
            if found == _MOST_MARKER_TABLES:
                return


def _name_tables(data: bytes | bytearray, markers: Sequence[int], end: int) -> Iterator[tuple[int, int]]:
    """Yield where the names that MARKERS divide may begin, and how many there are; END is where the markers begin."""
    # What follows the markers can look like one or two more of them.
    for groups in range(len(markers), max(len(markers) - 3, 1), -1):
        latest = end - markers[groups - 1]
        for begin in range(latest & ~3, max(latest - _MOST_GROUP, 8), -4):
            for distance in (8, 4):  # the number is aligned like all of the tables, to 8 or 4 bytes
                (count,) = struct.unpack_from("<I", data, begin - distance)
                if -(-count // _GROUP) == groups and count <= _MOST_SYMBOLS:
                    yield begin, count


def _length(data: bytes | bytearray, position: int) -> tuple[int, int]:
    """Return the number of tokens of the name at POSITION, and where they begin."""
    length = data[position]
    if length & 0x80:  # since Linux 6.1
        return length & 0x7F | data[position + 1] << 7, position + 2
    return length, position + 1


def _skip_names(data: bytes | bytearray, position: int, count: int, end: int) -> int:
    for _ in range(count):
        if position >= end:
            return -1
        length, position = _length(data, position)
        position += length
    return position


def _names(
    data: bytes | bytearray, position: int, count: int, tokens: list[bytes], wanted: Collection[bytes]
) -> frozenset[bytes] | None:
    """Return which of WANTED are there; None if these are no names of a kernel, which has a `start_kernel`."""
    looked_for = {*wanted, b"start_kernel"}
    found: set[bytes] = set()
    for _ in range(count):
        if position + 2 > len(data):
            return None
        length, position = _length(data, position)
        # In front of each name is a letter for its type.
        name = b"".join([tokens[token] for token in data[position : position + length]])[1:]
        if name in looked_for:
            found.add(name)
        position += length
    return frozenset(found & set(wanted)) if b"start_kernel" in found else None
