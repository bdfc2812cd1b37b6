# SPDX-License-Identifier: Apache-2.0
"""Which architecture, generation and disk controllers an image gets: what the user says, else what the disk shows."""

from types import MappingProxyType
from typing import TYPE_CHECKING

from lkcloud_azure.options import Architecture, AzureOptions, Generation

if TYPE_CHECKING:
    # Every help imports this module, and needs nothing of the disk.
    from lkcloud.disk.inspect import DiskFacts

LOADERS = MappingProxyType[Architecture, str]({"x64": "BOOTX64.EFI", "Arm64": "BOOTAA64.EFI"})
"""The loader that firmware without boot entries of its own starts from EFI/BOOT (UEFI specification, 3.5.1.1)."""

ARCHITECTURES = MappingProxyType[str, Architecture]({"x86_64": "x64", "arm64": "Arm64"})
"""Azure's word for an architecture as `inspect` names it."""

NVME = "NVMe"


def architecture(options: AzureOptions, facts: "DiskFacts") -> Architecture:
    """Return the architecture in Azure's word; x64 where nothing tells, as Azure takes it itself."""
    return options.architecture or ARCHITECTURES.get(facts.architecture or "", "x64")


def has_loader(facts: "DiskFacts", machine: Architecture) -> bool:
    """Tell whether UEFI of this architecture finds something to start."""
    return LOADERS[machine] in {name.upper() for name in facts.efi_loaders}


def generation(options: AzureOptions, facts: "DiskFacts") -> Generation:
    """Return V2, which boots by UEFI, if the disk has a loader for it, and on Arm, which knows nothing else; else V1.

    https://learn.microsoft.com/azure/virtual-machines/generation-2. A disk that boots either way becomes V2: the newer
    sizes, NVMe and Trusted Launch have no V1.
    """
    if options.hyper_v_generation is not None:
        return options.hyper_v_generation
    machine = architecture(options, facts)
    return "V2" if machine == "Arm64" or has_loader(facts, machine) else "V1"


def stages_image(options: AzureOptions, facts: "DiskFacts") -> bool:
    """Tell whether a managed image can be made between a managed disk and a version in a gallery.

    It is generalized, and has no architecture but x64 (https://learn.microsoft.com/azure/virtual-machines/
    capture-image-resource).
    """
    return options.os_state == "Generalized" and architecture(options, facts) == "x64"


def disk_controller_types(options: AzureOptions, facts: "DiskFacts") -> tuple[str, ...]:
    """Return the disk controllers, each once; V1 has no NVMe, so there it is left out of what is the default.

    https://learn.microsoft.com/azure/virtual-machines/enable-nvme-interface: only images of generation 2 have it.
    """
    chosen = tuple(dict.fromkeys(options.disk_controller_type))
    if generation(options, facts) == "V1" and "disk_controller_type" not in options.model_fields_set:
        return tuple(name for name in chosen if name != NVME)
    return chosen
