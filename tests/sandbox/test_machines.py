# SPDX-License-Identifier: Apache-2.0
"""Machines in QEMU: they boot, they end, and they leave the disks as they were."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from lkcloud.errors import UsageError
from lkcloud.sandbox.firmware import find
from lkcloud.sandbox.qemu import Drive, VirtualMachine, missing
from lkcloud.sandbox.tinydisk import write_tiny_disk

needs_bios = pytest.mark.skipif(bool(missing("x86_64", "bios")), reason="needs apt install qemu-system-x86")
needs_uefi = pytest.mark.skipif(bool(missing("x86_64", "uefi")), reason="needs apt install qemu-system-x86 ovmf")

needs_arm64 = pytest.mark.skipif(
    bool(missing("arm64", "uefi")), reason="needs apt install qemu-system-arm qemu-efi-aarch64"
)

BOOT_LIMIT = 60.0
LONG = "a line that is longer than any console of a firmware is wide: " + "0123456789" * 30
MachineMaker = Callable[..., VirtualMachine]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A disk that boots, says so and powers off; the comma in its name is one that QEMU's options must survive."""
    path = tmp_path / "tiny, 4 MiB.raw"
    write_tiny_disk(path)
    return path


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    """A disk that does not boot, so a machine waits for ever."""
    path = tmp_path / "blank.raw"
    path.write_bytes(bytes(1 << 20))
    return path


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MachineMaker]:
    monkeypatch.setenv("LKCLOUD_ACCEL", "tcg")
    made: list[VirtualMachine] = []

    def machine(*paths: Path, firmware: Literal["bios", "uefi"] = "bios", **others: Any) -> VirtualMachine:
        drives = [Drive(path, others.pop("format", "raw")) for path in paths]
        made.append(VirtualMachine(drives=drives, firmware=firmware, home=tmp_path / f"vm{len(made)}", **others))
        made[-1].start()
        return made[-1]

    yield machine
    for one in made:
        one.stop()


def until(true: Callable[[], bool], limit: float = BOOT_LIMIT) -> bool:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


def ended(machine: VirtualMachine) -> str:
    assert until(lambda: machine.state() != "running"), machine.console()
    return machine.state()


