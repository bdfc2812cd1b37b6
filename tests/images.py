# SPDX-License-Identifier: Apache-2.0
"""Real bootable disks for tests, made in a second without root, loop device or mount.

The Linux ones are the kernel of Debian's linux-image-cloud-amd64 with busybox as its only program. A test whose disk
needs a program or a package that is not there is skipped, and the reason names the package.
"""

import gzip
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import pytest

from lkcloud.disk.assemble import grub
from lkcloud.disk.assemble.gpt import ALIGNMENT, BIOS_BOOT, LINUX_DATA
from lkcloud.formats.layout import Literal
from lkcloud.sandbox.tinydisk import NewPartition, esp, write_esp_disk, write_gpt_disk, write_tiny_disk
from lkcloud.sandbox.tinydisk.machine_code import bios_boot_code
from tests import debian

BUSYBOX = Path("/bin/busybox")
EFI_STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
GRUB = Path("/usr/lib/grub/i386-pc")

TINY_SAYS = "lkcloud-boot-ok"
LINUX_SAYS = "lkcloud-boot-ok linux"
SAY_AND_POWER_OFF = f"""
[ -d /sys/firmware/efi ] && firmware=uefi || firmware=bios
echo "{LINUX_SAYS} kernel=$(uname -r) firmware=$firmware" > /dev/console
poweroff -f
"""

COMMAND_LINE = "console=ttyS0,115200n8 panic=-1 quiet loglevel=3 tsc=reliable no_timer_check mitigations=off"
OS_RELEASE = 'ID=lkcloud-test\nNAME="lkcloud test"\nPRETTY_NAME="lkcloud test 1.0"\nVERSION_ID=1.0\n'
MIB = 1024 * 1024
SECTOR = 512


def tiny(path: Path) -> Path:
    """Write the tiny disk: BIOS and UEFI, prints TINY_SAYS and the firmware, powers off."""
    write_tiny_disk(path, message=TINY_SAYS)
    return path


def tiny_bios(path: Path, *, message: str, size: int = 4 * MIB, stays_on: bool = False) -> None:
    """Write a disk like the tiny one that boots by BIOS alone, and says MESSAGE.

    For tests to which the firmware does not matter: it is up in a tenth of a second, where UEFI takes a processor four.
    For a test that stops a machine it STAYS_ON: where it would power off it halts, and is not gone before.
    """
    code = bios_boot_code(f"{message} bios\r\n")
    if stays_on:
        power_off, halt = bytes.fromhex("eff4ebfd"), bytes.fromhex("f4f4ebfd")
        assert code.count(power_off) == 1
        code = code.replace(power_off, halt)
    write_esp_disk(path, {}, size=size, boot_code=code)


def debian_uki(path: Path, *, script: str = SAY_AND_POWER_OFF) -> Path:
    """Write a disk that boots by UEFI alone: a unified kernel image that runs SCRIPT by busybox's shell as init."""
    image = unified_kernel_image(kernel(), initramfs(script))
    write_esp_disk(path, {"EFI/BOOT/BOOTX64.EFI": image})
    return path


