# SPDX-License-Identifier: Apache-2.0
"""Read files and folders of an ISO 9660 file system, by the names of Rock Ridge, else of Joliet, else its own.

Sources: ECMA-119, Microsoft's Joliet Specification 1.
"""

import stat
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from lkcloud.disk.extent import Extent
from lkcloud.disk.inspect.window import LARGEST_READ, Window
from lkcloud.disk.linux import rock_ridge
from lkcloud.disk.linux.rock_ridge import Posix

SECTOR = 2048
_FIRST_DESCRIPTOR = 16
_MOST_DESCRIPTORS = 64
_PRIMARY, _SUPPLEMENTARY, _TERMINATOR = 1, 2, 255
_JOLIET_ESCAPES = (b"%/@", b"%/C", b"%/E")
_ROOT_RECORD = 156  # in a descriptor
_SMALLEST_RECORD = 34
_IS_FOLDER, _IS_ASSOCIATED, _GOES_ON = 0x02, 0x04, 0x80

_READS = 262_144
"""Reads of files, in all; each is of no more than 2 MiB."""
_MOST_METADATA = 16 * 1024 * 1024
"""Bytes of folders and of what records say elsewhere, in all: some 100,000 files."""
_PIECE = 32 * SECTOR
_CONTINUATION_COSTS = 4  # times its length: it can be all in the smallest entries, and the same for every record
_LARGEST_FOLDER = 8 * 1024 * 1024
_MOST_ENTRIES = 20_000  # of one folder
_MOST_FOLDERS, _LONGEST_PATH = 4096, 4096  # of a walk through all


