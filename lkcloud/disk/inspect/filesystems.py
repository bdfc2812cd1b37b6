# SPDX-License-Identifier: Apache-2.0
"""Tell a file system, or what else fills a partition, by the bytes that mark it."""

import struct
from typing import NamedTuple

from lkcloud.disk.inspect.fat import is_fat
from lkcloud.disk.inspect.window import Window

_HEAD = 68 * 1024  # all of the marks below are in it


class _Mark(NamedTuple):
    name: str
    offset: int
    magic: bytes


# Sources: each format's own documentation, most of it under https://docs.kernel.org/filesystems/ ; cryptsetup's on-disk
# formats for LUKS and verity, ECMA-119 for ISO 9660, lvm2's label for LVM2, md(4) for RAID.
_MARKS = (
    _Mark("LUKS", 0, b"LUKS\xba\xbe"),
    _Mark("dm-verity", 0, b"verity\0\0"),
    _Mark("squashfs", 0, b"hsqs"),
    _Mark("xfs", 0, b"XFSB"),
    _Mark("ntfs", 3, b"NTFS    "),
    _Mark("exfat", 3, b"EXFAT   "),
    _Mark("erofs", 1024, b"\xe2\xe1\xf5\xe0"),
    _Mark("f2fs", 1024, b"\x10\x20\xf5\xf2"),
    _Mark("Linux RAID", 4096, b"\xfc\x4e\x2b\xa9"),
    *(_Mark("LVM2", 512 * sector + 24, b"LVM2 001") for sector in range(4)),
    # The mark of a swap area is at the end of its first page; pages have 4 to 64 KiB.
    *(_Mark("swap", 1024 * page - 10, b"SWAPSPACE2") for page in (4, 8, 16, 32, 64)),
    _Mark("btrfs", 0x10040, b"_BHRfS_M"),
    _Mark("iso9660", 0x8001, b"CD001"),
)

_EXT_SUPERBLOCK = 1024
_EXT_MAGIC = 0xEF53
_EXT_HAS_JOURNAL = 0x4  # s_feature_compat
_EXT3_INCOMPATIBLE = 0x2 | 0x4 | 0x8 | 0x10  # filetype, recover, journal device, meta_bg: what ext3 knows of
_EXT3_READ_ONLY_COMPATIBLE = 0x1 | 0x2 | 0x4  # sparse_super, large_file, btree_dir


def filesystem(window: Window) -> str:
    """Return the name of what is in WINDOW, `""` if it is not known."""
    head = window.read(0, _HEAD)
    for mark in _MARKS:
        if head.startswith(mark.magic, mark.offset):
            return mark.name
    # FAT comes late: it has no real mark, and boot sectors of others look like it.
    return _ext(head) or ("vfat" if is_fat(head) else "")


def _ext(head: bytes) -> str:
    """Return `ext4`, `ext3` or `ext2`: the oldest that has all features of the file system."""
    superblock = head[_EXT_SUPERBLOCK : _EXT_SUPERBLOCK + 0x68]
    if len(superblock) < 0x68 or struct.unpack_from("<H", superblock, 0x38)[0] != _EXT_MAGIC:
        return ""
    compatible, incompatible, read_only_compatible = struct.unpack_from("<III", superblock, 0x5C)
    if incompatible & ~_EXT3_INCOMPATIBLE or read_only_compatible & ~_EXT3_READ_ONLY_COMPATIBLE:
        return "ext4"
    return "ext3" if compatible & _EXT_HAS_JOURNAL else "ext2"
