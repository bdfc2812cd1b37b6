# SPDX-License-Identifier: Apache-2.0
"""What an ISO 9660 image boots, and how: as a CD, and as a disk where it is a hybrid."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice

from lkcloud.disk.extent import Extent
from lkcloud.disk.inspect.el_torito import BootCatalogue, read_catalogue
from lkcloud.disk.inspect.facts import Firmware
from lkcloud.disk.inspect.look import inspect
from lkcloud.disk.inspect.window import Window
from lkcloud.disk.linux.boot import MOST_BOOTS, Boot, chosen, find_boots
from lkcloud.disk.linux.feed import Part
from lkcloud.disk.linux.iso9660 import Iso, IsoFile
from lkcloud.disk.linux.iso_tree import IsoTree
from lkcloud.disk.linux.tree import Tree, open_tree
from lkcloud.formats.layout import Readable

_LOADER_FOLDERS = ("isolinux", "syslinux", "extlinux", "grub", "grub2", "efi", "loader", ".disk")
"""At the root or in `boot`, in lower case: what is in them is a loader's."""
_LOADER_FILES = ("*.cfg", "*.c32", "*.bin", "*.efi", "*.cat", "*.catalog", "ldlinux.sys")
_MAC_FILES = ("system/library/coreservices/*", "mach_kernel")
"""Grub-mkrescue puts them on each ISO that UEFI starts."""


@dataclass(frozen=True, slots=True)
class IsoImage:
    """An ISO 9660 image."""

    efi_image: Extent | None
    """Where on the disk the FAT volume is that UEFI starts it from as a CD."""
    bios: bool
    """Whether its boot catalogue has an entry that a BIOS starts from a CD."""
    hybrid: tuple[Firmware, ...]
    """The firmware that starts it as a disk, too; () where it boots as a CD only."""
    boot: Boot | None
    """What is started by itself; None if no Linux kernel was found."""
    rest: bool
    """Whether it has files beside those that boot it, so that the system may want the ISO itself when it runs."""


def look_into_iso(disk: Readable) -> IsoImage | None:
    """Return what is on DISK, None if that is no ISO 9660 file system.

    Takes milliseconds, some seconds if it was made to be slow. Never raises for what the bytes are; errors of
    `disk.read` are passed on.
    """
    whole = Window(disk, 0, disk.size)
    iso = Iso.open(whole)
    if iso is None:
        return None
    catalogue = read_catalogue(whole)
    efi = catalogue.image("uefi") if catalogue else None
    volume = open_tree(Window(disk, *efi.place), "vfat") if efi else None
    trees: list[Tree] = [volume] if volume else []
    boots = list(islice(find_boots([*trees, IsoTree(iso)], uefi=volume is not None), MOST_BOOTS))
    return IsoImage(
        efi_image=efi.place if efi and volume else None,
        bios=catalogue is not None and catalogue.image("bios") is not None,
        hybrid=inspect(disk).firmware,
        boot=chosen(boots),
        rest=_has_rest(iso, boots, catalogue),
    )


def _has_rest(iso: Iso, boots: Sequence[Boot], catalogue: BootCatalogue | None) -> bool:
    """Return whether ISO has files that boot nothing; also if it has too many to tell."""
    booting = {*_starts(boots)}
    if catalogue:
        booting |= {catalogue.offset, *(image.place.offset for image in catalogue.images)}
    for path, entry in iso.walk():
        if entry.is_folder or entry.is_link or _is_of_a_loader(path):
            continue
        if not entry.extents or entry.extents[0].offset not in booting:
            return True
    return iso.exhausted


def _starts(boots: Iterable[Boot]) -> Iterator[int]:
    """Yield where on the ISO the kernels and initramfs of BOOTS begin."""
    for boot in boots:
        for file in (boot.kernel, *boot.initramfs):
            whole = file.file if isinstance(file, Part) else file
            if isinstance(whole, IsoFile) and whole.extents:
                yield whole.extents[0].offset


def _is_of_a_loader(path: str) -> bool:
    path = path.lower()
    if any(fnmatchcase(path, pattern) for pattern in _MAC_FILES):
        return True
    parts = path.removeprefix("boot/").split("/")
    if len(parts) > 1:
        return parts[0] in _LOADER_FOLDERS
    return any(fnmatchcase(parts[0], pattern) for pattern in _LOADER_FILES)
