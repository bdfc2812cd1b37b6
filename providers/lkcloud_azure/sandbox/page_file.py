# SPDX-License-Identifier: Apache-2.0
"""The bytes of a page blob or of a managed disk: a sparse file, and which of its pages were written."""

import ctypes
import errno
import os
import sys
from bisect import bisect_left, bisect_right
from pathlib import Path
from threading import Lock

from lkcloud.sandbox.http import FileRange

PAGE = 512
"""Bytes of a page: https://learn.microsoft.com/rest/api/storageservices/understanding-block-blobs--append-blobs--and-page-blobs"""

_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02
"""From <linux/falloc.h>."""

_PIECE = 1 << 20
"""Most bytes of zeros in memory where a file system cannot punch holes."""


class Pages:
    """Which pages were written: sorted ranges of bytes that neither touch nor overlap.

    Neighbours become one, whatever writes they came from. Get Page Ranges of the real service is described as "the list
    of valid page ranges" (https://learn.microsoft.com/rest/api/storageservices/get-page-ranges); whether it tells
    neighbours that were written apart as one range, that page does not say. A client must take both.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Mark START to END (exclusive) as written."""
        if start >= end:
            return
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last], self._ends[first:last] = [start], [end]

    def remove(self, start: int, end: int) -> None:
        """Mark START to END (exclusive) as never written."""
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        if start >= end or first >= last:
            return
        kept = [(self._starts[first], start), (end, self._ends[last - 1])]
        kept = [(begin, stop) for begin, stop in kept if begin < stop]
        self._starts[first:last] = [begin for begin, _ in kept]
        self._ends[first:last] = [stop for _, stop in kept]

    def within(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the ranges from START to END, start and exclusive end each, cut off at both."""
        if start >= end:
            return []
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        return [
            (max(begin, start), min(stop, end))
            for begin, stop in zip(self._starts[first:last], self._ends[first:last], strict=True)
        ]


class PageFile:
    """SIZE bytes at PATH, all of them zeros until pages are written; it can be used from several threads.

    Offsets and lengths are bytes, and multiples of 512 wherever something changes. What is cleared takes no place. What
    changes or copies the file raises FileNotFoundError once it is removed.
    """

    def __init__(self, path: Path, size: int) -> None:
        _check(0, size, size)
        self.path = path
        self._size = size
        self._pages = Pages()
        self._lock = Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._file, size)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def write(self, offset: int, data: bytes) -> None:
        """Write DATA, whole pages. Raises ValueError if it does not lie on pages within the size."""
        with self._lock:
            self._require()
            _check(offset, len(data), self._size)
            view, at = memoryview(data), offset
            while view:
                written = os.pwrite(self._file, view, at)
                view, at = view[written:], at + written
            self._pages.add(offset, offset + len(data))

    def clear(self, offset: int, length: int) -> None:
        """Let pages be zeros that were never written. Raises ValueError as `write` does."""
        with self._lock:
            self._require()
            _check(offset, length, self._size)
            self._punch(offset, length)
            self._pages.remove(offset, offset + length)

    def resize(self, size: int) -> None:
        """Cut off what is behind SIZE, or append zeros. Raises ValueError if SIZE is not whole pages."""
        with self._lock:
            self._require()
            _check(0, size, size)
            os.ftruncate(self._file, size)
            self._pages.remove(size, max(size, self._size))
            self._size = size

    def ranges(self, offset: int = 0, length: int | None = None) -> list[tuple[int, int]]:
        """Return what was written within LENGTH bytes from OFFSET on, as (start, exclusive end), in order."""
        with self._lock:
            end = self._size if length is None else min(offset + length, self._size)
            return self._pages.within(offset, end)

    def stretch(self, offset: int, length: int) -> FileRange:
        """Return where LENGTH bytes from OFFSET on are, to be read."""
        return FileRange(self.path, offset, length)

    def copy_to(self, target: Path, length: int | None = None) -> None:
        """Make TARGET a file with the first LENGTH bytes (None = all), with holes where nothing was written."""
        size = self._size if length is None else length
        with self.path.open("rb") as file, target.open("wb") as copy:
            copy.truncate(size)
            for start, end in self.ranges(0, size):
                at = start
                while at < end:
                    moved = os.copy_file_range(file.fileno(), copy.fileno(), end - at, at, at)
                    if moved == 0:
                        raise OSError(errno.EIO, "the file is shorter than its pages", str(self.path))
                    at += moved

    def remove(self) -> None:
        """Remove the file; again is no error."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
                self.path.unlink(missing_ok=True)

    def _require(self) -> None:
        if self._file < 0:
            raise FileNotFoundError(errno.ENOENT, "the page file was removed", str(self.path))

    def _punch(self, offset: int, length: int) -> None:
        """Give the place of LENGTH bytes back; zeros are written where that cannot be done."""
        if length and not _punched(self._file, offset, length):
            for start, end in self._pages.within(offset, offset + length):
                for at in range(start, end, _PIECE):
                    os.pwrite(self._file, bytes(min(_PIECE, end - at)), at)


def _check(offset: int, length: int, size: int) -> None:
    if offset % PAGE or length % PAGE or offset < 0 or length < 0 or offset + length > size:
        raise ValueError(f"{length} bytes at {offset} are no pages within {size} bytes")


def _punched(descriptor: int, offset: int, length: int) -> bool:
    """Make a hole; return whether this system and the file system can."""
    if sys.platform != "linux":
        return False
    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if call(descriptor, _PUNCH_HOLE | _KEEP_SIZE, offset, length) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code))