def processes(disk: Path, program: bytes) -> list[int]:
    """The processes of PROGRAM whose command line names DISK."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(disk).encode() in b" ".join(arguments) and any(part.endswith(program) for part in arguments[:4]):
            found.append(int(entry.name))
    return found


def emulators(disk: Path) -> list[int]:
    return [pid for pid in processes(disk, b"qemu-system-x86_64") if pid not in keepers(disk)]


def keepers(disk: Path) -> list[int]:
    return processes(disk, b"keeper.py")


@needs_bios
@pytest.mark.parametrize("bus", ["nvme", "virtio"])
def test_a_disk_boots_by_bios_and_powers_off(make: MachineMaker, tiny: Path, bus: str) -> None:
    machine = make(tiny, bus=bus)
    assert ended(machine) == "stopped"
    assert b"lkcloud-boot-ok bios" in machine.console()


@needs_uefi
def test_a_disk_boots_by_uefi_and_powers_off(make: MachineMaker, tiny: Path) -> None:
    machine = make(tiny, firmware="uefi")
    assert ended(machine) == "stopped"
    assert b"lkcloud-boot-ok uefi" in machine.console()


@needs_arm64
@pytest.mark.parametrize("bus", ["nvme", "virtio"])
def test_an_arm64_disk_boots_and_powers_off(make: MachineMaker, tmp_path: Path, bus: str) -> None:
    path = tmp_path / "arm64, 4 MiB.raw"
    write_tiny_disk(path, architecture="arm64", message=LONG)
    machine = make(path, firmware="uefi", architecture="arm64", bus=bus)
    assert ended(machine) == "stopped"
    assert f"{LONG} uefi\r\n".encode() in machine.console()


@needs_arm64
def test_an_arm64_machine_gets_to_its_firmware(make: MachineMaker, blank: Path) -> None:
    machine = make(blank, firmware="uefi", architecture="arm64")
    assert until(lambda: b"NVMe" in machine.console() and b"Shell" in machine.console()), machine.console()
    assert machine.state() == "running"


@needs_arm64
def test_an_arm64_machine_does_not_boot_what_is_for_x86_64(make: MachineMaker, tiny: Path) -> None:
    machine = make(tiny, firmware="uefi", architecture="arm64")
    assert until(lambda: b"Shell" in machine.console()), machine.console()
    assert b"lkcloud-boot-ok" not in machine.console()


@needs_bios
@pytest.mark.parametrize(
    ("kind", "options"),
    [("qcow2", "compat=1.1"), ("vpc", "subformat=fixed,force_size=on"), ("vpc", "subformat=dynamic")],
)
def test_a_disk_boots_from_other_formats(
    make: MachineMaker, tiny: Path, tmp_path: Path, kind: str, options: str
) -> None:
    converted = tmp_path / "converted"
    subprocess.run(["qemu-img", "convert", "-O", kind, "-o", options, tiny, converted], check=True)
    machine = make(converted, format=kind)
    assert ended(machine) == "stopped"
    assert b"lkcloud-boot-ok bios" in machine.console()


@needs_bios
def test_the_first_drive_is_the_one_that_boots(make: MachineMaker, tiny: Path, blank: Path) -> None:
    machine = make(tiny, blank)
    assert ended(machine) == "stopped"
    assert b"lkcloud-boot-ok bios" in machine.console()


def disk_that_writes(path: Path) -> None:
    """Write a disk whose boot code writes its own sector, with `X` at offset 256, to sector 1 and powers off."""
    code = bytes.fromhex(
        "fa31c08ed88ec0fbc606007d58"  # cli; ds = es = 0; sti; [0x7d00] = 'X'
        "b80103b90200b600bb007ccd13"  # ah = 3 (write) al = 1; cylinder 0, sector 2; head 0; from 0x7c00; int 0x13
        "72fe"  # jc: hang here if the write failed
        "ba0406b80020ef"  # power off: out 0x604, 0x2000
        "ebfe"
    )
    path.write_bytes(code.ljust(510, b"\0") + b"\x55\xaa" + bytes((1 << 20) - 512))


@needs_bios
def test_what_the_guest_writes_does_not_reach_the_disk(make: MachineMaker, tmp_path: Path) -> None:
    disk = tmp_path / "writes.raw"
    disk_that_writes(disk)
    before = hashlib.sha256(disk.read_bytes()).hexdigest()
    disk.chmod(0o400)
    assert ended(make(disk)) == "stopped"
    assert hashlib.sha256(disk.read_bytes()).hexdigest() == before


@needs_bios
def test_two_machines_boot_one_disk_at_once(make: MachineMaker, tiny: Path) -> None:
    for machine in [make(tiny), make(tiny)]:
        assert ended(machine) == "stopped"
        assert b"lkcloud-boot-ok bios" in machine.console()


@needs_bios
def test_a_machine_that_runs_for_ever_can_be_stopped(make: MachineMaker, blank: Path) -> None:
    machine = make(blank)
    assert until(lambda: len(emulators(blank)) == 1)
    assert machine.state() == "running"
    machine.stop()
    machine.stop()
    assert machine.state() == "stopped"
    assert emulators(blank) == keepers(blank) == []


@needs_bios
def test_a_machine_that_qemu_refuses_tells_why(make: MachineMaker, tmp_path: Path) -> None:
    machine = make(tmp_path / "nowhere.raw")
    assert "nowhere.raw" in ended(machine)
    assert machine.state().startswith("failed: ")


@needs_bios
def test_a_machine_that_is_killed_has_failed(make: MachineMaker, blank: Path) -> None:
    machine = make(blank)
    assert until(lambda: len(emulators(blank)) == 1)
    os.kill(emulators(blank)[0], signal.SIGKILL)
    assert ended(machine) == "failed: QEMU ended with status 137"


PARENT = """
import sys, time
from pathlib import Path
from threading import Thread
from lkcloud.sandbox.qemu import Drive, VirtualMachine
machine = VirtualMachine(drives=[Drive(Path(sys.argv[1]))], firmware="bios", home=Path(sys.argv[2]))
starter = Thread(target=machine.start)
starter.start()
starter.join()
time.sleep(1)
print(machine.state(), flush=True)
time.sleep(600)
"""


@needs_bios
def test_a_machine_outlives_the_thread_that_started_it_but_not_the_process(
    monkeypatch: pytest.MonkeyPatch, blank: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("LKCLOUD_ACCEL", "tcg")
    home = tmp_path / "vm"
    with subprocess.Popen([sys.executable, "-c", PARENT, blank, home], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "running\n"
        assert len(emulators(blank)) == 1
        parent.kill()
    assert until(lambda: not emulators(blank) and not keepers(blank), 5)


@needs_bios
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_machine_ends_with_its_keeper(make: MachineMaker, blank: Path) -> None:
    machine = make(blank)
    assert until(lambda: len(emulators(blank)) == 1)
    os.kill(keepers(blank)[0], signal.SIGKILL)
    assert ended(machine).startswith("failed: ")
    assert until(lambda: not emulators(blank), 5)


@pytest.mark.parametrize(
    ("architecture", "packages"), [("x86_64", ["qemu-system-x86"]), ("arm64", ["qemu-system-arm"])]
)
def test_without_qemu_the_error_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny: Path,
    architecture: Literal["x86_64", "arm64"],
    packages: list[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if find(architecture) is None:
        packages = [*packages, {"x86_64": "ovmf", "arm64": "qemu-efi-aarch64"}[architecture]]
    assert missing(architecture, "uefi") == packages
    machine = VirtualMachine(drives=[Drive(tiny)], firmware="uefi", architecture=architecture, home=tmp_path / "vm")
    with pytest.raises(UsageError) as refusal:
        machine.start()
    assert " ".join(packages) in refusal.value.hint
    assert machine.state() == "stopped"


def test_no_arm64_machine_boots_by_bios(tmp_path: Path, tiny: Path) -> None:
    machine = VirtualMachine(drives=[Drive(tiny)], firmware="bios", architecture="arm64", home=tmp_path / "vm")
    with pytest.raises(UsageError, match="BIOS"):
        machine.start()
