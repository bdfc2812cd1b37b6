# SPDX-License-Identifier: Apache-2.0
"""Paths that are looked for on file systems and in archives."""

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path without `/` in front, in whose last parts `*` and `?` stand for others: `containers/onboot/*-metadata`.

    A part in which they stand is the last but one or the last: a folder is listed for each.
    """

    text: str

    def matches(self, path: str) -> bool:
        """Return whether PATH, or a folder that it is in, is one of those."""
        wanted, parts = self.text.split("/"), path.split("/")
        return len(parts) >= len(wanted) and all(map(fnmatchcase, parts, wanted))
