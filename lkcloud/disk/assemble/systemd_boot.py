# SPDX-License-Identifier: Apache-2.0
"""systemd-boot for UEFI: the loader from its own package, and the entry that it starts by itself.

Source: https://uapi-group.org/specifications/specs/boot_loader_specification/ (type #1 entries)
"""

import os
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from lkcloud.disk.inspect.facts import Architecture
from lkcloud.errors import UnusableImage

FOLDERS = (Path("/usr/lib/systemd/boot/efi"), Path("/run/current-system/sw/lib/systemd/boot/efi"))
"""Where distributions put it; the second is NixOS's."""

FOLDER_VARIABLE = "LKCLOUD_SYSTEMD_BOOT"
"""Names one more folder, the first that is looked into: of another architecture, or where nothing can be installed."""


class _Names(NamedTuple):
    on_machine: str
    on_partition: str


_NAMES = MappingProxyType[Architecture, _Names](
    {
        "x86_64": _Names("systemd-bootx64.efi", "EFI/BOOT/BOOTX64.EFI"),
        "arm64": _Names("systemd-bootaa64.efi", "EFI/BOOT/BOOTAA64.EFI"),
    }
)


def loader_files(
    kernel: str, initrds: tuple[str, ...], command_line: str, *, architecture: Architecture
) -> dict[str, bytes]:
    """Return the files, by their paths, that start KERNEL with INITRDS, absolute paths, and COMMAND_LINE.

    Raises what `loader` raises.
    """
    lines = ["title Linux", f"linux {kernel}", *(f"initrd {initrd}" for initrd in initrds)]
    if command_line:
        # Quotes around the whole of a value are taken away, and the kernel shall see those of its words.
        quoted = command_line.startswith('"') and command_line.endswith('"')
        lines.append(f'options "{command_line}"' if quoted else f"options {command_line}")
    return {
        _NAMES[architecture].on_partition: loader(architecture).read_bytes(),
        "loader/loader.conf": b"timeout 0\n",
        "loader/entries/linux.conf": "\n".join((*lines, "")).encode(),
    }


def in_front(initrds: tuple[str, ...]) -> str:
    """Return what systemd-boot puts in front of a command line for INITRDS: Linux before 5.7 finds them by that."""
    return "".join(f"initrd={initrd} " for initrd in initrds)


def loader(architecture: Architecture) -> Path:
    """Return systemd-boot for ARCHITECTURE. Raises UnusableImage if it is not on this machine."""
    name = _NAMES[architecture].on_machine
    own = os.environ.get(FOLDER_VARIABLE)
    for folder in (*([Path(own)] if own else []), *FOLDERS):
        if (folder / name).is_file():
            return folder / name
    # Debian's package has the loaders of its own architecture alone.
    package = "systemd-boot-efi" + (":arm64" if architecture == "arm64" else "")
    bios = ", or make a disk for BIOS alone: --boots-by bios" if architecture == "x86_64" else ""
    where = f"in {own} ({FOLDER_VARIABLE}) or elsewhere " if own else ""
    raise UnusableImage(
        f"there is no systemd-boot ({name}) {where}on this machine",
        hint=f"install the Debian package {package}, or name the folder that has it in {FOLDER_VARIABLE}{bios}",
    )
