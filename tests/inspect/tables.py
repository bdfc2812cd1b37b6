# SPDX-License-Identifier: Apache-2.0
"""Partition tables byte by byte, for what partitioning tools refuse to write."""

import struct
import zlib
from uuid import UUID

LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")


def mbr(*partitions: tuple[int, int, int, int]) -> bytes:
    """Return a sector 0 with PARTITIONS: flag, type, first sector, sectors."""
    entries = b"".join(
        struct.pack("<B3sB3sII", flag, b"\0\0\0", kind, b"\0\0\0", first, count)
        for flag, kind, first, count in partitions
    )
    return bytes(446) + entries.ljust(64, b"\0") + b"\x55\xaa"


def gpt_disk(size: int, sector: int, partitions: list[tuple[int, int]]) -> bytearray:
    """Return a disk for sectors of SECTOR bytes with PARTITIONS: first and last sector."""
    last = size // sector - 1
    table_sectors = 128 * 128 // sector
    entries = b"".join(
        struct.pack(
            "<16s16sQQQ72s", LINUX.bytes_le, UUID(int=number).bytes_le, first, end, 0, f"p{number}".encode("utf-16-le")
        )
        for number, (first, end) in enumerate(partitions, 1)
    ).ljust(128 * 128, b"\0")
    disk = bytearray(size)
    disk[:512] = mbr((0, 0xEE, 1, min(last, 0xFFFFFFFF)))
    for here, other, table in ((1, last, 2), (last, 1, last - table_sectors)):
        header = bytearray(
            struct.pack(
                "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, here, other, 2 + table_sectors,
                last - table_sectors - 1, UUID(int=99).bytes_le, table, 128, 128, zlib.crc32(entries),
            )
        )  # fmt: skip
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        disk[here * sector : here * sector + len(header)] = header
        disk[table * sector : table * sector + len(entries)] = entries
    return disk
