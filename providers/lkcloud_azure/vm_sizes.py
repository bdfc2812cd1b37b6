# SPDX-License-Identifier: Apache-2.0
"""Which size a test machine gets: small ones that the image can boot on, the cheapest first."""

from collections.abc import Iterator
from dataclasses import dataclass

from lkcloud_azure.features import NVME
from lkcloud_azure.options import Architecture, Generation


@dataclass(frozen=True, slots=True)
class Size:
    """A size of virtual machine, and what an image must be to boot on it."""

    name: str
    architecture: Architecture
    generations: tuple[Generation, ...]
    controller: str
    """The disk controller that the image must have a driver for."""
    trusted_launch: bool = True


SIZES = (
    # Of each series its own page below https://learn.microsoft.com/azure/virtual-machines/sizes/general-purpose/ says
    # the generations; https://learn.microsoft.com/azure/virtual-machines/trusted-launch#virtual-machines-sizes.
    Size("Standard_B2s", "x64", ("V1", "V2"), "SCSI"),
    Size("Standard_B2ls_v2", "x64", ("V2",), "SCSI"),
    Size("Standard_D2s_v5", "x64", ("V1", "V2"), "SCSI"),
    # The later ones have NVMe only, and some regions have only the later ones (kubermatic/machine-controller#1980,
    # MarcelMeurer/WVD-Hydra#26).
    Size("Standard_D2als_v6", "x64", ("V2",), NVME),
    Size("Standard_D2ls_v6", "x64", ("V2",), NVME),
    Size("Standard_B2pls_v2", "Arm64", ("V2",), "SCSI", trusted_launch=False),
    Size("Standard_D2pls_v5", "Arm64", ("V2",), "SCSI", trusted_launch=False),
    Size("Standard_D2pls_v6", "Arm64", ("V2",), NVME),
)
"""Small sizes of several families: a subscription has a quota for each family, and a region not all of them."""


def fitting(
    architecture: Architecture, generation: Generation, controllers: tuple[str, ...], *, trusted_launch: bool
) -> Iterator[str]:
    """Yield the names of the sizes that boot such an image, the cheapest first."""
    for size in SIZES:
        if (
            size.architecture == architecture
            and generation in size.generations
            and size.controller in controllers
            and (size.trusted_launch or not trusted_launch)
        ):
            yield size.name
