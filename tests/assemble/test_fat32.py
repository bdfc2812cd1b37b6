# SPDX-License-Identifier: Apache-2.0
"""FAT32 volumes are what fsck.fat, mtools and our own reader take them for."""

import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkcloud.disk import open_disk
from lkcloud.disk.assemble.fat import DoesNotFit, fat_volume, smallest_volume
from lkcloud.disk.assemble.pieces import write_pieces
from lkcloud.disk.inspect.fat import Fat
from lkcloud.disk.inspect.window import Window
from lkcloud.sandbox.tinydisk import MIB

FILES = {
    "EFI/BOOT/BOOTX64.EFI": b"loader" * 5_000,
    "loader/entries/a long name with spaces.conf": b"title\n",
    "empty": b"",
    "loader/entries/grüße.conf": b"x",
}


def write(path: Path, files: Mapping[str, bytes], size: int | None = None, moment: int = 1_700_000_001) -> Path:
    size = size or smallest_volume(files, fat32=True)
    pieces = fat_volume(size, files, hidden_sectors=2048, label="ESP", fat32=True, moment=moment, serial=0x12345678)
    with path.open("wb") as file:
        file.truncate(size)
        write_pieces(pieces, file.fileno())
    return path


def tool(*command: str | Path, package: str) -> str:
    program = shutil.which(str(command[0]), path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        pytest.skip(f"needs the Debian package {package}")
    done = subprocess.run([program, *map(str, command[1:])], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# Of Microsoft's table, with a size at each side of its borders.
CLUSTERS = {33: 512, 260: 512, 261: 4096, 8192: 4096, 9000: 8192, 17_000: 16_384, 33_000: 32_768}


@pytest.mark.parametrize("size", CLUSTERS)
def test_fsck_finds_a_whole_fat32(tmp_path: Path, size: int) -> None:
    volume = write(tmp_path / "fat", FILES, size * MIB)
    with volume.open("rb") as file:
        head = file.read(32 * 512)
    assert head[: 3 * 512] == head[6 * 512 : 9 * 512]
    assert {head[sector * 512 + 510 : (sector + 1) * 512] for sector in range(3)} == {b"\x55\xaa"}
    said = tool("fsck.fat", "-nv", volume, package="dosfstools")
    assert "FATs, 32 bit entries" in said
    assert "9 files, " in said
    assert f"{CLUSTERS[size]} bytes per cluster" in said
    # It would say so of a wrong count of free clusters, and of a boot sector that differs from its copy.
    assert "free" not in said.lower().replace("checking free cluster summary", "")
    assert "differences" not in said.lower()


def test_mtools_reads_the_files_and_their_times(tmp_path: Path) -> None:
    volume = write(tmp_path / "fat", FILES)
    for path, content in FILES.items():
        read = subprocess.run(["mtype", "-i", volume, f"::/{path}"], capture_output=True, check=False).stdout
        assert read == content, path
    listed = tool("mdir", "-i", volume, "::/EFI/BOOT", package="mtools")
    assert datetime.fromtimestamp(1_700_000_001).strftime("%Y-%m-%d") in listed
    assert "1234-5678" in listed


@pytest.mark.parametrize(("moment", "date"), [(0, "1980-01-01"), (2**40, "2107-12-31")])
def test_times_that_fat_cannot_say(tmp_path: Path, moment: int, date: str) -> None:
    volume = write(tmp_path / "fat", FILES, moment=moment)
    assert date in tool("mdir", "-i", volume, "::/EFI", package="mtools")


def test_what_does_not_fit() -> None:
    with pytest.raises(DoesNotFit, match="no FAT volume can have"):
        fat_volume(32 * MIB, {}, hidden_sectors=0, label="ESP", fat32=True)
    with pytest.raises(DoesNotFit, match="do not fit"):
        fat_volume(33 * MIB, {"large": bytes(33 * MIB)}, hidden_sectors=0, label="ESP", fat32=True)


letters = st.characters(codec="utf-8", exclude_characters='/\\:*?"<>|.', exclude_categories=("Cc", "Cs"))
names = st.text(letters, min_size=1).map(lambda name: name[:40].upper())


@settings(max_examples=25, deadline=None)
@given(files=st.dictionaries(names, st.binary(max_size=3_000), max_size=12))
def test_any_files_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    files = {f"d/{name}": content for name, content in files.items()}
    volume = write(tmp_path_factory.mktemp("fat") / "volume", files)
    with open_disk(volume) as disk:
        fat = Fat.open(Window(disk, 0, disk.size))
        assert fat is not None
        found = {f"d/{entry.name}": fat.file(entry) for entry in (fat.list("d") if files else ())}
        assert {name: file.read(0, 4_000) for name, file in found.items()} == files
