# SPDX-License-Identifier: Apache-2.0
"""Read files and folders of an ext2, ext3 or ext4 file system."""

import struct
from bisect import bisect_right
from functools import lru_cache

from lkcloud.disk.inspect.window import LARGEST_READ, Window
from lkcloud.disk.linux.ext_layout import (
    EXTENTS,
    FOLDER,
    ROOT,
    Inode,
    Superblock,
    descriptor_offset,
    inode_table,
    parse_inode,
    read_superblock,
)

_EXTENT_MAGIC = 0xF30A
_DEEPEST = 5
_MOST_EXTENTS = 65_536  # of one file
_READS = 262_144
"""Reads on one file system, in all; each is of a block or more, but no more than 2 MiB."""
_LARGEST_FOLDER = 8 * 1024 * 1024
_MOST_ENTRIES = 20_000  # of one folder
_UNINITIALISED = 32_768  # an extent of so many blocks and more is one of zeros, and so many less long


class Ext:
    """A file system; what is broken in it reads as missing, or as a short file."""

    def __init__(self, window: Window, superblock: Superblock) -> None:
        self._window = window
        self.superblock = superblock
        self._reads = _READS
        self._cut_short = False
        self.inode = lru_cache(maxsize=4096)(self._inode)
        self.folder = lru_cache(maxsize=16)(self._folder)
        self.indirect = lru_cache(maxsize=32)(self._indirect)

    @classmethod
    def open(cls, window: Window) -> "Ext | None":
        """Return the file system in WINDOW; None if there is none, or one with features that are not read here."""
        superblock = read_superblock(window)
        return cls(window, superblock) if superblock else None

    @property
    def root(self) -> int:
        """The number of the root folder's inode."""
        return ROOT

    @property
    def exhausted(self) -> bool:
        """Whether so much was read of it that what follows is missing."""
        return self._reads < 0 or self._cut_short

    def read(self, offset: int, length: int) -> bytes:
        """Return LENGTH bytes of the file system from OFFSET on, fewer at its end and when too much has been read."""
        self._reads -= 1
        return self._window.read(offset, length) if self._reads >= 0 else b""

    def file(self, inode: Inode) -> "ExtFile":
        """Return the data of INODE."""
        return ExtFile(self, inode)

    def target(self, inode: Inode) -> str:
        """Return where the symbolic link INODE leads."""
        short = inode.size < len(inode.blocks) and not inode.flags & EXTENTS
        raw = inode.blocks[: inode.size] if short else self.file(inode).read(0, min(inode.size, 4096))
        return raw.partition(b"\0")[0].decode("utf-8", "replace")

    def _inode(self, number: int) -> Inode | None:
        superblock = self.superblock
        if not 1 <= number <= superblock.inodes:
            return None
        group, index = divmod(number - 1, superblock.inodes_per_group)
        descriptor = self.read(descriptor_offset(superblock, group), superblock.descriptor_size)
        if len(descriptor) < superblock.descriptor_size:
            return None
        table = inode_table(superblock, descriptor)
        raw = self.read(table * superblock.block_size + index * superblock.inode_size, 128)
        return parse_inode(raw) if len(raw) == 128 else None

    def _folder(self, number: int) -> dict[str, int]:
        """Return the entries of a folder and the numbers of their inodes, without `.` and `..`."""
        inode = self.inode(number)
        if inode is None or inode.kind != FOLDER:
            return {}
        file, size = self.file(inode), self.superblock.block_size
        found: dict[str, int] = {}
        for start in range(0, min(inode.size, _LARGEST_FOLDER), size):
            block = file.read(start, size)
            if not block:
                break
            found.update(_entries(block))
            if len(found) > _MOST_ENTRIES:
                self._cut_short = True
                break
        return found

    def _indirect(self, block: int) -> bytes:
        """Return BLOCK, which is filled with numbers of blocks."""
        size = self.superblock.block_size
        return self.read(block * size, size) if block else b""


