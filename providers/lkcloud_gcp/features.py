# SPDX-License-Identifier: Apache-2.0
"""Which architecture and guest OS features an image gets: what the user says, else what the disk shows."""

from types import MappingProxyType
from typing import TYPE_CHECKING

from lkcloud_gcp.options import Architecture, GcpOptions

if TYPE_CHECKING:
    # Every help imports this module, and needs nothing of the disk.
    from lkcloud.disk.inspect import DiskFacts

UEFI = "UEFI_COMPATIBLE"

LOADERS = MappingProxyType[Architecture, str]({"X86_64": "BOOTX64.EFI", "ARM64": "BOOTAA64.EFI"})
"""The loader that firmware without boot entries of its own starts from EFI/BOOT (UEFI specification, 3.5.1.1).

Shielded VM asks for it there (https://cloud.google.com/security/shielded-cloud/creating-shielded-images).
"""

_WORDS = MappingProxyType[str, Architecture]({"x86_64": "X86_64", "arm64": "ARM64"})


def architecture(options: GcpOptions, facts: "DiskFacts") -> Architecture:
    """Return the architecture in Google's word; X86_64 where nothing tells, as Compute Engine takes it itself."""
    return options.architecture or _WORDS.get(facts.architecture or "", "X86_64")


def has_loader(facts: "DiskFacts", machine: Architecture) -> bool:
    """Tell whether UEFI of this architecture finds something to start."""
    return LOADERS[machine] in {name.upper() for name in facts.efi_loaders}


def guest_os_features(options: GcpOptions, facts: "DiskFacts") -> tuple[str, ...]:
    """Return what the image says that its guest can (https://cloud.google.com/compute/docs/images/create-custom).

    What the options name is taken as it is. Else:

    - VIRTIO_SCSI_MULTIQUEUE and GVNIC always. All machine series from the third on, and so the Arm ones, have gVNIC
      alone, and the service refuses to start a machine there from an image that does not claim it ("This boot disk
      source does not support gVNIC", siderolabs/talos#12004); a guest without the driver boots, and has no network.
      Whether the claim alone gives machines of older series another network card is not known.
    - UEFI_COMPATIBLE if the disk has a loader for it, and on Arm, where there is no other firmware.

    Never IDPF, SEV*, SNP* or TDX: they promise what only some kernels can, a machine that trusts in them does not come
    up without it, and the last three are of no use on Arm (coreos/fedora-coreos-tracker#2106).
    """
    if options.guest_os_feature:
        return tuple(dict.fromkeys(options.guest_os_feature))
    machine = architecture(options, facts)
    common = ("VIRTIO_SCSI_MULTIQUEUE", "GVNIC")
    return (*common, UEFI) if machine == "ARM64" or has_loader(facts, machine) else common
