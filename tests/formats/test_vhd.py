# SPDX-License-Identifier: Apache-2.0
"""VHDs as QEMU and libvhdi read them, and byte for byte as qemu-img writes them."""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pyvhdi

from lkcloud.disk import open_disk
from lkcloud.errors import UnusableImage, UsageError
from lkcloud.formats import vhd, vhd_dynamic
from lkcloud.formats.convert import convert

MIB = 1024 * 1024
GIB = 1024 * MIB

RawMaker = Callable[[int, Mapping[int, bytes]], Path]

# Where the footers of two programs may differ: time, checksum, identifier. All else is the same, creator included.
MASKED = ((24, 28), (64, 68), (68, 84))


def noise(length: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length)


DISKS: dict[str, tuple[int, dict[int, bytes]]] = {
    "1 byte": (1, {0: b"x"}),
    "511 bytes": (511, {0: noise(511, 1)}),
    "512 bytes": (512, {0: noise(512, 2)}),
    "1 MiB - 1": (MIB - 1, {0: noise(5000, 3), MIB - 2: b"x"}),
    "1 MiB": (MIB, {0: noise(5000, 4), MIB - 1: b"x"}),
    "1 MiB + 1": (MIB + 1, {MIB: b"x"}),
    "3 MiB + 512": (3 * MIB + 512, {4096: noise(3 * MIB - 4096, 5)}),
    "all zeros, a hole": (5 * MIB, {}),
    "all zeros, written": (5 * MIB, {0: bytes(5 * MIB)}),
    "scattered": (
        300 * MIB + 4096,
        {
            0: noise(70_000, 6),
            7 * MIB + 123: noise(3 * MIB, 7),
            130 * MIB: bytes(2 * MIB) + b"x",
            298 * MIB: b"y" * MIB,
        },
    ),
    "data in the last sector alone": (40 * MIB, {40 * MIB - 512: noise(512, 8)}),
    "past the largest geometry": (128 * GIB, {0: noise(512, 9), 127 * GIB: b"x" * 5000, 128 * GIB - 1: b"z"}),
}

each_disk = pytest.mark.parametrize("name", DISKS)
each_format = pytest.mark.parametrize("form", ["vhd", "vhd-dynamic"])


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def info(qemu_img: str, path: Path) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run(qemu_img, "info", "-f", "vpc", "--output=json", path))
    return answer


