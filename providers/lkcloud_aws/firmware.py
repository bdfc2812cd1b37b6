# SPDX-License-Identifier: Apache-2.0
"""Which architecture and boot mode an image gets: what the user says, else what the disk shows."""

from typing import TYPE_CHECKING

from lkcloud_aws.options import Architecture, AwsOptions, BootMode

if TYPE_CHECKING:
    # Every help imports this module, and needs nothing of the disk.
    from lkcloud.disk.inspect import DiskFacts

LOADERS: dict[Architecture, str] = {"x86_64": "BOOTX64.EFI", "arm64": "BOOTAA64.EFI"}
"""The loader that firmware without boot entries of its own starts from EFI/BOOT (UEFI specification, 3.5.1.1)."""


def architecture(options: AwsOptions, facts: "DiskFacts") -> Architecture:
    """Return the architecture; x86_64 where nothing tells (RegisterImage itself would take i386)."""
    return options.architecture or facts.architecture or "x86_64"


def has_loader(facts: "DiskFacts", machine: Architecture) -> bool:
    """Tell whether UEFI of this architecture finds something to start."""
    return LOADERS[machine] in {name.upper() for name in facts.efi_loaders}


def boot_mode(options: AwsOptions, facts: "DiskFacts") -> BootMode:
    """Return the boot mode, never left to AWS: unset it means legacy-bios on x86_64 and uefi on arm64.

    A disk that boots both ways is uefi-preferred, but uefi with a TPM, which only an instance booted by UEFI has.
    """
    if options.boot_mode:
        return options.boot_mode
    if architecture(options, facts) == "arm64":
        return "uefi"
    if has_loader(facts, "x86_64"):
        return "uefi-preferred" if facts.bios and not options.tpm else "uefi"
    return "uefi" if options.tpm or options.uefi_data else "legacy-bios"
