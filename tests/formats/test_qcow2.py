# SPDX-License-Identifier: Apache-2.0
"""qcow2 files, plain and compressed, as QEMU, libqcow, 7-Zip, nbdkit and a strict reader of the format see them."""

import json
import os
import random
import shutil
import struct
import subprocess
import tempfile
import tracemalloc
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyqcow
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from lkcloud.disk import open_disk
from lkcloud.errors import UnusableImage, UsageError
from lkcloud.formats import qcow2
from lkcloud.formats.convert import Converted, convert
from lkcloud.formats.layout import Readable
from lkcloud.formats.qcow2_compressed import Compression, compressed
from lkcloud.sandbox.command import Firmware
from tests import images
from tests.formats import nbdkit
from tests.formats.booting import assert_boots, need_machine
from tests.formats.described import Described

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB
CLUSTER = 64 * KIB
TABLE = 512 * MIB  # of the disk, whose clusters are in one table of the second level

RawMaker = Callable[[int, Mapping[int, bytes]], Path]


def noise(length: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length)


def half_noise(count: int) -> bytes:
    """COUNT clusters, of which one in three can be compressed, to a third."""
    return b"".join(noise(CLUSTER if n % 3 else 20 * KIB, n).ljust(CLUSTER, b"x") for n in range(count))


DISKS: dict[str, tuple[int, dict[int, bytes]]] = {
    "1 byte": (1, {0: b"x"}),
    "511 bytes": (511, {0: noise(511, 1)}),
    "a cluster - 1": (CLUSTER - 1, {CLUSTER - 2: b"x"}),
    "a cluster": (CLUSTER, {0: noise(CLUSTER, 2)}),
    "a cluster + 1": (CLUSTER + 1, {CLUSTER: b"x"}),
    "a table - 1": (TABLE - 1, {TABLE - 2: b"y"}),
    "a table": (TABLE, {0: noise(3 * CLUSTER, 3), TABLE - CLUSTER: b"y"}),
    "a table + 1": (TABLE + 1, {TABLE - 1: b"xy"}),
    "all zeros, a hole": (5 * MIB, {}),
    "all zeros, written": (5 * MIB, {0: bytes(5 * MIB)}),
    "dense": (3 * MIB + 5, {0: noise(3 * MIB + 5, 4)}),
    "partly compressible": (5 * MIB, {MIB: half_noise(45)}),
    "scattered": (
        1300 * MIB + 4096,
        {0: noise(70_000, 6), 7 * MIB + 123: noise(MIB, 7), 70 * MIB: bytes(MIB) + b"x", 1298 * MIB: b"y" * MIB},
    ),
}

FORMS = ("qcow2", "qcow2-zlib", "qcow2-zstd")
each_disk = pytest.mark.parametrize("name", DISKS)
each_form = pytest.mark.parametrize("form", FORMS)


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def write(raw: Path, form: str, level: int | None = None) -> Path:
    made(raw, form, level)
    return raw.with_name(f"out.{form}")


def made(raw: Path, form: str, level: int | None = None) -> Converted:
    with open_disk(raw) as disk:
        return convert(disk, raw.with_name(f"out.{form}"), format=form, compression_level=level, force=True)


