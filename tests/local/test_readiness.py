# SPDX-License-Identifier: Apache-2.0
"""What is said of a disk before it is booted here: of a machine without a network, and with one bus of three."""

from pathlib import Path

import pytest

from lkcloud.disk import open_disk
from lkcloud.disk.inspect import inspect
from lkcloud.disk.readiness import readiness_report
from lkcloud_qemu import Local
from lkcloud_qemu.readiness import bus_for
from tests.images import debian_uki
from tests.readiness import disks


def bus_of(path: Path) -> str:
    with open_disk(path) as disk:
        return bus_for(disk, inspect(disk))


def test_the_verdict_is_about_what_a_machine_here_has(tmp_path: Path, local: Local) -> None:
    with open_disk(disks.with_root(tmp_path / "root.raw")) as disk:
        (verdict,) = readiness_report(disk, {"local": local.needs()}).clouds
    assert verdict.verdict == "boots"
    assert {check.aspect for check in verdict.checks} == {"size", "firmware", "kernel", "disk", "console"}
    assert {check.state for check in verdict.checks} == {"ok"}


@pytest.mark.parametrize(
    ("options", "bus"),
    [
        ("", "nvme"),  # what the kernel has built in
        ("root=/dev/nvme0n1p2", "nvme"),
        ("root=/dev/vda2", "virtio"),  # it has no driver for this, and nothing fits better
    ],
)
def test_the_bus_follows_the_drivers_and_the_name_of_the_root(tmp_path: Path, options: str, bus: str) -> None:
    assert bus_of(disks.with_root(tmp_path / "root.raw", options=options)) == bus


def test_what_has_no_root_file_system_on_the_disk_needs_no_driver(tmp_path: Path) -> None:
    assert bus_of(debian_uki(tmp_path / "uki.raw")) == "virtio"


def test_what_is_not_linux_gets_virtio(path: Path) -> None:
    assert bus_of(path) == "virtio"
