# SPDX-License-Identifier: Apache-2.0
"""What UEFI firmware finds on a disk: the loaders in EFI/BOOT, and unified kernel images.

A cloud's machine starts with empty boot variables, so its firmware looks for EFI/BOOT/BOOT{machine}.EFI on a FAT volume
and for nothing else (UEFI Specification 2.10, 3.5.1.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lkcloud.disk.inspect.facts import LOADERS, Architecture, Partition, Uki
from lkcloud.disk.inspect.fat import Fat
from lkcloud.disk.inspect.partition_types import EFI_SYSTEM
from lkcloud.disk.inspect.pe import efi_program
from lkcloud.disk.inspect.uki import uki
from lkcloud.disk.inspect.window import Window, printable

_BOOT, _IMAGES = "EFI/BOOT", "EFI/Linux"
_MOST_VOLUMES = 4
_MOST_PROGRAMS = 64


@dataclass(frozen=True, slots=True)
class EfiFacts:
    """LOADERS are upper-case names, ARCHITECTURES those of the loaders; of UKIs on a disk without loaders otherwise."""

    loaders: tuple[str, ...]
    architectures: frozenset[Architecture]
    ukis: tuple[Uki, ...]
    problems: tuple[str, ...]


def look_for_efi(whole: Window, partitions: Sequence[Partition], filesystem: str) -> EfiFacts:
    """Look on the FAT volumes of the disk WHOLE: EFI system partitions first, then others, or the disk itself."""
    search = _Search()
    if filesystem == "vfat":
        search.volume(whole)
    candidates = sorted(partitions, key=lambda partition: partition.type != EFI_SYSTEM)
    for partition in [partition for partition in candidates if partition.filesystem == "vfat"][:_MOST_VOLUMES]:
        found = search.volume(Window(whole.disk, partition.offset, partition.length))
        if found and partition.type != EFI_SYSTEM:
            search.problems.append(
                f"{_BOOT} is on partition {partition.number} of type {partition.type}: "
                "some firmware starts loaders from an EFI system partition only"
            )
        elif not found and partition.type == EFI_SYSTEM:
            search.problems.append(
                f"partition {partition.number} is an EFI system partition without {_BOOT}/{' or '.join(LOADERS)}"
            )
    for partition in partitions:
        if partition.type == EFI_SYSTEM and partition.filesystem != "vfat":
            search.problems.append(f"partition {partition.number} is an EFI system partition and not FAT")
    return EfiFacts(
        tuple(search.loaders),
        frozenset(search.loader_architectures or search.uki_architectures),
        tuple(search.ukis),
        tuple(search.problems),
    )


class _Search:
    def __init__(self) -> None:
        self.loaders: list[str] = []
        self.loader_architectures: set[Architecture] = set()
        self.uki_architectures: set[Architecture] = set()
        self.ukis: list[Uki] = []
        self.problems: list[str] = []

    def volume(self, window: Window) -> bool:
        """Look on one volume and return whether it has a loader that a cloud's firmware starts."""
        fat = Fat.open(window)
        if fat is None:
            return False
        self._images(fat)
        return self._loaders(fat)

    def _loaders(self, fat: Fat) -> bool:
        found = False
        files = [entry for entry in fat.list(_BOOT) if not entry.is_folder and _is_loader(entry.name.upper())]
        for entry in files[:_MOST_PROGRAMS]:
            name = printable(entry.name.upper())
            program = efi_program(fat.file(entry))
            if program is None:
                self.problems.append(f"{_BOOT}/{name} is not an EFI program")
                continue
            found = found or name in LOADERS
            if name not in self.loaders:
                self.loaders.append(name)
            if program.architecture:
                self.loader_architectures.add(program.architecture)
            if name in LOADERS and program.architecture != LOADERS[name]:
                self.problems.append(f"{_BOOT}/{name} is for another processor than its name says")
            if image := uki(f"{_BOOT}/{name}", program):
                self.ukis.append(image)
        return found

    def _images(self, fat: Fat) -> None:
        files = [entry for entry in fat.list(_IMAGES) if not entry.is_folder and entry.name.upper().endswith(".EFI")]
        for entry in files[:_MOST_PROGRAMS]:
            path = f"{_IMAGES}/{printable(entry.name)}"
            program = efi_program(fat.file(entry))
            if program is None:
                self.problems.append(f"{path} is not an EFI program")
            elif image := uki(path, program):
                self.ukis.append(image)
                if program.architecture:
                    self.uki_architectures.add(program.architecture)


def _is_loader(name: str) -> bool:
    return name.startswith("BOOT") and name.endswith(".EFI")
