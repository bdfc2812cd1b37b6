# SPDX-License-Identifier: Apache-2.0
"""Write a FAT file system with files in it (Microsoft FAT specification, fatgen103): FAT12 or FAT16, or FAT32."""

import struct
import sys
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lkcloud.disk.assemble.pieces import Embedded, Piece
from lkcloud.disk.linux.feed import File
from lkcloud.formats.layout import Literal

Content = bytes | File
"""What is in a file."""

_SECTOR = 512
_MIB = 1024 * 1024
_FATS = 2
_ROOT_ENTRIES = 512  # of FAT12 and FAT16, where the root directory has a place of its own
_MEDIA = 0xF8  # a fixed disk
_MOMENT = 1_767_225_600  # 1 January 2026: every file has it, so that the same files give the same bytes
_EARLIEST, _LATEST = 315_532_800, 4_354_819_199  # 1980 to 2107, which is what a directory entry can say
_SERIAL = 0x6C6B636C
_DIRECTORY, _ARCHIVE, _LONG_NAME = 0x10, 0x20, 0x0F
_SHORT_NAME_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'()-@^_`{}~")
_LARGEST = {32: 2**32 * _SECTOR - _SECTOR, 16: 2 * 1024 * _MIB - _SECTOR}
_LARGEST_FILE = 2**32 - 1
_LEAST_FAT32 = 33  # MiB: below it there are too few clusters, and it would be a FAT16
_MOST_CLUSTERS = {12: 4084, 16: 65524, 32: 268_435_444}
_BACKUP = 6  # the sector where FAT32 has the copy of its first three sectors
_SIGNATURE = b"\x55\xaa"
_LARGEST_BY_CLUSTER = ((260 * _MIB, 1), (8192 * _MIB, 8), (16384 * _MIB, 16), (32768 * _MIB, 32), (_LARGEST[32], 64))
"""Microsoft's table for FAT32: up to so many bytes, clusters of so many sectors."""


class DoesNotFit(ValueError):
    """The files are too large, or too many, for a volume."""


@dataclass(frozen=True, slots=True)
class _Geometry:
    sectors: int
    cluster_sectors: int
    bits: int
    """Of an entry of the file allocation table: 12, 16 or 32."""
    fat_sectors: int
    clusters: int

    @property
    def cluster_size(self) -> int:
        return self.cluster_sectors * _SECTOR

    @property
    def reserved(self) -> int:
        """Sectors in front of the first table: the boot sector, or what FAT32 has there by custom."""
        return _reserved(self.bits)

    @property
    def root(self) -> int:
        """Offset of the root directory in bytes, which in FAT32 is a cluster like others."""
        return (self.reserved + _FATS * self.fat_sectors) * _SECTOR

    def offset(self, cluster: int) -> int:
        return self.root + _root_sectors(self.bits) * _SECTOR + (cluster - 2) * self.cluster_size


@dataclass(slots=True)
class _Node:
    """A file, or a directory (its content is None); FIRST is its first cluster."""

    name: str
    content: Content | None = None
    children: "dict[str, _Node]" = field(default_factory=dict)
    first: int = 0


