# SPDX-License-Identifier: Apache-2.0
"""What inspect says of ISO images: what starts them as a CD is not what starts them as a disk."""

from pathlib import Path

import pytest

from lkcloud.disk.inspect import inspect
from lkcloud.disk.inspect.report import report
from lkcloud.disk.linux.system import look_for_linux
from lkcloud.disk.readiness import ReadinessReport, readiness_report
from tests.images import kernel
from tests.inspect.memory_disk import MemoryDisk
from tests.readiness.isos import LINE, linuxkit_bios, linuxkit_efi, written, xorriso
from tests.readiness.judging import needs, said, words


def firmware_row(disk: MemoryDisk) -> str:
    rows = report(inspect(disk), data=0, digest="").text().splitlines()
    return next(row.removeprefix("firmware").strip() for row in rows if row.startswith("firmware"))


def test_an_iso_that_a_bios_starts(tmp_path: Path) -> None:
    disk = MemoryDisk(linuxkit_bios(tmp_path / "x.iso", hybrid=False).read_bytes())
    facts = inspect(disk)
    assert (facts.table, facts.filesystem, facts.architecture) == ("none", "iso9660", "x86_64")
    assert (facts.firmware, facts.cd_firmware, facts.cd_loaders) == ((), ("bios",), ())
    assert firmware_row(disk) == "as a CD only: BIOS"


def test_a_hybrid_that_a_bios_starts(tmp_path: Path) -> None:
    disk = MemoryDisk(linuxkit_bios(tmp_path / "x.iso").read_bytes())
    facts = inspect(disk)
    assert (facts.table, facts.filesystem, facts.architecture) == ("mbr", "", "x86_64")
    assert (facts.firmware, facts.cd_firmware) == (("bios",), ("bios",))
    assert firmware_row(disk) == "BIOS (boot code); as a CD: BIOS"
    system = look_for_linux(disk, facts)
    assert system.boot is not None
    assert (system.boot.loader, system.boot.kernel_path) == ("ISOLINUX", "vmlinuz64")


def test_an_iso_that_uefi_starts(tmp_path: Path) -> None:
    disk = MemoryDisk(linuxkit_efi(tmp_path / "x.iso").read_bytes())
    facts = inspect(disk)
    assert (facts.firmware, facts.cd_firmware, facts.cd_loaders) == ((), ("uefi",), ("BOOTX64.EFI",))
    assert (facts.architecture, facts.problems) == ("x86_64", ())
    assert firmware_row(disk) == "as a CD only: UEFI (BOOTX64.EFI)"
    document = report(facts, data=0, digest="")
    assert (document.firmware, document.cd_firmware, document.cd_loaders) == ((), ("uefi",), ("BOOTX64.EFI",))


def test_an_apple_partition_map_is_no_boot_code(tmp_path: Path) -> None:
    """As grub-mkrescue writes it in front of a GPT; isohybrid writes one in front of its own code."""
    path = linuxkit_bios(tmp_path / "x.iso")
    data = bytearray(path.read_bytes())
    data[:8] = b"ER\x08\x00\x00\x00\x90\x90"
    assert inspect(MemoryDisk(data)).firmware == ("bios",)
    data[:440] = b"ER\x08\x00\xeb\x02\xff\xff" + bytes(432)
    assert inspect(MemoryDisk(data)).firmware == ()


def test_an_iso_that_nothing_starts(tmp_path: Path) -> None:
    path = xorriso(tmp_path / "x.iso", written(tmp_path / "tree", {"file": b"data"}), "-R")
    disk = MemoryDisk(path.read_bytes())
    facts = inspect(disk)
    assert (facts.filesystem, facts.firmware, facts.cd_firmware) == ("iso9660", (), ())
    assert firmware_row(disk) == "nothing that a BIOS or UEFI starts was found"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> ReadinessReport:
    folder = tmp_path_factory.mktemp("judged")
    path = linuxkit_efi(folder / "x.iso", kernel=kernel().read_bytes())
    return readiness_report(MemoryDisk(path.read_bytes()), needs(), unpack=False)


def test_the_kernel_on_an_iso_is_found(judged: ReadinessReport) -> None:
    system = judged.system
    assert (system.loader, system.loader_file, system.kernel) == ("GRUB", "EFI/BOOT/grub.cfg", "kernel")
    assert system.kernel_release == kernel().name.removeprefix("vmlinuz-")
    assert (system.command_line, system.initramfs) == (f"{LINE} text", True)


def test_an_iso_that_is_no_hybrid_boots_on_no_cloud(judged: ReadinessReport) -> None:
    assert set(words(judged).values()) == {"will not boot"}
    for cloud in words(judged):
        ((state, what),) = said(judged, cloud, "firmware")
        assert (state, "as a CD only" in what) == ("fault", True)
