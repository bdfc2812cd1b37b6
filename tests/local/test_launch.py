# SPDX-License-Identifier: Apache-2.0
"""Images boot, as what the disk is and as the options say; nothing is written to them."""

import hashlib
from pathlib import Path

import pytest

from lkcloud import pipeline
from lkcloud.boot import Expectation, boot_test
from lkcloud.disk import Disk, open_disk
from lkcloud.errors import BootFailed, NotFound, UsageError
from lkcloud.provider import Image, Run
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_qemu import Local, LocalOptions
from tests.images import LINUX_SAYS, debian_bios
from tests.readiness import disks

# Linux boots in some of them, and others may boot beside it.
pytestmark = pytest.mark.timeout(900)


def pushed(local: Local, path: Path, run: Run) -> Image:
    with open_disk(path) as disk:
        return pipeline.push(local, disk, name="my-os", run=run).image


def booted(local: Local, image: Image, run: Run, expected: str) -> str:
    return boot_test(local, image, run=run, expectation=Expectation((expected,), timeout=400, every=0.2)).line


def test_the_options_count_before_what_the_push_has_noted(
    folder: Path, local: Local, disk: Disk, path: Path, run: Run
) -> None:
    image = pushed(local, path, run)
    before = hashlib.sha256((folder / "my-os/disk.raw").read_bytes()).digest()
    assert booted(local, image, run, "local-boot-ok") == "local-boot-ok uefi"
    bios = Local(LocalOptions(folder=folder, firmware="bios", bus="nvme", memory=64))
    assert booted(bios, image, run, "local-boot-ok") == "local-boot-ok bios"
    assert hashlib.sha256((folder / "my-os/disk.raw").read_bytes()).digest() == before
    assert list(local.leftovers("")) == []


def test_what_boots_by_bios_alone_does(local: Local, tmp_path: Path, run: Run) -> None:
    image = pushed(local, debian_bios(tmp_path / "bios.raw"), run)
    assert ("firmware", "bios") in image.tags
    assert "firmware=bios" in booted(local, image, run, LINUX_SAYS)


@pytest.mark.long
def test_the_bus_is_one_that_the_kernel_has_a_driver_for(local: Local, tmp_path: Path, run: Run) -> None:
    """Its root file system is on the disk, and NVMe is what it has built in."""
    image = pushed(local, disks.with_root(tmp_path / "root.raw"), run)
    assert ("bus", "nvme") in image.tags
    assert LINUX_SAYS in booted(local, image, run, LINUX_SAYS)


def test_arm64(local: Local, tmp_path: Path, run: Run) -> None:
    write_tiny_disk(tmp_path / "arm.raw", message="arm-boot-ok", architecture="arm64")
    image = pushed(local, tmp_path / "arm.raw", run)
    assert image.architecture == "arm64"
    assert booted(local, image, run, "arm-boot-ok") == "arm-boot-ok uefi"


def test_without_qemu_nothing_is_left(
    local: Local, path: Path, disk: Disk, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pushed(local, path, run)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="not installed") as caught:
        local.launch(image, run)
    assert "apt install qemu-system-x86" in caught.value.hint
    assert list(local.leftovers("")) == []
    planned = pipeline.plan(local, disk, name="other", run=run)
    assert planned.possible
    assert [one.problem for one in planned.findings] == [
        "the image cannot be booted here: QEMU or its firmware is not installed"
    ]


def test_an_image_that_has_gone_is_not_found(local: Local, path: Path, run: Run) -> None:
    image = pushed(local, path, run)
    local.delete(image)
    with pytest.raises(NotFound):
        local.launch(image, run)


def test_what_qemu_refuses_is_told_with_what_can_be_changed_here(
    folder: Path, local: Local, path: Path, run: Run
) -> None:
    image = pushed(local, path, run)
    too_much = Local(LocalOptions(folder=folder, memory=99_999_999))
    with pytest.raises(BootFailed, match="cannot set up guest memory") as caught:
        boot_test(too_much, image, run=run, expectation=Expectation(timeout=120, every=0.2))
    assert caught.value.hint.startswith("look at --memory, ")
    assert list(local.leftovers("")) == []
