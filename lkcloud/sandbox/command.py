# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line for a machine, and what must be installed for it."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lkcloud.errors import UsageError
from lkcloud.sandbox import firmware as uefi
from lkcloud.sandbox.firmware import EMULATOR, Architecture

Accelerator = Literal["tcg", "kvm"]
Bus = Literal["nvme", "virtio", "virtio-scsi"]
Firmware = Literal["bios", "uefi"]
DiskFormat = Literal["raw", "qcow2", "vpc", "vmdk", "vhdx"]
"""As QEMU calls them."""

_PACKAGES = {"x86_64": ("qemu-system-x86", "ovmf"), "arm64": ("qemu-system-arm", "qemu-efi-aarch64")}
"""Debian's packages of QEMU and of its UEFI firmware."""


@dataclass(frozen=True, slots=True)
class Drive:
    """A disk of the machine; the first one is booted from."""

    path: Path
    format: DiskFormat = "raw"


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a machine is made of."""

    drives: Sequence[Drive]
    firmware: Firmware
    architecture: Architecture = "x86_64"
    memory_mib: int = 512
    bus: Bus = "nvme"


def missing(architecture: Architecture, firmware: Firmware) -> list[str]:
    """Return the Debian packages that are missing to run such a machine: none if it can run."""
    emulator_package, firmware_package = _PACKAGES[architecture]
    packages = [] if shutil.which(EMULATOR[architecture]) else [emulator_package]
    if firmware == "uefi" and uefi.find(architecture) is None:
        packages.append(firmware_package)
    return packages


def demand(architecture: Architecture, firmware: Firmware) -> None:
    """Raise UsageError naming what to install if such a machine cannot run here, or anywhere."""
    if architecture == "arm64" and firmware == "bios":
        raise UsageError("no arm64 machine boots by BIOS", hint="boot it by UEFI")
    packages = missing(architecture, firmware)
    if packages:
        raise UsageError(
            f"QEMU for {architecture} machines with {firmware.upper()} is not installed",
            hint=f"on Debian or Ubuntu: apt install {' '.join(packages)}",
        )


def command(hardware: Hardware, accelerator: Accelerator, home: Path) -> list[str]:
    """Return the command that runs HARDWARE with its serial port on stdout and no network.

    What of the UEFI firmware the machine may write is a copy in HOME. Raises UsageError if something is not installed.
    Options: https://www.qemu.org/docs/master/system/invocation.html .
    """
    demand(hardware.architecture, hardware.firmware)
    return list(_command(hardware, accelerator, home))


def _command(hardware: Hardware, accelerator: Accelerator, home: Path) -> Iterator[str]:
    emulated = accelerator == "tcg"
    yield EMULATOR[hardware.architecture]
    yield from ("-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-nic", "none")
    yield from ("-serial", "stdio", "-no-reboot", "-rtc", "base=utc", "-smp", "1", "-m", str(hardware.memory_mib))
    yield from ("-accel", "tcg,thread=single" if emulated else "kvm")
    if hardware.architecture == "x86_64":
        # Clouds have a display adapter, and GRUB waits for a key if it wants one and finds none.
        yield from ("-machine", "q35", "-vga", "std", "-cpu", "max" if emulated else "host")
    else:
        # KVM has the interrupt controller of the host only; TCG is faster with the older one.
        yield from ("-machine", "virt" if emulated else "virt,gic-version=host")
        yield from ("-cpu", "cortex-a72" if emulated else "host")
        # Without a menu this firmware waits five seconds for a key; with one, as long as is said
        # (GetFrontPageTimeoutFromQemu in OvmfPkg/Library/QemuBootOrderLib of https://github.com/tianocore/edk2).
        yield from ("-boot", "menu=on,splash-time=0")
    if hardware.firmware == "uefi":
        yield from _firmware(hardware.architecture, home, emulated=emulated)
    if hardware.bus == "virtio-scsi":
        # The one controller on which QEMU then puts every disk.
        yield from ("-device", "virtio-scsi-pci")
    for number, drive in enumerate(hardware.drives):
        yield from _drive(number, drive, hardware.bus)


def _firmware(architecture: Architecture, home: Path, *, emulated: bool) -> Iterator[str]:
    flash = uefi.find(architecture)
    assert flash is not None
    if emulated and architecture == "x86_64" and flash.format == "raw":
        # Writing to flash costs TCG a quarter of the time a start takes. As ROM, OVMF keeps variables in memory for
        # as long as this machine lives. They come first in the whole of it, and the code follows:
        # https://github.com/tianocore/edk2/blob/master/OvmfPkg/OvmfPkgX64.fdf .
        whole = home / "uefi-firmware"
        whole.write_bytes(flash.variables.read_bytes() + flash.code.read_bytes())
        yield from ("-bios", str(whole.absolute()))
        return
    variables = home / "uefi-variables"
    shutil.copyfile(flash.variables, variables)
    code = f"if=pflash,unit=0,format={flash.format},readonly=on,file={_escaped(flash.code)}"
    yield from ("-drive", code)
    yield from ("-drive", f"if=pflash,unit=1,format={flash.format},file={_escaped(variables)}")


def _drive(number: int, drive: Drive, bus: Bus) -> Iterator[str]:
    # snapshot=on opens the file read-only; what the guest writes goes to an unlinked file below TMPDIR.
    options = f"if=none,id=drive{number},snapshot=on,format={drive.format},file={_escaped(drive.path)}"
    if drive.format == "vpc":
        # Some VHDs state their size by cylinders, heads and sectors too, which cannot say every size.
        options += ",force_size_calc=current_size"
    model = {"nvme": "nvme", "virtio": "virtio-blk-pci", "virtio-scsi": "scsi-hd"}[bus]
    yield from ("-drive", options)
    yield from ("-device", f"{model},drive=drive{number},serial=lkcloud{number},bootindex={number}")


def _escaped(path: Path) -> str:
    """Return PATH as a value of a QEMU option, where a comma ends a value and two mean one."""
    return str(path.absolute()).replace(",", ",,")