def debian_bios(path: Path, *, script: str = SAY_AND_POWER_OFF) -> Path:
    """Write a disk that boots by BIOS alone: GRUB, which starts a kernel that runs SCRIPT as init."""
    if shutil.which("grub-mkimage") is None or not GRUB.is_dir():
        pytest.skip("needs the Debian package grub-pc-bin")
    made = grub.grub(partition=2, sector=ALIGNMENT // SECTOR)
    files = {
        "vmlinuz": kernel().read_bytes(),
        "initrd": initramfs(script),
        grub.CONFIGURATION: grub.configuration("/vmlinuz", ("/initrd",), COMMAND_LINE).encode(),
    }
    data = esp(files, offset=2 * ALIGNMENT)
    partitions = [
        NewPartition(BIOS_BOOT, "grub", ALIGNMENT, (Literal(0, made.core),)),
        NewPartition(LINUX_DATA, "boot", data.size, data.content),
    ]
    write_gpt_disk(path, partitions, boot_code=made.boot_code)
    return path


def kernel() -> Path:
    """Return the kernel that linux-image-cloud-amd64 stands for now, downloaded if it is not in the cache."""
    release = kernel_release()
    return debian.unpacked(f"linux-image-{release}") / "boot" / f"vmlinuz-{release}"


@cache  # apt takes a second to answer
def kernel_release() -> str:
    """Return the release, such as `6.1.0-56-cloud-amd64`; the newest one in the cache where apt knows none."""
    depends = debian.output(["apt-cache", "depends", "linux-image-cloud-amd64"])
    if found := re.search(r"Depends: linux-image-(\S+)", depends):
        return found[1]
    cached = sorted(debian.CACHE.glob("linux-image-*-cloud-amd64"), key=lambda folder: folder.stat().st_mtime)
    if not cached:
        pytest.skip("needs the Debian package linux-image-cloud-amd64, which apt does not know here")
    return cached[-1].name.removeprefix("linux-image-")


def init_script(script: str) -> str:
    """Return a program for busybox's shell that mounts what is usual and runs SCRIPT."""
    return (
        f"#!/bin/sh\nmount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev\n{script}\n"
    )


def initramfs(script: str, files: Mapping[str, bytes] = MappingProxyType({}), *, busybox: Path = BUSYBOX) -> bytes:
    """Return a gzip-compressed cpio archive with BUSYBOX, an /init that runs SCRIPT, and FILES."""
    if not busybox.exists():
        pytest.skip("needs the Debian package busybox-static")
    archive = [_cpio_entry(folder, 0o040755) for folder in ("bin", "dev", "proc", "sys")]
    archive += [
        _cpio_entry("dev/console", 0o020600, device=(5, 1)),
        _cpio_entry("bin/busybox", 0o100755, busybox.read_bytes()),
        *(_cpio_entry(f"bin/{name}", 0o120777, b"busybox") for name in ("sh", "mount", "poweroff", "uname", "sleep")),
        _cpio_entry("init", 0o100755, init_script(script).encode()),
        *(_cpio_entry(name, 0o100644, content) for name, content in files.items()),
        _cpio_entry("TRAILER!!!", 0),
    ]
    return gzip.compress(b"".join(archive), mtime=0)


def unified_kernel_image(kernel_file: Path, initrd: bytes, command_line: str = COMMAND_LINE) -> bytes:
    """Return systemd's stub with the sections of a unified kernel image; without an initramfs if INITRD is empty."""
    if not EFI_STUB.exists():
        pytest.skip("needs the Debian package systemd-boot-efi")
    if shutil.which("objcopy") is None:
        pytest.skip("needs the Debian package binutils")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contents = {
            "osrel": OS_RELEASE.encode(),
            "uname": kernel_file.name.removeprefix("vmlinuz-").encode(),
            "cmdline": command_line.encode(),
            "linux": kernel_file.read_bytes(),
        }
        if initrd:
            contents["initrd"] = initrd
        arguments = []
        # The stub ends below this address; the kernel of 14 MiB and more does not, so each section follows the other.
        address = 0x100000
        for section, content in contents.items():
            (folder / section).write_bytes(content)
            arguments += ["--add-section", f".{section}={folder / section}"]
            arguments += ["--change-section-vma", f".{section}={address:#x}"]
            address += -(-len(content) // MIB) * MIB
        subprocess.run(["objcopy", *arguments, EFI_STUB, folder / "uki.efi"], check=True, capture_output=True)
        return (folder / "uki.efi").read_bytes()


def _cpio_entry(name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """Return one entry of a cpio archive in the `newc` form that the kernel unpacks (cpio(5)); all is root's."""
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
    header = "070701" + "".join(f"{field:08x}" for field in fields)
    return _padded(header.encode() + name.encode() + b"\0") + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
