# SPDX-License-Identifier: Apache-2.0
"""Ages as people write and read them: `30d`, `12h`, `2w`."""

import re
from datetime import timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(\d{1,7})([smhdw])")
_WORDS = (("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1))


def parse(text: str) -> timedelta:
    """Return an age that is written as a number and a unit: s, m(inutes), h, d or w. Raises ValueError."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no age: give a number and s, m, h, d or w, such as 30d or 12h")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def words(age: timedelta) -> str:
    """Return AGE for people, rounded down, in the largest unit of which there are two."""
    seconds = max(0, int(age.total_seconds()))
    for word, length in _WORDS:
        if seconds >= 2 * length:
            return f"{seconds // length} {word}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
