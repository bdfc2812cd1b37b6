# SPDX-License-Identifier: Apache-2.0
"""An instance: a machine in QEMU that boots the bytes of an image, and its boot disk."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, Literal

from lkcloud.sandbox.qemu import Drive, VirtualMachine
from lkcloud_gcp.sandbox.compute_call import link
from lkcloud_gcp.sandbox.compute_operations import rfc3339
from lkcloud_gcp.sandbox.engine import new_id
from lkcloud_gcp.sandbox.image import Image
from lkcloud_gcp.sandbox.labels import fingerprint
from lkcloud_gcp.sandbox.places import MachineType, region

BUFFER = 1 << 20
"""Bytes of a serial port's output that are kept: the last ones."""

MEMORY_MIB = 512
"""What a machine gets here, whatever its type: a laptop runs several."""


@dataclass(frozen=True, slots=True)
class BootDisk:
    """The disk that an instance is asked for with."""

    name: str
    size_gb: int
    type: str
    auto_delete: bool
    device_name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Specification:
    """What instances.insert was asked for."""

    name: str
    zone: str
    machine_type: MachineType
    disk: BootDisk
    network: str
    subnetwork: str
    description: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    shielded: Mapping[str, bool] = field(default_factory=dict)
    scheduling: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    service_accounts: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True)
class Disk:
    """A disk of a zone, which is made with an instance; USER is the name of the instance that has it, "" if none."""

    name: str
    zone: str
    size_gb: int
    type: str
    image: str
    user: str
    labels: Mapping[str, str]
    id: str = field(default_factory=new_id)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def place(self) -> str:
        """Where it is: `zones/ZONE/disks/NAME`."""
        return f"zones/{self.zone}/disks/{self.name}"

    def described(self) -> dict[str, Any]:
        """Return the disk as the API shows it."""
        users = {"users": [link(f"zones/{self.zone}/instances/{self.user}")]} if self.user else {}
        return users | {
            "kind": "compute#disk",
            "id": self.id,
            "name": self.name,
            "creationTimestamp": rfc3339(self.created),
            "selfLink": link(self.place),
            "zone": link(f"zones/{self.zone}"),
            "status": "READY",
            "sizeGb": str(self.size_gb),
            "type": link(f"zones/{self.zone}/diskTypes/{self.type}"),
            "sourceImage": link(self.image),
            "labels": dict(self.labels),
            "labelFingerprint": fingerprint(self.labels),
        }


