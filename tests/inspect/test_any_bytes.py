# SPDX-License-Identifier: Apache-2.0
"""Inspect on bytes that nobody meant: no error, and no more reading than a few MiB."""

import struct
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkcloud.disk.inspect import inspect
from lkcloud.disk.inspect.report import report
from lkcloud.sandbox.tinydisk import MIB, write_esp_disk
from lkcloud.sandbox.tinydisk.machine_code import bios_boot_code, efi_program
from tests.inspect.memory_disk import MemoryDisk
from tests.inspect.tables import mbr

PARTITIONS = st.tuples(st.sampled_from([0, 0x80]), st.integers(0, 255), st.integers(0, 5000), st.integers(0, 5000))
NUMBERS = st.sampled_from([0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63, 2**64 - 1])
WIDTHS = st.sampled_from("BHIQ")


def check(data: bytes | bytearray) -> None:
    disk = MemoryDisk(data)
    started = time.monotonic()
    facts = inspect(disk)
    assert time.monotonic() - started < 5
    assert disk.bytes_read < 64 * MIB
    document = report(facts, data=0, digest="")
    assert document.text().replace("\n", "").isprintable()
    assert document.model_dump_json()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A disk with all that there is to misread: table, long names, folders, programs with sections."""
    path = tmp_path_factory.mktemp("sample") / "disk.raw"
    program = efi_program("x")
    # The only section becomes .linux, so that the program is taken for a kernel image.
    image = program.replace(b".text\0\0\0", b".linux\0\0")
    files = {"EFI/BOOT/BOOTX64.EFI": program, "EFI/Linux/a long name.efi": image, "other/file": bytes(5000)}
    write_esp_disk(path, files, boot_code=bios_boot_code("x"))
    data = path.read_bytes()
    facts = inspect(MemoryDisk(data))
    assert facts.firmware == ("bios", "uefi")
    assert len(facts.ukis) == 1
    return data


@pytest.fixture(scope="module")
def used_sectors(sample: bytes) -> list[int]:
    return [offset for offset in range(0, len(sample), 512) if any(sample[offset : offset + 512])]


@given(st.binary(max_size=20_000))
@settings(deadline=None)
def test_random_bytes(data: bytes) -> None:
    check(data)


@given(st.binary(min_size=440, max_size=440), st.lists(PARTITIONS, max_size=4), st.binary(max_size=5000))
@settings(deadline=None)
def test_random_bytes_behind_a_valid_mbr(code: bytes, partitions: list[tuple[int, int, int, int]], rest: bytes) -> None:
    check(code + mbr(*partitions)[440:] + rest + bytes(MIB))


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_a_real_disk_with_some_numbers_changed(sample: bytes, used_sectors: list[int], data: st.DataObject) -> None:
    disk = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 6))):
        sector = data.draw(st.sampled_from(used_sectors))
        width = data.draw(WIDTHS)
        size = struct.calcsize(width)
        position = sector + data.draw(st.integers(0, 512 // size - 1)) * size
        struct.pack_into(f"<{width}", disk, position, data.draw(NUMBERS) & (2 ** (8 * size) - 1))
    if data.draw(st.booleans()):
        repair(disk)
    if data.draw(st.booleans()):
        del disk[data.draw(st.integers(0, len(disk))) :]
    check(disk)


def repair(disk: bytearray) -> None:
    """Make the checksums of the primary GPT right again, so that what it says is believed."""
    size, count, entry = (*struct.unpack_from("<I", disk, 512 + 12), *struct.unpack_from("<II", disk, 512 + 80))
    (table,) = struct.unpack_from("<Q", disk, 512 + 72)
    if 92 <= size <= 512 and count * entry <= MIB and table < 10_000:
        struct.pack_into("<I", disk, 512 + 88, zlib.crc32(disk[table * 512 : table * 512 + count * entry]))
        struct.pack_into("<I", disk, 512 + 16, 0)
        struct.pack_into("<I", disk, 512 + 16, zlib.crc32(disk[512 : 512 + size]))


def test_a_disk_made_to_be_slow(tmp_path: Path) -> None:
    """Many partitions that are all the same volume, whose kernel image has its sections at the end of 4 GiB."""
    path = tmp_path / "disk.raw"
    image = bytearray(efi_program("x").replace(b".text\0\0\0", b".linux\0\0"))
    struct.pack_into("<I", image, image.index(b".linux") + 20, 2**32 - 10_000)
    write_esp_disk(path, {f"EFI/Linux/{number}.efi": bytes(image) for number in range(200)})
    disk = bytearray(path.read_bytes())
    esp = disk[1024:1152]
    for number in range(128):
        disk[1024 + 128 * number : 1024 + 128 * (number + 1)] = esp
    start = MIB + 512
    length = struct.unpack_from("<H", disk, MIB + 22)[0] * 512
    # A chain of two clusters that follow each other for ever, and files that say they have 4 GiB.
    disk[start + 3 : start + length] = (bytes((0x03, 0x30, 0x00)) * length)[: length - 3]
    repair(disk)
    check(disk)
