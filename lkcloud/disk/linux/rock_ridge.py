# SPDX-License-Identifier: Apache-2.0
"""Read what Rock Ridge says of a file in its record of an ISO 9660 folder: its name, what it is, where a link leads.

Sources: System Use Sharing Protocol 1.12 and Rock Ridge Interchange Protocol 1.12 (IEEE P1281 and P1282, drafts).
"""

import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Continuation = Callable[[int, int, int], bytes]
"""Reads what is said elsewhere: of a block, from an offset on, so many bytes."""

_MOST_CONTINUATIONS = 16  # of one record; they may lead to each other
_XA = 14  # bytes that a CD-ROM XA has in front in the first record
_IDENTIFIERS = (b"RRIP_1991A", b"IEEE_P1282", b"IEEE_1282")
_CONTINUES, _CURRENT, _PARENT, _ROOT = 1, 2, 4, 8


@dataclass(slots=True)
class Posix:
    """What a record says beside what it says in ISO 9660; `""` and None where it does not."""

    name: str = ""
    mode: int | None = None
    target: str | None = None
    """Where the symbolic link leads that it is."""
    child: int | None = None
    """The block of the folder that it stands for, which is recorded elsewhere for its depth."""
    relocated: bool = False
    """It is a folder that another record stands for."""
    components: list[bytes] = field(default_factory=list)


def entries(area: bytes, continuation: Continuation) -> Iterator[tuple[bytes, bytes]]:
    """Yield signatures and data of the system use entries of AREA and of where it goes on."""
    for _ in range(_MOST_CONTINUATIONS):
        following: tuple[int, int, int] | None = None
        position = 0
        while position + 4 <= len(area):
            signature, length = area[position : position + 2], area[position + 2]
            data = area[position + 4 : position + length]
            if length < 4 or position + length > len(area) or signature == b"ST":
                break
            if signature == b"CE" and len(data) >= 24:
                following = struct.unpack("<I4xI4xI", data[:20])
            else:
                yield signature, data
            position += length
        if following is None:
            return
        area = continuation(*following)


def skipped(area: bytes, continuation: Continuation) -> int | None:
    """Return how much to skip of each AREA, of which this is that of the root folder itself.

    None if there is no Rock Ridge on the volume.
    """
    for start in (0, _XA):
        indicator = area[start : start + 7]
        if len(indicator) == 7 and indicator.startswith(b"SP") and indicator[4:6] == b"\xbe\xef":
            said = dict(entries(area[start:], continuation))
            identifier = said.get(b"ER", b"")
            known = identifier[4 : 4 + identifier[0]] in _IDENTIFIERS if identifier else False
            return indicator[6] if known or b"RR" in said or b"PX" in said else None
    return None


def posix(area: bytes, continuation: Continuation) -> Posix:
    """Return what AREA says."""
    found, name, goes_on = Posix(), b"", False
    for signature, data in entries(area, continuation):
        if signature == b"NM" and data and not data[0] & (_CURRENT | _PARENT):
            name += data[1:]
        elif signature == b"PX" and len(data) >= 4:
            (found.mode,) = struct.unpack_from("<I", data)
        elif signature == b"SL" and data:
            goes_on = _link(found, data[1:], goes_on=goes_on)
        elif signature == b"CL" and len(data) >= 4:
            (found.child,) = struct.unpack_from("<I", data)
        elif signature == b"RE":
            found.relocated = True
    text = name.decode("utf-8", "replace")
    found.name = "" if "/" in text or "\0" in text or text in (".", "..") else text
    if found.components or (found.mode is not None and stat.S_ISLNK(found.mode)):
        found.target = b"/".join(found.components).decode("utf-8", "replace")
    return found


def _link(found: Posix, data: bytes, *, goes_on: bool) -> bool:
    """Add the components in DATA to FOUND, the first to the last one if that GOES ON; return whether the last does."""
    position = 0
    while position + 2 <= len(data):
        flags, length = data[position], data[position + 1]
        part = data[position + 2 : position + 2 + length]
        part = b"." if flags & _CURRENT else b".." if flags & _PARENT else part
        if flags & _ROOT:
            found.components = [b""]  # joined with what follows that is a slash in front
        elif goes_on and found.components:
            found.components[-1] += part
        else:
            found.components.append(part)
        goes_on = bool(flags & _CONTINUES)
        position += 2 + length
    return goes_on
