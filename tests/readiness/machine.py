# SPDX-License-Identifier: Apache-2.0
"""What a machine in QEMU says when it is booted from a disk, until it ends or has nothing to boot."""

import time
from pathlib import Path

import pytest

from lkcloud.sandbox.qemu import Bus, Drive, Firmware, VirtualMachine, missing

_NOTHING = (b"UEFI Interactive Shell", b"No bootable option or device was found")
"""What OVMF says when no disk has a loader that it can start, with its shell in it and without."""


def found_nothing(console: str) -> bool:
    return any(words.decode() in console for words in _NOTHING)


def console_of(disk: Path, home: Path, *, firmware: Firmware = "uefi", bus: Bus = "nvme") -> str:
    if packages := missing("x86_64", firmware):
        pytest.skip(f"needs the Debian packages {' '.join(packages)}")
    machine = VirtualMachine(drives=[Drive(disk)], firmware=firmware, home=home, bus=bus, memory_mib=512)
    machine.start()
    try:
        deadline = time.monotonic() + 400
        while machine.state() == "running" and time.monotonic() < deadline:
            if any(words in machine.console() for words in _NOTHING):
                break
            time.sleep(0.1)
        return machine.console().decode("utf-8", "replace")
    finally:
        machine.stop()
