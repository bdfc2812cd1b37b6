# SPDX-License-Identifier: Apache-2.0
"""A disk: so many bytes, where the data is, and what it holds."""

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from lkcloud.disk import digest_cache, scan
from lkcloud.disk.content import Content
from lkcloud.disk.extent import Extent, Extents
from lkcloud.disk.identity import Identity
from lkcloud.errors import ImageChanged, UnusableImage
from lkcloud.reporting import Meter

_COPIED = 1 << 20
"""Bytes that are read and written at a time, where the kernel does not copy."""


class Disk:
    """A disk that can be read from any thread; made by `open_disk`, closed by `close` or at the end of a `with`.

    PATH is the file or block device that the user named and SOURCE its state when it was opened, at OPENED_NS
    (nanoseconds since 1970). DESCRIPTOR, which the disk takes over, is open on the raw bytes: the same file, or the
    unpacked copy of it in the cache. SIZE is in bytes. What was put together is MADE_OF files, PATH among
    them, and then SOURCE is the state of the file in the cache, which nobody writes to.
    """

    def __init__(
        self,
        path: Path,
        descriptor: int,
        *,
        size: int,
        source: Identity,
        opened_ns: int | None = None,
        made_of: tuple[Path, ...] = (),
    ) -> None:
        self.path = path
        self.files = made_of or (path,)
        self.size = size
        self._descriptor = descriptor
        self._held: list[int] = []
        self._source = source
        self._opened_ns = time.time_ns() if opened_ns is None else opened_ns
        self._watched = None if made_of else path.absolute()  # stays right if the program changes its working folder
        self._lock = threading.Lock()
        self._extents: Extents | None = None
        self._content: Content | None = None

    def __enter__(self) -> "Disk":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def source(self) -> Identity:
        """The state of the file that stands for the bytes: the one that the user named, or one of the cache."""
        return self._source

    def close(self) -> None:
        """Close the file; again is no error."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        while self._held:
            os.close(self._held.pop())

    def hold(self, descriptor: int) -> None:
        """Take over DESCRIPTOR, which keeps the file in place, and close it with the disk."""
        self._held.append(descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly LENGTH bytes from OFFSET on.

        Raises ValueError outside of the disk, UnusableImage if the bytes cannot be read, and ImageChanged (which is
        one) if the file has become shorter.
        """
        self._check_range(offset, length)
        try:
            data = os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise self._unreadable(error) from error
        if len(data) == length:
            return data
        rest = bytearray(length)
        rest[: len(data)] = data
        self._fill(offset + len(data), memoryview(rest)[len(data) :])
        return bytes(rest)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill BUFFER with the bytes from OFFSET on; raises what `read` raises."""
        view = memoryview(buffer).cast("B")
        self._check_range(offset, len(view))
        self._fill(offset, view)

    def copy(self, offset: int, length: int, output: int) -> None:
        """Write the LENGTH bytes from OFFSET on to the same place of the open file OUTPUT.

        The kernel does it where it can, and shares the blocks where the file system can (copy_file_range(2)). Raises
        what `read` raises, and OSError where OUTPUT takes no more.
        """
        self._check_range(offset, length)
        done = self._copy_in_kernel(offset, length, output)
        buffer = memoryview(bytearray(min(_COPIED, length - done)))
        while done < length:
            piece = buffer[: length - done]
            self._fill(offset + done, piece)
            done += os.pwrite(output, piece, offset + done)

    def extents(self) -> Sequence[Extent]:
        """Return where the data is, to pages of 4 KiB; all else is zeros, hole or not.

        Found once. Raises what `read` raises.
        """
        with self._lock:
            if self._extents is None and not self._recall():
                self._extents = scan.find_extents(self._fill, self.size, self._allocated())
            assert self._extents is not None
            return self._extents

    def possible_extents(self) -> Sequence[Extent]:
        """Return where data may be, without reading: `extents` if they are known, or else what the file system says.

        All else is zeros. Raises UnusableImage if the file system does not answer.
        """
        with self._lock:
            if self._extents is None and not self._recall():
                return self._allocated()
            assert self._extents is not None
            return self._extents

    def content(self, meter: Meter | None = None) -> Content:
        """Return the blocks that hold data and their hashes; METER shows how far the reading is.

        Read once, which finds the extents as well, and remembered in the cache folder until the file changes. Raises
        what `read` raises, and ImageChanged if the file was written to since it was opened.
        """
        with self._lock:
            if self._content is None and not self._recall():
                where = self._allocated() if self._extents is None else self._extents
                extents, content = scan.find_content(self._fill, self.size, where, meter)
                self.check_unchanged()
                self._extents, self._content = extents, content
                if self._source.settled(self._opened_ns):
                    digest_cache.store(self._source, extents, content)
            assert self._content is not None
            return self._content

    def check_unchanged(self) -> None:
        """Raise ImageChanged if the file that the user named was written to or replaced since it was opened.

        A program that writes through a memory map, or to a block device, is not noticed.
        """
        if self._watched is None:
            return
        try:
            now = Identity.of(self._watched)
        except OSError as error:
            raise self._changed("is no longer there") from error
        if not self._source.same_bytes(now):
            raise self._changed("changed while it was read")

    def _copy_in_kernel(self, offset: int, length: int, output: int) -> int:
        """Return how many of the bytes the kernel has copied: none, or not all, where it cannot or something fails."""
        done = 0
        try:
            while done < length:
                at = offset + done
                count = os.copy_file_range(self._descriptor, output, length - done, at, at)
                if count == 0:
                    break
                done += count
        except (AttributeError, OSError):
            # There is none on other systems, between some file systems, and for devices. What fails fails once more
            # where it is read and written, which tells whether the image or the output is at fault.
            pass
        return done

    def _recall(self) -> bool:
        remembered = digest_cache.load(self._source) if self._source.settled(self._opened_ns) else None
        if remembered is None or remembered[1].size != self.size:
            return False
        self._extents, self._content = remembered
        return True

    def _allocated(self) -> Extents:
        try:
            return scan.allocated(self._descriptor, self.size)
        except OSError as error:
            raise self._unreadable(error) from error

    def _check_range(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ValueError(f"[{offset}, {offset + length}) is not inside a disk of {self.size} bytes")

    def _fill(self, offset: int, view: memoryview) -> None:
        """Fill VIEW; a read may bring less than asked for, and at most 2 GiB (read(2))."""
        while view:
            try:
                count = os.preadv(self._descriptor, [view], offset)
            except OSError as error:
                raise self._unreadable(error) from error
            if count == 0:
                raise self._changed(f"ends at byte {offset}, it had {self.size} when it was opened")
            offset += count
            view = view[count:]

    def _unreadable(self, error: OSError) -> UnusableImage:
        return UnusableImage(
            f"cannot read {self.path}: {error.strerror}", hint="copy the image to a healthy disk, or build it again"
        )

    def _changed(self, what: str) -> ImageChanged:
        return ImageChanged(
            f"{self.path} {what}", hint="wait until whatever writes the image has finished, then run it again"
        )
