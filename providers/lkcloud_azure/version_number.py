# SPDX-License-Identifier: Apache-2.0
"""The number that a gallery image version has for a name: https://learn.microsoft.com/azure/virtual-machines/image-version."""

import re

Number = tuple[int, int, int]
"""MAJOR, MINOR, PATCH; the highest one is what `latest` means."""

MOST = 2**31 - 1
"""The highest that each part can be."""

_NUMBER = re.compile(r"(\d{1,10})\.(\d{1,10})\.(\d{1,10})", re.ASCII)


def parse(text: str) -> Number | None:
    """Return a version's name as a number, None if it is none that a version can have."""
    match = _NUMBER.fullmatch(text)
    found = (int(match[1]), int(match[2]), int(match[3])) if match else None
    return found if found is not None and max(found) <= MOST else None


def text(number: Number) -> str:
    """Return a number as a version has it for a name."""
    return ".".join(map(str, number))
