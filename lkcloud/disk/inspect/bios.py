# SPDX-License-Identifier: Apache-2.0
"""Tell whether a BIOS would find something to start.

A BIOS starts sector 0 of any disk whose last two bytes are 55 aa, be it code or not. So this is the rule:

1. Sector 0 has that signature, its first byte is not zero, and its code is not one byte repeated. sgdisk, sfdisk and
   systemd-repart leave zeros there. The first eight bytes of a driver descriptor of an Apple partition map, which
   grub-mkrescue writes to sector 0, are no code, but there can be some behind them.
2. Code that takes the address of the partition table in memory, 0x7be, into a register looks there for a partition to
   start: what Windows, Syslinux's mbr.bin and Debian's mbr do, and parted writes such code to every MBR that it makes,
   bootable or not. It counts only with a partition that is marked (active, or in a GPT `legacy BIOS bootable`) and
   begins with a boot sector. Code that does not, such as GRUB's, knows its own way.
3. The first sector of a partition, or of a disk without a table, is a boot sector if it is right by rule 1, its first
   jump leads to something else than zeros, and it is not the placeholder that mkfs.fat or mformat writes.
"""

from collections.abc import Sequence

from lkcloud.disk.inspect.window import Window

_SECTOR = 512
_CODE = 440
_APPLE, _APPLE_BYTES = b"ER\x08\x00", 8
_TABLE_ADDRESS = b"\xbe\x07"
_LOAD_16_BIT = frozenset(range(0xB8, 0xC0))  # mov ax|cx|dx|bx|sp|bp|si|di, immediate
_MKFS_MESSAGE = b"This is not a bootable disk"
_MFORMAT_NAME = b"MTOO"  # the first letters of the OEM name; Syslinux and others put their own there


def has_boot_code(whole: Window, *, has_table: bool, active: Sequence[int]) -> bool:
    """Return whether a BIOS would find boot code on the disk WHOLE; ACTIVE are the offsets of marked partitions."""
    sector = whole.read(0, _SECTOR)
    if not _is_code(sector):
        return False
    if _looks_for_a_partition(sector):
        return any(_is_boot_sector(whole.read(offset, _SECTOR)) for offset in active)
    return has_table or _is_boot_sector(sector)


def _is_code(sector: bytes) -> bool:
    code = sector[_APPLE_BYTES if sector.startswith(_APPLE) else 0 : _CODE]
    return sector[510:512] == b"\x55\xaa" and code[0] != 0 and len(set(code)) > 1


def _looks_for_a_partition(sector: bytes) -> bool:
    position = sector.find(_TABLE_ADDRESS, 1, _CODE)
    while position > 0:
        if sector[position - 1] in _LOAD_16_BIT:
            return True
        position = sector.find(_TABLE_ADDRESS, position + 1, _CODE)
    return False


def _is_boot_sector(sector: bytes) -> bool:
    if not _is_code(sector) or _MKFS_MESSAGE in sector or sector.startswith(_MFORMAT_NAME, 3):
        return False
    if sector[0] == 0xEB:  # jmp with a signed byte
        target = 2 + int.from_bytes(sector[1:2], "little", signed=True)
    elif sector[0] == 0xE9:  # jmp with a signed word
        target = 3 + int.from_bytes(sector[1:3], "little", signed=True)
    else:
        target = 0
    return 0 <= target < 510 and any(sector[target : target + 4])