def padded(size: int) -> int:
    return -(-size // MIB) * MIB


def write(raw: Path, form: str) -> Path:
    output = raw.with_name(f"{form}.vhd")
    with open_disk(raw) as disk:
        convert(disk, output, format=form)
    return output


@each_format
@each_disk
def test_qemu_reads_the_disk_and_its_exact_size(name: str, form: str, make_raw: RawMaker, qemu_img: str) -> None:
    size, pieces = DISKS[name]
    raw = make_raw(size, pieces)
    output = write(raw, form)
    assert info(qemu_img, output)["virtual-size"] == padded(size)
    os.truncate(raw, padded(size))
    assert "identical" in run(qemu_img, "compare", "-f", "raw", "-F", "vpc", raw, output)


@each_format
@each_disk
def test_libvhdi_reads_the_disk(name: str, form: str, make_raw: RawMaker) -> None:
    size, pieces = DISKS[name]
    raw = make_raw(size, pieces)
    reader = pyvhdi.file()
    reader.open(str(write(raw, form)))
    try:
        assert reader.get_disk_type() == {"vhd": 2, "vhd-dynamic": 3}[form]
        assert reader.get_media_size() == padded(size)
        with open_disk(raw) as disk:
            # Of a large disk, the whole MiB around each piece of data and the ends; of the others everything.
            near = {at // MIB for start, data in pieces.items() for at in (start, start + len(data))}
            windows = range(padded(size) // MIB)
            for window in windows if size < GIB else sorted({0, *near} & set(windows)):
                start = window * MIB
                here = min(MIB, size - start)
                expected = disk.read(start, here) + bytes(MIB - here)
                assert reader.read_buffer_at_offset(MIB, start) == expected
    finally:
        reader.close()


@pytest.mark.parametrize(("form", "subformat"), [("vhd", "fixed"), ("vhd-dynamic", "dynamic")])
@each_disk
def test_the_bytes_are_those_of_qemu_img(
    name: str, form: str, subformat: str, make_raw: RawMaker, qemu_img: str
) -> None:
    size, pieces = DISKS[name]
    raw = make_raw(size, pieces)
    ours = write(raw, form)
    # qemu-img pads to 512 bytes only, which Azure does not take; so it is given the disk as whole MiB.
    os.truncate(raw, padded(size))
    theirs = raw.with_name("theirs.vhd")
    run(qemu_img, "convert", "-f", "raw", "-O", "vpc", "-o", f"subformat={subformat},force_size=on", raw, theirs)
    footers = [ours.stat().st_size - 512] if form == "vhd" else [0, ours.stat().st_size - 512]
    assert ours.stat().st_size == theirs.stat().st_size
    for path in (ours, theirs):
        with path.open("r+b") as file:
            for footer in footers:
                for first, last in MASKED:
                    file.seek(footer + first)
                    file.write(bytes(last - first))
    # As raw files: the whole bytes, holes skipped.
    assert "identical" in run(qemu_img, "compare", "-f", "raw", "-F", "raw", ours, theirs)


@each_format
def test_the_largest_vhd(form: str, make_raw: RawMaker, qemu_img: str) -> None:
    size = 2040 * GIB
    raw = make_raw(size, {0: b"first", size - 4: b"last"})
    output = write(raw, form)
    assert info(qemu_img, output)["virtual-size"] == size
    reader = pyvhdi.file()
    reader.open(str(output))
    try:
        assert reader.get_media_size() == size
        assert reader.read_buffer_at_offset(5, 0) == b"first"
        assert reader.read_buffer_at_offset(4, size - 4) == b"last"
    finally:
        reader.close()


@each_format
@pytest.mark.parametrize("size", [0, 2040 * GIB + 1])
def test_a_disk_that_no_vhd_holds_is_refused_before_anything_is_written(
    size: int, form: str, make_raw: RawMaker
) -> None:
    raw = make_raw(size, {})
    with pytest.raises(UnusableImage) as caught:
        write(raw, form)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert [path.name for path in raw.parent.iterdir()] == ["disk.raw"]


@each_format
@pytest.mark.parametrize("size", [3 * MIB, 3 * MIB + 4096])
def test_what_is_read_back_is_the_same_disk(size: int, form: str, make_raw: RawMaker, qemu_img: str) -> None:
    raw = make_raw(size, {0: noise(2 * MIB, 10), size - 1: b"x"})
    output = write(raw, form)
    os.truncate(raw, padded(size))
    with open_disk(raw) as disk, open_disk(output) as back:
        assert back.content().digest == disk.content().digest


def test_the_same_disk_gives_the_same_bytes_and_another_disk_another_identifier(make_raw: RawMaker) -> None:
    def footer(seed: int, size: int = 3 * MIB) -> bytes:
        with open_disk(make_raw(size, {512: noise(512, seed), 2 * MIB: b"x"})) as disk:
            fixed, dynamic = vhd.fixed(disk), vhd_dynamic.dynamic(disk)
            assert fixed.read(fixed.size - 512, 512)[68:84] == dynamic.read(0, 512)[68:84]
            return fixed.read(fixed.size - 512, 512)

    first = footer(1)
    assert first == footer(1)
    assert first[24:28] == bytes(4), "2000-01-01"
    identifiers = [first[68:84], footer(2)[68:84], footer(1, 4 * MIB)[68:84]]
    assert len(set(identifiers)) == 3
    assert all(UUID(bytes=identifier).version == 5 for identifier in identifiers)


@pytest.mark.parametrize(
    ("epoch", "seconds"),
    [("946684800", 0), ("946684801", 1), ("1767225600", 820540800), ("1", 0), ("99999999999", 2**32 - 1), ("", 0)],
)
def test_the_time_is_source_date_epoch(
    epoch: str, seconds: int, make_raw: RawMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with open_disk(make_raw(1, {0: b"x"})) as disk:
        assert int.from_bytes(vhd.footer(disk, vhd.Kind.FIXED)[24:28], "big") == seconds
        given = vhd.footer(disk, vhd.Kind.FIXED, timestamp=946684800 + 77, identifier=UUID(int=5))
    assert int.from_bytes(given[24:28], "big") == 77
    assert given[68:84] == UUID(int=5).bytes


@pytest.mark.parametrize(
    "epoch", ["yesterday", "-1", "+1", "1_000", " 5 ", "5\n", "\u0661\u0662", "1.0", "0x1", "9" * 5000]
)
def test_a_source_date_epoch_that_is_no_number_is_refused(
    epoch: str, make_raw: RawMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with open_disk(make_raw(1, {0: b"x"})) as disk, pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        vhd.fixed(disk)


def test_qemu_boots_from_what_is_written(make_raw: RawMaker, qemu_img: str) -> None:
    """A boot sector that prints one character on the first serial port and switches the machine off."""
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        pytest.skip("qemu-system-x86_64 is missing: apt-get install qemu-system-x86")
    # mov dx, 0x3f8; mov al, 'L'; out dx, al; mov dx, 0x604; mov ax, 0x2000; out dx, ax (ACPI power off); hlt
    code = bytes.fromhex("baf803b04ceeba0406b80020eff4")
    raw = make_raw(MIB + 1, {0: code.ljust(510, b"\0") + b"\x55\xaa"})
    for form in ("vhd", "vhd-dynamic"):
        output = write(raw, form)
        command = [qemu, "-accel", "tcg", "-m", "64", "-display", "none", "-serial", "stdio", "-monitor", "none"]
        drive = f"file={output},format=vpc,if=ide"
        result = subprocess.run(
            [*command, "-nic", "none", "-drive", drive], capture_output=True, timeout=60, check=True
        )
        assert b"L" in result.stdout, form
