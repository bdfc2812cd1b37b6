# SPDX-License-Identifier: Apache-2.0
"""What would keep an image from booting on Google Cloud: firmware, guest OS features, Secure Boot keys.

An instance boots by UEFI if its image is UEFI_COMPATIBLE, and by BIOS if not
(https://cloud.google.com/compute/docs/images/create-custom#guest-os-features).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError
from lkcloud.provider import Finding
from lkcloud_gcp import features
from lkcloud_gcp.options import GcpOptions

if TYPE_CHECKING:
    # Every help imports this module, and needs nothing of the disk.
    from lkcloud.disk.inspect import DiskFacts

FEATURES = frozenset(
    {
        "BARE_METAL_LINUX_COMPATIBLE",
        "BMSAI_CAPABLE",
        "CCA_CAPABLE",
        "GVNIC",
        "IDPF",
        "MULTI_IP_SUBNET",
        "SECURE_BOOT",
        "SEV_CAPABLE",
        "SEV_LIVE_MIGRATABLE",
        "SEV_LIVE_MIGRATABLE_V2",
        "SEV_SNP_CAPABLE",
        "SNP_SVSM_CAPABLE",
        "SUSPEND_RESUME_COMPATIBLE",
        "SUSPEND_SAFE_FPR",
        "TDX_CAPABLE",
        "UEFI_COMPATIBLE",
        "VIRTIO_SCSI_MULTIQUEUE",
        "WINDOWS",
    }
)
"""GuestOsFeature.Type of the v1 API (google-cloud-compute 1.57), and SUSPEND_RESUME_COMPATIBLE of its description."""

_X86_ONLY = ("SEV_", "SNP_", "TDX_")
"""How the features begin that are AMD's and Intel's (coreos/fedora-coreos-tracker#2106)."""
_ARM_ONLY = ("CCA_",)
"""Arm's Confidential Compute Architecture."""

_DEPRECATED = {
    "SEV_LIVE_MIGRATABLE": "give SEV_LIVE_MIGRATABLE_V2 as well (AlmaLinux/cloud-images#357)",
    "SECURE_BOOT": "leave it out: UEFI_COMPATIBLE is what Secure Boot needs",
}


def validate(options: GcpOptions, facts: "DiskFacts") -> Iterator[Finding]:
    """Yield what would keep the image from booting, or from being made, for its firmware or its features."""
    yield from _features(options, facts)
    yield from _firmware(options, facts)
    yield from _secure_boot(options, facts)


def _features(options: GcpOptions, facts: "DiskFacts") -> Iterator[Finding]:
    machine = features.architecture(options, facts)
    foreign = _X86_ONLY if machine == "ARM64" else _ARM_ONLY
    for feature in dict.fromkeys(options.guest_os_feature):
        if feature not in FEATURES:
            near = feature.upper().replace("-", "_")
            hint = f"give {near}" if near in FEATURES else f"there are {', '.join(sorted(FEATURES))}"
            yield Finding(f"{feature!r} is no guest OS feature", hint)
        elif feature.startswith(foreign):
            yield Finding(f"{machine} has no {feature}", "leave it out, or give another --architecture")
        elif feature in _DEPRECATED:
            yield Finding(f"the guest OS feature {feature} is deprecated", _DEPRECATED[feature], obstacle=False)


def _firmware(options: GcpOptions, facts: "DiskFacts") -> Iterator[Finding]:
    machine = features.architecture(options, facts)
    word = {"x86_64": "X86_64", "arm64": "ARM64"}.get(facts.architecture or "")
    if word and word != machine:
        yield Finding(
            f"the disk is for {word} and --architecture is {machine}",
            "leave out --architecture unless you know better",
            obstacle=False,
        )
    loader, bios = features.has_loader(facts, machine), facts.bios and machine == "X86_64"
    uefi = features.UEFI in features.guest_os_features(options, facts)
    missing = f"EFI/BOOT/{features.LOADERS[machine]}"
    if machine == "ARM64" and not uefi:
        yield Finding("ARM64 boots by UEFI only", f"add --guest-os-feature {features.UEFI}")
    elif not loader and not bios:
        yield Finding(
            f"nothing on the disk looks bootable: no BIOS boot code and no {missing}",
            "look at the disk with `lkcloud inspect`",
            obstacle=False,
        )
    elif uefi and not loader:
        yield Finding(
            f"the image would be {features.UEFI} and the disk has no {missing}",
            f"put a loader there, or leave out --guest-os-feature {features.UEFI}",
        )
    elif not uefi and not bios:
        yield Finding(
            f"the disk boots by UEFI only and the features do not name {features.UEFI}",
            f"add --guest-os-feature {features.UEFI}",
        )
    elif not word and options.architecture is None:
        yield Finding(
            f"the disk does not tell its architecture, and {machine} is taken", "give --architecture", obstacle=False
        )


def _secure_boot(options: GcpOptions, facts: "DiskFacts") -> Iterator[Finding]:
    files = [*options.key_exchange_key, *options.signature_db, *options.revoked_db]
    if options.platform_key:
        files.insert(0, options.platform_key)
    if not files:
        return
    if features.UEFI not in features.guest_os_features(options, facts):
        yield Finding(
            "Secure Boot keys need UEFI and the image would boot by BIOS",
            f"add --guest-os-feature {features.UEFI}, or leave out the keys",
        )
    if not options.platform_key:
        yield Finding(
            "there are Secure Boot keys and no platform key; what Google takes then is not documented",
            "give --platform-key as well",
            obstacle=False,
        )
    from lkcloud.secure_boot import read_key

    for path in files:
        try:
            read_key(path)
        except LkcloudError as error:
            yield Finding(error.message, error.hint)
