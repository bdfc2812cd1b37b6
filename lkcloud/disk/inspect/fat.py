# SPDX-License-Identifier: Apache-2.0
"""Read a FAT12, FAT16 or FAT32 file system: list folders, read pieces of files.

Source: Microsoft FAT specification, fatgen103. Nothing on the disk is trusted: chains of clusters may loop or leave it,
so a walk along one ends at the number of clusters that the volume has, and a volume has a limited number of steps.
"""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from lkcloud.disk.inspect.window import Window

_STEPS = 256 * 1024
"""Clusters walked on one volume, in all: 128 MiB of files in the smallest clusters, 1 GiB in usual ones."""
_LARGEST_FOLDER = 2 * 1024 * 1024  # 65,536 entries, the specification's limit
_TABLE_PIECE = 4096  # bytes of the allocation table that are read at once
_TABLE_PIECES = 1024  # that many are kept: chains that jump about must not read the same bytes again and again
_DIRECTORY, _VOLUME_LABEL, _LONG_NAME = 0x10, 0x08, 0x0F


@dataclass(frozen=True, slots=True)
class _Geometry:
    bits: int
    cluster_size: int
    clusters: int
    table: int
    root: int
    root_length: int
    """Bytes of the root directory of FAT12 and FAT16; 0 for FAT32, where ROOT is its first cluster."""
    data: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of SIZE bytes or a folder."""

    name: str
    is_folder: bool
    cluster: int
    size: int


def is_fat(head: bytes) -> bool:
    """Return whether a volume that begins with HEAD (512 bytes or more) is FAT."""
    return _geometry(head) is not None


def volume_size(head: bytes) -> int:
    """Return the bytes of the volume that begins with HEAD (512 bytes or more), as it says itself; 0 if it is none."""
    if _geometry(head) is None:
        return 0
    sector, sectors16, sectors32 = struct.unpack_from("<H6xH11xI", head, 11)
    return int(sector * (sectors16 or sectors32))


def _geometry(head: bytes) -> _Geometry | None:
    """Read the BIOS parameter block; None unless each of its fields is one that the specification allows."""
    if len(head) < 512 or head[510:512] != b"\x55\xaa" or head[0] not in (0xEB, 0xE9):
        return None
    sector, per_cluster, reserved, fats, root_entries, sectors16, media, fat16 = struct.unpack_from(
        "<HBHBHHBH", head, 11
    )
    sectors32, fat32, _flags, _version, root_cluster = struct.unpack_from("<IIHHI", head, 32)
    sectors, fat_sectors = sectors16 or sectors32, fat16 or fat32
    if (
        sector not in (512, 1024, 2048, 4096)
        or per_cluster.bit_count() != 1
        or not reserved
        or fats not in (1, 2)
        or media < 0xF0
        or not fat_sectors
    ):
        return None
    root = (reserved + fats * fat_sectors) * sector
    root_length = root_entries * 32
    data = root + -(-root_length // sector) * sector
    clusters = (sectors * sector - data) // (per_cluster * sector)
    if clusters < 1 or bool(root_entries) != bool(fat16):
        return None
    # FAT32 has no 16-bit table size; whether it is FAT12 or FAT16 hangs on the number of clusters alone.
    bits = 32 if not fat16 else 12 if clusters < 4085 else 16
    clusters = min(clusters, fat_sectors * sector * 8 // bits - 2)
    table = reserved * sector
    return _Geometry(bits, per_cluster * sector, clusters, table, root if fat16 else root_cluster, root_length, data)


class Fat:
    """A FAT volume; everything that is broken in it reads as an empty folder or a short file."""

    def __init__(self, window: Window, geometry: _Geometry) -> None:
        self._window = window
        self._geometry = geometry
        self._steps = _STEPS
        self._table_piece = lru_cache(maxsize=_TABLE_PIECES)(self._read_table_piece)

    @classmethod
    def open(cls, window: Window) -> "Fat | None":
        """Return the volume in WINDOW, None if there is none."""
        geometry = _geometry(window.read(0, 512))
        return cls(window, geometry) if geometry else None

    def list(self, path: str) -> tuple[Entry, ...]:
        """Return what is in the folder PATH (`EFI/BOOT`, any case), in the order on the disk; () if there is none.

        PATH "" is the root.
        """
        data = self._root()
        for part in filter(None, path.split("/")):
            folder = next((e for e in _entries(data) if e.is_folder and e.name.upper() == part.upper()), None)
            if folder is None:
                return ()
            data = FatFile(self, self._start(folder), _LARGEST_FOLDER).read_all()
        return tuple(_entries(data))

    def file(self, entry: Entry) -> "FatFile":
        """Return the file of ENTRY, to read pieces of it."""
        return FatFile(self, self._start(entry), entry.size)

    @property
    def exhausted(self) -> bool:
        """Whether so much was read of it that what follows is missing."""
        return self._steps < 0

    @property
    def cluster_size(self) -> int:
        """Bytes."""
        return self._geometry.cluster_size

    @property
    def clusters(self) -> int:
        """How many there are."""
        return self._geometry.clusters

    def read_cluster(self, cluster: int, offset: int, length: int) -> bytes:
        """Return LENGTH bytes from OFFSET of CLUSTER on, fewer if the disk ends before."""
        return self._window.read(self._geometry.data + (cluster - 2) * self.cluster_size + offset, length)

    def next_cluster(self, cluster: int) -> int | None:
        """Return the cluster that follows CLUSTER in its chain; None at the end, at nonsense and out of steps."""
        self._steps -= 1
        if self._steps < 0:
            return None
        bits = self._geometry.bits
        position = cluster * bits // 8
        width = 4 if bits == 32 else 2
        piece, inside = divmod(position, _TABLE_PIECE)
        raw = self._table_piece(piece)[inside : inside + width]
        if len(raw) < width:
            return None
        following = int.from_bytes(raw, "little")
        if bits == 12:
            following = following >> 4 if cluster & 1 else following & 0xFFF
        elif bits == 32:
            following &= 0x0FFFFFFF  # the upper four bits are reserved
        return following if self.holds(following) else None

    def holds(self, cluster: int) -> bool:
        """Return whether CLUSTER is one of the volume's."""
        return 2 <= cluster < self._geometry.clusters + 2

    def _start(self, entry: Entry) -> int:
        # On FAT12 and FAT16 the upper half of the number is somebody else's.
        return entry.cluster if self._geometry.bits == 32 else entry.cluster & 0xFFFF

    def _root(self) -> bytes:
        if self._geometry.bits == 32:
            return FatFile(self, self._geometry.root, _LARGEST_FOLDER).read_all()
        return self._window.read(self._geometry.root, self._geometry.root_length)

    def _read_table_piece(self, index: int) -> bytes:
        # Two bytes more, for an entry across the border of two pieces.
        return self._window.read(self._geometry.table + index * _TABLE_PIECE, _TABLE_PIECE + 2)


