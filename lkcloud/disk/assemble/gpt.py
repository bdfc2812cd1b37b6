# SPDX-License-Identifier: Apache-2.0
"""Write a disk with a GUID partition table (UEFI Specification 2.10, chapter 5)."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5

from lkcloud.disk.assemble.pieces import Piece, write_pieces
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
GUIDS = UUID("6c6b636c-6f75-4d64-8000-000000000000")
"""The namespace of the GUIDs of a disk that has none of its own: they differ from each other, in every build alike."""


@dataclass(frozen=True, slots=True)
class NewPartition:
    """A partition of SIZE bytes to be written; CONTENT has offsets within it, and between its pieces are zeros."""

    type: UUID
    name: str
    size: int
    content: tuple[Piece, ...] = ()


def smallest_disk(sizes: Sequence[int]) -> int:
    """Return the bytes of the smallest disk for partitions of SIZES bytes; a whole number of MiB."""
    return sum(map(_aligned, sizes)) + 2 * ALIGNMENT


def write_gpt_disk(
    path: str | Path, partitions: Sequence[NewPartition], *, size: int | None = None, boot_code: bytes = b""
) -> None:
    """Write a sparse raw disk with PARTITIONS to PATH; see `gpt_disk`, which also says what it raises."""
    size = smallest_disk([partition.size for partition in partitions]) if size is None else size
    pieces = gpt_disk(partitions, size=size, boot_code=boot_code)
    with Path(path).open("wb") as file:
        file.truncate(size)
        write_pieces(pieces, file.fileno())


def gpt_disk(
    partitions: Sequence[NewPartition], *, size: int, boot_code: bytes = b"", guids: UUID = GUIDS
) -> tuple[Piece, ...]:
    """Return what a disk of SIZE bytes holds: PARTITIONS from 1 MiB on, each at the next whole MiB, and their tables.

    BOOT_CODE goes to the master boot record, at most 440 bytes; the GUIDs of the disk and the partitions follow from
    GUIDS. Raises ValueError if something does not fit.
    """
    if size % SECTOR:
        raise ValueError(f"{size} is not a multiple of {SECTOR}")
    if len(boot_code) > 440:
        raise ValueError(f"boot code of {len(boot_code)} bytes does not fit into 440")
    sectors = size // SECTOR
    table = bytearray()
    pieces: list[Piece] = []
    start = ALIGNMENT
    for number, partition in enumerate(partitions, 1):
        if partition.size % SECTOR or start + partition.size > size - (_TABLE_SECTORS + 1) * SECTOR:
            raise ValueError(f"a disk of {size} bytes has no room for partition {number} of {partition.size} bytes")
        table += _entry(partition_guid(guids, number), partition, start)
        pieces += [piece.moved(start) for piece in partition.content]
        start += _aligned(partition.size)
    entries = bytes(table.ljust(_ENTRIES * _ENTRY, b"\0"))
    backup_table = sectors - 1 - _TABLE_SECTORS
    disk = uuid5(guids, "disk")
    return (
        Literal(0, _protective_mbr(boot_code, sectors)),
        Literal(SECTOR, _header(entries, sectors, disk, here=1, other=sectors - 1, table=2)),
        Literal(2 * SECTOR, entries),
        *pieces,
        Literal(backup_table * SECTOR, entries),
        Literal((sectors - 1) * SECTOR, _header(entries, sectors, disk, here=sectors - 1, other=1, table=backup_table)),
    )


def partition_guid(guids: UUID, number: int) -> UUID:
    """Return the GUID of partition NUMBER, from 1, of a disk whose GUIDs follow from GUIDS."""
    return uuid5(guids, f"partition {number}")


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _entry(guid: UUID, partition: NewPartition, start: int) -> bytes:
    first = start // SECTOR
    return struct.pack(
        "<16s16sQQQ72s",
        partition.type.bytes_le,
        guid.bytes_le,
        first,
        first + partition.size // SECTOR - 1,
        0,  # attributes
        partition.name.encode("utf-16-le"),
    )


def _header(entries: bytes, sectors: int, disk: UUID, *, here: int, other: int, table: int) -> bytes:
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
        disk.bytes_le,
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
