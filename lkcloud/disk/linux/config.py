# SPDX-License-Identifier: Apache-2.0
"""Read a kernel's configuration: as text, or as the kernel carries it (CONFIG_IKCONFIG: kernel/configs.c of Linux)."""

import re
import zlib
from collections.abc import Mapping
from types import MappingProxyType

MARK = b"IKCFG_ST\x1f\x8b"
"""What stands in front of the gzip-compressed text in a kernel, with the first two bytes of it."""

REACH = 512 * 1024
"""Bytes of it at most: a tenth of that is usual."""

_MOST_TEXT = 1024 * 1024
_LINE = re.compile(r"^(CONFIG_\w+)=(.*)$", re.MULTILINE)


def parse(text: str) -> Mapping[str, str] | None:
    """Return what a configuration sets, such as `CONFIG_EXT4_FS` to `y` or `m`; None if TEXT is none.

    What is not set is not in it. A string has no quotation marks.
    """
    found = {name: value.strip('"') for name, value in _LINE.findall(text[:_MOST_TEXT])}
    return MappingProxyType(found) if found else None


def embedded(data: bytes) -> Mapping[str, str] | None:
    """Return the configuration of a kernel whose DATA begins with MARK; None if it is broken."""
    decoder = zlib.decompressobj(31)
    try:
        text = decoder.decompress(data[len(MARK) - 2 :], _MOST_TEXT)
    except zlib.error:
        return None
    return parse(text.decode("ascii", "replace")) if decoder.eof else None