@dataclass(frozen=True, slots=True)
class IsoEntry:
    """A file, a folder or a link that leads to TARGET; MODE as in stat(2), as far as it says which of these it is."""

    mode: int
    extents: tuple[Extent, ...]
    """Bytes of the file system, in the order of the file."""
    target: str = ""

    @property
    def is_folder(self) -> bool:
        """It has others in it."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """It is a symbolic link."""
        return stat.S_ISLNK(self.mode)

    @property
    def is_file(self) -> bool:
        """It is a regular file."""
        return stat.S_ISREG(self.mode)


class IsoFolder:
    """What is in a folder, by names in their own case."""

    def __init__(self) -> None:
        self.entries: dict[str, IsoEntry] = {}
        self._folded: dict[str, str] = {}

    def add(self, name: str, entry: IsoEntry) -> None:
        """Put ENTRY in; of several of one name the first counts, which is the newest."""
        self.entries.setdefault(name, entry)
        if (folded := name.casefold()) != name:
            self._folded.setdefault(folded, name)

    def find(self, name: str) -> IsoEntry | None:
        """Return the entry NAME, or else one whose name differs in case only: some loaders know no case."""
        folded = name.casefold()
        return self.entries.get(name) or self.entries.get(folded) or self.entries.get(self._folded.get(folded, ""))


@dataclass(frozen=True, slots=True)
class _Record:
    name: bytes
    block: int
    size: int
    flags: int
    readable: bool
    """Its data is in one piece, not in turns with that of others."""
    area: bytes
    """What ISO 9660 leaves to the system."""


class Iso:
    """A file system; what is broken in it reads as missing, or as a short file."""

    def __init__(self, window: Window, primary: bytes, joliet: bytes | None) -> None:
        self._window = window
        self._reads = _READS
        self._metadata = _MOST_METADATA
        self._cut_short = False
        self._block_size: int = struct.unpack_from("<H", primary, 128)[0]
        self.folder = lru_cache(maxsize=16)(self._folder)
        self._sector = lru_cache(maxsize=64)(self._read_sector)
        self.root = self._root(primary)
        first = next(self._records(self.root), None)
        self._skipped = rock_ridge.skipped(first.area, self._continuation) if first else None
        self._joliet = joliet is not None and self._skipped is None
        if joliet is not None and self._joliet:
            self._block_size = struct.unpack_from("<H", joliet, 128)[0]
            self.root = self._root(joliet)

    @classmethod
    def open(cls, window: Window) -> "Iso | None":
        """Return the file system in WINDOW, None if there is none."""
        primary = joliet = None
        for number in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + _MOST_DESCRIPTORS):
            raw = window.read(number * SECTOR, SECTOR)
            if len(raw) < SECTOR or raw[1:6] != b"CD001" or raw[0] == _TERMINATOR:
                break
            usable = struct.unpack_from("<H", raw, 128)[0] in (512, 1024, 2048)
            if raw[0] == _PRIMARY and usable:
                primary = primary or raw
            elif raw[0] == _SUPPLEMENTARY and usable and raw[88:91] in _JOLIET_ESCAPES:
                joliet = joliet or raw
        return cls(window, primary, joliet) if primary else None

    @property
    def exhausted(self) -> bool:
        """Whether so much was read of it that what follows is missing."""
        return self._reads < 0 or self._metadata < 0 or self._cut_short

    def read(self, offset: int, length: int) -> bytes:
        """Return LENGTH bytes of the file system from OFFSET on, fewer at its end and when too much has been read."""
        self._reads -= 1
        return self._window.read(offset, length) if self._reads >= 0 else b""

    def file(self, entry: IsoEntry) -> "IsoFile":
        """Return the data of ENTRY."""
        return IsoFile(self, entry.extents)

    def walk(self) -> Iterator[tuple[str, IsoEntry]]:
        """Yield the paths of all files, folders and links, those of a folder that comes up again only once."""
        folders, seen = [("", self.root)], set[int]()
        while folders:
            path, folder = folders.pop()
            start = folder.extents[0].offset if folder.extents else -1
            if start in seen:
                continue
            if len(seen) == _MOST_FOLDERS or len(path) > _LONGEST_PATH:
                self._cut_short = True
                return
            seen.add(start)
            for name, entry in self.folder(folder).entries.items():
                yield f"{path}{name}", entry
                if entry.is_folder and len(folders) <= _MOST_FOLDERS:
                    folders.append((f"{path}{name}/", entry))

    def _root(self, descriptor: bytes) -> IsoEntry:
        block, size = struct.unpack_from("<I4xI", descriptor, _ROOT_RECORD + 2)
        block += descriptor[_ROOT_RECORD + 1]
        return IsoEntry(stat.S_IFDIR, (Extent(block * self._block_size, size),))

    def _folder(self, entry: IsoEntry) -> IsoFolder:
        """Return what is in the folder ENTRY; nothing if it is none."""
        found = IsoFolder()
        if not entry.is_folder:
            return found
        extents: list[Extent] = []
        for count, record in enumerate(self._records(entry)):
            if count > _MOST_ENTRIES:
                self._cut_short = True
                break
            # The first two are the folder itself and the one that it is in; an associated file is another's resource.
            if record.name in (b"\0", b"\1") or record.flags & _IS_ASSOCIATED:
                continue
            if record.size and record.readable:
                extents.append(Extent(record.block * self._block_size, record.size))
            if record.flags & _GOES_ON:
                continue
            self._add(found, record, tuple(extents))
            extents = []
        return found

    def _add(self, folder: IsoFolder, record: _Record, extents: tuple[Extent, ...]) -> None:
        said = Posix()
        if self._skipped is not None:
            said = rock_ridge.posix(record.area[self._skipped :], self._continuation)
        if said.relocated:
            return
        name = said.name or self._name(record.name)
        if not name or "/" in name:
            return
        mode = stat.S_IFDIR if record.flags & _IS_FOLDER else stat.S_IFREG
        if said.child is not None:
            mode, extents = stat.S_IFDIR, self._relocated(said.child)
        elif said.target is not None:
            mode = stat.S_IFLNK
        elif said.mode is not None and mode == stat.S_IFREG and stat.S_IFMT(said.mode) not in (0, stat.S_IFDIR):
            mode = stat.S_IFMT(said.mode)
        folder.add(name, IsoEntry(mode, extents, said.target or ""))

    def _name(self, raw: bytes) -> str:
        """Return a name without its version, and without the dot that stands for no extension."""
        text = raw.decode("utf-16-be", "replace") if self._joliet else raw.decode("ascii", "replace")
        name, semicolon, version = text.rpartition(";")
        text = name if semicolon and version.isdecimal() else text
        return text.partition("\0")[0] if self._joliet else text.partition("\0")[0].removesuffix(".")

    def _relocated(self, block: int) -> tuple[Extent, ...]:
        """Return where the folder is that begins in BLOCK: it says itself how long it is."""
        start = block * self._block_size
        record = next(self._records(IsoEntry(stat.S_IFDIR, (Extent(start, SECTOR),))), None)
        return (Extent(start, record.size),) if record and record.name == b"\0" else ()

    def _records(self, folder: IsoEntry) -> Iterator[_Record]:
        for offset, length in folder.extents[:1]:
            self._cut_short = self._cut_short or length > _LARGEST_FOLDER
            end = min(length, _LARGEST_FOLDER)
            for start in range(0, end, _PIECE):
                piece = self._read_metadata(offset + start, min(_PIECE, end - start))
                for sector in range(0, len(piece), SECTOR):
                    yield from _records(piece[sector : sector + SECTOR])
                if len(piece) < min(_PIECE, end - start):
                    return

    def _continuation(self, block: int, offset: int, length: int) -> bytes:
        sector, start = divmod(block * self._block_size + offset, SECTOR)
        self._metadata -= _CONTINUATION_COSTS * min(max(length, _SMALLEST_RECORD), SECTOR)
        return self._sector(sector)[start : start + length] if self._metadata >= 0 else b""  # it lies within one sector

    def _read_sector(self, number: int) -> bytes:
        return self._read_metadata(number * SECTOR, SECTOR)

    def _read_metadata(self, offset: int, length: int) -> bytes:
        self._metadata -= length
        return self._window.read(offset, length) if self._metadata >= 0 else b""


def _records(sector: bytes) -> Iterator[_Record]:
    """Yield the records in SECTOR: none goes on in the next."""
    position = 0
    while position + _SMALLEST_RECORD <= len(sector):
        length = sector[position]
        raw = sector[position : position + length]
        position += length
        if not _SMALLEST_RECORD <= length == len(raw) or 33 + raw[32] > length:
            return
        block, size, flags, unit, gap = struct.unpack_from("<I4xI4x7xBBB", raw, 2)
        end = 33 + raw[32]
        yield _Record(raw[33:end], block + raw[1], size, flags, not unit and not gap, raw[end + (end & 1) :])


class IsoFile:
    """The data in EXTENTS, one after the other."""

    def __init__(self, iso: Iso, extents: tuple[Extent, ...]) -> None:
        self.extents = extents
        self._iso = iso
        self._starts = [0, *accumulate(extent.length for extent in extents)]
        self.size = self._starts[-1]

    def read(self, offset: int, length: int) -> bytes:
        """Return LENGTH bytes from OFFSET on, fewer if the file or what of it is readable ends before."""
        end = min(offset + min(length, LARGEST_READ), self.size)
        parts: list[bytes] = []
        while 0 <= offset < end:
            index = bisect_right(self._starts, offset) - 1
            inside = offset - self._starts[index]
            extent = self.extents[index]
            part = self._iso.read(extent.offset + inside, min(end - offset, extent.length - inside))
            if not part:
                break
            parts.append(part)
            offset += len(part)
        return b"".join(parts)
