# SPDX-License-Identifier: Apache-2.0
"""Stream-optimised VMDKs as QEMU, libvmdk and a reader of the stream see them."""

import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pyvmdk
from hypothesis import given, settings
from hypothesis import strategies as st

from lkcloud.disk import open_disk
from lkcloud.disk.extent import Extent, Extents
from lkcloud.errors import UnusableImage
from lkcloud.formats import vmdk
from lkcloud.formats.clusters import Batch
from lkcloud.formats.convert import convert

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB
GRAIN = 64 * KIB
TABLE = 32 * MIB  # of the disk, whose grains are in one grain table

RawMaker = Callable[[int, Mapping[int, bytes]], Path]


def noise(length: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length)


DISKS: dict[str, tuple[int, dict[int, bytes]]] = {
    "1 byte": (1, {0: b"x"}),
    "511 bytes": (511, {0: noise(511, 1)}),
    "64 KiB - 1": (GRAIN - 1, {GRAIN - 2: b"x"}),
    "64 KiB": (GRAIN, {0: noise(GRAIN, 2)}),
    "64 KiB + 1": (GRAIN + 1, {GRAIN: b"x"}),
    "1 MiB": (MIB, {MIB - 1: b"x"}),
    "a table - 1": (TABLE - 1, {0: b"x", TABLE - 2: b"y"}),
    "a table": (TABLE, {0: noise(3 * GRAIN, 3), TABLE - GRAIN: b"y"}),
    "a table + 1": (TABLE + 1, {TABLE - 1: b"xy"}),
    "all zeros, a hole": (5 * MIB, {}),
    "all zeros, written": (5 * MIB, {0: bytes(5 * MIB)}),
    "a table of zeros between": (3 * TABLE, {TABLE - 5: noise(10, 4), 3 * TABLE - 512: noise(512, 5)}),
    "full of noise": (TABLE + MIB, {0: noise(TABLE + MIB, 8)}),
    "scattered": (
        100 * MIB + 4096,
        {
            0: noise(70_000, 6),
            7 * MIB + 123: noise(3 * MIB, 7),
            70 * MIB: bytes(2 * MIB) + b"x",
            98 * MIB: b"y" * MIB,
        },
    ),
}

each_disk = pytest.mark.parametrize("name", DISKS)


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def write(raw: Path, level: int | None = None) -> Path:
    output = raw.with_name("out.vmdk")
    with open_disk(raw) as disk:
        convert(disk, output, format="vmdk", compression_level=level, force=True)
    return output


