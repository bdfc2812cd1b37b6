# SPDX-License-Identifier: Apache-2.0
"""What a bootable disk is to be made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lkcloud.disk.inspect.facts import Firmware
from lkcloud.disk.linux.feed import File

FIRMWARE: tuple[Firmware, ...] = ("bios", "uefi")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user says of a disk that is to be put together; None is what is found with the image, or best."""

    initrds: tuple[Path, ...] | None = None
    command_line: str | None = None
    firmware: tuple[Firmware, ...] | None = None
    """What is to start it. None: UEFI, and a BIOS where the kernel is for x86-64."""

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return self != Wanted()


@dataclass(frozen=True, slots=True)
class Contents:
    """KERNEL, INITRDS and COMMAND_LINE; and MEDIUM, the file system that the system wants to find on a partition."""

    kernel: File
    initrds: Sequence[File]
    command_line: str
    medium: File | None = None