def padded(size: int) -> int:
    return -(-size // 512) * 512


@each_form
@each_disk
def test_qemu_reads_the_disk_and_finds_no_fault(name: str, form: str, make_raw: RawMaker, qemu_img: str) -> None:
    size, _ = DISKS[name]
    raw = make_raw(*DISKS[name])
    output = write(raw, form)
    checked: dict[str, Any] = json.loads(run(qemu_img, "check", "-f", "qcow2", "--output=json", output))
    assert {"corruptions", "leaks", "check-errors"} & {key for key, value in checked.items() if value} == set()
    info: dict[str, Any] = json.loads(run(qemu_img, "info", "-f", "qcow2", "--output=json", output))
    assert info["virtual-size"] == padded(size)
    details = info["format-specific"]["data"]
    assert details["compat"] == "1.1"
    assert details["compression-type"] == ("zstd" if form == "qcow2-zstd" else "zlib")
    os.truncate(raw, padded(size))
    assert "identical" in run(qemu_img, "compare", "-f", "raw", "-F", "qcow2", raw, output)
    with open_disk(raw) as disk, open_disk(output) as back:
        assert back.content().digest == disk.content().digest


def windows(size: int, pieces: Mapping[int, bytes]) -> Sequence[int]:
    """The MiB of a disk of SIZE bytes to look at: all, or of a large one those around its data."""
    near = {
        at // MIB + beside for start, data in pieces.items() for at in (start, start + len(data)) for beside in (0, 1)
    }
    everything = range(-(-size // MIB))
    return everything if size < 20 * MIB else sorted({0, *near} & set(everything))


@each_disk
def test_libqcow_reads_the_disk(name: str, make_raw: RawMaker) -> None:
    """The plain one: of compressed clusters, qemu-img's own too, it takes some for zeros."""
    size, pieces = DISKS[name]
    raw = make_raw(size, pieces)
    reader = pyqcow.file()
    reader.open(str(write(raw, "qcow2")))
    try:
        assert reader.get_media_size() == padded(size)
        with open_disk(raw) as disk:
            for window in windows(size, pieces):
                start = window * MIB
                length = min(MIB, padded(size) - start)
                expected = disk.read(start, min(length, size - start)).ljust(length, b"\0")
                assert reader.read_buffer_at_offset(length, start) == expected
    finally:
        reader.close()


@pytest.mark.parametrize("form", ["qcow2", "qcow2-zlib"])
@pytest.mark.parametrize("name", [name for name, (size, _) in DISKS.items() if size < 20 * MIB])
def test_7_zip_reads_the_disk(name: str, form: str, make_raw: RawMaker) -> None:
    """Zstandard in qcow2 is an `Unsupported Method` for it."""
    if shutil.which("7zz") is None:
        pytest.skip("7zz is missing: apt-get install 7zip")
    size, pieces = DISKS[name]
    raw = make_raw(size, pieces)
    command: list[str | Path] = ["7zz", "x", "-tqcow", "-so", write(raw, form)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader, raw.open("rb") as file:
        assert reader.stdout
        for start in range(0, padded(size), MIB):
            expected = file.read(MIB).ljust(min(MIB, padded(size) - start), b"\0")
            assert reader.stdout.read(MIB) == expected, f"in the MiB from {start} on"
        assert not reader.stdout.read(1)
    assert reader.returncode == 0


NBDKITS = [(name, form) for name, (size, _) in DISKS.items() if CLUSTER < size < 20 * MIB for form in FORMS]
LARGE = pytest.param("scattered", "qcow2-zstd", marks=pytest.mark.long)


@pytest.mark.parametrize(("name", "form"), [*NBDKITS, LARGE])
def test_nbdkit_reads_the_disk(name: str, form: str, make_raw: RawMaker) -> None:
    """Disks of one cluster it refuses, qemu-img's own too: it takes their tables to be outside the file (1.42)."""
    size, pieces = DISKS[name]
    raw = make_raw(size, pieces)
    output = write(raw, form)
    os.truncate(raw, padded(size))
    assert "identical" in nbdkit.compare(raw, output)


class Reader:
    """Reads as the specification says, and refuses what it forbids."""

    def __init__(self, file: bytes) -> None:
        self.file = file
        (self.magic, version, bits, self.size, self.l1_size, self.l1_at) = struct.unpack_from(">4sI12xIQ4xIQ", file)
        features, header_length = struct.unpack_from(">Q20xI", file, 72)
        assert (self.magic, version, bits) == (b"QFI\xfb", 3, 16)
        assert header_length == 112
        self.zstd = file[104] == 1
        assert features == (8 if self.zstd else 0)
        assert not any(file[105:120]), "padding, and the end of the extensions"
        assert len(file) % CLUSTER == 0

    def cluster(self, index: int) -> bytes:
        l1, l2 = divmod(index, CLUSTER // 8)
        assert l1 < self.l1_size
        table = self._number(self.l1_at + 8 * l1)
        if not table:
            return bytes(CLUSTER)
        assert table >> 63 == 1
        entry = self._number((table & ~(1 << 63)) + 8 * l2)
        if entry >> 62 == 1:
            return self._decompressed(entry & (1 << 54) - 1, entry >> 54 & 0xFF)
        if not entry:
            return bytes(CLUSTER)
        assert entry >> 62 == 2
        at = entry & ~(1 << 63)
        assert at % CLUSTER == 0
        return self.file[at : at + CLUSTER]

    def read(self) -> bytes:
        clusters = range(-(-self.size // CLUSTER))
        return b"".join(map(self.cluster, clusters))[: self.size]

    def _number(self, at: int) -> int:
        return int.from_bytes(self.file[at : at + 8], "big")

    def _decompressed(self, at: int, more_sectors: int) -> bytes:
        packed = self.file[at : (at // 512 + 1 + more_sectors) * 512]
        if self.zstd:
            return zstandard.ZstdDecompressor().decompressobj().decompress(packed)
        # In small steps, so that nothing is there to look back to but the window of 4 KiB.
        inflater, output = zlib.decompressobj(-12), b""
        while not inflater.eof:
            output += inflater.decompress(packed, 1000)
            packed = inflater.unconsumed_tail
        return output


@each_form
def test_it_is_as_the_specification_says(form: str, make_raw: RawMaker) -> None:
    raw = make_raw(*DISKS["partly compressible"])
    levels = {"qcow2": [None], "qcow2-zlib": [1, 4, 9], "qcow2-zstd": [1, 3, 19]}[form]
    for level in levels:
        assert Reader(write(raw, form, level).read_bytes()).read() == raw.read_bytes(), level


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(FORMS),
    st.integers(1, 40 * CLUSTER),
    st.lists(st.tuples(st.integers(0, 40 * CLUSTER), st.integers(1, 3 * CLUSTER), st.booleans()), max_size=8),
)
def test_any_disk_is_read_back(form: str, size: int, pieces: list[tuple[int, int, bool]]) -> None:
    content = bytearray(size)
    for number, (offset, length, is_noise) in enumerate(pieces):
        end = min(offset + length, size)
        content[offset:end] = (noise(length, number) if is_noise else b"text " * length)[: max(end - offset, 0)]
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "disk.raw")
        raw.write_bytes(content)
        os.utime(raw, ns=(10**18, 10**18))
        assert Reader(write(raw, form).read_bytes()).read() == bytes(content).ljust(padded(size), b"\0")


@each_form
def test_the_bytes_do_not_depend_on_the_workers(form: str, make_raw: RawMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = make_raw(*DISKS["partly compressible"])
    found = set()
    for workers in ("1", "2", "5", "5"):
        monkeypatch.setenv("LKCLOUD_WORKERS", workers)
        found.add(write(raw, form).read_bytes())
    assert len(found) == 1


@each_form
def test_the_bytes_do_not_depend_on_holes(form: str, make_raw: RawMaker) -> None:
    size, pieces = 20 * MIB, {5 * MIB: half_noise(4), 9 * MIB + 5000: b"x", 20 * MIB - 1: b"y"}
    sparse = write(make_raw(size, pieces), form).read_bytes()
    assert write(make_raw(size, {0: bytes(size), **pieces}), form).read_bytes() == sparse


@each_form
def test_what_cannot_be_compressed_takes_its_own_room_and_no_more(form: str, make_raw: RawMaker) -> None:
    raw = make_raw(*DISKS["dense"])
    result = made(raw, form)
    assert result.size == raw.with_name(f"out.{form}").stat().st_size
    assert 3 * MIB <= result.data <= result.size <= 3 * MIB + CLUSTER + 6 * CLUSTER
    mixed = made(make_raw(*DISKS["partly compressible"]), form)
    if form != "qcow2":
        # 30 clusters of noise, and 15 that hold 20 KiB of it, which fill what is free before those.
        assert 30 * CLUSTER + 15 * 20 * KIB < mixed.size < 30 * CLUSTER + 15 * 21 * KIB + 7 * CLUSTER


@each_form
def test_a_huge_sparse_disk_is_a_small_file(form: str, make_raw: RawMaker, qemu_img: str) -> None:
    raw = make_raw(TIB, {0: b"first", TIB // 2 + 5: noise(MIB, 1), TIB - 4: b"last"})
    result = made(raw, form)
    output = raw.with_name(f"out.{form}")
    assert result.data < 1200 * KIB
    assert output.stat().st_blocks * 512 < 1300 * KIB
    assert json.loads(run(qemu_img, "info", "-f", "qcow2", "--output=json", output))["virtual-size"] == TIB
    assert "identical" in run(qemu_img, "compare", "-f", "raw", "-F", "qcow2", raw, output)


def test_tables_are_never_in_memory_at_once() -> None:
    """Those of this disk have a MiB, and a quarter of a MiB of counts."""
    disk = Described(2 * TIB, array("Q", [0, 8 * GIB, TIB, TIB + 1]))
    tracemalloc.start()
    try:
        layout = qcow2.plain(disk)
        assert layout.size > 8 * GIB + 1280 * KIB
        assert layout.read(layout.size - CLUSTER, 2) == b"\x5a\x5a"
        assert tracemalloc.get_traced_memory()[1] < MIB // 2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, qcow2.MAX_SIZE + 1])
@pytest.mark.parametrize(
    "make", [qcow2.plain, lambda disk: compressed(disk, Compression.ZSTD, 1)], ids=["plain", "compressed"]
)
def test_a_disk_that_no_qcow2_holds_is_refused(size: int, make: Callable[[Readable], object]) -> None:
    with pytest.raises(UnusableImage) as caught:
        make(Described(size, array("Q")))
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_the_largest_disk_has_tables_that_qemu_takes(tmp_path: Path, qemu_img: str) -> None:
    layout = qcow2.plain(Described(qcow2.MAX_SIZE, array("Q", [0, 1])))
    output = tmp_path / "disk.qcow2"
    with output.open("wb") as file:
        for extent in layout.data_ranges():
            file.seek(extent.offset)
            file.write(layout.read(*extent))
        file.truncate(layout.size)
    assert json.loads(run(qemu_img, "info", "-f", "qcow2", "--output=json", output))["virtual-size"] == qcow2.MAX_SIZE


@pytest.mark.parametrize(
    ("form", "level", "says"),
    [
        ("qcow2", 1, "qcow2 is not compressed"),
        ("qcow2-zlib", 0, "no compression level 0"),
        ("qcow2-zlib", 10, "no compression level 10"),
        ("qcow2-zstd", 0, "no compression level 0"),
        ("qcow2-zstd", 20, "no compression level 20"),
    ],
)
def test_a_level_that_the_format_does_not_have_is_refused(form: str, level: int, says: str, make_raw: RawMaker) -> None:
    raw = make_raw(1, {0: b"x"})
    with pytest.raises(UsageError, match=says) as caught:
        write(raw, form, level)
    assert caught.value.hint
    assert [path.name for path in raw.parent.iterdir()] == ["disk.raw"]


@each_form
@pytest.mark.parametrize("by", ["bios", "uefi"])
def test_it_boots(form: str, by: Firmware, tmp_path: Path) -> None:
    need_machine(by)
    output = write(images.tiny(tmp_path / "tiny.raw"), form)
    assert_boots(output, "qcow2", by, tmp_path / "vm")
