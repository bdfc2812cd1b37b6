# SPDX-License-Identifier: Apache-2.0
"""Keeps disks that had to be made from something else as sparse raw files in the cache folder.

A disk is `<kind>/<key>/disk.raw`, its key made from the state of the files that it comes from, so what was written to
gets a new one. How such entries are kept: `lkcloud.disk.kept`.
"""

import errno
import hashlib
from collections.abc import Callable
from pathlib import Path

from lkcloud.disk.kept import new_folder, open_kept, remove_old, settle
from lkcloud.errors import LkcloudError, UnusableImage
from lkcloud.paths import cache_dir
from lkcloud.reporting import Meter, Reporter

KEPT = 4
"""How many disks of a kind are kept; those used longest ago are removed, unless they are in use."""

DISK = "disk.raw"


def cached_disk(
    path: Path,
    key: tuple[object, ...],
    make: Callable[[Path, int, Meter], None],
    *,
    kind: str,
    title: str,
    reporter: Reporter,
) -> int:
    """Return the open file of the disk of KIND that PATH comes to, made if there is none with KEY.

    MAKE writes DISK in the folder that it is given, which the open file that comes with it keeps in place; that is a
    stage called TITLE. Raises UnusableImage if it cannot be kept, and what MAKE raises.
    """
    try:
        folder = cache_dir() / kind
        folder.mkdir(mode=0o700, exist_ok=True)
        final = folder / hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        descriptor = open_kept(final)
        if descriptor is None:
            with new_folder(folder) as (new, lock):
                with reporter.stage(f"{title} {path.name}") as meter:
                    make(new, lock, meter)
                settle(new, final)
            descriptor = open_kept(final)
        remove_old(folder, KEPT)
    except OSError as error:
        raise _trouble(path, title, error) from error
    if descriptor is None:
        raise UnusableImage(f"{path} was removed from the cache while it was made", hint="run it again")
    return descriptor


def _trouble(path: Path, title: str, error: OSError) -> LkcloudError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UnusableImage(
            f"there is no room for the disk that {path} comes to",
            hint=f"free space where {_folder_name()} is, or set LKCLOUD_CACHE_DIR to a folder with more",
        )
    return UnusableImage(
        f"cannot {title} {path}: {error.strerror or error}",
        hint="set LKCLOUD_CACHE_DIR to a folder that can be written to, or give a raw image",
    )


def _folder_name() -> str:
    try:
        return str(cache_dir())
    except OSError:
        return "the cache folder"
