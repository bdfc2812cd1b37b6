# SPDX-License-Identifier: Apache-2.0
"""Disks with Debian's cloud kernel that boot, and some that were broken on purpose."""

import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid5

import pytest

from lkcloud.disk.assemble.gpt import GUIDS, LINUX_DATA
from lkcloud.formats.layout import Literal
from lkcloud.sandbox.tinydisk import MIB, NewPartition, esp, write_esp_disk, write_gpt_disk
from tests.images import (
    BUSYBOX,
    COMMAND_LINE,
    SAY_AND_POWER_OFF,
    init_script,
    initramfs,
    kernel,
    kernel_release,
    unified_kernel_image,
)
from tests.inspect.tables import gpt_disk

SYSTEMD_BOOT = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
LOADER = "EFI/BOOT/BOOTX64.EFI"
ROOT = f"root=PARTUUID={uuid5(GUIDS, 'partition 2')} rw"
"""The second partition of a disk that `write_gpt_disk` writes."""


def with_root(path: Path, *, loader: str = LOADER, options: str = "") -> Path:
    """Write a disk whose kernel mounts an ext4 root file system by what it has built in, without an initramfs."""
    image = unified_kernel_image(kernel(), b"", f"{COMMAND_LINE} {ROOT} {options}".strip())
    root = NewPartition(LINUX_DATA, "root", 32 * MIB, tuple(_pieces(root_image(path.with_suffix(".ext4")))))
    write_gpt_disk(path, [esp({loader: image}), root])
    return path


def root_image(path: Path, *, size: int = 32 * MIB) -> Path:
    """Write an ext4 file system with busybox, which says that it is up and powers off."""
    if shutil.which("mke2fs") is None:
        pytest.skip("needs the Debian package e2fsprogs")
    if not BUSYBOX.exists():
        pytest.skip("needs the Debian package busybox-static")
    tree = path.with_suffix(".tree")
    for folder in ("bin", "sbin", "dev", "proc", "sys", "etc", "usr/lib", f"lib/modules/{kernel_release()}"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(BUSYBOX, tree / "bin/busybox")
    (tree / "bin/busybox").chmod(0o755)
    for name in ("sh", "mount", "poweroff", "uname"):
        (tree / "bin" / name).symlink_to("busybox")
    (tree / "sbin/init").write_text(init_script(SAY_AND_POWER_OFF))
    (tree / "sbin/init").chmod(0o755)
    (tree / "etc/os-release").symlink_to("../usr/lib/os-release")
    (tree / "usr/lib/os-release").write_text('NAME=test\nPRETTY_NAME="A test 1.0"\n')
    modules = tree / "lib/modules" / kernel_release()
    (modules / "modules.dep").write_text("kernel/drivers/net/ethernet/amazon/ena/ena.ko:\n")
    (modules / "kernel/drivers/net/ethernet/amazon/ena").mkdir(parents=True)
    (modules / "kernel/drivers/net/ethernet/amazon/ena/ena.ko").write_bytes(b"x")
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, path, f"{size // 1024}k"]
    subprocess.run(command, check=True, capture_output=True)
    return path


def with_kernel_and_initrd(path: Path, *, modules: Sequence[str] = ()) -> Path:
    """Write a disk as LinuxKit makes them: kernel, initramfs and command line beside a small loader."""
    if not SYSTEMD_BOOT.exists():
        pytest.skip("needs the Debian package systemd-boot-efi")
    release = kernel_release()
    tree = kernel().parent.parent / f"lib/modules/{release}/kernel"
    found = {file.stem.replace("-", "_"): file for file in tree.rglob("*.ko")}
    files = {f"lib/modules/{release}/kernel/{name}.ko": found[name].read_bytes() for name in modules}
    entry = f"title Linux\nlinux /kernel\ninitrd /initrd.img\noptions {COMMAND_LINE}\n"
    contents = {
        LOADER: SYSTEMD_BOOT.read_bytes(),
        "loader/loader.conf": b"timeout 0\n",
        "loader/entries/linux.conf": entry.encode(),
        "kernel": kernel().read_bytes(),
        "initrd.img": initramfs(SAY_AND_POWER_OFF, files),
    }
    write_esp_disk(path, contents)
    return path


def silent(path: Path) -> Path:
    """Write a disk that boots and says nothing on its serial port."""
    image = unified_kernel_image(kernel(), initramfs(SAY_AND_POWER_OFF), "panic=-1 quiet")
    write_esp_disk(path, {LOADER: image})
    return path


def for_another_processor(path: Path) -> Path:
    """Write a disk whose loader has the name of one for x86_64, and is one for arm64."""
    image = bytearray(unified_kernel_image(kernel(), initramfs(SAY_AND_POWER_OFF)))
    (start,) = struct.unpack_from("<I", image, 60)
    struct.pack_into("<H", image, start + 4, 0xAA64)
    write_esp_disk(path, {LOADER: bytes(image)})
    return path


def for_large_sectors(path: Path) -> Path:
    """Write a disk whose table is for sectors of 4096 bytes, with all else as it should be."""
    image = unified_kernel_image(kernel(), initramfs(SAY_AND_POWER_OFF))
    partition = esp({LOADER: image})
    disk = gpt_disk(partition.size + 4 * MIB, 4096, [(MIB // 4096, (MIB + partition.size) // 4096 - 1)])
    for piece in partition.content:
        disk[MIB + piece.offset : MIB + piece.offset + len(piece.data)] = piece.data
    path.write_bytes(disk)
    return path


def _pieces(image: Path) -> list[Literal]:
    """Return the blocks of a file that are not zeros."""
    data, size = image.read_bytes(), 64 * 1024
    blocks = ((start, data[start : start + size]) for start in range(0, len(data), size))
    return [Literal(start, block) for start, block in blocks if any(block)]
