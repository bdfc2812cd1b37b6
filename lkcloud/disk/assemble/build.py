# SPDX-License-Identifier: Apache-2.0
"""Puts a bootable disk together: a FAT32 partition with the kernel, which systemd-boot and GRUB start from there.

    1. BIOS boot partition with GRUB's core image (only for a BIOS)
    2. EFI system partition, FAT32: systemd-boot (only for UEFI), the kernel, the initramfs; for a BIOS alone it is one
       like others, `boot`
    3. the file system of a medium, such as an ISO, if the system needs it

Kernel and initramfs are there once, whichever firmware starts them.
"""

import os
import re
from collections.abc import Iterable
from hashlib import sha256
from uuid import UUID, uuid5

from lkcloud.disk.assemble import grub, systemd_boot
from lkcloud.disk.assemble.fat import Content, DoesNotFit, fat_volume, smallest_volume
from lkcloud.disk.assemble.gpt import (
    ALIGNMENT,
    BIOS_BOOT,
    EFI_SYSTEM,
    LINUX_DATA,
    SECTOR,
    NewPartition,
    gpt_disk,
    partition_guid,
    smallest_disk,
)
from lkcloud.disk.assemble.order import FIRMWARE, Contents
from lkcloud.disk.assemble.pieces import Embedded, whole, write_pieces
from lkcloud.disk.inspect.facts import Architecture, Firmware
from lkcloud.disk.inspect.pe import efi_program
from lkcloud.disk.linux.feed import File
from lkcloud.errors import UnusableImage
from lkcloud.formats.layout import Literal
from lkcloud.formats.vhd import source_date
from lkcloud.reporting import Meter

_NAMESPACE = UUID("6f0f7a52-2d3c-5b1e-9c57-0a8f6d1b7e44")
_KERNEL = "/vmlinuz"
_CD_ROOT = re.compile(r"(?<!\S)root=/dev/(?:sr0|cdrom)(?!\S)")
"""What LinuxKit's iso-efi says of an ISO that is its own root file system."""

_LONGER_ROOT = len("PARTUUID=") + 36
"""Bytes that such a command line grows by at most."""

_LONGEST_COMMAND_LINE = 2047
"""Bytes: COMMAND_LINE_SIZE of x86 and of arm64, without the zero at its end. Of what is longer the end is lost."""


def architecture_of(kernel: File) -> Architecture | None:
    """Return what KERNEL, as a loader starts it, is for; None if it is no kernel that is known, or for 32 bits."""
    head = kernel.read(0, 1024)
    if head[0x202:0x206] == b"HdrS":
        # Boot protocol 2.12 says in xloadflags whether there is an entry for 64 bits; before that all have one or none.
        version, flags = int.from_bytes(head[0x206:0x208], "little"), int.from_bytes(head[0x236:0x238], "little")
        return "x86_64" if version >= 0x20C and flags & 1 else None
    if head[0x38:0x3C] == b"ARM\x64":
        return "arm64"
    program = efi_program(kernel) if head[:2] == b"MZ" and head[4:8] == b"zimg" else None
    return program.architecture if program else None


def firmware_for(architecture: Architecture, wanted: tuple[Firmware, ...] | None) -> tuple[Firmware, ...]:
    """Return what shall start a kernel for ARCHITECTURE. Raises UnusableImage if that cannot be."""
    if wanted is None:
        return FIRMWARE if architecture == "x86_64" else ("uefi",)
    if "bios" in wanted and architecture != "x86_64":
        raise UnusableImage(f"no BIOS starts a kernel for {architecture}", hint="make it for UEFI: --boots-by uefi")
    return wanted


