# SPDX-License-Identifier: Apache-2.0
"""VHDX files as QEMU, libvhdi, 7-Zip and the specification see them."""

import json
import os
import random
import shutil
import struct
import subprocess
import tempfile
import tracemalloc
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pyvhdi
from hypothesis import given, settings
from hypothesis import strategies as st

from lkcloud.disk import open_disk
from lkcloud.errors import UnusableImage
from lkcloud.formats import vhdx
from lkcloud.formats.convert import Converted, convert
from lkcloud.sandbox.command import Firmware
from tests import images
from tests.formats.booting import assert_boots, need_machine
from tests.formats.described import Described

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB
CHUNK = 4 * GIB  # of the disk, behind whose blocks the table has the entry of a sector bitmap

RawMaker = Callable[[int, Mapping[int, bytes]], Path]


def noise(length: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length)


DISKS: dict[str, tuple[int, dict[int, bytes]]] = {
    "1 byte": (1, {0: b"x"}),
    "511 bytes": (511, {0: noise(511, 1)}),
    "4 KiB + 1": (4 * KIB + 1, {4 * KIB: b"x"}),
    "a block - 1": (MIB - 1, {MIB - 2: b"x"}),
    "a block": (MIB, {0: noise(MIB, 2)}),
    "a block + 1": (MIB + 1, {MIB: b"x"}),
    "all zeros, a hole": (5 * MIB, {}),
    "all zeros, written": (5 * MIB, {0: bytes(5 * MIB)}),
    "dense": (3 * MIB + 5, {0: noise(3 * MIB + 5, 4)}),
    "scattered": (100 * MIB + 512, {0: noise(70_000, 6), 7 * MIB + 123: noise(MIB, 7), 98 * MIB: b"y" * MIB}),
}

