# SPDX-License-Identifier: Apache-2.0
"""What installed packages offer by their entry points: clouds, sandboxes, readers of objects."""

import sys
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points


def offered(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of GROUP by their names, without importing what they lead to."""
    return {entry.name: entry for entry in _installed(group, tuple(sys.path))}


@cache  # to look into every package that is installed takes some tens of milliseconds
def _installed(group: str, path: tuple[str, ...]) -> EntryPoints:  # noqa: ARG001  what is found depends on it
    return entry_points(group=group)
