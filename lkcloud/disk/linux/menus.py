# SPDX-License-Identifier: Apache-2.0
"""What a boot loader's configuration offers: entries with kernel, initramfs and command line."""

from dataclasses import dataclass

MOST_ENTRIES = 64


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """One kernel that can be started. Paths are as the loader has them, without what names a device in front."""

    kernel: str
    initrds: tuple[str, ...]
    options: str
    complete: bool = True
    """Whether all of the options could be worked out."""


@dataclass(frozen=True, slots=True)
class Menu:
    """The entries of a loader, the one that it starts by itself first; WHERE is the file that says so."""

    loader: str
    where: str
    entries: tuple[MenuEntry, ...]
