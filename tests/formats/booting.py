# SPDX-License-Identifier: Apache-2.0
"""A written file boots in QEMU, which reads it as it is."""

import time
from pathlib import Path

import pytest

from lkcloud.sandbox.command import DiskFormat, Firmware
from lkcloud.sandbox.qemu import Drive, VirtualMachine, missing
from tests import images


def need_machine(firmware: Firmware) -> None:
    """Skip the test where no machine with FIRMWARE can be started."""
    if packages := missing("x86_64", firmware):
        pytest.skip(f"needs the Debian packages {' '.join(packages)}")


def assert_boots(disk: Path, form: DiskFormat, firmware: Firmware, home: Path) -> None:
    """See that DISK, which is `images.tiny` in FORM, says what it says and powers off."""
    machine = VirtualMachine(drives=[Drive(disk, form)], firmware=firmware, home=home)
    machine.start()
    try:
        deadline = time.monotonic() + 120
        while machine.state() == "running" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert f"{images.TINY_SAYS} {firmware}" in machine.console().decode(errors="replace")
        assert machine.state() == "stopped"
    finally:
        machine.stop()
