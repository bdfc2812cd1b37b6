# SPDX-License-Identifier: Apache-2.0
"""Where things are in an ext2, ext3 or ext4 file system: superblock, groups, inodes.

Source: https://docs.kernel.org/filesystems/ext4/ . Each number is checked before it is used; checksums are not.
"""

import struct
from dataclasses import dataclass

from lkcloud.disk.inspect.window import Window

_SUPERBLOCK = 1024
_MAGIC = 0xEF53
_READ_INCOMPATIBLE = {
    0x0002: "filetype",
    0x0004: "needs recovery",
    0x0010: "meta_bg",
    0x0040: "extents",
    0x0080: "64bit",
    0x0100: "mmp",
    0x0200: "flex_bg",
    0x0400: "ea_inode",
    0x2000: "csum_seed",
    0x4000: "large_dir",
    0x10000: "encrypt",
    0x20000: "casefold",
}
"""The features without knowing which a file system cannot be read, those that are known here.

Not inline_data (small files and folders in their inodes), which nobody's images have so far.
"""
_META_BG, _64BIT = 0x0010, 0x0080
ROOT = 2


@dataclass(frozen=True, slots=True)
class Superblock:
    """The numbers of a file system; sizes are bytes."""

    block_size: int
    blocks: int
    blocks_per_group: int
    first_block: int
    inodes: int
    inodes_per_group: int
    inode_size: int
    descriptor_size: int
    meta_groups: int | None
    """The first group of meta block groups whose descriptors are in those groups; None if all are at the start."""


@dataclass(frozen=True, slots=True)
class Inode:
    """A file, folder or link of SIZE bytes; BLOCKS are the 60 bytes that say where its data is."""

    mode: int
    size: int
    flags: int
    blocks: bytes

    @property
    def kind(self) -> int:
        """FOLDER, FILE, LINK or another."""
        return self.mode & 0xF000


FOLDER, FILE, LINK = 0x4000, 0x8000, 0xA000
EXTENTS = 0x80000
"""Flag: the blocks are a tree of extents."""
_ENCRYPTED = 0x800


def read_superblock(window: Window) -> Superblock | None:
    """Return what the superblock says; None if there is none, or it says what cannot be or is not read here."""
    raw = window.read(_SUPERBLOCK, 1024)
    if len(raw) < 1024 or struct.unpack_from("<H", raw, 0x38)[0] != _MAGIC:
        return None
    inodes, blocks_low, first_block, log_size, per_group, inodes_per_group = struct.unpack_from("<II12xII4xI4xI", raw)
    revision = struct.unpack_from("<I", raw, 0x4C)[0]
    inode_size = struct.unpack_from("<H", raw, 0x58)[0] if revision else 128
    incompatible = struct.unpack_from("<I", raw, 0x60)[0] if revision else 0
    descriptor_size, first_meta = struct.unpack_from("<H4xI", raw, 0xFE)
    blocks_high = struct.unpack_from("<I", raw, 0x150)[0]
    large = bool(incompatible & _64BIT)
    if (
        log_size > 6
        or incompatible & ~sum(_READ_INCOMPATIBLE)
        or not 128 <= inode_size <= (1024 << log_size)
        or inode_size & (inode_size - 1)
        or not 0 < inodes_per_group <= (8192 << log_size)
        or not 0 < per_group <= (65536 * 8 << log_size)
        or (large and not 32 <= descriptor_size <= (1024 << log_size))
        or first_block > 1
    ):
        return None
    return Superblock(
        block_size=1024 << log_size,
        blocks=blocks_low | (blocks_high << 32 if large else 0),
        blocks_per_group=per_group,
        first_block=first_block,
        inodes=inodes,
        inodes_per_group=inodes_per_group,
        inode_size=inode_size,
        descriptor_size=descriptor_size if large else 32,
        meta_groups=first_meta if incompatible & _META_BG else None,
    )


def descriptor_offset(superblock: Superblock, group: int) -> int:
    """Return where, in bytes, the descriptor of GROUP is."""
    per_block = superblock.block_size // superblock.descriptor_size
    index, inside = divmod(group, per_block)
    if superblock.meta_groups is None or index < superblock.meta_groups:
        # The superblock of a file system in blocks of 1 KiB is in block 1, where with bigalloc the groups begin at 0.
        block = superblock.first_block + 1 + index + (superblock.block_size == 1024 and superblock.first_block == 0)
    else:
        # In the first group of the meta group, behind its copy of the superblock if it has one.
        first = index * per_block
        block = superblock.first_block + first * superblock.blocks_per_group + _has_superblock(first)
    return block * superblock.block_size + inside * superblock.descriptor_size


def _has_superblock(group: int) -> bool:
    """Return whether GROUP has a copy of the superblock: 0, 1 and powers of 3, 5 and 7 (feature sparse_super)."""
    if group <= 1:
        return True
    for base in (3, 5, 7):
        power = base
        while power < group:
            power *= base
        if power == group:
            return True
    return False


def inode_table(superblock: Superblock, descriptor: bytes) -> int:
    """Return the block at which the inodes begin of the group that DESCRIPTOR is of."""
    (low,) = struct.unpack_from("<I", descriptor, 8)
    high = struct.unpack_from("<I", descriptor, 0x28)[0] if superblock.descriptor_size >= 64 else 0
    return int(low | high << 32)


def parse_inode(raw: bytes) -> Inode | None:
    """Return the inode that RAW (128 bytes or more) is; None for one that is encrypted."""
    mode, size_low, flags = struct.unpack_from("<H2xI24xI4x", raw)[:3]
    (size_high,) = struct.unpack_from("<I", raw, 0x6C)
    if flags & _ENCRYPTED:
        return None
    return Inode(mode, size_low | size_high << 32, flags, raw[0x28:0x64])
