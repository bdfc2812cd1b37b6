# SPDX-License-Identifier: Apache-2.0
"""Write a disk with a GUID partition table (UEFI Specification 2.10, chapter 5)."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5

from lkcloud.formats.layout import Literal

SECTOR = 512
ALIGNMENT = 1024 * 1024
"""Bytes; where the first partition starts and a multiple that all of them start at."""

EFI_SYSTEM = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
BIOS_BOOT = UUID("21686148-6449-6e6f-744e-656564454649")
LINUX_DATA = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")

_ENTRIES = 128
_ENTRY = 128
_TABLE_SECTORS = _ENTRIES * _ENTRY // SECTOR
_GUIDS = UUID("6c6b636c-6f75-4d64-8000-000000000000")
"""The namespace of all GUIDs here: they must differ from each other and be the same in every build."""


@dataclass(frozen=True, slots=True)
class NewPartition:
    """A partition of SIZE bytes to be written; CONTENT has offsets within it, and between its pieces are zeros."""

    type: UUID
    name: str
    size: int
    content: tuple[Literal, ...] = ()


def smallest_disk(sizes: Sequence[int]) -> int:
    """Return the bytes of the smallest disk for partitions of SIZES bytes; a whole number of MiB."""
    return sum(map(_aligned, sizes)) + 2 * ALIGNMENT


def write_gpt_disk(
    path: str | Path, partitions: Sequence[NewPartition], *, size: int | None = None, boot_code: bytes = b""
) -> None:
    """Write a sparse raw disk with PARTITIONS from 1 MiB on, each at the next whole MiB.

    SIZE is in bytes, the smallest possible if not given; BOOT_CODE goes to the master boot record, at most 440 bytes.
    Raises ValueError if something does not fit.
    """
    size = smallest_disk([partition.size for partition in partitions]) if size is None else size
    if size % SECTOR:
        raise ValueError(f"{size} is not a multiple of {SECTOR}")
    if len(boot_code) > 440:
        raise ValueError(f"boot code of {len(boot_code)} bytes does not fit into 440")
    sectors = size // SECTOR
    table = bytearray()
    pieces: list[Literal] = []
    start = ALIGNMENT
    for number, partition in enumerate(partitions, 1):
        if partition.size % SECTOR or start + partition.size > size - (_TABLE_SECTORS + 1) * SECTOR:
            raise ValueError(f"a disk of {size} bytes has no room for partition {number} of {partition.size} bytes")
        table += _entry(number, partition, start)
        pieces += [Literal(start + piece.offset, piece.data) for piece in partition.content]
        start += _aligned(partition.size)
    entries = bytes(table.ljust(_ENTRIES * _ENTRY, b"\0"))
    backup_table = sectors - 1 - _TABLE_SECTORS
    pieces += [
        Literal(0, _protective_mbr(boot_code, sectors)),
        Literal(SECTOR, _header(entries, sectors, here=1, other=sectors - 1, table=2)),
        Literal(2 * SECTOR, entries),
        Literal(backup_table * SECTOR, entries),
        Literal((sectors - 1) * SECTOR, _header(entries, sectors, here=sectors - 1, other=1, table=backup_table)),
    ]
    with Path(path).open("wb") as file:
        file.truncate(size)
        for piece in pieces:
            file.seek(piece.offset)
            file.write(piece.data)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _entry(number: int, partition: NewPartition, start: int) -> bytes:
    first = start // SECTOR
    return struct.pack(
        "<16s16sQQQ72s",
        partition.type.bytes_le,
        uuid5(_GUIDS, f"partition {number}").bytes_le,
        first,
        first + partition.size // SECTOR - 1,
        0,  # attributes
        partition.name.encode("utf-16-le"),
    )


def _header(entries: bytes, sectors: int, *, here: int, other: int, table: int) -> bytes:
    without_checksum = struct.pack(
        "<8sIIIIQQQQ16sQIII",
        b"EFI PART",
        0x00010000,  # revision 1.0
        92,  # bytes of this header
        0,  # its checksum, filled in below
        0,  # reserved
        here,
        other,
        2 + _TABLE_SECTORS,  # first usable sector
        sectors - 2 - _TABLE_SECTORS,  # last usable sector
        uuid5(_GUIDS, "disk").bytes_le,
        table,
        _ENTRIES,
        _ENTRY,
        zlib.crc32(entries),
    )
    return without_checksum[:16] + struct.pack("<I", zlib.crc32(without_checksum)) + without_checksum[20:]


def _protective_mbr(boot_code: bytes, sectors: int) -> bytes:
    """Return sector 0: BOOT_CODE and one entry of type 0xee over the whole disk, so that old tools keep off."""
    entry = struct.pack(
        "<B3sB3sII",
        0,  # not active
        b"\x00\x02\x00",  # cylinder 0, head 0, sector 2
        0xEE,
        b"\xff\xff\xff",  # behind what cylinders, heads and sectors can say
        1,
        min(sectors - 1, 0xFFFFFFFF),
    )
    return boot_code.ljust(446, b"\0") + entry + bytes(3 * 16) + b"\x55\xaa"
