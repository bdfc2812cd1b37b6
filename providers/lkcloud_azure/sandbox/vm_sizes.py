# SPDX-License-Identifier: Apache-2.0
"""Sizes of virtual machines, and what an image must be to boot on each.

The pages of the series below https://learn.microsoft.com/azure/virtual-machines/sizes/general-purpose/ say the
generations; https://learn.microsoft.com/azure/virtual-machines/trusted-launch#virtual-machines-sizes.
"""

from dataclasses import dataclass
from typing import Literal

Architecture = Literal["x64", "Arm64"]
Controller = Literal["SCSI", "NVMe"]


@dataclass(frozen=True, slots=True)
class Series:
    """What the sizes of a series have in common."""

    names: tuple[str, ...]
    architecture: Architecture = "x64"
    generations: tuple[str, ...] = ("V1", "V2")
    controllers: tuple[Controller, ...] = ("SCSI",)
    security: tuple[str, ...] = ("Standard", "TrustedLaunch")
    """The security types that machines of it can have."""


_SERIES = (
    Series(("Standard_B1s", "Standard_B1ms", "Standard_B2s", "Standard_B2ms")),
    Series(("Standard_B2ts_v2", "Standard_B2ls_v2", "Standard_B2s_v2"), generations=("V2",)),
    # https://learn.microsoft.com/azure/virtual-machines/generation-2: the A family has generation 1 only.
    Series(("Standard_A1_v2", "Standard_A2_v2"), generations=("V1",), security=("Standard",)),
    Series(("Standard_D2s_v5", "Standard_D2as_v5", "Standard_D2ls_v5", "Standard_D4s_v5")),
    # packer-plugin-azure#521, MarcelMeurer/WVD-Hydra#26, kubermatic/machine-controller#2071: from v6 on, NVMe only.
    Series(
        ("Standard_D2s_v6", "Standard_D2ls_v6", "Standard_D2as_v6", "Standard_D2als_v6"),
        generations=("V2",),
        controllers=("NVMe",),
    ),
    # https://learn.microsoft.com/azure/virtual-machines/enable-nvme-interface has it with both.
    Series(("Standard_E2bs_v5",), controllers=("SCSI", "NVMe")),
    Series(
        ("Standard_B2pts_v2", "Standard_B2pls_v2", "Standard_B2ps_v2", "Standard_D2pls_v5", "Standard_D2ps_v5"),
        architecture="Arm64",
        generations=("V2",),
        security=("Standard",),
    ),
    # That these have both controllers is not said on their pages, but shown by `az vm list-skus`; unconfirmed here.
    Series(
        ("Standard_D2pls_v6", "Standard_D2ps_v6"),
        architecture="Arm64",
        generations=("V2",),
        controllers=("SCSI", "NVMe"),
    ),
    Series(("Standard_DC2as_v5",), generations=("V2",), security=("ConfidentialVM",)),
)

NAMES = tuple(name for series in _SERIES for name in series.names)
"""All sizes that the sandbox has; Azure has some thousand."""


def series_of(name: str) -> Series | None:
    """Return the series of the size NAME, None if there is no such size; letters' case does not count."""
    for series in _SERIES:
        if name.lower() in {one.lower() for one in series.names}:
            return series
    return None
