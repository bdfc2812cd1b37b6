# SPDX-License-Identifier: Apache-2.0
"""Read a GUID partition table: the primary one, or the backup where the primary is broken (UEFI 2.10, chapter 5)."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from lkcloud.disk.inspect.partition_types import gpt_type
from lkcloud.disk.inspect.window import LARGEST_READ, Window, printable

SECTOR_SIZES = (512, 4096)
MOST_PARTITIONS = 256

_SIGNATURE = b"EFI PART"
_UNUSED = bytes(16)


@dataclass(frozen=True, slots=True)
class GptEntry:
    """A partition as the table states it, in bytes; LENGTH is 0 where the last sector is in front of the first."""

    number: int
    offset: int
    length: int
    type: str
    name: str
    legacy_boot: bool
    """Attribute `legacy BIOS bootable`: what `active` is in an MBR."""


@dataclass(frozen=True, slots=True)
class Gpt:
    """A table and what is odd about it."""

    entries: tuple[GptEntry, ...]
    problems: tuple[str, ...]
    sector_size: int


@dataclass(frozen=True, slots=True)
class _Header:
    sector_size: int
    backup: int
    """The sector that the other header is said to be in."""
    first_usable: int
    last_usable: int
    table: int
    count: int
    entry_size: int
    table_crc: int


def read_gpt(window: Window) -> Gpt | None:
    """Return the table of the disk in WINDOW, None if there is not even the signature of one."""
    for sector_size in SECTOR_SIZES:
        last = window.length // sector_size - 1
        primary, primary_fault = _read_header(window, sector_size, 1)
        backup, backup_fault = _read_header(window, sector_size, last)
        if primary is None and backup is None and not primary_fault and not backup_fault:
            continue
        problems = []
        if sector_size != 512:
            problems.append(
                f"the GPT is for sectors of {sector_size} bytes: on a disk with sectors of 512 it is not seen"
            )
        if primary_fault:
            problems.append(f"the primary GPT {primary_fault}")
        elif primary is None:
            problems.append("the primary GPT is missing")
        problems += _backup_problems(window, primary, backup, backup_fault, last)
        header = primary or backup
        if header is None:
            return Gpt((), tuple(problems), sector_size)
        return Gpt(*_entries(window, header, problems), sector_size)
    return None


def _read_header(window: Window, sector_size: int, sector: int) -> tuple[_Header | None, str]:
    """Return the header in SECTOR, or None and what is wrong with it; None and `""` if there is no signature."""
    raw = window.read(sector * sector_size, sector_size)
    if sector < 1 or len(raw) < sector_size or not raw.startswith(_SIGNATURE):
        return None, ""
    _, _revision, size, crc, _, here, backup, first, last, _, table, count, entry_size, table_crc = struct.unpack_from(
        "<8sIIIIQQQQ16sQIII", raw
    )
    if not 92 <= size <= sector_size or zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != crc:
        return None, "has a header with a wrong checksum"
    if here != sector:
        return None, f"says that it is in sector {here} and is in {sector}"
    if entry_size < 128 or entry_size % 8 or count * entry_size > LARGEST_READ:
        return None, f"has {count} entries of {entry_size} bytes, which cannot be"
    header = _Header(sector_size, backup, first, last, table, count, entry_size, table_crc)
    if zlib.crc32(_table(window, header)) != table_crc:
        return None, "has a table with a wrong checksum"
    return header, ""


def _table(window: Window, header: _Header) -> bytes:
    return window.read(header.table * header.sector_size, header.count * header.entry_size)


def _backup_problems(
    window: Window, primary: _Header | None, backup: _Header | None, backup_fault: str, last: int
) -> Iterator[str]:
    if backup_fault:
        yield f"the backup GPT {backup_fault}"
    elif backup is None and primary is not None:
        elsewhere, _ = _read_header(window, primary.sector_size, primary.backup)
        if elsewhere is not None:
            yield f"the backup GPT is in sector {primary.backup} and not in the last one, {last}: the disk has grown"
        else:
            yield "the backup GPT is missing at the end of the disk: the disk is cut short or has grown"
    elif primary is not None and backup is not None and primary.table_crc != backup.table_crc:
        yield "the primary and the backup GPT differ"


def _entries(window: Window, header: _Header, problems: Sequence[str]) -> tuple[tuple[GptEntry, ...], tuple[str, ...]]:
    table = _table(window, header)
    entries: list[GptEntry] = []
    faults = list(problems)
    for index in range(header.count):
        raw = table[index * header.entry_size : (index + 1) * header.entry_size]
        if len(raw) < 128 or raw.startswith(_UNUSED):
            continue
        if len(entries) == MOST_PARTITIONS:
            faults.append(f"there are more than {MOST_PARTITIONS} partitions; only those are shown")
            break
        guid, first, last, attributes = struct.unpack_from("<16s16xQQQ", raw)
        number = index + 1
        if last < first:
            faults.append(f"partition {number} ends in front of its start")
        elif first < header.first_usable or last > header.last_usable:
            faults.append(f"partition {number} is not inside the sectors that the GPT leaves for partitions")
        entries.append(
            GptEntry(
                number=number,
                offset=first * header.sector_size,
                length=max(last + 1 - first, 0) * header.sector_size,
                type=gpt_type(UUID(bytes_le=guid)),
                name=printable(raw[56:128].decode("utf-16-le", "replace").partition("\0")[0]),
                legacy_boot=bool(attributes & 1 << 2),
            )
        )
    return tuple(entries), tuple(faults)