def build(
    contents: Contents, firmware: tuple[Firmware, ...], architecture: Architecture, output: int, meter: Meter
) -> None:
    """Write the disk to the empty open file OUTPUT; METER is told of bytes of files.

    Raises UnusableImage for what cannot be put together, UsageError (SOURCE_DATE_EPOCH), and OSError.
    """
    files = [contents.kernel, *contents.initrds]
    medium = contents.medium
    everything = [*files, medium] if medium else files
    paths = (_KERNEL, *(f"/initrd{number or ''}.img" for number in range(len(contents.initrds))))
    boot_files: dict[str, Content] = {path[1:]: file for path, file in zip(paths, files, strict=True)}
    _check(contents, firmware, architecture)
    _check_length(contents.command_line, paths[1:], firmware)
    _volume_size(boot_files)  # what cannot fit is not read first
    meter.expect(2 * sum(file.size for file in everything))
    guids = _guids(everything, contents.command_line, firmware, meter)
    number = 2 if "bios" in firmware else 1  # of the EFI system partition
    command_line = contents.command_line
    if medium:
        command_line = _CD_ROOT.sub(f"root=PARTUUID={partition_guid(guids, number + 1)}", command_line)
    loaders: dict[str, Content] = {}
    if "uefi" in firmware:
        loaders |= systemd_boot.loader_files(_KERNEL, paths[1:], command_line, architecture=architecture)
    partitions, boot_code = [], b""
    if "bios" in firmware:
        loaders[grub.CONFIGURATION] = grub.configuration(_KERNEL, paths[1:], command_line).encode()
        made = grub.grub(partition=number, sector=ALIGNMENT // SECTOR)
        boot_code = made.boot_code
        partitions.append(NewPartition(BIOS_BOOT, "bios", ALIGNMENT, (Literal(0, made.core),)))
    kind = (EFI_SYSTEM, "esp") if "uefi" in firmware else (LINUX_DATA, "boot")
    partitions.append(_boot_partition(*kind, loaders | boot_files, ALIGNMENT * number, guids))
    if medium:
        partitions.append(NewPartition(LINUX_DATA, "medium", _whole(medium.size), (Embedded(0, medium),)))
    size = smallest_disk([partition.size for partition in partitions])
    os.truncate(output, size)
    write_pieces(gpt_disk(partitions, size=size, boot_code=boot_code, guids=guids), output, meter)


def _guids(files: Iterable[File], command_line: str, firmware: tuple[Firmware, ...], meter: Meter) -> UUID:
    """Return what the GUIDs of the disk follow from: all that is in it, so that no two disks have the same."""
    digest = sha256()
    for file in files:
        digest.update(file.size.to_bytes(8, "little"))
        for part in whole(file):
            digest.update(part)
            meter.advance(len(part))
    return uuid5(_NAMESPACE, f"{digest.hexdigest()} {' '.join(firmware)} {command_line}")


def _check(contents: Contents, firmware: tuple[Firmware, ...], architecture: Architecture) -> None:
    if "uefi" in firmware and contents.kernel.read(0, 2) != b"MZ":
        raise UnusableImage(
            "the kernel cannot be started by UEFI",
            hint="build it with CONFIG_EFI_STUB"
            + (", or make a disk for BIOS alone: --boots-by bios" if architecture == "x86_64" else ""),
        )
    kernel = contents.kernel
    if architecture == "x86_64" and kernel.size < (stated := _stated_size(kernel)):
        raise UnusableImage(
            f"the kernel has {kernel.size} bytes, and should have {stated}",
            hint="it was cut short: build or download it again",
        )
    if any(not letter.isprintable() for letter in contents.command_line):
        raise UnusableImage("the kernel's command line has characters that cannot be printed", hint="use plain text")


def _stated_size(kernel: File) -> int:
    """Return how many bytes KERNEL, a bzImage, has at least (https://docs.kernel.org/arch/x86/boot.html)."""
    head = kernel.read(0x1F1, 7)
    setup_sectors, paragraphs = head[0] or 4, int.from_bytes(head[3:7], "little")
    return (1 + setup_sectors) * SECTOR + max(0, paragraphs - 1) * 16 + 1  # the last 16 bytes need not be whole


def _check_length(command_line: str, initrds: tuple[str, ...], firmware: tuple[Firmware, ...]) -> None:
    length = len(command_line.encode()) + (_LONGER_ROOT if _CD_ROOT.search(command_line) else 0)
    in_front = max(
        len(grub.in_front(_KERNEL)) if "bios" in firmware else 0,
        len(systemd_boot.in_front(initrds)) if "uefi" in firmware else 0,
    )
    most = _LONGEST_COMMAND_LINE - in_front
    if length > most:
        raise UnusableImage(
            f"the kernel's command line has {length} bytes, and at most {most} come through to it",
            hint="make it shorter",
        )


def _volume_size(files: dict[str, Content]) -> int:
    try:
        return smallest_volume(files, fat32=True)
    except DoesNotFit as error:
        raise UnusableImage(
            f"the partition for the kernel cannot hold it: {error}", hint="make the kernel and the initramfs smaller"
        ) from error


def _boot_partition(kind: UUID, name: str, files: dict[str, Content], offset: int, guids: UUID) -> NewPartition:
    size = _volume_size(files)
    content = fat_volume(
        size,
        files,
        hidden_sectors=offset // SECTOR,
        label=name.upper(),
        fat32=True,
        moment=source_date(),
        serial=guids.int & 0xFFFF_FFFF,
    )
    return NewPartition(kind, name, size, content)


def _whole(size: int) -> int:
    return -(-size // SECTOR) * SECTOR
