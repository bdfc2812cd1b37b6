# SPDX-License-Identifier: Apache-2.0
"""Read a cpio archive in the form that the kernel unpacks: `newc`, with or without checksums.

Source: https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
"""

from collections.abc import Iterator
from dataclasses import dataclass

from lkcloud.disk.linux.feed import Feed, Unreadable

MAGICS = (b"070701", b"070702")

_HEADER = 110
_LONGEST_NAME = 4096  # PATH_MAX, beyond which the kernel passes over an entry
_TRAILER = "TRAILER!!!"
_TYPE, _FOLDER, _LINK = 0o170000, 0o040000, 0o120000


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of SIZE bytes, a folder, a link or a device; its NAME has no `/` or `./` in front."""

    name: str
    mode: int
    size: int
    content: "Content"

    @property
    def is_folder(self) -> bool:
        """Whether it is one."""
        return self.mode & _TYPE == _FOLDER

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link; its content is where it leads."""
        return self.mode & _TYPE == _LINK


class Content:
    """The bytes of an entry, which can be taken once, while it is the current one."""

    def __init__(self, feed: Feed, length: int) -> None:
        self._feed = feed
        self._left = length

    def read(self, limit: int) -> bytes:
        """Return the first LIMIT bytes."""
        data = self._feed.take(min(limit, self._left))
        self._left -= len(data)
        return data

    def pass_over(self) -> bool:
        """Go behind the rest and return whether all of it was there."""
        left, self._left = self._left, 0
        return self._feed.skip(left)


def entries(feed: Feed) -> Iterator[Entry]:
    """Yield the entries of the archive that FEED begins with, and leave what follows it. Raises Unreadable."""
    while True:
        header = feed.take(_HEADER)
        if len(header) < _HEADER or header[:6] not in MAGICS:
            raise Unreadable("its cpio archive is broken, or cut short")
        try:
            fields = [int(header[position : position + 8], 16) for position in range(6, _HEADER, 8)]
        except ValueError:
            raise Unreadable("its cpio archive is broken") from None
        mode, size, name_size = fields[1], fields[6], fields[11]
        if not 0 < name_size <= _LONGEST_NAME:
            raise Unreadable("its cpio archive has a name that cannot be")
        raw = feed.take(name_size)
        # Names and contents are padded, so that what follows them is at a multiple of 4 from the start of the header.
        whole = len(raw) == name_size and feed.skip(-(_HEADER + name_size) % 4)
        name = raw.rstrip(b"\0").decode("utf-8", "replace")
        if name == _TRAILER and not size:
            return
        content = Content(feed, size)
        yield Entry(name.removeprefix("./").lstrip("/"), mode, size, content)
        if not whole or not content.pass_over() or not feed.skip(-size % 4):
            raise Unreadable("its cpio archive is cut short")