def _entries(block: bytes) -> list[tuple[str, int]]:
    """Return the entries of one block of a folder; the blocks of its index look like one unused entry."""
    found = []
    position = 0
    while position + 8 <= len(block):
        number, length, name_length = struct.unpack_from("<IHB", block, position)
        # In blocks of 64 KiB the length of an entry that fills it is written as 0 or 0xffff.
        length = len(block) - position if length in (0, 0xFFFF) and len(block) == 65_536 else length
        if length < 8 or length % 4 or position + length > len(block):
            break
        name = block[position + 8 : position + 8 + name_length].decode("utf-8", "replace")
        if number and name_length <= length - 8 and name not in ("", ".", ".."):
            found.append((name, number))
        position += length
    return found


class ExtFile:
    """The data of an inode, with holes as zeros."""

    def __init__(self, ext: Ext, inode: Inode) -> None:
        self._ext = ext
        self._inode = inode
        self.size = inode.size
        self._firsts: list[int] = []
        self._extents: list[tuple[int, int, int]] = []
        """The first block in the file, how many, and the first on the disk, 0 for zeros; sorted."""
        if inode.flags & EXTENTS:
            self._collect(inode.blocks, _DEEPEST)
            self._extents.sort()
            self._firsts = [first for first, _, _ in self._extents]

    def read(self, offset: int, length: int) -> bytes:
        """Return LENGTH bytes from OFFSET on, fewer if the file or what of it is readable ends before."""
        end = min(offset + min(length, LARGEST_READ), self.size)
        size = self._ext.superblock.block_size
        parts: list[bytes] = []
        while 0 <= offset < end:
            block, inside = divmod(offset, size)
            place, run = self._run(block)
            wanted = min(end - offset, run * size - inside)
            part = self._ext.read(place * size + inside, wanted) if place else bytes(wanted)
            parts.append(part)
            offset += len(part)
            if len(part) < wanted:
                break
        return b"".join(parts)

    def _run(self, block: int) -> tuple[int, int]:
        """Return where BLOCK of the file is on the disk, 0 for a hole, and how many follow it in a row."""
        if not self._inode.flags & EXTENTS:
            return self._mapped(block), 1
        index = bisect_right(self._firsts, block) - 1
        if index >= 0:
            first, count, place = self._extents[index]
            if block < first + count:
                return place and place + block - first, first + count - block
        following = self._firsts[index + 1] if index + 1 < len(self._firsts) else block + LARGEST_READ
        return 0, max(1, following - block)

    def _mapped(self, block: int) -> int:
        """Return where BLOCK is by the map of ext2 and ext3: twelve numbers, and trees of 1, 2 and 3 levels."""
        numbers: tuple[int, ...] = struct.unpack("<15I", self._inode.blocks)
        if block < 12:
            return numbers[block]
        block -= 12
        per_block = self._ext.superblock.block_size // 4
        for levels in (1, 2, 3):
            if block < per_block**levels:
                place = numbers[11 + levels]
                for level in range(levels - 1, -1, -1):
                    index, block = divmod(block, per_block**level)
                    found = self._ext.indirect(place)[4 * index : 4 * index + 4]
                    place = int.from_bytes(found, "little") if len(found) == 4 else 0
                return place
            block -= per_block**levels
        return 0

    def _collect(self, node: bytes, levels: int) -> None:
        """Collect the extents below NODE of the tree, which has at most so many LEVELS."""
        if len(node) < 12 or levels < 0:
            return
        magic, count, _, depth = struct.unpack_from("<HHHH", node)
        if magic != _EXTENT_MAGIC or depth > levels:
            return
        for position in range(12, min(12 + 12 * count, len(node) - 11), 12):
            if len(self._extents) >= _MOST_EXTENTS:
                return
            if depth:
                low, high = struct.unpack_from("<IH", node, position + 4)
                size = self._ext.superblock.block_size
                self._collect(self._ext.read((low | high << 32) * size, size), depth - 1)
            else:
                first, length, high, low = struct.unpack_from("<IHHI", node, position)
                zeros = length > _UNINITIALISED
                length -= _UNINITIALISED if zeros else 0
                self._extents.append((first, length, 0 if zeros else low | high << 32))
