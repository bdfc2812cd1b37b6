# SPDX-License-Identifier: Apache-2.0
"""What is read of ISO 9660 file systems, against the files that they were made of and what bsdtar takes out."""

import os
import struct
from pathlib import Path

import pytest

from lkcloud.disk.inspect.window import Window
from lkcloud.disk.linux.iso9660 import SECTOR, Iso
from lkcloud.disk.linux.iso_tree import IsoTree
from lkcloud.disk.linux.tree import open_tree, read_text
from tests.inspect.memory_disk import MemoryDisk
from tests.readiness.isos import genisoimage, odd_files, run, written, xorriso
from tests.readiness.test_trees import content


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_files(tmp_path_factory.mktemp("files"))


def opened(data: bytes | bytearray) -> Iso:
    iso = Iso.open(Window(MemoryDisk(data), 0, len(data)))
    assert iso is not None
    return iso


def read(iso: Iso) -> dict[str, bytes | str | None]:
    """Return all that ISO has: what is in files, where links lead, None for folders."""
    return {
        path: None if entry.is_folder else f"-> {entry.target}" if entry.is_link else content(iso.file(entry))
        for path, entry in iso.walk()
    }


def on_disk(tree: Path) -> dict[str, bytes | str | None]:
    """Return the same of the folder TREE."""
    found: dict[str, bytes | str | None] = {}
    for path in tree.rglob("*"):
        name = path.relative_to(tree).as_posix()
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"  # noqa: PTH115 - Path.readlink leaves out what it thinks is of no use
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


def unpacked(iso: Path, options: str = "") -> Path:
    """Return a folder with what bsdtar takes out of ISO."""
    tree = iso.with_suffix(".unpacked")
    tree.mkdir()
    run("bsdtar", "-x", "-f", iso, "-C", tree, *(("--options", options) if options else ()), package="libarchive-tools")
    return tree


