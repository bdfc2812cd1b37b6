# SPDX-License-Identifier: Apache-2.0
"""A virtual machine: QEMU on the bytes of an image, and how Azure says that it stands."""

import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from lkcloud.sandbox.qemu import Bus, Drive
from lkcloud.sandbox.qemu import VirtualMachine as Qemu
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox.cloud import Cloud, Resource
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.vm_sizes import Controller
from lkcloud_azure.sandbox.vm_source import Source

MEMORY_MIB = 512
"""What a machine gets here, whatever its size: a laptop runs several."""

FOLDER = "machines"
"""Where the folders of machines are, below the home of the stand-in."""

_BUSES: dict[Controller, Bus] = {"SCSI": "virtio-scsi", "NVMe": "nvme"}
"""QEMU has no controller of Hyper-V's; a guest needs the driver of virtio in place of it."""

_DISPLAYED = {
    "starting": "VM starting",
    "running": "VM running",
    "stopping": "VM stopping",
    "stopped": "VM stopped",
    "deallocating": "VM deallocating",
    "deallocated": "VM deallocated",
}


@dataclass(kw_only=True)
class Machine(Resource):
    """A virtual machine made from SOURCE.

    SENT is what it shows of its properties, without what is secret. INTERFACES are the ids of its network interfaces,
    DISK is that of its disk. HOME is the folder of the machine in QEMU.
    """

    source: Source
    size: str
    sent: dict[str, Any]
    secret: dict[str, Any]
    """What it does not show and what cannot be changed: the password, and the data for the guest."""
    controller: Controller
    interfaces: tuple[ResourceId, ...]
    disk: ResourceId
    file: Path
    """The bytes of that disk."""
    home: Path
    diagnostics: bool
    vm_id: str = field(default_factory=lambda: str(uuid4()))
    power: str = ""
    """Azure's word, as it was asked for; "" as long as there is no host for it."""
    detail: str = ""
    """What follows the provisioning state: how far the guest's own provisioning is, or the code of an error."""
    message: str = ""
    """What is said of that error."""
    changed: datetime = field(default_factory=lambda: datetime.now(UTC))
    leaving: threading.Event = field(default_factory=threading.Event)
    """Set when it is to be deleted: whatever still goes on to make it ends."""
    gone: threading.Event = field(default_factory=threading.Event)
    logs: dict[str, float] = field(default_factory=dict)
    """The signatures of the URLs of its serial log, and until when (of time.time) each is good."""
    started: float = 0.0
    """When it was started last, of time.monotonic."""
    _qemu: Qemu | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start it in QEMU, which takes seconds. Raises lkcloud.errors.UsageError if QEMU is missing."""
        qemu = Qemu(
            drives=[Drive(self.file)],
            firmware="bios" if self.source.generation == "V1" else "uefi",
            home=self.home / uuid4().hex,  # the log of another start is another one
            architecture="arm64" if self.source.architecture == "Arm64" else "x86_64",
            memory_mib=MEMORY_MIB,
            bus=_BUSES[self.controller],
        )
        qemu.start()
        with self._lock:
            self._qemu, self.started = qemu, time.monotonic()
            # It was deleted, or the stand-in has ended, while it started.
            late = self.gone.is_set()
        if late:
            self.end()

    def busy(self) -> bool:
        """Tell whether QEMU runs."""
        return self._qemu is not None and self._qemu.state() == "running"

    def log(self) -> bytes:
        """Return what its first serial port has shown since it was started last."""
        return self._qemu.console() if self._qemu is not None else b""

    def halt(self) -> None:
        """End it in QEMU; again is no error."""
        if self._qemu is not None:
            self._qemu.stop()

    def end(self) -> None:
        """End it for good, and remove what it has written."""
        self.leaving.set()
        with self._lock:
            self.gone.set()
        self.halt()
        shutil.rmtree(self.home, ignore_errors=True)

    def removed(self, cloud: Cloud) -> None:
        """End it."""
        del cloud
        self.end()

    def powered(self) -> str:
        """Return how it is powered; a guest that powers off, or a machine that fails, is `stopped`."""
        if self.power == "running" and not self.busy():
            return "stopped"
        return self.power

    def stands(self, state: str, detail: str = "", message: str = "") -> None:
        """Say how its provisioning stands from now on; the caller holds the cloud's lock."""
        self.state, self.detail, self.message, self.changed = state, detail, message, datetime.now(UTC)

    def statuses(self) -> Iterator[dict[str, Any]]:
        """Yield what its instance view says, https://learn.microsoft.com/azure/virtual-machines/states-billing."""
        status: dict[str, Any] = {
            "code": f"ProvisioningState/{self.state.lower()}{f'/{self.detail}' if self.detail else ''}",
            "level": "Error" if self.state == "Failed" else "Info",
            "displayStatus": "OS Provisioning In progress"
            if self.state == "Creating" and self.detail
            else f"Provisioning {self.state.lower()}",
            **({"message": self.message} if self.message else {}),
            "time": self.changed.isoformat(),
        }
        yield status
        power = self.powered()
        if power:
            yield {"code": f"PowerState/{power}", "level": "Info", "displayStatus": _DISPLAYED[power]}

    def instance_view(self) -> dict[str, Any]:
        """Return its instance view; a guest without an agent says nothing of itself."""
        disk = {
            "name": self.disk.names[-1],
            "statuses": [
                {
                    "code": "ProvisioningState/succeeded",
                    "level": "Info",
                    "displayStatus": "Provisioning succeeded",
                    "time": self.created.isoformat(),
                }
            ],
        }
        return {
            # https://learn.microsoft.com/azure/virtual-machines/boot-diagnostics: nothing here with managed storage.
            **({"bootDiagnostics": {}} if self.diagnostics else {}),
            "disks": [disk],
            "hyperVGeneration": self.source.generation,
            "statuses": list(self.statuses()),
        }

    def properties(self) -> dict[str, Any]:
        """Return what is in `properties`."""
        return {**self.sent, "vmId": self.vm_id, "timeCreated": self.created.isoformat()}


def check_not_made_from(cloud: Cloud, doing: str, image: ResourceId) -> None:
    """Raise ApiError while machines are being made from IMAGE; DOING is `Image Delete` or so. The lock is held.

    nanovms/ops#766
    """
    users = [
        machine.name
        for machine in cloud.every(Machine)
        if machine.state == "Creating" and str(machine.source.id).lower() == str(image).lower()
    ]
    if users:
        message = (
            f"Operation '{doing}' is not allowed since the Virtual Machines '{','.join(users)}' are being provisioned "
            f"using the Image '{image.names[-1]}'."
        )
        raise ApiError(409, "OperationNotAllowed", message)
