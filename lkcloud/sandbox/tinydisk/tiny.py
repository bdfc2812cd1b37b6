# SPDX-License-Identifier: Apache-2.0
"""The smallest disk that shows that a machine boots: it prints one line on the serial port and powers off."""

from pathlib import Path

from lkcloud.sandbox.tinydisk.esp import MIB, write_esp_disk
from lkcloud.sandbox.tinydisk.machine_code import bios_boot_code, efi_program


def write_tiny_disk(path: str | Path, *, size: int = 4 * MIB, message: str = "lkcloud-boot-ok") -> None:
    """Write a disk of SIZE bytes to PATH that boots by BIOS and by UEFI (x86_64).

    It prints `MESSAGE bios` or `MESSAGE uefi` on the first serial port and powers the machine off. MESSAGE is ASCII, at
    most 390 characters; SIZE is a multiple of 512 and at least 3 MiB. The file is sparse, 56 KiB of data, and the
    same for the same arguments. Raises ValueError for a size or a message that does not fit.
    """
    write_esp_disk(
        path,
        {"EFI/BOOT/BOOTX64.EFI": efi_program(f"{message} uefi\r\n")},
        size=size,
        boot_code=bios_boot_code(f"{message} bios\r\n"),
    )
