# SPDX-License-Identifier: Apache-2.0
"""Read the boot catalogue of a CD: what a BIOS and UEFI start from it.

Sources: El Torito Bootable CD-ROM Format Specification 1.0; for UEFI, whose images are FAT volumes, the UEFI
Specification 2.10, 13.3.2.1. The sizes of those are not as the catalogue has them, which cuts them to 16 bits or says
0 or 1 and means up to the end: the volume itself says how large it is.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from lkcloud.disk.extent import Extent
from lkcloud.disk.inspect.facts import Firmware
from lkcloud.disk.inspect.fat import volume_size
from lkcloud.disk.inspect.window import Window

_SECTOR = 2048
_BOOT_RECORD = 17
"""The sector of the descriptor that says where the catalogue is: no firmware looks for it elsewhere."""
_MARK = b"\0CD001\1EL TORITO SPECIFICATION"
_PLATFORMS: dict[int, Firmware] = {0x00: "bios", 0xEF: "uefi"}
_ENTRY = 32
_LARGEST = 4 * _SECTOR  # of a catalogue, in which few have more than three entries
_VALIDATION, _BOOTABLE, _SECTION, _LAST_SECTION, _EXTENSION = 0x01, 0x88, 0x90, 0x91, 0x44
_NO_EMULATION = 0
_FLOPPIES = {1: 1200 * 1024, 2: 1440 * 1024, 3: 2880 * 1024}
_VIRTUAL_SECTOR = 512


@dataclass(frozen=True, slots=True)
class BootImage:
    """What FIRMWARE starts: for a BIOS code, for UEFI a FAT volume. PLACE is inside the CD."""

    firmware: Firmware
    place: Extent


@dataclass(frozen=True, slots=True)
class BootCatalogue:
    """What can be started from a CD, what is tried first in front; OFFSET is the catalogue's own, in bytes."""

    offset: int
    images: tuple[BootImage, ...]

    def image(self, firmware: Firmware) -> BootImage | None:
        """Return what FIRMWARE starts, None if there is nothing for it."""
        return next((image for image in self.images if image.firmware == firmware), None)


def read_catalogue(cd: Window) -> BootCatalogue | None:
    """Return the boot catalogue of CD, None if there is none or one that firmware does not take."""
    record = cd.read(_BOOT_RECORD * _SECTOR, _SECTOR)
    if not record.startswith(_MARK) or len(record) < _SECTOR:
        return None
    offset = struct.unpack_from("<I", record, 0x47)[0] * _SECTOR
    catalogue = cd.read(offset, _LARGEST)
    first = catalogue[:_ENTRY]
    if len(first) < _ENTRY or first[0] != _VALIDATION or first[30:32] != b"\x55\xaa":
        return None
    if sum(struct.unpack("<16H", first)) & 0xFFFF:
        return None
    images = (_image(cd, platform, entry) for platform, entry in _entries(catalogue))
    return BootCatalogue(offset, tuple(image for image in images if image))


def _entries(catalogue: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the platforms and entries: one that is named by the validation entry, then section by section."""
    yield catalogue[1], catalogue[_ENTRY : 2 * _ENTRY]
    position = 2 * _ENTRY
    while catalogue[position : position + 1] in (bytes((_SECTION,)), bytes((_LAST_SECTION,))):
        header = catalogue[position : position + _ENTRY]
        position += _ENTRY
        for _ in range(int.from_bytes(header[2:4], "little")):
            entry = catalogue[position : position + _ENTRY]
            if len(entry) < _ENTRY:
                return
            yield header[1], entry
            position += _ENTRY
            while catalogue[position : position + 1] == bytes((_EXTENSION,)):
                position += _ENTRY
        if header[0] == _LAST_SECTION:
            return


def _image(cd: Window, platform: int, entry: bytes) -> BootImage | None:
    firmware = _PLATFORMS.get(platform)
    if firmware is None or len(entry) < _ENTRY or entry[0] != _BOOTABLE:
        return None
    count, block = struct.unpack_from("<HI", entry, 6)
    offset, medium = block * _SECTOR, entry[1] & 0x0F
    rest = min(cd.length, cd.disk.size - cd.start) - offset
    if not block or rest <= 0:
        return None
    length = _FLOPPIES.get(medium, count * _VIRTUAL_SECTOR)
    if firmware == "uefi":
        if medium != _NO_EMULATION:
            return None
        said = length if count > 1 else rest
        length = volume_size(cd.read(offset, _VIRTUAL_SECTOR)) or said
    return BootImage(firmware, Extent(offset, min(length, rest)))
