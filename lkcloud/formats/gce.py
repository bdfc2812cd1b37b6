# SPDX-License-Identifier: Apache-2.0
"""What Compute Engine imports: a tar archive in the old GNU format with the one member `disk.raw`, sparse.

Rules: https://cloud.google.com/compute/docs/import/import-existing-image. The archive is then compressed by gzip
(`gzip_member`), and its name must end in `.tar.gz`.
Format: https://www.gnu.org/software/tar/manual/html_node/Standard.html, `oldgnu_header` and `sparse_header`.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import chain, islice

from lkcloud.disk.extent import Extent, Extents
from lkcloud.disk.scan import PAGE
from lkcloud.errors import UnusableImage
from lkcloud.formats.layout import DiskRange, Layout, Literal, Readable, Segment

ALIGNMENT = 1024**3
"""Compute Engine counts the sizes of images in GB, by which it means 2^30 bytes, and takes only whole ones."""

MEMBER = "disk.raw"
"""The name that the disk must have in the archive."""

_BLOCK = 512
_RECORD = 20 * _BLOCK  # GNU tar writes so many bytes at once, and fills up the last of them

# The map of the data begins in the header and goes on in blocks of its own.
_ENTRIES_IN_HEADER = 4
_ENTRIES_IN_BLOCK = 21


def padded_size(size: int) -> int:
    """Return the next whole GiB in bytes: SIZE itself for a disk of whole GiB."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def tarball(disk: Readable) -> Layout:
    """Return DISK as the archive, not yet compressed, padded to whole GiB by a hole.

    Byte for byte what `tar --format=oldgnu -S --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=0644` writes of a
    file that has holes where the disk has none of `disk.extents()`, in pages of 4 KiB; as for tar, one without holes
    is an ordinary member. Raises UnusableImage for a disk of no bytes, and what `disk.extents()` raises.
    """
    if disk.size == 0:
        raise UnusableImage("an empty disk cannot be an image", hint="give an image that holds at least one byte")
    size = padded_size(disk.size)
    data = Extents(_pages(disk.extents()))
    is_whole = len(data) == 1 and data[0] == (0, size)
    opening = _header(b"0", size) if is_whole else _sparse_header(data, size)
    segments = _Segments(disk.size, opening, data.bounds, _starts(data, len(opening)))
    marked = segments.end + 2 * _BLOCK  # two blocks of zeros mark the end of an archive
    return Layout(disk, -(-marked // _RECORD) * _RECORD, segments)


def _pages(extents: Iterable[Extent]) -> "array[int]":
    """Return the bounds of EXTENTS, widened to pages and merged: a member's data is in whole blocks of 512 bytes."""
    bounds = array("Q")
    for offset, length in extents:
        start, end = offset - offset % PAGE, -(-(offset + length) // PAGE) * PAGE
        if bounds and start <= bounds[-1]:
            bounds[-1] = max(end, bounds[-1])
        else:
            bounds.extend((start, end))
    return bounds


def _starts(data: Extents, position: int) -> "array[int]":
    """Return where in the archive each extent of DATA begins, the first at POSITION; then where the last one ends."""
    starts = array("Q")
    for extent in data:
        starts.append(position)
        position += extent.length
    starts.append(position)
    return starts


def _sparse_header(data: Extents, size: int) -> bytes:
    """Return the header of a member of SIZE bytes with holes, and the blocks in which the map of its DATA goes on.

    The map ends with an extent of no bytes at the end of the member, as GNU tar's always does on Linux.
    """
    entries = chain(data, [Extent(size, 0)])
    count = len(data) + 1
    first = _map(entries, _ENTRIES_IN_HEADER)
    count -= _ENTRIES_IN_HEADER
    opening = BytesIO()
    opening.write(_header(b"S", data.total, first + _flag(count) + _number(size, 12)))
    while count > 0:
        block = _map(entries, _ENTRIES_IN_BLOCK)
        count -= _ENTRIES_IN_BLOCK
        opening.write((block + _flag(count)).ljust(_BLOCK, b"\0"))
    return opening.getvalue()


def _map(entries: Iterator[Extent], room: int) -> bytes:
    """Return the next ROOM of ENTRIES, or all that are left and zeros."""
    found = b"".join(_number(offset, 12) + _number(length, 12) for offset, length in islice(entries, room))
    return found.ljust(room * 24, b"\0")


def _flag(left: int) -> bytes:
    return b"\1" if left > 0 else b"\0"


def _header(kind: bytes, length: int, map_: bytes = b"") -> bytes:
    """Return the first 512 bytes of a member of which LENGTH bytes follow; MAP_ goes where a sparse one has its map."""
    name = MEMBER.encode().ljust(100, b"\0")
    mode, owner, group, time = _number(0o644, 8), _number(0, 8), _number(0, 8), _number(0, 12)
    front = name + mode + owner + group + _number(length, 12) + time
    rest = kind.ljust(101, b"\0") + b"ustar  \0"
    back = rest.ljust(386 - 156, b"\0") + map_
    back = back.ljust(_BLOCK - 156, b"\0")
    total = sum(front) + sum(b" " * 8) + sum(back)  # the checksum counts itself as spaces
    return front + b"%06o\0 " % total + back


def _number(value: int, width: int) -> bytes:
    """Return VALUE in WIDTH bytes: octal digits and a NUL; or, too large for them, in binary with the first bit set."""
    if value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return b"\x80" + value.to_bytes(width - 1, "big")


@dataclass(frozen=True, slots=True)
class _Segments:
    """The opening and each extent, made when asked for: 24 bytes an extent and the 24 of its entry in the opening."""

    disk_size: int
    opening: bytes
    bounds: "array[int]"
    starts: "array[int]"

    @property
    def end(self) -> int:
        """Where the data of the member ends."""
        return self.starts[-1]

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int, /) -> Segment:
        if index == 0:
            return Literal(0, self.opening)
        source, end = self.bounds[2 * index - 2], self.bounds[2 * index - 1]
        # The last page may be more than the disk has left; the layout reads zeros there.
        return DiskRange(self.starts[index - 1], source, min(end, self.disk_size) - source)

    def __iter__(self) -> Iterator[Segment]:
        return map(self.__getitem__, range(len(self)))
