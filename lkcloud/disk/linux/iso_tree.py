# SPDX-License-Identifier: Apache-2.0
"""Folders and files of an ISO 9660 file system by their paths."""

from lkcloud.disk.linux.feed import File
from lkcloud.disk.linux.iso9660 import Iso, IsoEntry
from lkcloud.disk.linux.links import follow


class IsoTree:
    """An ISO 9660 file system; symbolic links are followed within it.

    Where no name is the one that is asked for, one counts that differs in case only: that is how ISOLINUX looks.
    """

    def __init__(self, iso: Iso) -> None:
        self._iso = iso

    @property
    def exhausted(self) -> bool:
        """Whether what was not found may be there."""
        return self._iso.exhausted

    def names(self, path: str) -> tuple[str, ...]:
        """Return what is in the folder PATH."""
        entry = self._find(path)
        return tuple(self._iso.folder(entry).entries) if entry else ()

    def file(self, path: str) -> File | None:
        """Return the file PATH."""
        entry = self._find(path)
        return self._iso.file(entry) if entry and entry.is_file else None

    def has(self, path: str) -> bool:
        """Return whether there is anything at PATH: a link that leads nowhere counts too."""
        return self._find(path, following=False) is not None or self._find(path) is not None

    def _find(self, path: str, *, following: bool = True) -> IsoEntry | None:
        return follow(path, self._iso.root, self._child, _target, following=following)

    def _child(self, folder: IsoEntry, name: str) -> IsoEntry | None:
        return self._iso.folder(folder).find(name)


def _target(entry: IsoEntry) -> str | None:
    return entry.target if entry.is_link else None
