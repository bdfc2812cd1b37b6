# SPDX-License-Identifier: Apache-2.0
"""What inspect says of disks that are broken or odd, and that it never fails on them."""

import struct
from pathlib import Path
from zlib import crc32

import pytest

from lkcloud.disk.assemble.fat import fat_volume
from lkcloud.disk.inspect import DiskFacts, inspect
from lkcloud.disk.inspect.fat import Fat
from lkcloud.disk.inspect.window import Window
from lkcloud.sandbox.tinydisk import MIB, write_esp_disk, write_tiny_disk
from lkcloud.sandbox.tinydisk.machine_code import bios_boot_code, efi_program
from tests.inspect.memory_disk import MemoryDisk
from tests.inspect.tables import gpt_disk, mbr


@pytest.fixture
def tiny_bytes(tmp_path: Path) -> bytearray:
    write_tiny_disk(tmp_path / "tiny.raw")
    return bytearray((tmp_path / "tiny.raw").read_bytes())


def look(disk: bytes | bytearray) -> DiskFacts:
    return inspect(MemoryDisk(disk))


def volume(files: dict[str, bytes]) -> bytearray:
    data = bytearray(MIB)
    for piece in fat_volume(MIB, files, hidden_sectors=0, label="ESP"):
        data[piece.offset : piece.end] = piece.data
    return data


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 4096, 100_000])
@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"\xaa\x55"])
def test_nothing_is_seen_where_nothing_is(size: int, filling: bytes) -> None:
    facts = look((filling * size)[:size])
    assert (facts.table, facts.partitions, facts.filesystem, facts.firmware) == ("none", (), "", ())
    assert (facts.architecture, facts.problems) == (None, ())


@pytest.mark.parametrize(
    ("position", "problem"),
    [
        (512, "the primary GPT is missing"),
        (512 + 40, "the primary GPT has a header with a wrong checksum"),
        (1024, "the primary GPT has a table with a wrong checksum"),
    ],
)
def test_the_backup_gpt_stands_in_for_a_broken_primary(tiny_bytes: bytearray, position: int, problem: str) -> None:
    whole = look(tiny_bytes)
    tiny_bytes[position] ^= 0xFF
    broken = look(tiny_bytes)
    assert (broken.partitions, broken.efi_loaders) == (whole.partitions, whole.efi_loaders)
    assert broken.problems == (problem,)


def test_a_broken_backup_gpt_is_told(tiny_bytes: bytearray) -> None:
    tiny_bytes[-512 + 16] ^= 0xFF
    assert look(tiny_bytes).problems == ("the backup GPT has a header with a wrong checksum",)


