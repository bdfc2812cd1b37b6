# SPDX-License-Identifier: Apache-2.0
"""Write a FAT12 or FAT16 file system with files in it (Microsoft FAT specification, fatgen103)."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lkcloud.formats.layout import Literal

_SECTOR = 512
_MIB = 1024 * 1024
_RESERVED = 1  # the boot sector
_FATS = 2
_ROOT_ENTRIES = 512
_ROOT_SECTORS = _ROOT_ENTRIES * 32 // _SECTOR
_MEDIA = 0xF8  # a fixed disk
_DATE = (2026 - 1980) << 9 | 1 << 5 | 1  # 1 January 2026: every file has it, so that the same files give the same bytes
_DIRECTORY, _ARCHIVE, _LONG_NAME = 0x10, 0x20, 0x0F
_SHORT_NAME_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'()-@^_`{}~")
_LARGEST = 2 * 1024 * _MIB - _SECTOR


@dataclass(frozen=True, slots=True)
class _Geometry:
    sectors: int
    cluster_sectors: int
    bits: int
    """Of an entry of the file allocation table: 12 or 16."""
    fat_sectors: int
    clusters: int

    @property
    def cluster_size(self) -> int:
        return self.cluster_sectors * _SECTOR

    @property
    def root(self) -> int:
        """Offset of the root directory in bytes."""
        return (_RESERVED + _FATS * self.fat_sectors) * _SECTOR

    def offset(self, cluster: int) -> int:
        return self.root + _ROOT_SECTORS * _SECTOR + (cluster - 2) * self.cluster_size


@dataclass(slots=True)
class _Node:
    """A file, or a directory (its content is None); FIRST is its first cluster."""

    name: str
    content: bytes | None = None
    children: "dict[str, _Node]" = field(default_factory=dict)
    first: int = 0


def smallest_volume(files: Mapping[str, bytes]) -> int:
    """Return the bytes of the smallest volume that holds FILES; a whole number of MiB."""
    lengths = [_length(node) for node, parent in _walk(_tree(files)) if parent is not None]
    size = max(-(-sum(lengths) // _MIB), 1) * _MIB
    while sum(-(-length // _geometry(size).cluster_size) for length in lengths) > _geometry(size).clusters:
        size += _MIB
    return size


def fat_volume(size: int, files: Mapping[str, bytes], *, hidden_sectors: int, label: str) -> tuple[Literal, ...]:
    """Return a volume of SIZE bytes with FILES (paths with `/` to contents), as pieces with zeros between them.

    HIDDEN_SECTORS is how many sectors of the disk are in front of the volume. Names that are not upper-case 8.3 names
    become long names. Raises ValueError if the files do not fit, a path is both a file and a directory, or SIZE is not
    a multiple of 512 below 2 GiB.
    """
    geometry = _geometry(size)
    top = _tree(files)
    table = [0xF00 | _MEDIA, 0xFFF] if geometry.bits == 12 else [0xFF00 | _MEDIA, 0xFFFF]
    nodes = list(_walk(top))
    for node, parent in nodes:
        if parent is not None:
            node.first = _allocate(table, _length(node), geometry)
        elif len(_directory(node, parent, label)) > _ROOT_ENTRIES * 32:
            raise ValueError("too many files in the root directory")
    pieces = [Literal(0, _boot_sector(geometry, hidden_sectors, label))]
    packed = _pack(table, geometry.bits)
    pieces += [Literal((_RESERVED + copy * geometry.fat_sectors) * _SECTOR, packed) for copy in range(_FATS)]
    for node, parent in nodes:
        data = node.content if node.content is not None else _directory(node, parent, label)
        if data:
            pieces.append(Literal(geometry.root if parent is None else geometry.offset(node.first), data))
    return tuple(pieces)


def _geometry(size: int) -> _Geometry:
    """Choose the smallest cluster that FAT12 or FAT16 can number; the count of clusters alone decides which it is."""
    if size % _SECTOR or not _SECTOR * 64 <= size <= _LARGEST:
        raise ValueError(f"a FAT12 or FAT16 volume cannot have {size} bytes")
    sectors = size // _SECTOR
    for cluster_sectors in (1, 2, 4, 8, 16, 32, 64):
        for bits, fewest, most in ((12, 1, 4084), (16, 4085, 65524)):
            room = sectors - _RESERVED - _ROOT_SECTORS
            fat_sectors = -(-(room // cluster_sectors + 2) * bits // (8 * _SECTOR))
            clusters = (room - _FATS * fat_sectors) // cluster_sectors
            if fewest <= clusters <= most:
                return _Geometry(sectors, cluster_sectors, bits, fat_sectors, clusters)
    raise ValueError(f"a FAT12 or FAT16 volume cannot have {size} bytes")


def _tree(files: Mapping[str, bytes]) -> _Node:
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


def _length(node: _Node) -> int:
    """Return the bytes of a file, or of a directory that is not the root."""
    if node.content is not None:
        return len(node.content)
    return 32 * (2 + sum(1 + _long_entries(name) for name in node.children))  # 2: itself and its parent, . and ..


def _allocate(table: list[int], length: int, geometry: _Geometry) -> int:
    """Add a chain for LENGTH bytes to TABLE and return its first cluster, 0 for an empty file."""
    if not length:
        return 0
    first, count = len(table), -(-length // geometry.cluster_size)
    table += range(first + 1, first + count)
    table.append((1 << geometry.bits) - 1)  # end of the chain
    if len(table) > geometry.clusters + 2:
        raise ValueError(f"the files do not fit into {geometry.clusters * geometry.cluster_size} bytes")
    return first


def _pack(table: list[int], bits: int) -> bytes:
    if bits == 16:
        return struct.pack(f"<{len(table)}H", *table)
    pairs = zip(table[::2], [*table[1::2], 0], strict=False)
    return b"".join((even | odd << 12).to_bytes(3, "little") for even, odd in pairs)


def _boot_sector(geometry: _Geometry, hidden_sectors: int, label: str) -> bytes:
    small = geometry.sectors < 0x10000
    parameters = struct.pack(
        "<3s8sHBHBHHBHHHII",
        b"\xeb\x3c\x90",  # jump to the boot code, of which there is none
        b"LKCLOUD ",
        _SECTOR,
        geometry.cluster_sectors,
        _RESERVED,
        _FATS,
        _ROOT_ENTRIES,
        geometry.sectors if small else 0,
        _MEDIA,
        geometry.fat_sectors,
        63,  # sectors a track
        16,  # heads
        hidden_sectors,
        0 if small else geometry.sectors,
    )
    extended = struct.pack(
        "<BBBI11s8s",
        0x80,  # drive number
        0,
        0x29,  # the three fields that follow are there
        0x6C6B636C,  # volume serial number
        label.encode("ascii").ljust(11),
        f"FAT{geometry.bits}   ".encode("ascii"),
    )
    return (parameters + extended).ljust(510, b"\0") + b"\x55\xaa"


def _directory(node: _Node, parent: _Node | None, label: str) -> bytes:
    if parent is None:
        entries = [_entry(label.encode("ascii").ljust(11), 0x08, 0, 0)]
    else:
        entries = [
            _entry(b".".ljust(11), _DIRECTORY, node.first, 0),
            _entry(b"..".ljust(11), _DIRECTORY, parent.first, 0),
        ]
    taken: set[bytes] = set()
    for name, child in node.children.items():
        short = _short_name(name, taken)
        taken.add(short)
        entries += _long_name(name, short)
        if child.content is None:
            entries.append(_entry(short, _DIRECTORY, child.first, 0))
        else:
            entries.append(_entry(short, _ARCHIVE, child.first, len(child.content)))
    return b"".join(entries)


def _entry(short: bytes, attributes: int, first: int, size: int) -> bytes:
    return struct.pack("<11sBBBHHHHHHHI", short, attributes, 0, 0, 0, _DATE, _DATE, 0, 0, _DATE, first, size)


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
    raise ValueError(f"too many names like {name}")


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
