# SPDX-License-Identifier: Apache-2.0
"""The disks that tests use boot: QEMU starts them and the serial console shows their line."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.images import LINUX_SAYS, TINY_SAYS, kernel_release, tiny

OVMF = Path("/usr/share/OVMF")


def boot(path: Path, firmware: str, folder: Path) -> str:
    """Return what the machine wrote to its serial port until it powered off; emulated, since KVM may be broken."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("needs the Debian package qemu-system-x86")
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=single", "-cpu", "max", "-m", "256"]
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-monitor", "none"]
    command += ["-no-reboot", "-nic", "none", "-snapshot"]
    if firmware == "uefi":
        if not (OVMF / "OVMF_CODE.fd").exists():
            pytest.skip("needs the Debian package ovmf")
        variables = folder / "variables.fd"
        shutil.copyfile(OVMF / "OVMF_VARS.fd", variables)
        command += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF / 'OVMF_CODE.fd'}"]
        command += ["-drive", f"if=pflash,format=raw,file={variables}"]
    command += ["-drive", f"if=none,id=disk,format=raw,file={path}", "-device", "nvme,serial=1,drive=disk,bootindex=1"]
    machine = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True)
    return machine.stdout.decode("utf-8", "replace")


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_the_tiny_disk_boots_says_so_and_powers_off(tmp_path: Path, firmware: str) -> None:
    assert f"{TINY_SAYS} {firmware}\r\n" in boot(tiny(tmp_path / "tiny.raw"), firmware, tmp_path)


# In the clouds of tests/cli/test_linux_disks.py and test_push_kernel.py Linux boots in the short form, too.


@pytest.mark.long
def test_the_debian_kernel_image_boots_by_uefi(uki_disk: Path, tmp_path: Path) -> None:
    console = boot(uki_disk, "uefi", tmp_path)
    assert f"{LINUX_SAYS} kernel={kernel_release()} firmware=uefi" in console


@pytest.mark.long
def test_debian_boots_by_bios_from_grub(grub_disk: Path, tmp_path: Path) -> None:
    console = boot(grub_disk, "bios", tmp_path)
    assert f"{LINUX_SAYS} kernel={kernel_release()} firmware=bios" in console
