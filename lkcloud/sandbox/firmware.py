# SPDX-License-Identifier: Apache-2.0
"""Where this system keeps the UEFI firmware for QEMU."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

Architecture = Literal["x86_64", "arm64"]

EMULATOR = {"x86_64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}
"""QEMU's program for an architecture."""

_TARGET = {"x86_64": "x86_64", "arm64": "aarch64"}
"""QEMU's name of an architecture in firmware descriptions."""

_KNOWN: dict[Architecture, tuple[tuple[str, str], ...]] = {
    # The builds for 2 MB of flash boot about a second faster under TCG than those for 4 MB, so they come first; the
    # descriptions of Debian name the others only.
    "x86_64": (
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),  # Debian, Ubuntu
        ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),  # Fedora
        ("/usr/share/edk2/x64/OVMF_CODE.fd", "/usr/share/edk2/x64/OVMF_VARS.fd"),  # Arch Linux, until 2024
        ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),  # openSUSE
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),  # Debian, Ubuntu
        ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),  # Arch Linux
        ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),  # openSUSE
    ),
    "arm64": (
        ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),  # Debian, Ubuntu
        ("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"),  # Fedora
        ("/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"),  # Arch Linux
        ("/usr/share/qemu/aavmf-aarch64-code.bin", "/usr/share/qemu/aavmf-aarch64-vars.bin"),  # openSUSE
    ),
}


@dataclass(frozen=True, slots=True)
class Flash:
    """A UEFI firmware: its code, and the variable store that each machine gets a copy of."""

    code: Path
    variables: Path
    format: str = "raw"


class _File(BaseModel):
    filename: Path
    format: str = "raw"


class _Mapping(BaseModel):
    device: Literal["flash"]
    executable: _File
    nvram_template: _File = Field(alias="nvram-template")


class _Target(BaseModel):
    architecture: str


class _Description(BaseModel):
    """What is needed of QEMU's docs/interop/firmware.json."""

    interfaces: list[str] = Field(alias="interface-types")
    mapping: _Mapping
    targets: list[_Target]
    features: list[str]


def find(architecture: Architecture) -> Flash | None:
    """Return a UEFI firmware for ARCHITECTURE that does not insist on Secure Boot, or None if there is none."""
    return next(_candidates(architecture), None)


def _candidates(architecture: Architecture) -> Iterator[Flash]:
    for code, variables in _KNOWN[architecture]:
        flash = Flash(Path(code), Path(variables))
        if flash.code.is_file() and flash.variables.is_file():
            yield flash
    for folder in _description_folders(architecture):
        for file in sorted(folder.glob("*.json")):
            described = _described(file, architecture)
            if described:
                yield described


def _description_folders(architecture: Architecture) -> Iterator[Path]:
    """Yield where firmware describes itself: for the system, and beside a QEMU that was installed elsewhere."""
    yield Path("/etc/qemu/firmware")
    yield Path("/usr/share/qemu/firmware")
    emulator = shutil.which(EMULATOR[architecture])
    if emulator:
        yield Path(emulator).resolve().parent.parent / "share/qemu/firmware"


def _described(file: Path, architecture: Architecture) -> Flash | None:
    try:
        description = _Description.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        # Another kind of firmware (memory, BIOS) or a description that is not ours to correct.
        return None
    code, variables = description.mapping.executable, description.mapping.nvram_template
    if (
        "uefi" not in description.interfaces
        or all(target.architecture != _TARGET[architecture] for target in description.targets)
        or {"requires-smm", "secure-boot", "enrolled-keys"} & set(description.features)
        or code.format != variables.format
        or not (code.filename.is_file() and variables.filename.is_file())
    ):
        return None
    return Flash(code.filename, variables.filename, code.format)