# Of these libvhdi reads what is near the data; QEMU and 7-Zip would read all their zeros.
LARGE: dict[str, tuple[int, dict[int, bytes]]] = {
    "a chunk - 1": (CHUNK - 1, {0: b"x", CHUNK - 2: b"y"}),
    "a chunk": (CHUNK, {CHUNK - MIB - 1: b"xy", CHUNK - 1: b"z"}),
    "a chunk + 1": (CHUNK + 1, {CHUNK - 2: b"abc"}),
    "1 TiB": (TIB, {0: b"first", TIB // 2 + 5: noise(MIB, 1), TIB - 4: b"last"}),
    "2 TiB": (2 * TIB, {5 * CHUNK - 2: b"abcd", 2 * TIB - 4: b"last"}),
    "more than 2 TiB": (2 * TIB + 1, {0: b"x", TIB - 1: b"ab", 2 * TIB: b"z"}),
}

each_disk = pytest.mark.parametrize("name", DISKS)


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def made(raw: Path) -> Converted:
    with open_disk(raw) as disk:
        return convert(disk, raw.with_name("out.vhdx"), format="vhdx", force=True)


def write(raw: Path) -> Path:
    return made(raw).path


def padded(size: int) -> int:
    return -(-size // 4096) * 4096


@each_disk
def test_qemu_reads_the_disk_and_its_exact_size(name: str, make_raw: RawMaker, qemu_img: str) -> None:
    size, _ = DISKS[name]
    raw = make_raw(*DISKS[name])
    output = write(raw)
    assert "No errors" in run(qemu_img, "check", "-f", "vhdx", output)
    info: dict[str, Any] = json.loads(run(qemu_img, "info", "-f", "vhdx", "--output=json", output))
    assert info["virtual-size"] == padded(size)
    os.truncate(raw, padded(size))
    assert "identical" in run(qemu_img, "compare", "-f", "raw", "-F", "vhdx", raw, output)
    with open_disk(raw) as disk, open_disk(output) as back:
        assert back.content().digest == disk.content().digest


@pytest.mark.parametrize("name", [*DISKS, *LARGE])
def test_libvhdi_reads_the_disk(name: str, make_raw: RawMaker) -> None:
    size, pieces = (DISKS | LARGE)[name]
    try:
        raw = make_raw(size, pieces)
    except OSError as error:
        pytest.skip(f"needs a file system that takes a file of {size} bytes: {error.strerror}")
    assert_same_by_libvhdi(raw, write(raw), pieces)


def assert_same_by_libvhdi(raw: Path, output: Path, pieces: Mapping[int, bytes]) -> None:
    """Assert that libvhdi finds in OUTPUT the disk RAW: the whole MiB around PIECES, and all others if they are few."""
    size = raw.stat().st_size
    near = {
        at // MIB + beside for start, data in pieces.items() for at in (start, start + len(data)) for beside in (0, 1)
    }
    windows = range(-(-size // MIB))
    reader = pyvhdi.file()
    reader.open(str(output))
    try:
        assert reader.get_disk_type() == 3
        assert reader.get_media_size() == padded(size)
        with open_disk(raw) as disk:
            for window in windows if size < GIB else sorted({0, *near} & set(windows)):
                start = window * MIB
                length = min(MIB, padded(size) - start)
                expected = disk.read(start, min(length, size - start)).ljust(length, b"\0")
                assert reader.read_buffer_at_offset(length, start) == expected, f"in the MiB from {start} on"
    finally:
        reader.close()


@each_disk
def test_7_zip_reads_the_disk(name: str, make_raw: RawMaker) -> None:
    if shutil.which("7zz") is None:
        pytest.skip("7zz is missing: apt-get install 7zip")
    size, pieces = DISKS[name]
    raw = make_raw(size, pieces)
    command: list[str | Path] = ["7zz", "x", "-tvhdx", "-so", write(raw)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader, raw.open("rb") as file:
        assert reader.stdout
        for start in range(0, padded(size), MIB):
            expected = file.read(MIB).ljust(min(MIB, padded(size) - start), b"\0")
            assert reader.stdout.read(MIB) == expected, f"in the MiB from {start} on"
        assert not reader.stdout.read(1)
    assert reader.returncode == 0


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 12 * MIB),
    st.lists(st.tuples(st.integers(0, 12 * MIB), st.integers(1, 2 * MIB)), max_size=6),
)
def test_any_disk_is_read_back(size: int, pieces: list[tuple[int, int]]) -> None:
    content = bytearray(size)
    for offset, length in pieces:
        end = min(offset + length, size)
        content[offset:end] = b"\x5a" * max(end - offset, 0)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "disk.raw")
        raw.write_bytes(content)
        os.utime(raw, ns=(10**18, 10**18))
        assert_same_by_libvhdi(raw, write(raw), {})


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), bit by bit, as RFC 3720 defines it."""
    value = 0xFFFF_FFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F6_3B78 if value & 1 else 0)
    return value ^ 0xFFFF_FFFF


def test_headers_and_regions_are_as_the_specification_says(make_raw: RawMaker) -> None:
    """[MS-VHDX] sections 2.2, 2.3, 2.5 and 2.6."""
    output = write(make_raw(CHUNK + MIB, {5: b"x", CHUNK: b"y"}))
    with output.open("rb") as file:
        front = file.read(4 * MIB)
    assert front[:8] == b"vhdxfile"
    assert front[8:520].decode("utf-16-le").rstrip("\0") == "lkcloud"
    headers = [front[at : at + 4096] for at in (64 * KIB, 128 * KIB)]
    for number, header in enumerate(headers):
        signature, checksum, sequence, file_id, data_id, log_id, log_version, version, log_size, log_at = (
            struct.unpack_from("<4sIQ16s16s16sHHIQ", header)
        )
        assert (signature, sequence, log_version, version, log_size, log_at) == (b"head", number + 1, 0, 1, MIB, MIB)
        assert checksum == crc32c(header[:4] + bytes(4) + header[8:])
        assert log_id == bytes(16)
        assert len({file_id, data_id, log_id}) == 3
        assert not any(header[80:])
    regions = front[192 * KIB : 256 * KIB]
    assert front[256 * KIB : 320 * KIB] == regions
    signature, checksum, count = struct.unpack_from("<4sII", regions)
    assert (signature, count) == (b"regi", 2)
    assert checksum == crc32c(regions[:4] + bytes(4) + regions[8:])
    assert not any(front[320 * KIB : 2 * MIB]), "reserved, and an empty log"
    table = array("Q", front[2 * MIB : 2 * MIB + 8 * 4098])
    full, zero = 6, 2
    assert (table[0], table[4097]) == (4 * MIB | full, 5 * MIB | full)
    assert table[4096] == 0, "the sector bitmap, which a disk without a parent does not have"
    assert set(table[1:4096]) == {zero}
    assert not any(front[2 * MIB + 8 * 4098 : 3 * MIB])
    assert front[3 * MIB : 3 * MIB + 12] == b"metadata\0\0\5\0"
    assert output.stat().st_size == 6 * MIB


@pytest.mark.parametrize(
    ("size", "block"),
    [(4096, MIB), (2 * TIB, MIB), (2 * TIB + 4096, 2 * MIB), (4 * TIB + 4096, 4 * MIB), (64 * TIB, 32 * MIB)],
)
def test_the_table_of_blocks_stays_small(size: int, block: int) -> None:
    assert vhdx.block_size(size) == block
    assert size // block * 8 <= 16 * MIB


def test_the_same_disk_gives_the_same_bytes_and_another_disk_other_identifiers(
    make_raw: RawMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def identifiers(seed: int, size: int = 3 * MIB, workers: str = "2") -> tuple[bytes, ...]:
        monkeypatch.setenv("LKCLOUD_WORKERS", workers)
        output = write(make_raw(size, {512: noise(512, seed), 2 * MIB: b"x"})).read_bytes()
        file_id, data_id = struct.unpack_from("<16s16s", output, 64 * KIB + 16)
        disk_id = output[3 * MIB + 64 * KIB + 16 :][:16]
        assert all(UUID(bytes_le=found).version == 5 for found in (file_id, data_id, disk_id))
        return output, file_id, data_id, disk_id

    first = identifiers(1)
    assert first == identifiers(1, workers="1") == identifiers(1, workers="5")
    assert len({*first[1:], *identifiers(2)[1:], *identifiers(1, 4 * MIB)[1:]}) == 9


def test_a_huge_sparse_disk_is_a_small_file(make_raw: RawMaker) -> None:
    raw = make_raw(TIB, {0: b"first", TIB // 2 + 5: noise(MIB, 1), TIB - 4: b"last"})
    result = made(raw)
    assert result.data < 8 * MIB + 1200 * KIB, "the table of blocks says of each MiB that it is zeros"
    assert result.path.stat().st_blocks * 512 < 8 * MIB + 1300 * KIB


def test_the_table_is_never_in_memory_at_once() -> None:
    disk = Described(256 * GIB, array("Q", [0, 128 * GIB, 200 * GIB, 200 * GIB + 1]))
    tracemalloc.start()
    try:
        layout = vhdx.dynamic(disk)
        assert layout.size == 128 * GIB + 7 * MIB
        assert layout.read(128 * GIB + 6 * MIB, 2) == b"\x5a\x5a"
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 64 * TIB + 1])
def test_a_disk_that_no_vhdx_holds_is_refused(size: int) -> None:
    with pytest.raises(UnusableImage) as caught:
        vhdx.dynamic(Described(size, array("Q")))
    assert caught.value.exit_code == 2
    assert caught.value.hint


@pytest.mark.parametrize("by", ["bios", "uefi"])
def test_it_boots(by: Firmware, tmp_path: Path) -> None:
    need_machine(by)
    output = write(images.tiny(tmp_path / "tiny.raw"))
    assert_boots(output, "vhdx", by, tmp_path / "vm")
