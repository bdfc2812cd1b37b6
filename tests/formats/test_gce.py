# SPDX-License-Identifier: Apache-2.0
"""The Compute Engine tarball is the one that GNU tar makes, and all readers of tar archives see the disk in it."""

import gzip
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import tracemalloc
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkcloud.disk import open_disk
from lkcloud.errors import UnusableImage
from lkcloud.formats import gce
from tests.formats.described import Described

GIB = 1024**3
TIB = 1024**4
PAGE = 4096

RawMaker = Callable[[int, Mapping[int, bytes]], Path]

GNU_TAR = ("tar", "--format=oldgnu", "-S", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=0644")


@pytest.fixture(scope="session")
def holes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where GNU tar cannot see what lkcloud sees: it takes the file system's word for where holes are."""
    path = tmp_path_factory.mktemp("holes") / "file"
    with path.open("wb") as file:
        file.seek(5 * PAGE)
        file.write(b"x")
        file.truncate(GIB)
        found = os.lseek(file.fileno(), 0, os.SEEK_DATA), os.lseek(file.fileno(), 5 * PAGE, os.SEEK_HOLE)
    if found != (5 * PAGE, 6 * PAGE):
        pytest.skip("needs temporary files on a file system with holes in pages of 4 KiB, such as ext4, XFS or Btrfs")
    if b"GNU tar" not in subprocess.run(["tar", "--version"], capture_output=True, check=True).stdout:
        pytest.skip("needs GNU tar")


def by_lkcloud(raw: Path) -> bytes:
    with open_disk(raw) as disk:
        layout = gce.tarball(disk)
        return layout.read(0, layout.size)


def by_gnu_tar(raw: Path) -> bytes:
    """Extend the file RAW to whole GiB and return the archive of it."""
    os.truncate(raw, gce.padded_size(raw.stat().st_size))
    return subprocess.run([*GNU_TAR, "-cf", "-", raw.name], cwd=raw.parent, capture_output=True, check=True).stdout


def assert_same(raw: Path) -> bytes:
    mine = by_lkcloud(raw)
    theirs = by_gnu_tar(raw)
    assert len(mine) == len(theirs)
    differing = next((place for place in range(0, len(mine), 512) if mine[place:][:512] != theirs[place:][:512]), None)
    assert differing is None
    return mine


@pytest.mark.parametrize(
    ("size", "padded"),
    [(0, 0), (1, GIB), (GIB - 1, GIB), (GIB, GIB), (GIB + 1, 2 * GIB), (10 * GIB, 10 * GIB), (8 * TIB, 8 * TIB)],
)
def test_sizes_are_whole_gib_and_an_aligned_disk_does_not_grow(size: int, padded: int) -> None:
    assert gce.padded_size(size) == padded


@pytest.mark.usefixtures("holes")
@pytest.mark.parametrize(
    ("size", "offsets"),
    [
        (GIB, []),
        (GIB, [0]),
        (GIB, [GIB - 1]),
        (GIB, [0, GIB - 1]),
        (GIB, [GIB // 2]),
        (GIB - 1, [GIB - 2]),
        (GIB + 1, [GIB]),
        (GIB + 513, [3, GIB + 512]),
        (700, [0, 699]),
        (1, [0]),
        (8 * GIB - 1, [0]),  # 8^11 is the first number that needs more than 11 octal digits
        (8 * GIB, [8 * GIB - 1]),
        (8 * GIB + 1, [8 * GIB - PAGE, 8 * GIB]),
        (100 * GIB, [PAGE, 9 * GIB, 63 * GIB, 100 * GIB - 1]),
        (3 * TIB, [2 * TIB]),
    ],
)
def test_it_is_what_gnu_tar_writes(size: int, offsets: Sequence[int], make_raw: RawMaker) -> None:
    archive = assert_same(make_raw(size, dict.fromkeys(offsets, b"x")))
    assert archive[156:157] == b"S"
    assert len(archive) % 10240 == 0


@pytest.mark.usefixtures("holes")
@pytest.mark.parametrize("count", [2, 3, 4, 5, 23, 24, 25, 26, 45, 46, 47, 300])
def test_the_map_goes_on_in_blocks_of_its_own(count: int, make_raw: RawMaker) -> None:
    """Four entries are in the header and 21 in each block that follows; the last one is the end of the disk."""
    archive = assert_same(make_raw(GIB, {2 * PAGE * number: b"%d" % number for number in range(count)}))
    blocks = max(0, -(-(count + 1 - 4) // 21))
    assert archive[(1 + blocks) * 512 :].startswith(b"0\0")


@st.composite
def extent_maps(draw: st.DrawFn) -> tuple[int, dict[int, int]]:
    """The size of a disk and the lengths of its pieces of data by their offsets, neither of them aligned."""
    size = draw(st.integers(1, 3 * GIB) | st.sampled_from([GIB, 2 * GIB, 9 * GIB, GIB - 1, GIB + PAGE]))
    offsets = draw(st.lists(st.integers(0, min(size - 1, 3_000_000)) | st.integers(0, size - 1), max_size=60))
    return size, {offset: min(draw(st.integers(1, 3 * PAGE)), size - offset) for offset in offsets}


@pytest.mark.usefixtures("holes")
@settings(max_examples=60, deadline=None)
@given(extent_maps())
def test_any_disk_is_what_gnu_tar_writes(disk: tuple[int, dict[int, int]]) -> None:
    size, pieces = disk
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "disk.raw")
        with raw.open("wb") as file:
            for offset, length in pieces.items():
                file.seek(offset)
                file.write(b"\x5a" * length)
            file.truncate(size)
        assert_same(raw)


def test_a_disk_without_holes_is_an_ordinary_member_as_it_is_for_gnu_tar(tmp_path: Path) -> None:
    """The blocks of the file are only claimed, which is enough for tar to take it for one without holes."""
    raw = tmp_path / "disk.raw"
    with raw.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, GIB)
        except OSError as error:
            pytest.skip(f"needs a file system that can claim 1 GiB: {error.strerror}")
    if raw.stat().st_blocks * 512 < GIB:
        pytest.skip("needs a file system that claims blocks")
    with subprocess.Popen([*GNU_TAR, "-cf", "-", raw.name], cwd=tmp_path, stdout=subprocess.PIPE) as tar:
        assert tar.stdout
        theirs = tar.stdout.read(512)
        tar.kill()
    layout = gce.tarball(Described(GIB, array("Q", [0, GIB])))
    assert layout.read(0, 512) == theirs
    behind = layout.size - GIB - 512
    assert layout.read(GIB + 510, 2 + behind) == b"ZZ" + bytes(behind)
    assert behind >= 1024
    assert layout.size % 10240 == 0


@pytest.mark.parametrize("hole", [0, GIB - PAGE])
def test_one_hole_makes_a_disk_sparse(hole: int) -> None:
    bounds = [PAGE, GIB] if hole == 0 else [0, GIB - PAGE]
    layout = gce.tarball(Described(GIB, array("Q", bounds)))
    assert layout.read(156, 1) == b"S"


def test_more_than_8_gib_of_data_is_told_in_binary(tmp_path: Path) -> None:
    """All of the archive but its first record is left a hole, so that no bytes need be written."""
    layout = gce.tarball(Described(10 * GIB, array("Q", [PAGE, 9 * GIB])))
    archive = tmp_path / "disk.tar"
    archive.write_bytes(layout.read(0, 10240))
    os.truncate(archive, layout.size)
    listed = subprocess.run(["tar", "-tvf", archive], capture_output=True, text=True, check=True).stdout
    assert listed.split()[2] == str(10 * GIB)
    with tarfile.open(archive) as opened:
        assert [(member.name, member.size) for member in opened] == [("disk.raw", 10 * GIB)]
    assert layout.read(124, 12) == b"\x80" + (9 * GIB - PAGE).to_bytes(11, "big")


def test_extents_that_are_not_in_pages_are_widened_to_pages(make_raw: RawMaker) -> None:
    """A tar reader takes each extent in whole blocks of 512 bytes, one after the other."""
    loose = Described(GIB, array("Q", [1, 2, 4000, 4097, 8200, 8300, 20000, 20001]))
    tight = Described(GIB, array("Q", [0, 3 * PAGE, 4 * PAGE, 5 * PAGE]))
    one, other = gce.tarball(loose), gce.tarball(tight)
    assert one.read(0, one.size) == other.read(0, other.size)


def test_a_disk_of_no_bytes_is_refused() -> None:
    with pytest.raises(UnusableImage) as caught:
        gce.tarball(Described(0, array("Q")))
    assert caught.value.hint


def test_many_extents_take_little_memory() -> None:
    count = 50_000
    disk = Described(4 * GIB, array("Q", (bound for n in range(count) for bound in (2 * n * PAGE, (2 * n + 1) * PAGE))))
    tracemalloc.start()
    try:
        layout = gce.tarball(disk)
        peak = tracemalloc.get_traced_memory()[1]
        data = layout.read(layout.size - 20 * PAGE, 10 * PAGE)
    finally:
        tracemalloc.stop()
    assert peak < 80 * count
    assert data == b"\x5a" * len(data)


@pytest.fixture
def disk(make_raw: RawMaker) -> Path:
    """A disk of no whole GiB with 60 extents, at its first and its last byte among them."""
    pieces = {number * 4 * PAGE + 7: os.urandom(2 * PAGE) for number in range(1, 59)}
    return make_raw(GIB - 12345, {0: b"first", **pieces, GIB - 12346: b"x"})


@pytest.fixture
def archive(disk: Path, tmp_path: Path) -> Path:
    """The archive of the disk, in a folder of its own."""
    path = tmp_path / "archive" / "disk.tar"
    path.parent.mkdir()
    path.write_bytes(by_lkcloud(disk))
    return path


def assert_extracted(archive: Path, disk: Path) -> None:
    """Assert that beside ARCHIVE is DISK, padded to whole GiB and as sparse."""
    extracted = archive.with_name("disk.raw")
    assert extracted.stat().st_size == GIB
    assert extracted.stat().st_blocks * 512 < 2 * 1024**2
    os.truncate(disk, GIB)
    with open_disk(disk) as one, open_disk(extracted) as other:
        assert len(one.extents()) == 60
        assert one.content().digest == other.content().digest


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_a_tar_program_extracts_the_disk_and_its_holes(program: str, archive: Path, disk: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip("bsdtar is missing: apt-get install libarchive-tools")
    subprocess.run([program, "-xf", archive], cwd=archive.parent, check=True)
    assert_extracted(archive, disk)


def test_pythons_tarfile_extracts_the_disk_and_its_holes(archive: Path, disk: Path) -> None:
    with tarfile.open(archive) as opened:
        member = opened.getmember("disk.raw")
        assert (member.mode, member.uid, member.gid, member.mtime) == (0o644, 0, 0, 0)
        opened.extractall(archive.parent, filter="data")
    assert_extracted(archive, disk)


@pytest.mark.long
def test_go_reads_the_same_bytes_as_from_a_tar_without_holes(archive: Path, disk: Path) -> None:
    """tar-split is a Go program with a copy of Go's archive/tar; it writes down name, size and CRC-64 of members."""
    if shutil.which("tar-split") is None:
        pytest.skip("tar-split is missing: apt-get install tar-split")
    seen = disk.with_name("seen.json.gz")
    command = ["tar-split", "disasm", "--no-stdout", "--output", str(seen)]

    def members() -> list[dict[str, object]]:
        entries = map(json.loads, gzip.decompress(seen.read_bytes()).splitlines())
        return [{**entry, "position": 0} for entry in entries if entry["type"] == 1]

    subprocess.run([*command, str(archive)], check=True, capture_output=True)
    sparse = members()
    os.truncate(disk, GIB)
    with subprocess.Popen(["tar", "-cf", "-", disk.name], cwd=disk.parent, stdout=subprocess.PIPE) as tar:
        subprocess.run([*command, "-"], stdin=tar.stdout, check=True, capture_output=True)
    assert sparse == members()
    assert [(member["name"], member["size"]) for member in sparse] == [("disk.raw", GIB)]
