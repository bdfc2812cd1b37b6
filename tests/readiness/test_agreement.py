# SPDX-License-Identifier: Apache-2.0
"""What is said of a disk is what happens to it: each is judged and then booted in QEMU, some in the long form alone."""

from pathlib import Path

import pytest

from tests.images import LINUX_SAYS, debian_uki, kernel_release
from tests.readiness import disks
from tests.readiness.judging import judged, said, words
from tests.readiness.machine import console_of, found_nothing

# Two machines are booted in one of them, and others may boot beside it.
pytestmark = pytest.mark.timeout(900)

EVERYWHERE = {"aws": "boots", "azure": "boots", "gcp": "boots", "local": "boots"}
NOWHERE = dict.fromkeys(EVERYWHERE, "will not boot")
UP = f"{LINUX_SAYS} kernel="


@pytest.mark.long
def test_the_debian_cloud_kernel_with_all_in_its_initramfs(tmp_path: Path) -> None:
    path = debian_uki(tmp_path / "uki.raw")
    report = judged(path)
    assert words(report) == EVERYWHERE
    assert report.system.kernel_release == kernel_release()
    assert said(report, "aws", "disk") == [("ok", "not needed: the initramfs is the whole system")]
    assert said(report, "aws", "console") == [("ok", "ttyS0")]
    assert said(report, "aws", "network")[0][0] == "warning"
    # It has no driver for virtio-scsi, and needs none.
    assert UP in console_of(path, tmp_path / "machine", bus="virtio-scsi")


def test_a_kernel_and_an_initrd_as_linuxkit_makes_them(tmp_path: Path) -> None:
    path = disks.with_kernel_and_initrd(tmp_path / "linuxkit.raw", modules=("ena", "gve", "virtio_net", "virtio_pci"))
    report = judged(path)
    assert words(report) == EVERYWHERE
    assert (report.system.loader, report.system.kernel) == ("systemd-boot", "kernel")
    assert said(report, "aws", "network")[0] == ("ok", "ENA: in the initramfs")
    assert {state for state, _ in said(report, "gcp", "network")} == {"ok"}
    assert said(report, "azure", "network")[0][0] == "warning"
    assert UP in console_of(path, tmp_path / "machine")


@pytest.mark.long
def test_a_root_file_system_is_found_where_the_kernel_has_the_driver(tmp_path: Path) -> None:
    path = disks.with_root(tmp_path / "root.raw")
    report = judged(path)
    assert report.system.root == "A test 1.0"
    assert said(report, "aws", "disk")[0] == ("ok", "NVMe: built in")
    assert said(report, "aws", "network")[0] == ("ok", "ENA: on the root file system")
    assert UP in console_of(path, tmp_path / "machine")
    # Broken on purpose: no driver. The kernel has neither virtio-scsi nor anything of Hyper-V.
    assert words(report) == {**EVERYWHERE, "azure": "will not boot"}
    (_, nvme), (state, old) = said(report, "gcp", "disk")
    assert nvme == "NVMe: built in"
    assert state == "warning"
    assert old.startswith("not on machine series of the first and second generation")
    assert old.endswith("virtio_pci, virtio_scsi and sd_mod are missing")
    assert "hv_vmbus, hv_storvsc and sd_mod are missing" in said(report, "azure", "disk")[0][1]
    console = console_of(path, tmp_path / "without", bus="virtio-scsi")
    assert UP not in console
    assert "Unable to mount root fs" in console


def test_broken_no_efi_system_partition(tmp_path: Path) -> None:
    """The image is there, where only a boot variable would find it."""
    path = disks.with_root(tmp_path / "no-esp.raw", loader="EFI/debian/linux.efi")
    report = judged(path)
    assert words(report) == NOWHERE
    assert said(report, "aws", "firmware") == [
        (
            "fault",
            "there is nothing to start: no BIOS boot code and no EFI/BOOT/BOOTX64.EFI or EFI/BOOT/BOOTAA64.EFI",
        )
    ]
    assert found_nothing(console_of(path, tmp_path / "machine"))


@pytest.mark.long
def test_broken_no_serial_console(tmp_path: Path) -> None:
    path = disks.silent(tmp_path / "silent.raw")
    report = judged(path)
    assert words(report) == EVERYWHERE
    for name in EVERYWHERE:
        (check,) = said(report, name, "console")
        assert check[0] == "warning"
        assert "no console=ttyS0" in check[1]
    console = console_of(path, tmp_path / "machine")
    assert not found_nothing(console)
    assert LINUX_SAYS not in console


@pytest.mark.long
def test_broken_another_architecture(tmp_path: Path) -> None:
    path = disks.for_another_processor(tmp_path / "arm.raw")
    report = judged(path)
    assert words(report) == NOWHERE
    assert said(report, "gcp", "firmware") == [
        ("fault", "for arm64 there is no EFI/BOOT/BOOTAA64.EFI; there is BOOTX64.EFI")
    ]
    assert said(report, "gcp", "kernel") == [
        ("fault", "the kernel is for x86_64, and what starts it for arm64"),
    ]
    assert found_nothing(console_of(path, tmp_path / "machine"))


@pytest.mark.long
def test_broken_a_table_for_other_sectors(tmp_path: Path) -> None:
    path = disks.for_large_sectors(tmp_path / "sectors.raw")
    report = judged(path)
    assert words(report) == NOWHERE
    assert said(report, "azure", "firmware") == [
        ("fault", "the GPT is for sectors of 4096 bytes, and boot disks of Azure have 512")
    ]
    assert found_nothing(console_of(path, tmp_path / "machine"))
