# SPDX-License-Identifier: Apache-2.0
"""KVM is used only where it has booted a disk."""

import os
import platform
import time
from pathlib import Path

import pytest

from lkcloud.errors import UsageError
from lkcloud.sandbox.acceleration import accelerator, boots
from lkcloud.sandbox.firmware import Architecture
from lkcloud.sandbox.qemu import missing

needs_qemu = pytest.mark.skipif(bool(missing("x86_64", "bios")), reason="needs apt install qemu-system-x86")
needs_uefi = pytest.mark.skipif(bool(missing("x86_64", "uefi")), reason="needs apt install qemu-system-x86 ovmf")
needs_arm64 = pytest.mark.skipif(
    bool(missing("arm64", "uefi")), reason="needs apt install qemu-system-arm qemu-efi-aarch64"
)
needs_kvm = pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="needs /dev/kvm")


@needs_qemu
def test_the_proof_passes_where_the_disk_boots() -> None:
    assert boots("tcg", "x86_64", "bios", 30)


@needs_arm64
def test_the_proof_passes_where_the_disk_boots_on_arm64() -> None:
    assert boots("tcg", "arm64", "uefi", 60)


@needs_uefi
def test_the_proof_fails_in_time_where_the_disk_does_not_boot() -> None:
    started = time.monotonic()
    assert not boots("tcg", "x86_64", "uefi", 0.5)  # which takes seconds
    assert time.monotonic() - started < 5


@needs_qemu
@needs_kvm
def test_the_answer_comes_in_seconds_and_the_second_time_at_once() -> None:
    started = time.monotonic()
    first = accelerator("x86_64")
    assert time.monotonic() - started < 15
    started = time.monotonic()
    assert accelerator("x86_64") == first
    assert time.monotonic() - started < 0.5


@needs_qemu
@needs_kvm
def test_an_answer_of_another_boot_or_another_version_is_not_believed(own_folders: Path) -> None:
    answer = accelerator("x86_64")
    file = own_folders / "state" / "acceleration.json"
    written = file.read_text()
    for other in ('{"boot": "another", "qemu": "another", "accelerator": "kvm"}', "no JSON"):
        file.write_text(other)
        assert accelerator("x86_64") == answer
        assert file.read_text() == written


@pytest.mark.parametrize("wanted", ["tcg", "kvm"])
def test_the_user_can_decide(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setenv("LKCLOUD_ACCEL", wanted)
    assert accelerator("x86_64") == wanted


def test_the_user_cannot_decide_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKCLOUD_ACCEL", "magic")
    with pytest.raises(UsageError, match="magic"):
        accelerator("x86_64")


@pytest.mark.parametrize(("processor", "architecture"), [("x86_64", "arm64"), ("aarch64", "x86_64")])
def test_what_the_processor_does_not_run_is_emulated(processor: str, architecture: Architecture) -> None:
    if platform.machine() != processor:
        pytest.skip(f"needs a processor called {processor}")
    assert accelerator(architecture) == "tcg"
