# SPDX-License-Identifier: Apache-2.0
"""What the machines of a cloud are, in the terms of a disk that is to boot on them: a provider says it as data."""

from collections.abc import Mapping
from dataclasses import dataclass

from lkcloud.disk.inspect.facts import Architecture, Firmware
from lkcloud.disk.linux.agents import Agent
from lkcloud.disk.linux.drivers import Driver

BOTH: tuple[Architecture, ...] = ("x86_64", "arm64")
ANY_FIRMWARE: tuple[Firmware, ...] = ("bios", "uefi")


@dataclass(frozen=True, slots=True)
class Device:
    """One of the ways in which machines of a cloud have their disks, or their network."""

    name: str
    """Such as `NVMe`."""
    machines: str
    """Which machines have it, in words that follow `on`."""
    drivers: tuple[Driver, ...]
    """All of them are needed."""
    architectures: tuple[Architecture, ...] = BOTH
    firmware: tuple[Firmware, ...] = ANY_FIRMWARE
    root: tuple[str, ...] = ()
    """How the device of the boot disk's partitions begins: `/dev/nvme0n1`; () for what is no disk."""
    minor: bool = False
    """Whether few will miss it: that it cannot be used is told, and is no warning."""


@dataclass(frozen=True, slots=True)
class Console:
    """The serial port that a cloud shows, by the name that Linux has for it, and the driver that prints on it."""

    name: str
    driver: Driver


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes: a disk is filled up to SMALLEST and to whole STEPs, and is at most LARGEST."""

    smallest: int
    step: int
    largest: int

    def filled(self, size: int) -> int:
        """Return the bytes that a disk of SIZE has on the cloud."""
        return max(-(-size // self.step) * self.step, self.smallest)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a disk needs to boot on a cloud, and to be of use there."""

    title: str
    """The cloud's name for people."""
    firmware: Mapping[Architecture, tuple[Firmware, ...]]
    """What the machines of an architecture boot by; those that are not in it the cloud does not have."""
    sizes: Sizes
    disks: tuple[Device, ...]
    """One of them must be usable where the root file system is on the disk."""
    networks: tuple[Device, ...]
    """() where machines have none."""
    consoles: Mapping[Architecture, tuple[Console, ...]]
    agents: tuple[Agent, ...]
    """Programs that know how to ask this cloud for keys and user data; () where there is nothing to ask."""
    without_agent: str = ""
    """What the cloud does if a machine has none of them, "" if it does not care."""