def smallest_volume(files: Mapping[str, Content], *, fat32: bool = False) -> int:
    """Return the bytes of the smallest volume that holds FILES; a whole number of MiB. Raises DoesNotFit."""
    lengths = [_length(node, parent) for node, parent in _walk(_tree(files)) if fat32 or parent is not None]
    size = max(-(-sum(lengths) // _MIB), _LEAST_FAT32 if fat32 else 1) * _MIB
    while not _holds(_geometry(size, fat32), lengths):
        size += _MIB
    return size


def fat_volume(
    size: int,
    files: Mapping[str, Content],
    *,
    hidden_sectors: int,
    label: str,
    fat32: bool = False,
    moment: int = _MOMENT,
    serial: int = _SERIAL,
) -> tuple[Piece, ...]:
    """Return a volume of SIZE bytes with FILES (paths with `/` to contents), as pieces with zeros between them.

    FAT32, for which SIZE must be 33 MiB at least, or else FAT12 or FAT16, below 2 GiB. HIDDEN_SECTORS is how many
    sectors of the disk are in front of the volume; MOMENT (Unix, seconds; moved to 1980 to 2107) is the time of all
    files. Names that are not upper-case 8.3 names become long names. Raises DoesNotFit if the files do not fit, and
    ValueError if a path is both a file and a directory, or no such volume can have SIZE.
    """
    geometry = _geometry(size, fat32)
    top = _tree(files)
    table = array("I", [_end(geometry.bits) & ~0xFF | _MEDIA, _end(geometry.bits)])
    nodes = list(_walk(top))
    for node, parent in nodes:
        if parent is not None or fat32:
            node.first = _allocate(table, _length(node, parent), geometry)
        elif _length(node, parent) > _ROOT_ENTRIES * 32:
            raise DoesNotFit("too many files in the root directory")
    boot = _boot_sector(geometry, hidden_sectors, label, serial)
    if fat32:
        # The third sector is for more boot code.
        boot += _information(geometry, len(table)) + _SIGNATURE.rjust(_SECTOR, b"\0")
    pieces: list[Piece] = [Literal(copy * _SECTOR, boot) for copy in ((0, _BACKUP) if fat32 else (0,))]
    packed = _pack(table, geometry.bits)
    pieces += [Literal((geometry.reserved + copy * geometry.fat_sectors) * _SECTOR, packed) for copy in range(_FATS)]
    for node, parent in nodes:
        data = node.content if node.content is not None else _directory(node, parent, label, moment)
        where = geometry.offset(node.first) if node.first else geometry.root
        if isinstance(data, bytes):
            pieces += [Literal(where, data)] if data else []
        elif data.size:
            pieces.append(Embedded(where, data))
    return tuple(pieces)


def _holds(geometry: _Geometry, lengths: Sequence[int]) -> bool:
    return sum(-(-length // geometry.cluster_size) for length in lengths) <= geometry.clusters


def _reserved(bits: int) -> int:
    return 32 if bits == 32 else 1


def _root_sectors(bits: int) -> int:
    return 0 if bits == 32 else _ROOT_ENTRIES * 32 // _SECTOR


def _end(bits: int) -> int:
    """Return what ends a chain: all bits, of which FAT32 has four less."""
    return (1 << min(bits, 28)) - 1


def _geometry(size: int, fat32: bool) -> _Geometry:
    """Choose the cluster of a volume; the count of clusters alone decides which kind of FAT it is.

    FAT12 and FAT16 have the smallest cluster that they can number, FAT32 what Microsoft's table has for its size.
    """
    if size % _SECTOR or not _SECTOR * 64 <= size <= _LARGEST[32 if fat32 else 16]:
        raise DoesNotFit(f"no FAT volume can have {size} bytes")
    sectors = size // _SECTOR
    large = next(cluster_sectors for largest, cluster_sectors in _LARGEST_BY_CLUSTER if size <= largest)
    for cluster_sectors in (large,) if fat32 else (1, 2, 4, 8, 16, 32, 64):
        for bits, fewest in ((32, 65525),) if fat32 else ((12, 1), (16, 4085)):
            room = sectors - _reserved(bits) - _root_sectors(bits)
            fat_sectors = -(-(room // cluster_sectors + 2) * bits // (8 * _SECTOR))
            clusters = (room - _FATS * fat_sectors) // cluster_sectors
            if fewest <= clusters <= _MOST_CLUSTERS[bits]:
                return _Geometry(sectors, cluster_sectors, bits, fat_sectors, clusters)
    raise DoesNotFit(f"no FAT volume can have {size} bytes")


def _tree(files: Mapping[str, Content]) -> _Node:
    top = _Node("")
    for path, content in files.items():
        *folders, name = path.split("/")
        node = top
        for folder in folders:
            node = node.children.setdefault(folder, _Node(folder))
            if node.content is not None:
                raise ValueError(f"{path}: {folder} is a file")
        if not name or name in node.children:
            raise ValueError(f"{path} is not the path of one file")
        node.children[name] = _Node(name, content)
    return top


def _walk(node: _Node, parent: _Node | None = None) -> Iterator[tuple[_Node, _Node | None]]:
    yield node, parent
    for child in node.children.values():
        yield from _walk(child, node)


def _length(node: _Node, parent: _Node | None) -> int:
    """Return the bytes of a file or a directory."""
    if node.content is None:
        # The root has the label; another one has itself and its parent, `.` and `..`.
        return 32 * ((1 if parent is None else 2) + sum(1 + _long_entries(name) for name in node.children))
    length = len(node.content) if isinstance(node.content, bytes) else node.content.size
    if length > _LARGEST_FILE:
        raise DoesNotFit(f"{node.name} has {length} bytes, and a file on FAT at most {_LARGEST_FILE}")
    return length


def _allocate(table: "array[int]", length: int, geometry: _Geometry) -> int:
    """Add a chain for LENGTH bytes to TABLE and return its first cluster, 0 for an empty file."""
    if not length:
        return 0
    first, count = len(table), -(-length // geometry.cluster_size)
    if first + count > geometry.clusters + 2:
        raise DoesNotFit(f"the files do not fit into {geometry.clusters * geometry.cluster_size} bytes")
    table.extend(range(first + 1, first + count))
    table.append(_end(geometry.bits))
    return first


def _pack(table: "array[int]", bits: int) -> bytes:
    if bits == 12:
        pairs = zip(table[::2], [*table[1::2], 0], strict=False)
        return b"".join((even | odd << 12).to_bytes(3, "little") for even, odd in pairs)
    packed = array("H" if bits == 16 else "I", table)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _information(geometry: _Geometry, used: int) -> bytes:
    """Return the sector in which FAT32 notes how many clusters are free, and where to look for one."""
    free = geometry.clusters + 2 - used
    return struct.pack(
        "<4s480x4sII12x4s", b"RRaA", b"rrAa", free, min(used, geometry.clusters + 1), b"\0\0" + _SIGNATURE
    )


def _boot_sector(geometry: _Geometry, hidden_sectors: int, label: str, serial: int) -> bytes:
    fat32 = geometry.bits == 32
    small = geometry.sectors < 0x10000 and not fat32
    parameters = struct.pack(
        "<3s8sHBHBHHBHHHII",
        b"\xeb\x58\x90" if fat32 else b"\xeb\x3c\x90",  # jump to the boot code, of which there is none
        b"LKCLOUD ",
        _SECTOR,
        geometry.cluster_sectors,
        geometry.reserved,
        _FATS,
        0 if fat32 else _ROOT_ENTRIES,
        geometry.sectors if small else 0,
        _MEDIA,
        0 if fat32 else geometry.fat_sectors,
        63,  # sectors a track
        16,  # heads
        hidden_sectors,
        0 if small else geometry.sectors,
    )
    if fat32:
        # Flags (both tables are kept alike) and version are 0; the root directory is the first cluster, what
        # `_information` returns the second sector.
        parameters += struct.pack("<IHHIHH12x", geometry.fat_sectors, 0, 0, 2, 1, _BACKUP)
    extended = struct.pack(
        "<BBBI11s8s",
        0x80,  # drive number
        0,
        0x29,  # the three fields that follow are there
        serial,  # of the volume
        label.encode("ascii").ljust(11),
        f"FAT{geometry.bits}   ".encode("ascii"),
    )
    return (parameters + extended).ljust(510, b"\0") + _SIGNATURE


def _directory(node: _Node, parent: _Node | None, label: str, moment: int) -> bytes:
    at = _stamp(moment)
    if parent is None:
        entries = [_entry(label.encode("ascii").ljust(11), 0x08, 0, 0, at)]
    else:
        entries = [
            _entry(b".".ljust(11), _DIRECTORY, node.first, 0, at),
            # The parent's cluster counts as 0 where that is the root, in FAT32 as well.
            _entry(b"..".ljust(11), _DIRECTORY, parent.first if parent.name else 0, 0, at),
        ]
    taken: set[bytes] = set()
    for name, child in node.children.items():
        short = _short_name(name, taken)
        taken.add(short)
        entries += _long_name(name, short)
        if child.content is None:
            entries.append(_entry(short, _DIRECTORY, child.first, 0, at))
        else:
            entries.append(_entry(short, _ARCHIVE, child.first, _length(child, node), at))
    return b"".join(entries)


def _stamp(moment: int) -> tuple[int, int]:
    """Return MOMENT as a time and a date: UTC, in steps of two seconds."""
    when = time.gmtime(min(max(moment, _EARLIEST), _LATEST))
    return (
        when.tm_hour << 11 | when.tm_min << 5 | when.tm_sec // 2,
        (when.tm_year - 1980) << 9 | when.tm_mon << 5 | when.tm_mday,
    )


def _entry(short: bytes, attributes: int, first: int, size: int, at: tuple[int, int]) -> bytes:
    clock, date = at
    high, low = divmod(first, 0x10000)
    return struct.pack("<11sBBBHHHHHHHI", short, attributes, 0, 0, clock, date, date, high, clock, date, low, size)


def _is_short(name: str) -> bool:
    base, dot, extension = name.partition(".")
    fits = 1 <= len(base) <= 8 and len(extension) <= 3 and (not dot or extension != "")
    return fits and _SHORT_NAME_LETTERS.issuperset(base + extension)


def _long_entries(name: str) -> int:
    return 0 if _is_short(name) else -(-len(name.encode("utf-16-le")) // 26)


def _short_name(name: str, taken: set[bytes]) -> bytes:
    """Return the 11 bytes of an 8.3 name for NAME: itself, or an alias such as `LONGNA~1EFI` that is not TAKEN."""
    base, _, extension = name.upper().rpartition(".") if "." in name else (name.upper(), "", "")
    clean = "".join(letter for letter in base if letter in _SHORT_NAME_LETTERS)
    ending = "".join(letter for letter in extension if letter in _SHORT_NAME_LETTERS)[:3].encode("ascii").ljust(3)
    plain = clean[:8].encode("ascii").ljust(8) + ending
    if clean == base and len(base) <= 8 and plain not in taken:
        return plain
    for number in range(1, 100_000):
        tail = f"~{number}"
        alias = (clean[: 8 - len(tail)] + tail).encode("ascii").ljust(8) + ending
        if alias not in taken:
            return alias
    raise DoesNotFit(f"too many names like {name}")


def _long_name(name: str, short: bytes) -> list[bytes]:
    """Return the entries that carry NAME in UTF-16, last part first, bound to SHORT by a checksum."""
    count = _long_entries(name)
    if not count:
        return []
    checksum = 0
    for byte in short:
        checksum = ((checksum >> 1 | checksum << 7) + byte) & 0xFF
    text = name.encode("utf-16-le")
    if len(text) % 26:
        text = (text + b"\0\0").ljust(count * 26, b"\xff")
    parts = [text[start : start + 26] for start in range(0, count * 26, 26)]
    entries = [
        struct.pack(
            "<B10sBBB12sH4s",
            number | (0x40 if number == count else 0),  # the last part is marked, and comes first
            part[:10],
            _LONG_NAME,
            0,
            checksum,
            part[10:22],
            0,
            part[22:],
        )
        for number, part in enumerate(parts, 1)
    ]
    return entries[::-1]