def padded(size: int) -> int:
    return -(-size // MIB) * MIB


class Silence:
    """A meter that nobody looks at."""

    def expect(self, total: int, done: int = 0) -> None: ...

    def advance(self, amount: int) -> None: ...

    def status(self, text: str) -> None: ...


@each_disk
def test_qemu_reads_the_disk(name: str, make_raw: RawMaker, qemu_img: str) -> None:
    raw = make_raw(*DISKS[name])
    output = write(raw)
    run(qemu_img, "check", "-f", "vmdk", output)
    info: dict[str, Any] = json.loads(run(qemu_img, "info", "-f", "vmdk", "--output=json", output))
    assert info["virtual-size"] == padded(DISKS[name][0])
    assert info["format-specific"]["data"]["create-type"] == "streamOptimized"
    os.truncate(raw, padded(DISKS[name][0]))
    assert "identical" in run(qemu_img, "compare", "-f", "raw", "-F", "vmdk", raw, output)


@each_disk
def test_libvmdk_reads_the_disk(name: str, make_raw: RawMaker) -> None:
    raw = make_raw(*DISKS[name])
    assert_same_by_libvmdk(raw, write(raw))


def assert_same_by_libvmdk(raw: Path, output: Path) -> None:
    """Assert that libvmdk finds in OUTPUT the disk RAW, and zeros behind it."""
    reader = pyvmdk.handle()
    reader.open(str(output))
    reader.open_extent_data_files()
    try:
        assert reader.get_disk_type() == STREAM_OPTIMISED
        with raw.open("rb") as file:
            size: int = reader.get_media_size()
            assert size == padded(raw.stat().st_size)
            for start in range(0, size, MIB):
                assert reader.read_buffer(MIB) == file.read(MIB).ljust(MIB, b"\0"), f"in the MiB from {start} on"
    finally:
        reader.close()


STREAM_OPTIMISED = 8  # libvmdk_disk_type of libvmdk/definitions.h


@each_disk
def test_7_zip_reads_the_disk(name: str, make_raw: RawMaker) -> None:
    if shutil.which("7zz") is None:
        pytest.skip("7zz is missing: apt-get install 7zip")
    raw = make_raw(*DISKS[name])
    command: list[str | Path] = ["7zz", "x", "-tvmdk", "-so", write(raw)]
    size = DISKS[name][0]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader, raw.open("rb") as file:
        assert reader.stdout
        for start in range(0, padded(size), MIB):
            assert reader.stdout.read(MIB) == file.read(MIB).ljust(MIB, b"\0"), f"in the MiB from {start} on"
        assert not reader.stdout.read(1)
    assert reader.returncode == 0


@each_disk
def test_the_stream_is_complete_and_its_tables_are_right(name: str, make_raw: RawMaker) -> None:
    """What an importer sees that reads the file once, from its start to its end."""
    size, _ = DISKS[name]
    raw = make_raw(*DISKS[name])
    stream = Stream(write(raw).read_bytes())
    assert stream.capacity == padded(size)
    with raw.open("rb") as file:
        content = file.read().ljust(padded(size), b"\0")
    grains = ((at, content[at : at + GRAIN]) for at in range(0, len(content), GRAIN))
    expected = {at: grain for at, grain in grains if grain != bytes(GRAIN)}
    assert stream.grains == expected
    assert list(stream.grains) == sorted(stream.grains)
    assert stream.found_by_tables() == stream.sectors


@dataclass
class Stream:
    """A VMDK read by its markers: the grains by their offsets in bytes, and at which sectors they stand."""

    data: bytes
    capacity: int = 0
    grains: dict[int, bytes] = field(default_factory=dict)
    sectors: dict[int, int] = field(default_factory=dict)
    tables: dict[int, tuple[int, ...]] = field(default_factory=dict)
    directory: tuple[int, tuple[int, ...]] = (0, ())
    footer: bytes = b""

    def __post_init__(self) -> None:
        header = self.data[:512]
        magic, version, flags, capacity, grain, start, length, entries = struct.unpack_from("<4sIIQQQQI", header)
        redundant, directory, overhead, unclean, ends, compression = struct.unpack_from("<QQQB4sH", header, 48)
        assert (magic, version, flags, grain, entries) == (b"KDMV", 3, 0x30001, 128, 512)
        assert (redundant, directory, unclean, ends, compression) == (0, 2**64 - 1, 0, b"\n \r\n", 1)
        assert not any(header[79:])
        assert (start, length) == (1, 20)
        self.capacity = capacity * 512
        at = overhead * 512
        assert at == 128 * 512
        assert not any(self.data[512 * 21 : at])
        while (end := self._take(at)) > at:
            at = end
        assert at == len(self.data), "nothing may stand behind the end of the stream"
        assert self.footer == header[:56] + struct.pack("<Q", self.directory[0]) + header[64:]

    def _take(self, at: int) -> int:
        """Read what stands at AT and return where it ends, the end of the stream ending where it begins."""
        value, size, kind = struct.unpack_from("<QII", self.data, at)
        if size:
            self.sectors[value * 512] = at // 512
            self.grains[value * 512] = zlib.decompress(self.data[at + 12 : at + 12 + size])
            end: int = -(-(at + 12 + size) // 512) * 512
            assert not any(self.data[at + 12 + size : end])
            return end
        assert not any(self.data[at + 16 : at + 512])
        content = self.data[at + 512 : at + 512 + value * 512]
        numbers = struct.unpack(f"<{len(content) // 4}I", content)
        match kind:
            case 1:
                self.tables[at // 512 + 1] = numbers
            case 2:
                self.directory = at // 512 + 1, numbers
            case 3:
                self.footer = content
            case 0:
                assert len(self.data) == at + 512
                self.data = self.data[:at]
        return at + 512 + len(content) if kind else at

    def found_by_tables(self) -> dict[int, int]:
        """Return the sectors of all grains as directory and tables tell them."""
        found = {}
        numbers = self.directory[1]
        count = -(-self.capacity // TABLE)
        assert not any(numbers[count:])
        for place, sector in enumerate(numbers[:count]):
            for entry, grain in enumerate(self.tables[sector] if sector else ()):
                if grain:
                    found[place * TABLE + entry * GRAIN] = grain
        assert len(self.tables) == len([sector for sector in numbers if sector])
        return found


def test_the_descriptor_says_what_vmware_asks_for(make_raw: RawMaker) -> None:
    data = write(make_raw(5 * GIB, {0: b"x"})).read_bytes()
    text = data[512 : 21 * 512].rstrip(b"\0").decode()
    stated = dict(line.replace(" ", "").replace('"', "").split("=") for line in text.splitlines() if "=" in line)
    assert text.startswith("# Disk DescriptorFile\n")
    assert stated["createType"] == "streamOptimized"
    assert stated["parentCID"] == "ffffffff"
    assert stated["ddb.adapterType"] == "lsilogic"
    assert stated["ddb.longContentID"].endswith(stated["CID"])
    assert len(stated["ddb.longContentID"]) == 32
    assert int(stated["ddb.geometry.cylinders"]) * 255 * 63 * 512 >= 5 * GIB
    assert f'RW {5 * GIB // 512} SPARSE "disk.vmdk"' in text


@each_disk
def test_lkcloud_reads_the_disk_back(name: str, make_raw: RawMaker, qemu_img: str) -> None:
    raw = make_raw(*DISKS[name])
    output = write(raw)
    os.truncate(raw, padded(DISKS[name][0]))
    with open_disk(raw) as disk, open_disk(output) as back:
        assert back.content().digest == disk.content().digest


@pytest.mark.parametrize("level", [1, 6, 12])
def test_each_level_is_read_and_noise_hardly_grows(level: int, make_raw: RawMaker, qemu_img: str) -> None:
    text = b"".join(b"%d and %d\n" % (number, number * number) for number in range(20_000))
    raw = make_raw(2 * MIB, {0: noise(MIB, 9), MIB: text[:MIB]})
    output = write(raw, level)
    assert "identical" in run(qemu_img, "compare", "-f", "raw", "-F", "vmdk", raw, output)
    stream = Stream(output.read_bytes())
    # The reader of VMware's open-vmdk has room for a grain, its marker and 500 bytes more.
    assert max(b - a for a, b in zip(stream.sectors.values(), list(stream.sectors.values())[1:], strict=False)) <= 129
    assert output.stat().st_size < 1.45 * MIB + GRAIN


@dataclass(frozen=True)
class Described:
    """A disk of which only is said where its data is; all of it reads as one byte."""

    size: int
    bounds: Sequence[int]

    def extents(self) -> Sequence[Extent]:
        return Extents(array("Q", self.bounds))

    def read(self, offset: int, length: int) -> bytes:
        return b"\x5a" * length

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        buffer[:] = self.read(offset, len(buffer))


def test_an_empty_disk_is_refused() -> None:
    with pytest.raises(UnusableImage) as caught:
        vmdk.stream_optimized(Described(0, ()), 2)
    assert caught.value.hint


def test_a_disk_that_is_too_large_is_refused() -> None:
    with pytest.raises(UnusableImage, match="62 TiB") as caught:
        vmdk.stream_optimized(Described(62 * TIB + 1, ()), 2)
    assert caught.value.hint


@pytest.mark.parametrize("size", [TIB, 62 * TIB])
def test_a_huge_disk_with_little_data_is_a_small_file_in_little_memory(size: int, tmp_path: Path) -> None:
    output = tmp_path / "disk.vmdk"
    disk = vmdk.stream_optimized(Described(size, (0, 10, size - 10, size)), 2)
    directory = size // TABLE * 4
    with output.open("wb") as file:
        tracemalloc.start()
        try:
            written = disk.write(file.fileno(), Silence())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert written == output.stat().st_size < directory + 128 * KIB
    assert peak < 4 * directory + 4 * MIB


def test_libvmdk_finds_the_little_data_of_a_huge_disk(tmp_path: Path) -> None:
    output = tmp_path / "disk.vmdk"
    with output.open("wb") as file:
        vmdk.stream_optimized(Described(TIB, (0, 10, TIB - 10, TIB)), 2).write(file.fileno(), Silence())
    reader = pyvmdk.handle()
    reader.open(str(output))
    reader.open_extent_data_files()
    assert reader.get_media_size() == TIB
    assert reader.read_buffer_at_offset(GRAIN, TIB - GRAIN) == b"\x5a" * GRAIN
    assert not any(reader.read_buffer_at_offset(GRAIN, TIB // 2))
    reader.close()


def test_a_file_beyond_what_its_tables_can_tell_is_refused() -> None:
    """Grains that are said to be long stand for two TiB that nobody could write in a test."""

    class Long(bytes):
        def __len__(self) -> int:
            return 10**12

    batch = Batch(array("Q", [0, 1, 2]), [Long(), Long(), Long()], 0)
    with pytest.raises(UnusableImage, match="2 TiB"):
        vmdk._Tables(MIB).add(batch)


CONVERT = """
import sys
from pathlib import Path
from lkcloud.disk import open_disk
from lkcloud.formats.convert import convert
with open_disk(Path(sys.argv[1])) as disk:
    convert(disk, Path(sys.argv[2]), format="vmdk")
"""


def in_a_process(raw: Path, output: Path, **settings: str) -> str:
    """Convert RAW to OUTPUT in a process with SETTINGS in its environment; return the SHA-256 of the file."""
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), **settings}
    subprocess.run([sys.executable, "-c", CONVERT, raw, output], env=environment, check=True)
    return hashlib.sha256(output.read_bytes()).hexdigest()


def test_whoever_writes_it_and_whenever_it_is_the_same_file(make_raw: RawMaker, tmp_path: Path) -> None:
    pieces = {number * 300 * KIB: noise(1 + number * 1000, number) for number in range(150)}
    raw = make_raw(48 * MIB, pieces)
    made = {
        in_a_process(raw, tmp_path / f"{workers}.vmdk", LKCLOUD_WORKERS=workers, SOURCE_DATE_EPOCH=workers)
        for workers in ("1", "2", "5")
    }
    assert made == {hashlib.sha256(write(raw).read_bytes()).hexdigest()}


def test_another_disk_of_the_same_size_has_another_identifier(make_raw: RawMaker) -> None:
    one = write(make_raw(MIB, {0: b"x"})).read_bytes()[512 : 21 * 512]
    assert one != write(make_raw(MIB, {0: b"y"})).read_bytes()[512 : 21 * 512]


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, dict[int, bytes]]:
    """The size of a disk of a few tables, and pieces of data by their offsets."""
    borders = st.sampled_from([GRAIN, MIB, TABLE, 2 * TABLE]).flatmap(
        lambda border: st.integers(border - 2, border + 2)
    )
    size = draw(borders | st.integers(1, 2 * TABLE + 5))
    offsets = draw(st.lists(borders | st.integers(0, size), max_size=8))
    lengths = st.integers(1, 3 * GRAIN)
    return size, {offset: noise(min(draw(lengths), size - offset), offset) for offset in offsets if offset < size}


@settings(max_examples=25, deadline=None)
@given(layouts(), st.sampled_from([1, 4, 8, 12]))
def test_libvmdk_reads_any_disk(layout: tuple[int, dict[int, bytes]], level: int) -> None:
    size, pieces = layout
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "disk.raw")
        with raw.open("wb") as file:
            for offset, data in pieces.items():
                file.seek(offset)
                file.write(data)
            file.truncate(size)
        output = write(raw, level)
        assert_same_by_libvmdk(raw, output)
        Stream(output.read_bytes())
