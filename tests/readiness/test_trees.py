# SPDX-License-Identifier: Apache-2.0
"""What is read of file systems that mke2fs wrote, against the files that it was given."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from lkcloud.disk import open_disk
from lkcloud.disk.inspect.window import Window
from lkcloud.disk.linux.feed import File
from lkcloud.disk.linux.paths import Pattern
from lkcloud.disk.linux.tree import Tree, matching, open_tree, read_text
from lkcloud.sandbox.tinydisk import MIB, esp
from tests.inspect.memory_disk import MemoryDisk


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    modules = root / "usr/lib/modules/6.1"
    modules.mkdir(parents=True)
    for number in range(1500):  # more than a block of a folder holds: it gets an index
        (modules / f"module-{number:05}-with-a-long-name.ko").touch()
    (root / "etc").mkdir()
    (root / "lib").symlink_to("usr/lib")
    (root / "usr/lib/os-release").write_text("ID=x\n")
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    (root / "absolute").symlink_to("/usr/lib/" + "./" * 40 + "os-release")  # too long to be in its inode
    (root / "loop").symlink_to("loop")
    (root / "large").write_bytes(os.urandom(9 * MIB))
    with (root / "sparse").open("wb") as file:
        file.seek(6 * MIB)
        file.write(b"middle")
        file.seek(12 * MIB)
        file.write(b"end")
    return root


def content(file: File | None) -> bytes:
    assert file is not None
    parts = []
    position = 0
    while part := file.read(position, MIB):
        parts.append(part)
        position += len(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ext4", ()),
        ("ext2", ()),
        ("ext3", ("-b", "1024")),
        ("ext4", ("-b", "1024", "-O", "meta_bg,^resize_inode")),
        ("ext4", ("-O", "^64bit", "-I", "128")),
        ("ext4", ("-O", "bigalloc")),
        ("ext4", ("-O", "^extents,^64bit")),
    ],
)
def test_files_of_an_ext_file_system(files: Path, tmp_path: Path, kind: str, options: tuple[str, ...]) -> None:
    if shutil.which("mke2fs") is None:
        pytest.skip("needs the Debian package e2fsprogs")
    path = tmp_path / "disk.raw"
    command = ["mke2fs", "-q", "-F", "-t", kind, *options, "-d", files, path, "48M"]
    subprocess.run(command, check=True, capture_output=True)
    with open_disk(path) as disk:
        tree = open_tree(Window(disk, 0, disk.size), kind)
        assert tree is not None
        assert content(tree.file("large")) == (files / "large").read_bytes()
        assert content(tree.file("sparse")) == (files / "sparse").read_bytes()
        assert set(tree.names("")) == {*os.listdir(files), "lost+found"}  # noqa: PTH208 - names, as the tree gives them
        assert len(tree.names("lib/modules/6.1")) == 1500
        assert tree.file("/lib/modules/6.1/module-01499-with-a-long-name.ko") is not None
        assert read_text(tree, "etc/os-release") == "ID=x\n"
        assert read_text(tree, "absolute") == "ID=x\n"
        assert list(matching(tree, Pattern("usr/*/os-*"))) == ["usr/lib/os-release"]
        assert tree.file("loop") is None
        assert tree.has("loop")
        for missing in ("nothing", "usr/nothing", "large/nothing", "etc/os-release/nothing"):
            assert not tree.has(missing)
            assert tree.file(missing) is None
        assert not tree.exhausted


def test_a_feature_that_is_not_known_is_not_read(tmp_path: Path) -> None:
    if shutil.which("mke2fs") is None:
        pytest.skip("needs the Debian package e2fsprogs")
    path = tmp_path / "disk.raw"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "inline_data", path, "8M"], check=True)
    data = bytearray(path.read_bytes())
    assert open_tree(Window(MemoryDisk(data), 0, len(data)), "ext4") is None
    struct.pack_into("<I", data, 1024 + 0x60, 0x0040)
    assert open_tree(Window(MemoryDisk(data), 0, len(data)), "ext4") is not None
    struct.pack_into("<I", data, 1024 + 0x60, 0x80000000)
    assert open_tree(Window(MemoryDisk(data), 0, len(data)), "ext4") is None


def test_files_of_a_fat_volume() -> None:
    partition = esp({"EFI/BOOT/BOOTX64.EFI": b"loader", "kernel": b"k" * 5000})
    disk = bytearray(partition.size)
    for piece in partition.content:
        disk[piece.offset : piece.offset + len(piece.data)] = piece.data
    tree: Tree | None = open_tree(Window(MemoryDisk(disk), 0, len(disk)), "vfat")
    assert tree is not None
    assert {name.upper() for name in tree.names("")} == {"EFI", "KERNEL"}
    assert content(tree.file("efi/boot/bootx64.efi")) == b"loader"
    assert content(tree.file("/kernel")) == b"k" * 5000
    assert tree.has("EFI")
    assert tree.file("EFI") is None
    assert not tree.has("EFI/nothing")


def test_other_file_systems_are_not_read() -> None:
    assert open_tree(Window(MemoryDisk(bytes(MIB)), 0, MIB), "btrfs") is None
    assert open_tree(Window(MemoryDisk(bytes(MIB)), 0, MIB), "ext4") is None
