# SPDX-License-Identifier: Apache-2.0
"""What LinuxKit's builds put out, of Debian's kernel and busybox: kernel with initramfs, and ISOs."""

import shutil
from pathlib import Path

import pytest

from lkcloud.sandbox.tinydisk.machine_code import efi_program
from tests.images import BUSYBOX, COMMAND_LINE, SAY_AND_POWER_OFF, init_script, initramfs, kernel
from tests.readiness.isos import ISOLINUX, efi_volume, genisoimage, run, written, xorriso

BIOS_LOADERS = Path("/usr/lib/grub/i386-pc/boot.img")
UEFI_LOADERS = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")


def need_loaders() -> None:
    for file, package in ((BIOS_LOADERS, "grub-pc-bin"), (UEFI_LOADERS, "systemd-boot-efi")):
        if not file.exists():
            pytest.skip(f"needs the Debian package {package}")
    if shutil.which("grub-mkimage") is None:
        pytest.skip("needs the Debian package grub-common")


def small_kernel(*, efi: bool = True, words64: bool = True) -> bytes:
    """Return what has the headers of a bzImage and starts nothing."""
    content = bytearray(b"kernel" * 10_000)
    content[:2] = b"MZ" if efi else b"\xea\x05"
    content[0x1F1] = 1
    content[0x1F4:0x1F8] = ((len(content) - 1024) // 16).to_bytes(4, "little")
    content[0x1FE:0x200] = b"\x55\xaa"
    content[0x202:0x208] = b"HdrS\x0c\x02"
    content[0x236:0x238] = b"\x01\0" if words64 else b"\0\0"
    return bytes(content)


def kernel_and_initrd(
    folder: Path, *, name: str = "os", real: bool = False, script: str = SAY_AND_POWER_OFF, line: str = COMMAND_LINE
) -> Path:
    """Write what LinuxKit's `kernel+initrd` is to FOLDER, and return the name of the build there; REAL ones boot."""
    need_loaders()
    written(
        folder,
        {
            f"{name}-kernel": kernel().read_bytes() if real else small_kernel(),
            f"{name}-initrd.img": initramfs(script) if real else b"initramfs" * 5_000,
            f"{name}-cmdline": f"{line}\n".encode(),
        },
    )
    return folder / name


def iso_bios(path: Path, *, hybrid: bool = True) -> Path:
    """Write LinuxKit's `iso-bios` with a system that boots."""
    need_loaders()
    if not ISOLINUX.exists():
        pytest.skip("needs the Debian package isolinux")
    menu = f"DEFAULT linux\nLABEL linux\n    KERNEL /vmlinuz64\n    INITRD /initrd.img\n    APPEND {COMMAND_LINE}\n"
    files = {
        "vmlinuz64": kernel().read_bytes(),
        "initrd.img": initramfs(SAY_AND_POWER_OFF),
        "isolinux/isolinux.bin": ISOLINUX.read_bytes(),
        "isolinux/isolinux.cfg": menu.encode(),
    }
    boot = ("-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4")
    tree = written(path.with_suffix(".tree"), files)
    genisoimage(path, tree, "-l", "-J", "-R", *boot, "-boot-info-table", "-V", "LINUXKIT")
    if hybrid:
        run("isohybrid", path, package="syslinux-utils")
    return path


def iso_efi(
    path: Path, *, script: str = SAY_AND_POWER_OFF, rest: dict[str, bytes] | None = None, line: str = ""
) -> Path:
    """Write LinuxKit's `iso-efi-initrd` with a system that boots, and with REST on it; LINE is said to the kernel too.

    Its own loader is none: what boots is put together from what that would start.
    """
    need_loaders()
    files = {
        "kernel": kernel().read_bytes(),
        "initrd.img": initramfs(script, _modules() if rest else {}),
        **(rest or {}),
    }
    tree = written(path.with_suffix(".tree"), files)
    return _efi_cd(path, tree, f"linuxefi /kernel {COMMAND_LINE} {line} text\n\tinitrdefi /initrd.img\n")


def iso_root(path: Path, kernel_file: Path, *, script: str = SAY_AND_POWER_OFF) -> Path:
    """Write LinuxKit's `iso-efi` with a system that boots: its root file system is the ISO, and it has no initramfs.

    The kernel in KERNEL_FILE has to read the disk and the ISO without modules.
    """
    need_loaders()
    if not BUSYBOX.exists():
        pytest.skip("needs the Debian package busybox-static")
    programs = {"bin/busybox": BUSYBOX.read_bytes(), "sbin/init": init_script(script).encode()}
    tree = written(path.with_suffix(".tree"), programs | {"boot/kernel": kernel_file.read_bytes()})
    for name in programs:
        (tree / name).chmod(0o755)
    for name in ("sh", "mount", "poweroff", "uname"):
        (tree / "bin" / name).symlink_to("busybox")
    for name in ("dev", "proc", "sys"):
        (tree / name).mkdir()
    return _efi_cd(path, tree, f"linuxefi /boot/kernel {COMMAND_LINE} root=/dev/sr0 text\n")


def _efi_cd(path: Path, tree: Path, entry: str) -> Path:
    """Write an ISO of TREE that UEFI starts as a CD, where the loader's menu has ENTRY."""
    menu = f"set timeout=0\nset gfxpayload=text\nmenuentry 'LinuxKit ISO Image' {{\n\t{entry}}}\n"
    written(tree, {"EFI/BOOT/grub.cfg": menu.encode()})
    efi_volume(tree / "boot.img", {"BOOTX64.EFI": efi_program("not this one")})
    hidden = ("-hide", "boot.img", "-hide", "boot.catalog")
    return xorriso(path, tree, "-R", *hidden, "-e", "boot.img", "-no-emul-boot")


def _modules() -> dict[str, bytes]:
    """Return what the kernel needs to read an ISO, which it does not have built in."""
    tree = kernel().parent.parent / "lib/modules"
    found = sorted(tree.rglob("isofs.ko*")) + sorted(tree.rglob("cdrom.ko*"))
    return {file.name: file.read_bytes() for file in found}
