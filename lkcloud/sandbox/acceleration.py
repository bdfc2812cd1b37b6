# SPDX-License-Identifier: Apache-2.0
"""Whether KVM runs guests here.

That /dev/kvm opens and a machine can be made does not say so: in some nested clouds QEMU then aborts, or the guest
hangs at its first instructions. So KVM must boot the tiny disk once, within seconds; until it has, TCG emulates.
"""

import fcntl
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

from pydantic import BaseModel, ValidationError

from lkcloud.errors import UsageError
from lkcloud.paths import state_dir
from lkcloud.sandbox.command import Accelerator, Drive, Firmware, Hardware, command, missing
from lkcloud.sandbox.firmware import EMULATOR, Architecture
from lkcloud.sandbox.keeper import Kept
from lkcloud.sandbox.tinydisk import write_tiny_disk

LIMITS: dict[Firmware, float] = {"uefi": 5.0, "bios": 1.0}
"""Seconds that the tiny disk gets to boot. KVM needs a fifth of that; where it needs more, TCG is as good."""

_MESSAGE = "lkcloud-kvm-works"
_NATIVE: dict[str, Architecture] = {"x86_64": "x86_64", "aarch64": "arm64"}
"""What a processor runs, by its name in the kernel: KVM runs nothing else on it."""


class _Verdict(BaseModel):
    """What was found, and for which boot of this system and which QEMU it holds."""

    boot: str
    qemu: str
    accelerator: Accelerator


def accelerator(architecture: Architecture) -> Accelerator:
    """Return the fastest way to run machines of ARCHITECTURE that is known to work here.

    LKCLOUD_ACCEL=tcg or kvm decides instead of the proof; UsageError if it says anything else. The first call after a
    boot of this system takes up to five seconds where there is a /dev/kvm; the answer is kept in the state folder.
    """
    chosen = os.environ.get("LKCLOUD_ACCEL")
    if chosen in {"tcg", "kvm"}:
        return "kvm" if chosen == "kvm" else "tcg"
    if chosen:
        raise UsageError(f"LKCLOUD_ACCEL is {chosen!r}", hint="set it to tcg or kvm, or unset it")
    if _NATIVE.get(platform.machine()) != architecture or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    emulator = shutil.which(EMULATOR[architecture])
    if emulator is None:
        return "tcg"
    folder = state_dir()
    with (folder / "acceleration.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _remembered(folder / "acceleration.json", Path(emulator).resolve(), architecture)


def _remembered(file: Path, emulator: Path, architecture: Architecture) -> Accelerator:
    boot, qemu = _this_boot(), _this_qemu(emulator)
    try:
        verdict = _Verdict.model_validate_json(file.read_bytes())
        if (verdict.boot, verdict.qemu) == (boot, qemu):
            return verdict.accelerator
    except (OSError, ValidationError):
        pass  # There is none yet, or one that another version wrote: find out.
    if not missing(architecture, "uefi"):
        firmware: Firmware = "uefi"
    elif architecture == "x86_64":
        firmware = "bios"
    else:
        return "tcg"  # Nothing boots without the firmware, and once it is installed this is another question.
    found: Accelerator = "kvm" if boots("kvm", architecture, firmware, LIMITS[firmware]) else "tcg"
    file.write_text(_Verdict(boot=boot, qemu=qemu, accelerator=found).model_dump_json())
    return found


def boots(by: Accelerator, architecture: Architecture, firmware: Firmware, limit: float) -> bool:
    """Return whether the tiny disk boots BY this accelerator within LIMIT seconds. Never hangs."""
    with tempfile.TemporaryDirectory(prefix="lkcloud-accel-") as folder:
        home = Path(folder)
        disk, console, log = home / "tiny.raw", home / "console", home / "qemu.log"
        write_tiny_disk(disk, message=_MESSAGE, architecture=architecture)
        machine = command(Hardware((Drive(disk),), firmware, architecture, memory_mib=256), by, home)
        process = Kept(machine, home=home, output=console, errors=log, limit=1 << 20)
        try:
            deadline = time.monotonic() + limit
            while time.monotonic() < deadline and process.poll() is None and b"KVM internal" not in log.read_bytes():
                time.sleep(0.02)
        finally:
            process.stop()
        return console.exists() and f"{_MESSAGE} {firmware}".encode() in console.read_bytes()


def _this_boot() -> str:
    """Return what names the run of this system's kernel: another kernel or host may follow the next boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _this_qemu(emulator: Path) -> str:
    """Return what changes with the version of QEMU, without the 20 ms of asking it."""
    facts = emulator.stat()
    return f"{emulator} {facts.st_size} {facts.st_mtime_ns}"
