# SPDX-License-Identifier: Apache-2.0
"""Stretches of what lies in several files, and the Range header that asks for them."""

import re
from collections.abc import Iterable

from lkcloud.sandbox.http import FileRange

_HEADER = re.compile(r"bytes=(\d*)-(\d*)")


def cut(files: Iterable[FileRange], offset: int, length: int) -> tuple[FileRange, ...]:
    """Return the stretches of FILES, taken one after the other, that hold LENGTH bytes from OFFSET on."""
    found = []
    for file in files:
        if length and offset < file.length:
            take = min(length, file.length - offset)
            found.append(FileRange(file.path, file.offset + offset, take))
            offset, length = 0, length - take
        else:
            offset -= min(offset, file.length)
    return tuple(found)


def span(header: str, size: int) -> tuple[int, int]:
    """Return first byte and end of what a Range header (RFC 9110) asks of SIZE bytes; equal ones for nothing at all."""
    match = _HEADER.fullmatch(header)
    if match and match[1]:
        begin, end = int(match[1]), min(int(match[2] or size - 1) + 1, size)
    elif match and match[2]:
        begin, end = max(size - int(match[2]), 0), size
    else:
        begin, end = 0, 0
    return (begin, end) if begin < end else (0, 0)