def test_a_disk_that_was_cut_short_or_has_grown(tiny_bytes: bytearray) -> None:
    cut = look(tiny_bytes[: 3 * MIB // 2])
    assert cut.efi_loaders == ("BOOTX64.EFI",)
    assert cut.problems == (
        "the backup GPT is missing at the end of the disk: the disk is cut short or has grown",
        f"partition 1 ends {MIB // 2} bytes behind the end of the disk",
    )
    grown = look(tiny_bytes + bytes(MIB))
    assert grown.problems == ("the backup GPT is in sector 8191 and not in the last one, 10239: the disk has grown",)


def test_two_tables_that_differ() -> None:
    one, other = gpt_disk(4 * MIB, 512, [(2048, 4095)]), gpt_disk(4 * MIB, 512, [(2048, 4096)])
    one[-33 * 512 :] = other[-33 * 512 :]
    assert look(one).problems == ("the primary and the backup GPT differ",)


def test_partitions_that_overlap_or_lie_where_none_may() -> None:
    facts = look(gpt_disk(4 * MIB, 512, [(2048, 4095), (4095, 5000), (9, 100), (5100, 5050), (4999, 9000)]))
    assert facts.problems == (
        "partition 3 is not inside the sectors that the GPT leaves for partitions",
        "partition 4 ends in front of its start",
        "partition 5 is not inside the sectors that the GPT leaves for partitions",
        f"partition 5 ends {(9001 - 8192) * 512} bytes behind the end of the disk",
        "partitions 1 and 2 overlap",
        "partitions 2 and 5 overlap",
    )


def test_a_gpt_whose_mbr_is_empty_hybrid_or_of_somebody_else() -> None:
    disk = gpt_disk(4 * MIB, 512, [(2048, 4095)])
    disk[:512] = bytes(512)
    assert look(disk).problems == ("the GPT has no protective MBR: firmware and Linux may not see it",)
    disk[:512] = mbr((0, 0xEE, 1, 2047), (0x80, 0x83, 2048, 2048))
    assert look(disk).table == "gpt"
    assert look(disk).problems == ("the MBR is a hybrid one: it has partitions of its own beside those of the GPT",)
    disk[:512] = mbr((0x80, 0x83, 4096, 2048))
    assert [(part.type, part.offset) for part in look(disk).partitions] == [("Linux", 2 * MIB)]
    assert look(disk).problems == ("there is a GPT beside the MBR, which does not protect it: probably a leftover",)


def test_an_mbr_that_protects_nothing() -> None:
    facts = look(mbr((0, 0xEE, 1, 0xFFFFFFFF)) + bytes(MIB))
    assert (facts.table, facts.partitions) == ("gpt", ())
    assert facts.problems == ("the MBR protects a GPT that is not there",)


def test_a_chain_of_logical_partitions_that_is_a_loop_or_broken() -> None:
    disk = bytearray(4 * MIB)
    disk[:512] = mbr((0, 0x0F, 2048, 4096))
    disk[MIB : MIB + 512] = mbr((0, 0x83, 1, 100), (0, 0x05, 1000, 1000))
    assert look(disk).problems == ("the chain of logical partitions is broken",)
    second = MIB + 1000 * 512
    disk[second : second + 512] = mbr((0, 0x83, 1, 100), (0, 0x05, 1000, 1000))
    facts = look(disk)
    assert [part.number for part in facts.partitions] == [1, 5, 6]
    assert facts.problems == ("the chain of logical partitions is a loop or has no end",)


def test_a_loop_in_a_file_or_a_folder_ends() -> None:
    data = volume({"EFI/BOOT/BOOTX64.EFI": efi_program("x"), "long": bytes(200_000)})
    fat_start, fat_length = 512, struct.unpack_from("<H", data, 22)[0] * 512
    # Every cluster is followed by cluster 3: a folder and a file that never end.
    data[fat_start : fat_start + fat_length] = (bytes((0x03, 0x30, 0x00)) * fat_length)[:fat_length]
    fat = Fat.open(Window(MemoryDisk(data), 0, len(data)))
    assert fat is not None
    assert "long" in [entry.name for entry in fat.list("")] or fat.list("") == ()
    disk = MemoryDisk(data)
    assert inspect(disk).filesystem == "vfat"
    assert disk.bytes_read < 16 * MIB


def test_loaders_that_are_no_programs_or_for_another_processor(tmp_path: Path) -> None:
    path = tmp_path / "esp.raw"
    write_esp_disk(path, {"EFI/BOOT/BOOTX64.EFI": b"#!/bin/sh\n", "EFI/BOOT/BOOTAA64.EFI": efi_program("x")})
    facts = look(path.read_bytes())
    assert facts.efi_loaders == ("BOOTAA64.EFI",)
    assert facts.problems == (
        "EFI/BOOT/BOOTX64.EFI is not an EFI program",
        "EFI/BOOT/BOOTAA64.EFI is for another processor than its name says",
    )


def test_an_efi_system_partition_that_firmware_cannot_start_from(tmp_path: Path, tiny_bytes: bytearray) -> None:
    path = tmp_path / "esp.raw"
    # Neither an installed loader nor one for 32-bit firmware is what the firmware of a new cloud machine looks for.
    write_esp_disk(path, {"EFI/debian/grubx64.efi": efi_program("x"), "EFI/BOOT/BOOTIA32.EFI": efi_program("x")})
    facts = look(path.read_bytes())
    assert (facts.firmware, facts.efi_loaders) == ((), ("BOOTIA32.EFI",))
    assert facts.problems == ("partition 1 is an EFI system partition without EFI/BOOT/BOOTX64.EFI or BOOTAA64.EFI",)
    tiny_bytes[MIB : 2 * MIB] = bytes(MIB)
    assert look(tiny_bytes).problems == ("partition 1 is an EFI system partition and not FAT",)


def test_a_loader_on_another_partition_is_found_and_told() -> None:
    disk = bytearray(MIB) + volume({"EFI/BOOT/BOOTX64.EFI": efi_program("x")})
    disk[:512] = mbr((0, 0x0E, 2048, 2048))
    facts = look(disk)
    assert (facts.firmware, facts.architecture) == (("uefi",), "x86_64")
    assert facts.problems == (
        "EFI/BOOT is on partition 1 of type FAT16 (LBA): "
        "some firmware starts loaders from an EFI system partition only",
    )


def test_text_on_the_disk_cannot_command_a_terminal() -> None:
    disk = gpt_disk(4 * MIB, 512, [(2048, 4095)])
    name = "\x1b[31m\r\nred\u202e".encode("utf-16-le")
    broken = bytearray(disk)
    broken[1024 + 56 : 1024 + 56 + len(name)] = name
    # Another name is another checksum: of the table, then of the header.
    fixed = _with_checksums(broken)
    (partition,) = look(fixed).partitions
    assert partition.name == "\ufffd[31m\ufffd\ufffdred\ufffd"


def _with_checksums(disk: bytearray) -> bytearray:
    struct.pack_into("<I", disk, 512 + 88, crc32(disk[1024 : 1024 + 128 * 128]))
    struct.pack_into("<I", disk, 512 + 16, 0)
    struct.pack_into("<I", disk, 512 + 16, crc32(disk[512 : 512 + 92]))
    return disk


CHAIN_LOADER = bytes.fromhex("33c0 8ed8 bebe07 ac ebfd")  # takes the table's address, looks for the active partition
BOOT_SECTOR = bytes.fromhex("eb3c90").ljust(0x3E, b"\0") + bytes.fromhex("fa31c0f4")


@pytest.mark.parametrize(
    ("code", "flag", "boot_sector", "expected"),
    [
        pytest.param(b"", 0x80, BOOT_SECTOR, False, id="no code"),
        pytest.param(b"\xf6" * 440, 0x80, BOOT_SECTOR, False, id="one byte repeated"),
        pytest.param(b"\0" + bios_boot_code("x"), 0, b"", False, id="zeros first"),
        pytest.param(bios_boot_code("x"), 0, b"", True, id="code that needs no partition"),
        pytest.param(CHAIN_LOADER, 0, BOOT_SECTOR, False, id="no active partition"),
        pytest.param(CHAIN_LOADER, 0x80, b"", False, id="nothing in the active partition"),
        pytest.param(CHAIN_LOADER, 0x80, BOOT_SECTOR[:0x3E], False, id="a jump to zeros"),
        pytest.param(CHAIN_LOADER, 0x80, BOOT_SECTOR + b"This is not a bootable disk.", False, id="a placeholder"),
        pytest.param(CHAIN_LOADER, 0x80, BOOT_SECTOR, True, id="a boot sector in the active partition"),
    ],
)
def test_boot_code_of_a_bios(code: bytes, flag: int, boot_sector: bytes, expected: bool) -> None:
    disk = bytearray(4 * MIB)
    disk[:512] = mbr((flag, 0x83, 2048, 2048))
    disk[: len(code)] = code
    disk[MIB : MIB + 512] = boot_sector.ljust(510, b"\0") + b"\x55\xaa"
    facts = look(disk)
    assert facts.bios is expected
    assert facts.architecture == ("x86_64" if expected else None)
    if code:
        disk[510:512] = b"\0\0"
        assert look(disk).bios is False
