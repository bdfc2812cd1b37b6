# SPDX-License-Identifier: Apache-2.0
"""What is known of a disk by looking at it."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Architecture = Literal["x86_64", "arm64"]
Table = Literal["gpt", "mbr", "none"]
Firmware = Literal["bios", "uefi"]

LOADERS = MappingProxyType[str, Architecture]({"BOOTX64.EFI": "x86_64", "BOOTAA64.EFI": "arm64"})
"""What the firmware of a cloud's machine starts from EFI/BOOT, and its architecture; none has 32-bit firmware."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One entry of the partition table; OFFSET and LENGTH are bytes as the table states them, not as the disk allows.

    TYPE is a short name such as `EFI system`, or the type GUID (GPT) or `0x..` byte (MBR) where it has none here.
    NAME is the GPT partition name. FILESYSTEM is one of the names of filesystem.py, `""` where it is not known.
    """

    number: int
    offset: int
    length: int
    type: str
    name: str
    filesystem: str

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class Uki:
    """A unified kernel image at PATH of the EFI system partition; `""` and `()` stand for what it does not say.

    OS_RELEASE holds the pairs of os-release(5) in file order.
    """

    path: str
    os_release: tuple[tuple[str, str], ...]
    kernel_version: str
    command_line: str


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """A disk of SIZE bytes as `inspect` saw it; what it could not tell is empty or None, what is odd is in PROBLEMS."""

    size: int
    table: Table
    partitions: tuple[Partition, ...]
    filesystem: str
    """The file system of a disk that has no partition table."""
    bios: bool
    """There is boot code that a BIOS would start."""
    efi_loaders: tuple[str, ...]
    """The names of the loaders in EFI/BOOT, `BOOTX64.EFI` and others that begin with BOOT, in upper case."""
    architecture: Architecture | None
    ukis: tuple[Uki, ...]
    problems: tuple[str, ...]
    sector_size: int = 512
    """The bytes of a sector of the disks that the partition table is for."""
    cd_firmware: tuple[Firmware, ...] = ()
    """The firmware that finds something to start where this is an ISO 9660 image and put in as a CD."""
    cd_loaders: tuple[str, ...] = ()
    """As EFI_LOADERS, in the volume that UEFI starts from a CD."""

    @property
    def firmware(self) -> tuple[Firmware, ...]:
        """The firmware that finds something to start: `("bios", "uefi")`, one of them, or none."""
        found: list[Firmware] = []
        if self.bios:
            found.append("bios")
        if not LOADERS.keys().isdisjoint(self.efi_loaders):
            found.append("uefi")
        return tuple(found)