class FatFile:
    """A file of SIZE bytes, or a folder of at most that; its chain is walked no further than what is read."""

    def __init__(self, fat: Fat, cluster: int, size: int) -> None:
        self.size = size
        self._fat = fat
        self._chain = array("I", [cluster] if fat.holds(cluster) else [])

    def read(self, offset: int, length: int) -> bytes:
        """Return LENGTH bytes from OFFSET on, fewer if the file or its chain ends before."""
        end = min(offset + length, self.size)
        pieces: list[bytes] = []
        while 0 <= offset < end:
            index, inside = divmod(offset, self._fat.cluster_size)
            cluster = self._cluster(index)
            if cluster is None:
                break
            piece = self._fat.read_cluster(cluster, inside, min(end - offset, self._fat.cluster_size - inside))
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)

    def read_all(self) -> bytes:
        """Return all of it: meant for folders, which are small."""
        return self.read(0, self.size)

    def _cluster(self, index: int) -> int | None:
        """Return cluster INDEX of the chain."""
        # A chain longer than the volume is a loop.
        if index >= self._fat.clusters:
            return None
        while len(self._chain) <= index:
            following = self._fat.next_cluster(self._chain[-1]) if self._chain else None
            if following is None:
                return None
            self._chain.append(following)
        return self._chain[index]


def _entries(data: bytes) -> Iterator[Entry]:
    """Yield what a folder of DATA has in it but for `.`, `..`, deleted entries and the volume label."""
    long_name: dict[int, bytes] = {}
    checksum = -1
    for start in range(0, len(data) - 31, 32):
        raw = data[start : start + 32]
        attributes = raw[11]
        if raw[0] == 0:
            return
        if raw[0] == 0xE5:
            long_name.clear()
        elif attributes & 0x3F == _LONG_NAME:
            number = raw[0] & 0x1F
            if raw[0] & 0x40:
                long_name.clear()
                checksum = raw[13]
            if raw[13] == checksum:
                long_name[number] = raw[1:11] + raw[14:26] + raw[28:32]
        else:
            if not attributes & _VOLUME_LABEL and raw[0] != ord("."):
                name = _long_name(long_name) if checksum == _checksum(raw[:11]) else ""
                high, low, size = struct.unpack_from("<H4xHI", raw, 20)
                is_folder = bool(attributes & _DIRECTORY)
                yield Entry(name or _short_name(raw), is_folder, high << 16 | low, 0 if is_folder else size)
            long_name.clear()


def _long_name(parts: dict[int, bytes]) -> str:
    """Return the long name of PARTS, numbered from 1; `""` if one is missing."""
    if set(parts) != set(range(1, len(parts) + 1)):
        return ""
    text = b"".join(parts[number] for number in sorted(parts)).decode("utf-16-le", "replace")
    return text.partition("\0")[0]


def _short_name(raw: bytes) -> str:
    # The first byte of a deleted entry is 0xe5, so a name that begins with that letter has 0x05 there.
    first = b"\xe5" if raw[0] == 0x05 else raw[:1]
    base, extension = (first + raw[1:8]).decode("cp437").rstrip(), raw[8:11].decode("cp437").rstrip()
    # Two bits that Windows NT brought: the base name, or the extension, is in lower case.
    base = base.lower() if raw[12] & 0x08 else base
    extension = extension.lower() if raw[12] & 0x10 else extension
    return f"{base}.{extension}" if extension else base


def _checksum(short: bytes) -> int:
    total = 0
    for byte in short:
        total = ((total >> 1 | total << 7) + byte) & 0xFF
    return total
