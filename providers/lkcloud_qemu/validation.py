# SPDX-License-Identifier: Apache-2.0
"""What stands in the way of a push, told before anything is copied."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from lkcloud.provider import Finding, Source
from lkcloud_qemu.folder import NAME, Folder, read
from lkcloud_qemu.options import LocalOptions


def validate(options: LocalOptions, source: Source) -> Iterator[Finding]:
    """Yield what is wrong with the name, the disk or the hardware, without a look at the folder."""
    if not NAME.fullmatch(source.name):
        usable = re.sub(r"[^A-Za-z0-9._+-]+", "-", source.name).lstrip("._+-")[:128] or "image"
        yield Finding(
            f"{source.name[:200]!r} cannot be a name: it takes letters, digits and . _ + - after a letter or digit, "
            "at most 128 of them",
            f"give --name {usable}",
        )
    if not source.disk.size:
        yield Finding("the disk is empty", "give a disk image with at least one byte")
        return
    architecture, firmware = options.machine(source.facts)
    if (architecture, firmware) == ("arm64", "bios"):
        yield Finding("no arm64 machine boots by BIOS", "leave out --firmware")
    elif source.facts.firmware and firmware not in source.facts.firmware:
        yield Finding(
            f"the disk has nothing that {firmware.upper()} starts",
            "leave out --firmware, or build it in",
            obstacle=False,
        )
    if source.facts.architecture and architecture != source.facts.architecture:
        yield Finding(
            f"the disk is for {source.facts.architecture}, and the machine for {architecture}",
            "leave out --architecture",
            obstacle=False,
        )


def check(folder: Folder, options: LocalOptions, source: Source) -> Iterator[Finding]:
    """Yield what is wrong with the folder, and tell if nothing here can boot the image; nothing is made."""
    from lkcloud.sandbox.qemu import missing

    yield from unusable(folder)
    with folder.explained(f"looking for {source.name}", may="read"):
        place = folder.image(source.name)
        if os.path.lexists(place) and read(place) is None:
            yield Finding(f"{place} is there, and is no image", "choose another --name, or move it away")
    packages = missing(*options.machine(source.facts))
    if packages:
        yield Finding(
            "the image cannot be booted here: QEMU or its firmware is not installed",
            f"on Debian or Ubuntu: apt install {' '.join(packages)}",
            obstacle=False,
        )


def unusable(folder: Folder) -> Iterator[Finding]:
    """Yield why nothing can be made in the folder, which need not be there."""
    there = next(path for path in (folder.path, *folder.path.parents) if _is_there(path))
    if not there.is_dir():
        yield Finding(f"{there} is no folder", "give another --folder")
    elif not os.access(there, os.W_OK | os.X_OK):
        yield Finding(f"{there} cannot be written to", "give a --folder that you may write, or change its mode")


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # A folder that may not be entered is there, and is what is in the way.
    return True
