# SPDX-License-Identifier: Apache-2.0
"""ISO images by the tools that others make them with, and trees of files to put into them."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from lkcloud.sandbox.tinydisk import MIB
from lkcloud.sandbox.tinydisk.machine_code import efi_program

ISOLINUX = Path("/usr/lib/ISOLINUX/isolinux.bin")
KERNEL, INITRD = b"kernel" * 20_000, b"initrd" * 300_000
LINE = "console=ttyS0 page_poison=1"


def run(*command: str | Path, package: str, cwd: Path | None = None) -> str:
    """Run COMMAND of the Debian PACKAGE and return what it prints."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"needs the Debian package {package}")
    done = subprocess.run([str(one) for one in command], check=True, capture_output=True, text=True, cwd=cwd)
    return done.stdout


def xorriso(path: Path, tree: Path, *options: str) -> Path:
    """Write an ISO of the files in TREE, with Rock Ridge unless told otherwise."""
    run("xorriso", "-as", "mkisofs", "-quiet", "-o", path, *options, tree, package="xorriso")
    return path


def genisoimage(path: Path, tree: Path, *options: str) -> Path:
    """Write an ISO of the files in TREE, with nothing but the names of ISO 9660 unless told otherwise."""
    run("genisoimage", "-quiet", "-o", path, *options, tree, package="genisoimage")
    return path


def written(tree: Path, files: Mapping[str, bytes]) -> Path:
    """Write FILES into TREE."""
    for name, content in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    return tree


def linuxkit_bios(path: Path, *, hybrid: bool = True, kernel: bytes = KERNEL) -> Path:
    """Write what LinuxKit's `iso-bios` is."""
    if not ISOLINUX.exists():
        pytest.skip("needs the Debian package isolinux")
    menu = f"DEFAULT linux\nLABEL linux\n    KERNEL /vmlinuz64\n    INITRD /initrd.img\n    APPEND {LINE}\n"
    tree = written(
        path.with_suffix(".tree"),
        {
            "vmlinuz64": kernel,
            "initrd.img": INITRD,
            "isolinux/isolinux.bin": ISOLINUX.read_bytes(),
            "isolinux/ldlinux.c32": b"module",
            "isolinux/isolinux.cfg": menu.encode(),
        },
    )
    boot = ("-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4")
    genisoimage(path, tree, "-l", "-J", "-R", *boot, "-boot-info-table", "-V", "LINUXKIT")
    if hybrid:
        run("isohybrid", path, package="syslinux-utils")
    return path


def linuxkit_efi(path: Path, *options: str, initrd: bool = True, kernel: bytes = KERNEL) -> Path:
    """Write what LinuxKit's `iso-efi-initrd` is, or `iso-efi`, whose root file system is the ISO itself."""
    files = {"kernel": kernel, "initrd.img": INITRD}
    menu = f"linuxefi /kernel {LINE} text\n\tinitrdefi /initrd.img\n"
    if not initrd:
        files = {"boot/kernel": kernel, "etc/os-release": b"NAME=LinuxKit\n", "bin/init": b"init"}
        menu = f"linuxefi /boot/kernel {LINE} root=/dev/sr0 text\n"
    menu = f'set timeout=0\nset gfxpayload=text\nmenuentry "LinuxKit ISO Image" {{\n\t{menu}}}\n'
    tree = written(path.with_suffix(".tree"), files | {"EFI/BOOT/grub.cfg": menu.encode()})
    efi_volume(tree / "boot.img", {"BOOTX64.EFI": efi_program("x")})
    hidden = ("-hide", "boot.img", "-hide", "boot.catalog")
    return xorriso(path, tree, "-R", *hidden, "-e", "boot.img", "-no-emul-boot", *options)


def efi_volume(path: Path, files: Mapping[str, bytes], size: int = MIB) -> Path:
    """Write a FAT volume with FILES; those without a folder in their names are in EFI/BOOT."""
    with path.open("wb") as file:
        file.truncate(size)
    run("mkfs.fat", path, package="dosfstools")
    with tempfile.TemporaryDirectory() as name:
        tree = written(Path(name), {one if "/" in one else f"EFI/BOOT/{one}": data for one, data in files.items()})
        run("mcopy", "-s", "-i", path, *tree.iterdir(), "::/", package="mtools")
    return path


def odd_files(tree: Path) -> Path:
    """Write files, folders and links as they are seldom."""
    deep = "/".join(f"level-{number}" for number in range(12))
    files = {
        "empty": b"",
        "large": os.urandom(3 * MIB + 17),
        "no extension.": b"dot",
        "UPPER.TXT": b"upper",
        "mixed.Case.name.tar.gz": b"dots",
        "l" * 230: b"long",
        "grüße/été ☃.txt": b"letters",
        f"{deep}/bottom": b"deep",
        f"{deep}/more/bottom": b"deeper",
        "usr/lib/os-release": b"ID=x\n",
    }
    written(tree, files | {f"many/file-{number:04}-of-many": str(number).encode() for number in range(700)})
    (tree / "lib").symlink_to("usr/lib")
    (tree / "absolute").symlink_to("/usr/lib/os-release")
    (tree / "usr/up").symlink_to("../usr/./lib/../lib/os-release")
    (tree / "long-link").symlink_to("./" * 10 + "/".join([*("usr/..",) * 120, "usr/lib/os-release"]))
    (tree / "loop").symlink_to("loop")
    (tree / "broken").symlink_to("nothing/there")
    return tree
