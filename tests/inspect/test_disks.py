# SPDX-License-Identifier: Apache-2.0
"""What inspect says of good disks, most of them made by the tools that people use."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from lkcloud.disk import open_disk
from lkcloud.disk.inspect import DiskFacts, Partition, inspect
from lkcloud.sandbox.tinydisk import MIB, write_esp_disk, write_tiny_disk
from lkcloud.sandbox.tinydisk.machine_code import efi_program
from tests.images import (
    COMMAND_LINE,
    initramfs,
    kernel,
    kernel_release,
    tiny,
    unified_kernel_image,
)
from tests.inspect.memory_disk import MemoryDisk
from tests.inspect.tables import gpt_disk, mbr


def look(path: Path) -> DiskFacts:
    with open_disk(path) as disk:
        return inspect(disk)


def run(*command: str | Path, package: str, data: bytes | None = None) -> None:
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"needs the Debian package {package}")
    subprocess.run(command, check=True, capture_output=True, input=data)


def empty(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_the_tiny_disk_boots_both_ways(tmp_path: Path) -> None:
    assert look(tiny(tmp_path / "tiny.raw")) == DiskFacts(
        size=4 * MIB,
        table="gpt",
        partitions=(Partition(1, MIB, MIB, "EFI system", "esp", "vfat"),),
        filesystem="",
        bios=True,
        efi_loaders=("BOOTX64.EFI",),
        architecture="x86_64",
        ukis=(),
        problems=(),
    )


def test_a_unified_kernel_image_tells_system_kernel_and_command_line(uki_disk: Path) -> None:
    facts = look(uki_disk)
    assert (facts.firmware, facts.efi_loaders, facts.architecture) == (("uefi",), ("BOOTX64.EFI",), "x86_64")
    (uki,) = facts.ukis
    assert uki.path == "EFI/BOOT/BOOTX64.EFI"
    assert uki.kernel_version == kernel_release()
    assert uki.command_line == COMMAND_LINE
    assert dict(uki.os_release) == {
        "ID": "lkcloud-test",
        "NAME": "lkcloud test",
        "PRETTY_NAME": "lkcloud test 1.0",
        "VERSION_ID": "1.0",
    }
    assert facts.problems == ()


def test_a_kernel_without_uname_section_tells_its_version_in_its_header(tmp_path: Path) -> None:
    image = tmp_path / "uki.efi"
    image.write_bytes(unified_kernel_image(kernel(), initramfs("")))
    run("objcopy", "--remove-section", ".uname", image, package="binutils")
    # Behind another folder with a long name, on a volume whose clusters are not all in one run.
    files = {"EFI/BOOT/BOOTX64.EFI": efi_program(""), "EFI/Linux/lkcloud_1.0+3.efi": image.read_bytes()}
    write_esp_disk(tmp_path / "uki.raw", files)
    facts = look(tmp_path / "uki.raw")
    assert [(uki.path, uki.kernel_version) for uki in facts.ukis] == [("EFI/Linux/lkcloud_1.0+3.efi", kernel_release())]


def test_grub_for_bios(grub_disk: Path) -> None:
    facts = look(grub_disk)
    assert (facts.firmware, facts.architecture, facts.problems) == (("bios",), "x86_64", ())
    assert [(part.type, part.filesystem) for part in facts.partitions] == [
        ("BIOS boot", ""),
        ("Linux filesystem", "vfat"),
    ]


def test_the_name_of_an_arm64_loader_and_its_machine_tell_the_architecture(tmp_path: Path) -> None:
    program = bytearray(efi_program(""))
    struct.pack_into("<H", program, 68, 0xAA64)
    write_esp_disk(tmp_path / "arm.raw", {"EFI/BOOT/BOOTAA64.EFI": bytes(program)})
    facts = look(tmp_path / "arm.raw")
    assert (facts.firmware, facts.efi_loaders, facts.architecture) == (("uefi",), ("BOOTAA64.EFI",), "arm64")
    assert facts.problems == ()


@pytest.mark.parametrize(
    ("code", "name", "architecture"),
    [
        ("8304", "Linux root (x86-64)", "x86_64"),
        ("8305", "Linux root (ARM64)", "arm64"),
        ("8314", "Linux /usr (x86-64)", "x86_64"),
        ("8316", "Linux /usr (ARM64)", "arm64"),
        ("8300", "Linux filesystem", None),
        ("8200", "Linux swap", None),
        ("8e00", "Linux LVM", None),
        ("fd00", "Linux RAID", None),
        ("8309", "Linux LUKS", None),
        ("8302", "Linux /home", None),
        ("8306", "Linux /srv", None),
        ("8310", "Linux /var", None),
        ("ea00", "Linux extended boot", None),
        ("ef02", "BIOS boot", None),
        ("0700", "Microsoft basic data", None),
        ("0c01", "Microsoft reserved", None),
        ("a501", "83bd6b9d-7f41-11dc-be0b-001560b84f0f", None),
    ],
)
def test_partition_types_that_sgdisk_writes(tmp_path: Path, code: str, name: str, architecture: str | None) -> None:
    path = empty(tmp_path / "disk.raw", 4 * MIB)
    run("sgdisk", "-n", "3:2048:4095", "-t", f"3:{code}", "-c", "3:Größe", path, package="gdisk")
    facts = look(path)
    assert facts.partitions == (Partition(3, MIB, MIB, name, "Größe", ""),)
    assert (facts.table, facts.architecture, facts.firmware, facts.problems) == ("gpt", architecture, (), ())


@pytest.mark.parametrize(
    ("name", "package", "command"),
    [
        ("ext4", "e2fsprogs", ["mke2fs", "-q", "-t", "ext4"]),
        ("ext3", "e2fsprogs", ["mke2fs", "-q", "-t", "ext3"]),
        ("ext2", "e2fsprogs", ["mke2fs", "-q", "-t", "ext2"]),
        ("swap", "util-linux", ["mkswap"]),
        ("vfat", "dosfstools", ["mkfs.fat", "-F", "16"]),
        ("vfat", "dosfstools", ["mkfs.fat", "-F", "32"]),
        ("vfat", "mtools", ["mformat", "-T", "819200", "-h", "16", "-s", "63", "::", "-i"]),
        ("xfs", "xfsprogs", ["mkfs.xfs"]),
        ("btrfs", "btrfs-progs", ["mkfs.btrfs"]),
        ("f2fs", "f2fs-tools", ["mkfs.f2fs"]),
        ("exfat", "exfatprogs", ["mkfs.exfat"]),
        ("ntfs", "ntfs-3g", ["mkfs.ntfs", "--fast", "--force"]),
        ("LUKS", "cryptsetup-bin", ["cryptsetup", "luksFormat", "--batch-mode", "--pbkdf=pbkdf2"]),
    ],
)
def test_a_file_system_without_a_table(tmp_path: Path, name: str, package: str, command: list[str]) -> None:
    path = empty(tmp_path / "disk.raw", 400 * MIB)
    run(*command, path, package=package, data=b"secret")
    facts = look(path)
    assert (facts.table, facts.filesystem, facts.partitions, facts.bios) == ("none", name, (), False)
    assert facts.problems == ()


@pytest.mark.parametrize(
    ("name", "package", "command"),
    [
        ("squashfs", "squashfs-tools", ["mksquashfs", "TREE", "DISK", "-quiet"]),
        ("erofs", "erofs-utils", ["mkfs.erofs", "DISK", "TREE"]),
        ("iso9660", "xorriso", ["xorriso", "-as", "mkisofs", "-o", "DISK", "TREE"]),
    ],
)
def test_a_file_system_made_of_a_tree(tmp_path: Path, name: str, package: str, command: list[str]) -> None:
    tree, path = tmp_path / "tree", tmp_path / "disk.raw"
    tree.mkdir()
    (tree / "file").write_bytes(bytes(range(256)) * 1000)
    run(*(str({"TREE": tree, "DISK": path}.get(word, word)) for word in command), package=package)
    facts = look(path)
    assert (facts.table, facts.filesystem) == ("none", name)


def test_files_on_fat32_that_mtools_wrote(tmp_path: Path) -> None:
    path = empty(tmp_path / "disk.raw", 64 * MIB)
    run("mkfs.fat", "-F", "32", "-s", "1", path, package="dosfstools")
    loader = tmp_path / "loader"
    loader.write_bytes(efi_program("x"))
    run("mmd", "-i", path, "::/EFI", "::/EFI/Boot", package="mtools")
    for name in ("fbx64.efi", "bootx64.efi", "bootia32.efi"):
        run("mcopy", "-i", path, loader, f"::/EFI/Boot/{name}", package="mtools")
    facts = look(path)
    assert (facts.filesystem, facts.firmware, facts.architecture) == ("vfat", ("uefi",), "x86_64")
    assert facts.efi_loaders == ("BOOTX64.EFI", "BOOTIA32.EFI")


def test_primary_and_logical_partitions_of_an_mbr() -> None:
    disk = bytearray(8 * MIB)
    disk[:512] = mbr((0, 0x83, 2048, 2048), (0, 0x05, 4096, 8192))
    # Each record names its partition relative to itself, and the next record relative to the first.
    disk[4096 * 512 : 4096 * 512 + 512] = mbr((0, 0x82, 63, 1000), (0, 0x05, 4096, 4096))
    disk[8192 * 512 : 8192 * 512 + 512] = mbr((0, 0x8E, 63, 2000))
    facts = inspect(MemoryDisk(disk))
    assert facts.table == "mbr"
    assert [(part.number, part.type, part.offset // 512, part.length // 512) for part in facts.partitions] == [
        (1, "Linux", 2048, 2048),
        (2, "Extended", 4096, 8192),
        (5, "Linux swap", 4159, 1000),
        (6, "Linux LVM", 8255, 2000),
    ]
    assert (facts.bios, facts.architecture, facts.problems) == (False, None, ())


def test_an_mbr_written_by_sfdisk(tmp_path: Path) -> None:
    path = empty(tmp_path / "disk.raw", 8 * MIB)
    layout = b"label: dos\nstart=2048, size=2048, type=ef\nstart=4096, type=5\nstart=6144, size=2048, type=83\n"
    run("sfdisk", path, package="fdisk", data=layout)
    facts = look(path)
    assert [(part.number, part.type) for part in facts.partitions] == [(1, "EFI system"), (2, "Extended"), (5, "Linux")]


def test_a_gpt_for_sectors_of_4096_bytes() -> None:
    facts = inspect(MemoryDisk(gpt_disk(8 * MIB, 4096, [(256, 511)])))
    assert facts.partitions == (Partition(1, MIB, MIB, "Linux filesystem", "p1", ""),)
    assert facts.problems == ("the GPT is for sectors of 4096 bytes: on a disk with sectors of 512 it is not seen",)


def test_a_large_disk_costs_a_few_reads(tmp_path: Path) -> None:
    write_tiny_disk(tmp_path / "large.raw", size=2**43)
    facts = look(tmp_path / "large.raw")
    assert (facts.size, facts.firmware, facts.problems) == (2**43, ("bios", "uefi"), ())
