# SPDX-License-Identifier: Apache-2.0
"""Read an initramfs: cpio archives end to end, each of them plain or compressed, with zeros between.

Processor microcode comes as a plain one in front. Source:
https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lkcloud.disk.linux import cpio, unpacking
from lkcloud.disk.linux.feed import TOO_LARGE, Feed, File, Unreadable, pieces
from lkcloud.disk.linux.modules import listed, module_of
from lkcloud.disk.linux.paths import Pattern

MOST_BYTES = 768 * 1024 * 1024
"""Of one initramfs, unpacked; a whole system in one has a few hundred MiB."""

_MOST_ENTRIES = 200_000
_MOST_ARCHIVES = 1_000
_MOST_MODULES = 20_000
_MOST_RELEASES = 16
_MOST_LIST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Initramfs:
    """What is in it; PROBLEM says why it was not read to its end, and what it lacks is then unknown."""

    modules: frozenset[str]
    """The names of its modules, with `_` for `-`."""
    releases: frozenset[str]
    """The releases of the kernels that they are for."""
    builtin: frozenset[str] | None
    """What its modules.builtin lists; None if there is none."""
    found: frozenset[Pattern]
    """Those of the patterns that were asked for that match a path in it."""
    has_init: bool
    """Whether there is something that the kernel starts."""
    problem: str = ""


@dataclass(slots=True)
class _Collected:
    modules: set[str] = field(default_factory=set)
    releases: set[str] = field(default_factory=set)
    builtin: set[str] | None = None
    found: set[Pattern] = field(default_factory=set)
    has_init: bool = False
    entries: int = 0

    def take(self, entry: cpio.Entry, patterns: Sequence[Pattern]) -> None:
        self.entries += 1
        if self.entries > _MOST_ENTRIES or len(self.modules) + len(self.builtin or ()) > _MOST_MODULES:
            raise Unreadable("it has too many files to be read whole")
        if entry.name == "init":
            self.has_init = True
        if entry.is_folder:
            return
        if module := module_of(entry.name):
            if len(self.releases) < _MOST_RELEASES:
                self.releases.add(module[0])
            self.modules.add(module[1])
        elif entry.name.endswith("/modules.builtin") and not entry.is_link:
            text = entry.content.read(_MOST_LIST).decode("utf-8", "replace")
            self.builtin = (self.builtin or set()) | set(listed(text))
        self.found.update(pattern for pattern in patterns if pattern not in self.found and pattern.matches(entry.name))


def begins_initramfs(file: File) -> bool:
    """Return whether FILE begins as the kernel wants it: a cpio archive, or what it unpacks, maybe behind zeros."""
    feed = Feed(pieces(file))
    try:
        feed.skip_zeros()
        head = feed.peek(6)
    except Unreadable:
        return False
    return head in cpio.MAGICS or bool(unpacking.form(head))


def read_initramfs(files: Sequence[File], patterns: Sequence[Pattern] = ()) -> Initramfs:
    """Return what is in the initramfs that FILES, one behind the other, are; look for PATTERNS among others."""
    collected, problem = _Collected(), ""
    try:
        for file in files:
            for entry in _entries(Feed(pieces(file))):
                collected.take(entry, patterns)
    except Unreadable as error:
        problem = str(error)
    return Initramfs(
        frozenset(collected.modules),
        frozenset(collected.releases),
        None if collected.builtin is None else frozenset(collected.builtin),
        frozenset(collected.found),
        collected.has_init,
        problem,
    )


def _entries(packed: Feed) -> Iterator[cpio.Entry]:
    left = [MOST_BYTES]
    for _ in range(_MOST_ARCHIVES):
        packed.skip_zeros()
        head = packed.peek(6)
        if not head:
            return
        if head in cpio.MAGICS:
            yield from cpio.entries(packed)
        elif unpacking.form(head):
            inner = Feed(_limited(unpacking.unpack(packed), left))
            for _ in range(_MOST_ARCHIVES):
                inner.skip_zeros()
                if not inner.peek(1):
                    break
                yield from cpio.entries(inner)
            else:
                raise Unreadable(TOO_LARGE)
        else:
            raise Unreadable("there is something else than cpio archives in it")
    raise Unreadable(TOO_LARGE)


def _limited(unpacked: Iterator[bytes], left: list[int]) -> Iterator[bytes]:
    """Yield UNPACKED, and end with Unreadable when LEFT, which the members of an initramfs share, is used up."""
    for piece in unpacked:
        left[0] -= len(piece)
        if left[0] < 0:
            raise Unreadable(TOO_LARGE)
        yield piece
