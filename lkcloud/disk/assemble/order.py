# SPDX-License-Identifier: Apache-2.0
"""What a bootable disk is to be made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lkcloud.disk.inspect.facts import Firmware
from lkcloud.disk.linux.feed import File

FIRMWARE: tuple[Firmware, ...] = ("bios", "uefi")

Starting = Literal["both", "uefi", "bios"]
"""How users say what is to start a disk."""

_STARTING: dict[Starting, tuple[Firmware, ...]] = {"both": FIRMWARE, "uefi": ("uefi",), "bios": ("bios",)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user says of a disk that is to be put together; None is what is found with the image, or best."""

    initrds: tuple[Path, ...] | None = None
    command_line: str | None = None
    firmware: tuple[Firmware, ...] | None = None
    """What is to start it. None: UEFI, and a BIOS where the kernel is for x86-64."""

    @classmethod
    def said(cls, initrds: Sequence[Path], command_line: str | None, starting: Starting | None) -> "Wanted":
        """Return what the words of a user come to; none, or None, says nothing."""
        return cls(tuple(initrds) or None, command_line, _STARTING[starting] if starting else None)

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
