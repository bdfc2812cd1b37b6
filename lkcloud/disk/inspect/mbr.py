# SPDX-License-Identifier: Apache-2.0
"""Read a master boot record: primary and logical partitions, and the entry that protects a GPT."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from lkcloud.disk.inspect.fat import is_fat
from lkcloud.disk.inspect.window import Window

SECTOR = 512
"""An MBR counts in sectors of the disk; images are made for disks with sectors of 512 bytes."""
PROTECTIVE = 0xEE

_EXTENDED = (0x05, 0x0F, 0x85)
_MOST_LOGICAL = 128


@dataclass(frozen=True, slots=True)
class MbrEntry:
    """A partition as the table states it, in bytes; logical ones have numbers from 5 on."""

    number: int
    type: int
    active: bool
    offset: int
    length: int

    @property
    def is_extended(self) -> bool:
        """It is a box for logical partitions."""
        return self.type in _EXTENDED


@dataclass(frozen=True, slots=True)
class Mbr:
    """The partitions of a disk and what is odd about them."""

    entries: tuple[MbrEntry, ...]
    problems: tuple[str, ...]

    @property
    def is_protective(self) -> bool:
        """There is an entry that stands for a GPT."""
        return any(entry.type == PROTECTIVE for entry in self.entries)

    @property
    def is_hybrid(self) -> bool:
        """There are others beside it."""
        return self.is_protective and any(entry.type != PROTECTIVE for entry in self.entries)


def read_mbr(window: Window) -> Mbr | None:
    """Return the table of the disk in WINDOW, None if sector 0 has no signature or no sensible table.

    A boot sector without a table has the same signature, so all flags must be 0 or 0x80, at most one of them 0x80, and
    of the partitions one at least must start inside the disk. mtools describes a volume without a table in an entry of
    its own boot sector, from sector 0 on: that is none either.
    """
    sector = window.read(0, SECTOR)
    if sector[510:512] != b"\x55\xaa":
        return None
    if any(flag not in (0, 0x80) for flag in sector[446:510:16]):
        return None
    entries = tuple(_table(sector))
    if sum(entry.active for entry in entries) > 1:
        return None
    if entries and all(entry.offset >= window.length for entry in entries):
        return None
    if is_fat(sector) and all(entry.offset == 0 for entry in entries):
        return None
    problems: list[str] = []
    logical: list[MbrEntry] = []
    for entry in entries:
        if entry.is_extended and entry.offset:
            logical += _logical(window, entry, 5 + len(logical), problems)
    return Mbr((*entries, *logical), tuple(problems))


def _table(sector: bytes) -> Iterator[MbrEntry]:
    for index in range(4):
        flag, kind, first, count = struct.unpack_from("<B3xB3xII", sector, 446 + 16 * index)
        if kind and count:
            yield MbrEntry(index + 1, kind, flag == 0x80, first * SECTOR, count * SECTOR)


def _logical(window: Window, extended: MbrEntry, number: int, problems: list[str]) -> Iterator[MbrEntry]:
    """Follow the chain of extended boot records: each has one partition, and a link relative to the first record."""
    record, seen = extended.offset, set[int]()
    while record not in seen and len(seen) < _MOST_LOGICAL:
        seen.add(record)
        sector = window.read(record, SECTOR)
        if sector[510:512] != b"\x55\xaa":
            problems.append("the chain of logical partitions is broken")
            return
        link = None
        for entry in _table(sector):
            if entry.is_extended:
                link = extended.offset + entry.offset
            else:
                yield MbrEntry(number, entry.type, entry.active, record + entry.offset, entry.length)
                number += 1
        if link is None:
            return
        record = link
    problems.append("the chain of logical partitions is a loop or has no end")