@pytest.mark.parametrize(
    "options",
    [(), ("-J", "-joliet-long"), ("-iso-level", "4")],
    ids=["rock ridge", "with joliet", "long names below"],
)
def test_every_file_by_its_name_of_rock_ridge(files: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    path = xorriso(tmp_path / "x.iso", files, "-R", *options)
    iso = opened(path.read_bytes())
    found = read(iso)
    assert found == on_disk(files)
    listed = run("xorriso", "-indev", path, "-find", "/", "-exec", "echo", package="xorriso").splitlines()
    assert {f"'/{name}'" for name in found} | {"'/'"} == set(listed)
    assert not iso.exhausted


def test_folders_that_are_recorded_elsewhere_for_their_depth(files: Path, tmp_path: Path) -> None:
    # genisoimage never ends on a link that needs more than one record.
    path = genisoimage(tmp_path / "x.iso", files, "-R", "-m", "long-link")
    expected = on_disk(files) | {"rr_moved": None}
    del expected["long-link"]
    assert read(opened(path.read_bytes())) == expected


def test_names_of_joliet(files: Path, tmp_path: Path) -> None:
    path = genisoimage(tmp_path / "x.iso", files, "-J", "-joliet-long", "-D", "-input-charset", "utf-8")
    found = read(opened(path.read_bytes()))
    assert found == on_disk(unpacked(path))
    assert found["grüße/été ☃.txt"] == b"letters"
    assert found["mixed.Case.name.tar.gz"] == b"dots"
    assert len(found) > 700


def test_names_of_iso_9660_alone(files: Path, tmp_path: Path) -> None:
    path = genisoimage(tmp_path / "x.iso", files, "-l", "-D", "-input-charset", "utf-8")
    found = read(opened(path.read_bytes()))
    assert found == on_disk(unpacked(path))
    assert found["UPPER.TXT"] == b"upper"
    assert found["USR/LIB/OS_RELEASE"] == b"ID=x\n"


def test_paths(files: Path, tmp_path: Path) -> None:
    data = xorriso(tmp_path / "x.iso", files, "-R").read_bytes()
    tree = open_tree(Window(MemoryDisk(data), 0, len(data)), "iso9660")
    assert isinstance(tree, IsoTree)
    assert set(tree.names("")) == {path.name for path in files.iterdir()}
    assert len(tree.names("/many/")) == 700
    for path in ("usr/lib/os-release", "lib/os-release", "absolute", "usr/up", "long-link", "USR/Lib/OS-Release"):
        assert read_text(tree, path) == "ID=x\n"
        assert tree.has(path)
    for path in ("loop", "broken"):
        assert tree.file(path) is None
        assert tree.has(path)
    for path in ("nothing", "usr/nothing", "empty/nothing", "loop/nothing", "many", ""):
        assert tree.file(path) is None
    assert tree.names("empty") == ()
    assert not tree.exhausted


def test_case_counts_where_there_are_both(tmp_path: Path) -> None:
    files = written(tmp_path / "files", {"a": b"small", "A": b"large"})
    data = xorriso(tmp_path / "x.iso", files, "-R").read_bytes()
    tree = IsoTree(opened(data))
    assert (content(tree.file("a")), content(tree.file("A"))) == (b"small", b"large")


def test_a_file_in_several_pieces(tmp_path: Path) -> None:
    """As files of 4 GiB and more are recorded: a record for each piece, all but the last with a mark."""
    files = {"aa.bin": b"a" * SECTOR * 2, "bb.bin": b"b" * 3000, "cc.bin": b"c" * 50}
    path = genisoimage(tmp_path / "x.iso", written(tmp_path / "files", files))
    data = bytearray(path.read_bytes())
    for name in (b"AA.BIN;1", b"BB.BIN;1"):
        start = data.index(name) - 33
        data[start + 25] |= 0x80
        data[start + 33 : start + 35] = b"CC"
    found = read(opened(data))
    assert found == {"CC.BIN": b"".join(files.values())}
    tree = IsoTree(opened(data))
    file = tree.file("cc.bin")
    assert file is not None
    assert file.size == 4096 + 3000 + 50
    assert file.read(4090, 3010) == b"a" * 6 + b"b" * 3000 + b"c" * 4
    assert file.read(7146, 1) == file.read(-1, 5) == b""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("small")
    return xorriso(folder / "x.iso", written(folder / "files", {"folder/file": b"x" * 100}), "-R").read_bytes()


def record(data: bytes, name: bytes) -> int:
    """Return where the record of NAME, as ISO 9660 has it, begins."""
    return data.index(bytes((len(name),)) + name) - 32


def test_records_with_what_a_cd_rom_xa_has_in_front(small: bytes) -> None:
    """14 bytes in each record in front of what Rock Ridge says, and in the first one a number that says so."""
    data = bytearray(small)
    root = struct.unpack_from("<I", data, 16 * SECTOR + 156 + 2)[0]
    folder = struct.unpack_from("<I", data, record(data, b"FOLDER") + 2)[0]
    for block in (root, folder):
        sector, position, records = data[block * SECTOR : (block + 1) * SECTOR], 0, bytearray()
        while length := sector[position]:
            end = 33 + sector[position + 32]
            end += end & 1
            one = sector[position : position + end] + bytes(14) + sector[position + end : position + length]
            one[0] += 14
            if block == root and position == 0:
                one[one.index(b"SP\x07\x01\xbe\xef") + 6] = 14
            records += one
            position += length
        data[block * SECTOR : (block + 1) * SECTOR] = records + bytes(SECTOR - len(records))
    assert read(opened(data)) == read(opened(small)) == {"folder": None, "folder/file": b"x" * 100}


def test_a_file_that_ends_behind_the_disk_is_short(small: bytes) -> None:
    data = bytearray(small)
    struct.pack_into("<I", data, record(data, b"FILE.;1") + 10, 2**32 - 1)
    file = IsoTree(opened(data)).file("folder/file")
    assert file is not None
    assert file.size == 2**32 - 1
    assert 100 < len(content(file)) < len(data)
    struct.pack_into("<I", data, record(data, b"FILE.;1") + 2, 2**32 - 1)
    file = IsoTree(opened(data)).file("folder/file")
    assert file is not None
    assert content(file) == b""


def test_a_folder_in_itself_has_an_end(small: bytes) -> None:
    data = bytearray(small)
    root = struct.unpack_from("<I", data, 16 * SECTOR + 156 + 2)[0]
    struct.pack_into("<I", data, record(data, b"FOLDER") + 2, root)
    iso = opened(data)
    assert [path for path, _ in iso.walk()] == ["folder"]
    tree = IsoTree(iso)
    assert tree.has("folder/" * 60)
    assert not tree.has("folder/" * 70)


def test_a_folder_that_is_too_large_is_not_read_whole(small: bytes) -> None:
    data = bytearray(small)
    struct.pack_into("<I", data, record(data, b"FOLDER") + 10, 2**31)
    iso = opened(data)
    assert [path for path, _ in iso.walk()] == ["folder", "folder/file"]
    assert iso.exhausted


def test_records_that_go_on_for_ever(small: bytes) -> None:
    """A continuation that leads to itself is followed so often and no more."""
    data = bytearray(small)
    start = record(data, b"FILE.;1")
    area = start + 33 + 7 + 1 - 1
    sector, inside = divmod(area, SECTOR)
    entry = b"CE\x1c\x01" + struct.pack("<I4xI4xI4x", sector, inside, 28)
    data[area : area + 28] = entry
    disk = MemoryDisk(data)
    iso = Iso.open(Window(disk, 0, disk.size))
    assert iso is not None
    # Its name of Rock Ridge is gone.
    assert [path for path, _ in iso.walk()] == ["folder", "folder/FILE"]
    assert disk.bytes_read < 256 * 1024


def test_what_is_no_iso_9660_is_none(small: bytes) -> None:
    for data in (b"", bytes(40_000), small[: 16 * SECTOR + 100], small[:32769] + b"X" + small[32770:]):
        assert Iso.open(Window(MemoryDisk(data), 0, len(data))) is None
