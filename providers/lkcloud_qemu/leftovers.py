# SPDX-License-Identifier: Apache-2.0
"""What unfinished pushes, deletions and tests have left in the folder, and how it is removed."""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from lkcloud.errors import UsageError
from lkcloud.provider import Blob
from lkcloud.transfer.locks import exclusive
from lkcloud_qemu.folder import CLOUD, DISK, DOCUMENT, NAME, Folder

_ENTRY = re.compile(rf"(?P<name>{NAME.pattern})@((?P<digest>[0-9a-f]{{64}})|(?P<kind>deleted|machine)-[0-9a-f]{{8}})")


def leftovers(folder: Folder, name: str) -> Iterator[Blob]:
    """Yield what is in `.work` of images called NAME ("" = of any name); of what goes on now, too."""
    with folder.explained("looking for what is unfinished", may="read"):
        entries = sorted(folder.work.iterdir()) if folder.work.exists() else []
    for entry in entries:
        match = _ENTRY.fullmatch(entry.name)
        if match and name in ("", match["name"]):
            with suppress(FileNotFoundError):  # It is finished by now.
                yield blob(entry, match["name"], match["digest"] or "", match["kind"] or "upload")


def blob(place: Path, name: str, digest: str, kind: str = "upload") -> Blob:
    """Return what is at PLACE. It is as old as the last change of it. Raises FileNotFoundError."""
    changed, whole = place.lstat().st_mtime, False
    if place.is_dir() and not place.is_symlink():
        with suppress(FileNotFoundError):
            changed = max(changed, (place / DISK).lstat().st_mtime)
        whole = kind == "upload" and (place / DOCUMENT).exists()
    state = "complete" if whole else "unfinished"
    born = datetime.fromtimestamp(changed, UTC)
    return Blob(CLOUD, str(place.parent.parent), str(place), kind, name, digest, state, born)


def delete(folder: Folder, left: Blob) -> None:
    """Remove what `leftovers` found; what is gone is no error. Raises Conflict for an upload that goes on."""
    place = Path(left.id)
    if place.parent != folder.work or not _ENTRY.fullmatch(place.name):
        raise UsageError(f"{CLOUD}: {left.id!r} is nothing that lkcloud has left", hint="see lkcloud gc local")
    with folder.explained(f"removing {place}"):
        if folder.work.exists():
            with exclusive(folder.work, place.name):
                remove(place)


def remove(place: Path) -> None:
    """Remove what is at PLACE in `.work`; of a symbolic link the link, and nothing that it leads to. Raises OSError.

    The document goes first: what is half removed must not look whole.
    """
    if place.is_symlink() or not place.is_dir():
        place.unlink(missing_ok=True)
        return
    (place / DOCUMENT).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        shutil.rmtree(place)
