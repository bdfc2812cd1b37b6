# SPDX-License-Identifier: Apache-2.0
"""Zones, machine types and networks that are there.

https://cloud.google.com/compute/docs/regions-zones, https://cloud.google.com/compute/docs/machine-resource,
https://cloud.google.com/compute/docs/general-purpose-machines
"""

import re
from dataclasses import dataclass
from typing import Literal

REGIONS = {
    "asia-east1": "abc",
    "asia-northeast1": "abc",
    "asia-southeast1": "abc",
    "europe-north1": "abc",
    "europe-west1": "bcd",
    "europe-west2": "abc",
    "europe-west3": "abc",
    "europe-west4": "abc",
    "southamerica-east1": "abc",
    "us-central1": "abcf",
    "us-east1": "bcd",
    "us-east4": "abc",
    "us-west1": "abc",
}
"""Some of Google's regions and the letters of their zones."""

ZONES = tuple(f"{region}-{letter}" for region, letters in REGIONS.items() for letter in letters)

NETWORK = "default"
"""A new project has one network of this name, with a subnetwork of this name in each region."""

Architecture = Literal["X86_64", "ARM64"]
Disk = Literal["pd", "hyperdisk", "any"]


@dataclass(frozen=True, slots=True)
class Series:
    """What machines of a series have: architecture, the bus of their disks, and the disks that they take."""

    architecture: Architecture = "X86_64"
    bus: Literal["virtio-scsi", "nvme"] = "virtio-scsi"
    disks: Disk = "pd"


_SERIES = {
    "e2": Series(),
    "n1": Series(),
    "n2": Series(),
    "n2d": Series(),
    "c2": Series(),
    "c2d": Series(),
    "t2d": Series(),
    # Since the third generation, and on Arm, disks are NVMe: https://cloud.google.com/compute/docs/disks/about-scsi-nvme
    "t2a": Series("ARM64", "nvme"),
    "c3": Series(bus="nvme", disks="any"),
    "c3d": Series(bus="nvme", disks="any"),
    # The fourth takes Hyperdisks only (linux-kdevops/kdevops#77).
    "c4": Series(bus="nvme", disks="hyperdisk"),
    "c4d": Series(bus="nvme", disks="hyperdisk"),
    "n4": Series(bus="nvme", disks="hyperdisk"),
    "c4a": Series("ARM64", "nvme", "hyperdisk"),
    "n4a": Series("ARM64", "nvme", "hyperdisk"),
}
_TYPE = re.compile(r"(?P<series>[a-z][0-9][a-z]?)-(standard|highcpu|highmem)-(?P<cpus>1|2|4|8|16|22|30|32|48|64)")
_SHARED = {"e2-micro": 1024, "e2-small": 2048, "e2-medium": 4096, "f1-micro": 614, "g1-small": 1740}
"""Types with a part of a processor, and their MiB of memory."""


@dataclass(frozen=True, slots=True)
class MachineType:
    """A machine type."""

    name: str
    series: Series
    cpus: int
    memory_mib: int


def machine_type(name: str) -> MachineType | None:
    """Return the machine type NAME, None if there is none."""
    if name in _SHARED:
        return MachineType(name, Series(), 2 if name.startswith("e2") else 1, _SHARED[name])
    match = _TYPE.fullmatch(name)
    series = _SERIES.get(match["series"]) if match else None
    if match is None or series is None:
        return None
    cpus = int(match["cpus"])
    # Only the first generation and the Arm series begin with one processor.
    if cpus == 1 and match["series"] not in ("n1", "t2a", "t2d", "c4a", "n4a"):
        return None
    if cpus < 4 and match["series"] in ("c2", "c3", "c3d"):
        return None
    return MachineType(name, series, cpus, cpus * 4096)


def region(zone: str) -> str:
    """Return the region of a zone."""
    return zone.rpartition("-")[0]
