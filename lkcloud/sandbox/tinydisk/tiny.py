# SPDX-License-Identifier: Apache-2.0
"""The smallest disk that shows that a machine boots: it prints one line on the serial port and powers off."""

from pathlib import Path

from lkcloud.sandbox.firmware import Architecture
from lkcloud.sandbox.tinydisk.esp import MIB, write_esp_disk
from lkcloud.sandbox.tinydisk.machine_code import bios_boot_code, efi_program


def write_tiny_disk(
    path: str | Path,
    *,
    size: int = 4 * MIB,
    message: str = "lkcloud-boot-ok",
    architecture: Architecture = "x86_64",
) -> None:
    """Write a disk of SIZE bytes to PATH that boots by UEFI and, if it is for x86_64, by BIOS.

    It prints `MESSAGE bios` or `MESSAGE uefi` on the first serial port and powers the machine off. MESSAGE is ASCII, at
    most 390 characters; SIZE is a multiple of 512 and at least 3 MiB. The file is sparse, 56 KiB of data, and the
    same for the same arguments. Raises ValueError for a size or a message that does not fit.
    """
    boot_code = bios_boot_code(f"{message} bios\r\n")  # Its limit of the message holds for every architecture.
    loader = {"x86_64": "BOOTX64.EFI", "arm64": "BOOTAA64.EFI"}[architecture]
    write_esp_disk(
        path,
        {f"EFI/BOOT/{loader}": efi_program(f"{message} uefi\r\n", architecture)},
        size=size,
        boot_code=boot_code if architecture == "x86_64" else b"",
    )
