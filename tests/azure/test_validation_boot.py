# SPDX-License-Identifier: Apache-2.0
"""What would not boot on Azure is told before it is uploaded."""

from pathlib import Path

import pytest

from lkcloud_azure import AzureOptions, features
from tests.azure.test_validation import ARM, BIOS, DER, UEFI, facts, look

TRUSTED = {
    "gallery": "g",
    "method": "blob",
    "storage_account": "account",
    "security_type": "TrustedLaunchSupported",
}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seen": ARM}, "cannot be for Arm64"),
        ({"seen": BIOS, "hyper_v_generation": "V2"}, "no EFI/BOOT/BOOTX64.EFI"),
        ({"seen": UEFI, "hyper_v_generation": "V1"}, "no BIOS boot code"),
        ({"seen": ARM, "gallery": "g", "hyper_v_generation": "V1"}, "generation V2 only"),
        ({"seen": BIOS, "disk_controller_type": ("SCSI", "NVMe")}, "V1 have no NVMe"),
        ({"disk_controller_type": ("NVMe",)}, "not NVMe alone"),
        ({"disk_controller_type": ("scsi",)}, "no disk controller"),
        ({"disk_controller_type": ("SCSI", "IDE")}, "no disk controller"),
        ({**TRUSTED, "seen": BIOS}, "needs generation V2"),
        ({**TRUSTED, "seen": ARM, "security_type": "ConfidentialVMSupported"}, "confidential machines"),
        (
            {**TRUSTED, "seen": ARM, "security_type": "TrustedLaunchAndConfidentialVmSupported"},
            "confidential machines",
        ),
        ({**TRUSTED, "seen": ARM, "method": "disk"}, "from a managed disk"),
        ({**TRUSTED, "os_state": "Specialized", "method": "disk"}, "from a managed disk"),
        ({"gallery": "g", "uefi_template": "MicrosoftWindowsTemplate"}, "need the security type"),
        ({**TRUSTED, "uefi_template": "NoSignatureTemplate"}, "lets nothing boot"),
        (
            {**TRUSTED, "uefi_template": "MicrosoftWindowsTemplate", "cloud_environment": "AzureChinaCloud"},
            "takes no Secure Boot keys",
        ),
    ],
)  # fmt: skip
def test_what_cannot_boot_is_an_obstacle(tmp_path: Path, options: dict[str, object], words: str) -> None:
    obstacles = [finding for finding in look(tmp_path, **options) if finding.obstacle]  # type: ignore[arg-type]  # mixed
    assert len(obstacles) == 1, obstacles
    assert words in obstacles[0].problem
    assert obstacles[0].hint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seen": facts(bios=False, loaders=())}, "looks bootable"),
        ({"seen": facts(bios=False, loaders=("BOOTIA32.EFI",))}, "looks bootable"),
        ({"seen": facts(architecture=None)}, "does not tell its architecture"),
        ({"architecture": "Arm64", "gallery": "g", "seen": facts(loaders=("BOOTAA64.EFI",))}, "the disk is for x64"),
    ],
)  # fmt: skip
def test_what_may_not_boot_is_told_and_goes_on(tmp_path: Path, options: dict[str, object], words: str) -> None:
    findings = look(tmp_path, **options)  # type: ignore[arg-type]  # mixed
    assert [finding.obstacle for finding in findings] == [False]
    assert words in findings[0].problem


@pytest.mark.parametrize(
    "options",
    [
        {"seen": facts(), "hyper_v_generation": "V1"},
        {"seen": facts(), "hyper_v_generation": "V2"},
        {"seen": BIOS},
        {"seen": BIOS, "disk_controller_type": ("SCSI",)},
        {"seen": facts(architecture=None), "architecture": "x64"},
        TRUSTED,
        {**TRUSTED, "seen": ARM},
        {**TRUSTED, "method": "disk"},
        {**TRUSTED, "os_state": "Specialized"},
        {**TRUSTED, "security_type": "TrustedLaunchAndConfidentialVmSupported"},
        {**TRUSTED, "uefi_template": "MicrosoftWindowsTemplate"},
    ],
)  # fmt: skip
def test_what_boots_is_taken(tmp_path: Path, options: dict[str, object]) -> None:
    assert look(tmp_path, **options) == []  # type: ignore[arg-type]  # mixed


def test_secure_boot_keys_are_read_before_anything_is_sent(tmp_path: Path) -> None:
    good, empty = tmp_path / "good.der", tmp_path / "empty"
    good.write_bytes(DER)
    empty.touch()
    assert look(tmp_path, **TRUSTED, key_exchange_key=(good,), signature_db=(good,), revoked_db=(good,)) == []  # type: ignore[arg-type]  # mixed
    [bad] = look(tmp_path, **TRUSTED, key_exchange_key=(empty,))  # type: ignore[arg-type]  # mixed
    assert "is empty" in bad.problem
    [none] = look(tmp_path, **TRUSTED, revoked_db=(tmp_path / "none",))  # type: ignore[arg-type]  # mixed
    assert "cannot read" in none.problem
    [own] = look(tmp_path, **TRUSTED, platform_key=good)  # type: ignore[arg-type]  # mixed
    assert not own.obstacle
    assert "platform key" in own.problem
    [old] = look(tmp_path, gallery="g", signature_db=(good,), seen=BIOS)
    assert old.problem == "Secure Boot needs generation V2"
    [managed] = look(tmp_path, signature_db=(good,))
    assert managed.problem == "a managed image knows nothing of --signature-db"


@pytest.mark.parametrize(
    ("options", "seen", "found"),
    [
        ({}, facts(), ("x64", "V2", ("SCSI", "NVMe"))),
        ({}, BIOS, ("x64", "V1", ("SCSI",))),
        ({}, ARM, ("Arm64", "V2", ("SCSI", "NVMe"))),
        ({}, facts(bios=False, loaders=(), architecture=None), ("x64", "V1", ("SCSI",))),
        ({"hyper_v_generation": "V1"}, facts(), ("x64", "V1", ("SCSI",))),
        ({"architecture": "Arm64"}, BIOS, ("Arm64", "V2", ("SCSI", "NVMe"))),
        ({"disk_controller_type": ("NVMe", "SCSI", "NVMe")}, BIOS, ("x64", "V1", ("NVMe", "SCSI"))),
        ({"disk_controller_type": "SCSI"}, facts(), ("x64", "V2", ("SCSI",))),
    ],
)  # fmt: skip
def test_what_is_not_said_the_disk_tells(options: dict[str, object], seen: object, found: tuple[object, ...]) -> None:
    chosen = AzureOptions.model_validate(options)
    assert (
        features.architecture(chosen, seen),  # type: ignore[arg-type]  # parameters are plain objects
        features.generation(chosen, seen),  # type: ignore[arg-type]
        features.disk_controller_types(chosen, seen),  # type: ignore[arg-type]
    ) == found
