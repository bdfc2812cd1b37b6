# SPDX-License-Identifier: Apache-2.0
"""Folders and files by their paths, whatever file system they are on."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Protocol

from lkcloud.disk.inspect.fat import Entry, Fat
from lkcloud.disk.inspect.window import Window
from lkcloud.disk.linux.ext import Ext
from lkcloud.disk.linux.ext_layout import FILE, LINK
from lkcloud.disk.linux.feed import File
from lkcloud.disk.linux.iso9660 import Iso
from lkcloud.disk.linux.iso_tree import IsoTree
from lkcloud.disk.linux.links import follow
from lkcloud.disk.linux.paths import Pattern

_MOST_ENTRIES = 4096  # of a folder of FAT, whose boot files are few


class Tree(Protocol):
    """A file system that can be read."""

    @property
    def exhausted(self) -> bool:
        """Whether so much was read of it that what was not found may be there."""
        ...

    def names(self, path: str) -> tuple[str, ...]:
        """Return what is in the folder PATH ("" = the root); () if there is none."""
        ...

    def file(self, path: str) -> File | None:
        """Return the file PATH, None if there is none."""
        ...

    def has(self, path: str) -> bool:
        """Return whether there is anything at PATH."""
        ...


def open_tree(window: Window, filesystem: str) -> Tree | None:
    """Return the file system in WINDOW, which `inspect` calls FILESYSTEM; None if it is not read here, or broken."""
    if filesystem == "vfat":
        fat = Fat.open(window)
        return FatTree(fat) if fat else None
    if filesystem in ("ext2", "ext3", "ext4"):
        ext = Ext.open(window)
        return ExtTree(ext) if ext else None
    if filesystem == "iso9660":
        iso = Iso.open(window)
        return IsoTree(iso) if iso else None
    return None


class FatTree:
    """A FAT volume, whose names have no case."""

    def __init__(self, fat: Fat) -> None:
        self._fat = fat
        self._list = lru_cache(maxsize=8)(self._read_folder)
        self._cut_short = False

    @property
    def exhausted(self) -> bool:
        """Whether what was not found may be there."""
        return self._fat.exhausted or self._cut_short

    def names(self, path: str) -> tuple[str, ...]:
        """Return what is in the folder PATH."""
        return tuple(entry.name for entry in self._list(_plain(path)))

    def file(self, path: str) -> File | None:
        """Return the file PATH."""
        folder, _, name = _plain(path).rpartition("/")
        for entry in self._list(folder):
            if entry.name.upper() == name.upper() and not entry.is_folder:
                return self._fat.file(entry)
        return None

    def has(self, path: str) -> bool:
        """Return whether there is a file or folder PATH."""
        folder, _, name = _plain(path).rpartition("/")
        return any(entry.name.upper() == name.upper() for entry in self._list(folder))

    def _read_folder(self, path: str) -> tuple[Entry, ...]:
        entries = self._fat.list(path)
        self._cut_short = self._cut_short or len(entries) > _MOST_ENTRIES
        return entries[:_MOST_ENTRIES]


class ExtTree:
    """An ext2, ext3 or ext4 file system; symbolic links are followed within it."""

    def __init__(self, ext: Ext) -> None:
        self._ext = ext

    @property
    def exhausted(self) -> bool:
        """Whether what was not found may be there."""
        return self._ext.exhausted

    def names(self, path: str) -> tuple[str, ...]:
        """Return what is in the folder PATH."""
        number = self._find(path)
        return tuple(self._ext.folder(number)) if number else ()

    def file(self, path: str) -> File | None:
        """Return the file PATH."""
        number = self._find(path)
        inode = self._ext.inode(number) if number else None
        return self._ext.file(inode) if inode and inode.kind == FILE else None

    def has(self, path: str) -> bool:
        """Return whether there is anything at PATH: a link that leads nowhere counts too."""
        return self._find(path) is not None or self._find(path, following=False) is not None

    def _find(self, path: str, *, following: bool = True) -> int | None:
        """Return the inode of PATH; the last part, if it is a link, is followed if FOLLOWING."""
        return follow(path, self._ext.root, self._child, self._target, following=following)

    def _child(self, folder: int, name: str) -> int | None:
        number = self._ext.folder(folder).get(name)
        return number if number and self._ext.inode(number) else None

    def _target(self, number: int) -> str | None:
        inode = self._ext.inode(number)
        return self._ext.target(inode) if inode and inode.kind == LINK else None


def read_text(tree: Tree, path: str, limit: int = 1024 * 1024) -> str | None:
    """Return the first LIMIT bytes of the file PATH as text; None if there is none."""
    file = tree.file(path)
    return None if file is None else file.read(0, min(limit, file.size)).decode("utf-8", "replace")


def matching(tree: Tree, pattern: Pattern) -> Iterator[str]:
    """Yield the paths in TREE that PATTERN stands for."""
    yield from _matching(tree, "", pattern.text.split("/"))


def _matching(tree: Tree, folder: str, parts: list[str]) -> Iterator[str]:
    if not parts:
        yield folder
        return
    first, rest = parts[0], parts[1:]
    prefix = f"{folder}/" if folder else ""
    if not set("*?[") & set(first):
        if tree.has(prefix + first):
            yield from _matching(tree, prefix + first, rest)
        return
    for name in sorted(tree.names(folder)):
        if fnmatchcase(name, first) and (not rest or tree.has(f"{prefix}{name}")):
            yield from _matching(tree, prefix + name, rest)


def _plain(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))
