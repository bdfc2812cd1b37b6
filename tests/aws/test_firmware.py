# SPDX-License-Identifier: Apache-2.0
"""Boot mode and architecture follow from the disk, unless the user says otherwise."""

import pytest

from lkcloud.disk.inspect import DiskFacts
from lkcloud_aws import AwsOptions
from lkcloud_aws.firmware import architecture, boot_mode


@pytest.mark.parametrize(
    ("bios", "loaders", "machine", "options", "expected"),
    [
        (True, (), "x86_64", {}, ("x86_64", "legacy-bios")),
        (True, ("BOOTX64.EFI",), "x86_64", {}, ("x86_64", "uefi-preferred")),
        (False, ("BOOTX64.EFI",), "x86_64", {}, ("x86_64", "uefi")),
        (False, ("bootx64.efi",), "x86_64", {}, ("x86_64", "uefi")),
        (True, ("BOOTX64.EFI",), "x86_64", {"tpm": True}, ("x86_64", "uefi")),
        (False, ("BOOTAA64.EFI",), "arm64", {}, ("arm64", "uefi")),
        (False, (), "arm64", {}, ("arm64", "uefi")),
        (False, (), None, {}, ("x86_64", "legacy-bios")),
        (False, (), None, {"architecture": "arm64"}, ("arm64", "uefi")),
        (True, ("BOOTX64.EFI",), "x86_64", {"boot_mode": "legacy-bios"}, ("x86_64", "legacy-bios")),
    ],
)
def test_what_the_image_gets(
    bios: bool, loaders: tuple[str, ...], machine: str | None, options: dict[str, object], expected: tuple[str, str]
) -> None:
    facts = DiskFacts(0, "gpt", (), "", bios, loaders, machine, (), ())  # type: ignore[arg-type]  # plain strings
    chosen = AwsOptions.model_validate(options)
    assert (architecture(chosen, facts), boot_mode(chosen, facts)) == expected
