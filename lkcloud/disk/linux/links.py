# SPDX-License-Identifier: Apache-2.0
"""Find what a path leads to, through symbolic links."""

from collections.abc import Callable
from typing import TypeVar

_MOST_LINKS = 16
_DEEPEST = 64

Node = TypeVar("Node")


def follow(
    path: str,
    root: Node,
    child: Callable[[Node, str], Node | None],
    target: Callable[[Node], str | None],
    *,
    following: bool = True,
) -> Node | None:
    """Return what is at PATH below ROOT, None if nothing is; links lead nowhere out of it.

    CHILD returns what has a name in a folder, TARGET where a link leads, None for what is none. The last part of the
    path, if it is a link, is followed if FOLLOWING.
    """
    parts = _parts(path)
    trail, links = [root], 0
    while parts:
        name = parts.pop(0)
        if name == "..":
            trail = trail[:-1] or trail
            continue
        found = child(trail[-1], name)
        if found is None or len(trail) > _DEEPEST:
            return None
        if (parts or following) and (leads := target(found)) is not None:
            links += 1
            if links > _MOST_LINKS:
                return None
            trail = [root] if leads.startswith("/") else trail
            parts = _parts(leads) + parts
            continue
        trail.append(found)
    return trail[-1]


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
