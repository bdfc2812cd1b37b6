# SPDX-License-Identifier: Apache-2.0
"""The disks that lkcloud writes itself, judged by the tools of others."""

import hashlib
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkcloud.disk.assemble.fat import fat_volume, smallest_volume
from lkcloud.sandbox.tinydisk import MIB, write_esp_disk, write_tiny_disk

FILES = {
    "EFI/BOOT/BOOTX64.EFI": b"loader" * 1000,
    "EFI/Linux/debian 12, kernel 6.1.0-56.efi": b"image" * 20_000,
    "EFI/Linux/debian 12, kernel 6.1.0-57.efi": b"other" * 20_000,
    "loader/entries/größe.conf": b"title lkcloud\n",
    "empty": b"",
}


def check(path: Path) -> None:
    """Let sgdisk, fsck.fat and mtools judge the disk at PATH, whose file system begins at 1 MiB."""
    verdict = subprocess.run(["sgdisk", "-v", path], capture_output=True, text=True, check=True).stdout
    assert "No problems found" in verdict, verdict
    volume = path.with_suffix(".fat")
    details = subprocess.run(["sgdisk", "-i", "1", path], capture_output=True, text=True, check=True).stdout
    assert "(EFI system partition)" in details
    sectors = int(details.partition("Partition size: ")[2].split()[0])
    with path.open("rb") as disk:
        disk.seek(MIB)
        volume.write_bytes(disk.read(sectors * 512))
    verdict = subprocess.run(["fsck.fat", "-n", "-v", volume], capture_output=True, text=True, check=True).stdout
    assert "Checking for unused clusters" in verdict


def content(path: Path, name: str) -> bytes:
    return subprocess.run(["mtype", "-i", f"{path}@@1M", f"::{name}"], capture_output=True, check=True).stdout


def test_the_tiny_disk_is_valid_to_the_tools_of_others(tmp_path: Path) -> None:
    path = tmp_path / "tiny.raw"
    write_tiny_disk(path)
    check(path)
    listing = subprocess.run(
        ["mdir", "-b", "-i", f"{path}@@1M", "::/EFI/BOOT"], capture_output=True, text=True, check=True
    )
    assert listing.stdout.split() == ["::/EFI/BOOT/BOOTX64.EFI"]


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        write_tiny_disk(tmp_path / name, size=5 * MIB, message="hello")
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    write_tiny_disk(tmp_path / "other", size=5 * MIB, message="hallo")
    digests.append(hashlib.sha256((tmp_path / "other").read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("size", [3 * MIB, 4 * MIB + 512, 64 * 1024 * MIB])
def test_the_tiny_disk_has_the_size_asked_for_and_little_data(tmp_path: Path, size: int) -> None:
    path = tmp_path / "tiny.raw"
    write_tiny_disk(path, size=size)
    assert path.stat().st_size == size
    assert path.stat().st_blocks * 512 <= 64 * 1024
    check(path)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.raw"
    write_tiny_disk(path, message="x" * 390)
    with pytest.raises(ValueError, match="does not fit into 440"):
        write_tiny_disk(path, message="x" * 400)
    with pytest.raises(ValueError, match="no room"):
        write_tiny_disk(path, size=2 * MIB)
    with pytest.raises(ValueError, match="multiple of 512"):
        write_tiny_disk(path, size=4 * MIB + 1)
    with pytest.raises(ValueError, match="ascii"):
        write_tiny_disk(path, message="größe")


@pytest.mark.parametrize("ballast", [0, 40 * MIB], ids=["FAT12", "FAT16"])
def test_mtools_reads_back_what_the_writer_wrote(tmp_path: Path, ballast: int) -> None:
    path = tmp_path / "esp.raw"
    files = FILES | {"ballast": bytes(ballast)}
    write_esp_disk(path, files)
    check(path)
    for name, data in files.items():
        if name.isascii():  # mtools takes names in the terminal's character set
            assert content(path, name) == data, name


def test_paths_that_cannot_be_files_are_refused() -> None:
    with pytest.raises(ValueError, match="is a file"):
        fat_volume(MIB, {"a": b"", "a/b": b""}, hidden_sectors=0, label="ESP")
    with pytest.raises(ValueError, match="not the path of one file"):
        fat_volume(MIB, {"a/": b""}, hidden_sectors=0, label="ESP")
    with pytest.raises(ValueError, match="do not fit"):
        fat_volume(MIB, {"a": bytes(MIB)}, hidden_sectors=0, label="ESP")


@given(st.lists(st.integers(0, 6 * MIB), max_size=8))
@settings(deadline=None, max_examples=30)
def test_the_smallest_volume_holds_its_files_and_a_smaller_one_does_not(lengths: list[int]) -> None:
    files = {f"folder/{number}": bytes(length) for number, length in enumerate(lengths)}
    size = smallest_volume(files)
    pieces = fat_volume(size, files, hidden_sectors=0, label="ESP")
    assert max(piece.end for piece in pieces) <= size
    ordered = sorted(pieces, key=lambda piece: piece.offset)
    assert all(one.end <= other.offset for one, other in pairwise(ordered))
    if size > MIB:
        with pytest.raises(ValueError, match="do not fit"):
            fat_volume(size - MIB, files, hidden_sectors=0, label="ESP")