@dataclass(slots=True)
class Instance:
    """An instance and its machine, which is there when it has started; HOME is the machine's folder."""

    specification: Specification
    image: Image
    home: Path
    labels: dict[str, str]
    stopping: float
    """Seconds from the end of the machine to TERMINATED."""
    id: str = field(default_factory=new_id)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    deleting: bool = False
    _machine: VirtualMachine | None = None
    _began: float = field(default_factory=time.monotonic)
    _ended: float = 0.0
    _closed: Event = field(default_factory=Event)

    @property
    def name(self) -> str:
        """The name."""
        return self.specification.name

    @property
    def place(self) -> str:
        """Where it is: `zones/ZONE/instances/NAME`."""
        return place(self.specification.zone, self.name)

    @property
    def firmware(self) -> Literal["bios", "uefi"]:
        """What it boots with: UEFI where the image says that it can, and always on Arm."""
        uefi = "UEFI_COMPATIBLE" in self.image.specification.features
        return "uefi" if uefi or self.specification.machine_type.series.architecture == "ARM64" else "bios"

    def start(self) -> None:
        """Start the machine. Raises lkcloud.errors.UsageError if QEMU is missing. Takes seconds the first time."""
        series = self.specification.machine_type.series
        machine = VirtualMachine(
            drives=[Drive(self.image.file)],
            firmware=self.firmware,
            home=self.home,
            architecture="arm64" if series.architecture == "ARM64" else "x86_64",
            memory_mib=MEMORY_MIB,
            bus=series.bus,
        )
        machine.start()
        self._machine = machine
        if self._closed.is_set():
            # The stand-in was stopped while the machine started.
            machine.stop()

    def state(self) -> str:
        """Return Compute Engine's word for what the machine does; a guest that powers off is seen here first."""
        if self._machine is None:
            # PROVISIONING is the search for a host, STAGING what is done on it.
            return "STAGING" if time.monotonic() > self._began + 0.05 else "PROVISIONING"
        if not self.deleting and not self._ended and self._machine.state() == "running":
            return "RUNNING"
        self._ended = self._ended or time.monotonic()
        # While it is deleted it is STOPPING to the end.
        return "STOPPING" if self.deleting or time.monotonic() < self._ended + self.stopping else "TERMINATED"

    def machine_runs(self) -> bool:
        """Say whether QEMU runs."""
        return self._machine is not None and self._machine.state() == "running"

    def console(self) -> bytes:
        """Return all that the serial port has shown."""
        return self._machine.console() if self._machine else b""

    def stop(self) -> None:
        """End the machine and keep the instance."""
        if self._machine:
            self._machine.stop()
        self._ended = self._ended or time.monotonic()

    def end(self) -> None:
        """End the machine for good, and remove what it has written."""
        self._closed.set()
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def described(self) -> dict[str, Any]:
        """Return the instance as the API shows it."""
        said, zone = self.specification, self.specification.zone
        interface = {
            "kind": "compute#networkInterface",
            "name": "nic0",
            "network": link(said.network),
            "subnetwork": link(said.subnetwork),
            "networkIP": "10.128.0.2",
            "stackType": "IPV4_ONLY",
        }
        described: dict[str, Any] = {
            "kind": "compute#instance",
            "id": self.id,
            "name": said.name,
            "description": said.description,
            "creationTimestamp": rfc3339(self.created),
            "selfLink": link(self.place),
            "zone": link(f"zones/{zone}"),
            "status": self.state(),
            "machineType": link(f"zones/{zone}/machineTypes/{said.machine_type.name}"),
            "cpuPlatform": "Unknown CPU Platform",
            "labels": dict(self.labels),
            "labelFingerprint": fingerprint(self.labels),
            "disks": [self._disk()],
            "networkInterfaces": [interface],
            "metadata": {
                "kind": "compute#metadata",
                "fingerprint": fingerprint(dict(said.metadata)),
                "items": [{"key": key, "value": value} for key, value in said.metadata],
            },
            "scheduling": {"automaticRestart": True, "onHostMaintenance": "MIGRATE", **said.scheduling},
            "shieldedInstanceConfig": {
                "enableSecureBoot": False,
                "enableVtpm": self.firmware == "uefi",
                "enableIntegrityMonitoring": self.firmware == "uefi",
                **said.shielded,
            },
            "tags": {"fingerprint": fingerprint({}), "items": list(said.tags)},
            "canIpForward": False,
            "startRestricted": False,
            "deletionProtection": False,
        }
        return described | ({"serviceAccounts": list(said.service_accounts)} if said.service_accounts else {})

    def _disk(self) -> dict[str, Any]:
        said, disk = self.specification, self.specification.disk
        return {
            "kind": "compute#attachedDisk",
            "type": "PERSISTENT",
            "mode": "READ_WRITE",
            "source": link(f"zones/{said.zone}/disks/{disk.name}"),
            "deviceName": disk.device_name,
            "index": 0,
            "boot": True,
            "autoDelete": disk.auto_delete,
            "interface": "NVME" if said.machine_type.series.bus == "nvme" else "SCSI",
            "diskSizeGb": str(disk.size_gb),
            "architecture": said.machine_type.series.architecture,
            "guestOsFeatures": [{"type": feature} for feature in self.image.specification.features],
        }


def first_kept(shown: int, start: int) -> int:
    """Return where output begins that is asked for from START on, of a port that has shown SHOWN bytes.

    A negative START counts from the end; what is no longer kept is left out (SerialPortOutput.start).
    """
    kept = max(0, shown - BUFFER)
    return min(max(start if start >= 0 else shown + start, kept), shown)


def place(zone: str, name: str) -> str:
    """Return where the instance NAME is within its project."""
    return f"zones/{zone}/instances/{name}"


def default_subnetwork(zone: str) -> str:
    """Return where the subnetwork of the default network is for ZONE."""
    return f"regions/{region(zone)}/subnetworks/default"
