# SPDX-License-Identifier: Apache-2.0
"""UEFI firmware is found by the descriptions beside QEMU where a system keeps it elsewhere than the known ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from lkcloud.sandbox import firmware
from lkcloud.sandbox.firmware import Flash


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A QEMU that was installed below a folder of its own, as Homebrew does, with no firmware yet."""
    emulator = tmp_path / "bin" / "qemu-system-aarch64"
    emulator.parent.mkdir()
    emulator.write_text("#!/bin/sh\n")
    emulator.chmod(0o755)
    monkeypatch.setenv("PATH", str(emulator.parent))
    (tmp_path / "share/qemu/firmware").mkdir(parents=True)
    (tmp_path / "code.fd").write_bytes(b"code")
    (tmp_path / "vars.fd").write_bytes(b"vars")
    return tmp_path


def describe(prefix: Path, **changes: Any) -> None:
    description = {
        "description": "made by a test",
        "interface-types": ["uefi"],
        "mapping": {
            "device": "flash",
            "executable": {"filename": str(prefix / "code.fd"), "format": "raw"},
            "nvram-template": {"filename": str(prefix / "vars.fd"), "format": "raw"},
        },
        "targets": [{"architecture": "aarch64", "machines": ["virt-*"]}],
        "features": ["verbose-static"],
        "tags": [],
    }
    (prefix / "share/qemu/firmware/60-test.json").write_text(json.dumps({**description, **changes}))


def below(prefix: Path) -> list[Flash]:
    """The firmware found below PREFIX; there may be more on the system that runs the test."""
    return [flash for flash in firmware._candidates("arm64") if prefix in flash.code.parents]


def test_firmware_beside_qemu_is_found(prefix: Path) -> None:
    describe(prefix)
    assert below(prefix) == [Flash(prefix / "code.fd", prefix / "vars.fd", "raw")]
    assert firmware.find("arm64") is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"interface-types": ["bios"]},
        {"mapping": {"device": "memory", "filename": "/code.fd"}},
        {"targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}]},
        {"features": ["requires-smm", "secure-boot"]},
        {"features": ["enrolled-keys"]},
    ],
)
def test_firmware_of_another_kind_is_passed_over(prefix: Path, changes: dict[str, Any]) -> None:
    describe(prefix, **changes)
    assert below(prefix) == []


def test_a_description_of_files_that_are_gone_is_passed_over(prefix: Path) -> None:
    describe(prefix)
    (prefix / "vars.fd").unlink()
    assert below(prefix) == []


def test_a_description_that_is_no_json_is_passed_over(prefix: Path) -> None:
    (prefix / "share/qemu/firmware/50-broken.json").write_text("{")
    describe(prefix)
    assert len(below(prefix)) == 1
