# SPDX-License-Identifier: Apache-2.0
"""An instance: a machine in QEMU that boots the bytes of an image's snapshots."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from lkcloud.sandbox.qemu import VirtualMachine
from lkcloud_aws.sandbox.image import Image

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
CONSOLE = 64 * 1024
"""Bytes of the console that GetConsoleOutput gives: the last ones."""
REMEMBERED = 3600.0
"""Seconds for which a terminated instance is still shown."""


@dataclass(frozen=True, slots=True)
class Network:
    """Where an instance is attached."""

    subnet: str
    vpc: str
    zone: str
    groups: tuple[str, ...]


@dataclass(slots=True)
class Instance:
    """An instance and its machine."""

    id: str
    reservation: str
    image: Image
    type: str
    network: Network
    machine: VirtualMachine
    home: Path
    firmware: Literal["bios", "uefi"]
    pending: float
    shutdown_behaviour: str
    http_tokens: str
    hop_limit: int
    token: str = ""
    volumes: tuple[tuple[str, str], ...] = ()
    """Device and volume id."""
    launched: datetime = field(default_factory=lambda: datetime.now(UTC))
    reason: str = ""
    terminated: bool = False
    _began: float = field(default_factory=time.monotonic)
    _kept_console: bytes = b""

    def state(self) -> str:
        """Return EC2's word for what the machine does; a guest that powers off is seen here first."""
        if self.terminated:
            return "terminated"
        machine = self.machine.state()
        if machine == "running":
            return "pending" if time.monotonic() < self._began + self.pending else "running"
        if not self.reason:
            self.reason = (
                "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
                if machine == "stopped"
                else f"Server.InternalError: {machine}"
            )
        if self.shutdown_behaviour == "terminate":
            self._finish()
            return "terminated"
        return "stopped"

    def console(self) -> bytes:
        """Return the last 64 KiB of the console, also after the end."""
        return (self._kept_console or self.machine.console())[-CONSOLE:]

    def end(self) -> None:
        """Terminate: end the machine, and remove what it has written."""
        if not self.terminated:
            self.reason = "Client.UserInitiatedShutdown: User initiated shutdown"
            self._finish()

    def stop(self) -> None:
        """End the machine and keep the instance."""
        self.reason = "Client.UserInitiatedShutdown: User initiated shutdown"
        self.machine.stop()

    def _finish(self) -> None:
        self.terminated = True
        self.machine.stop()
        self._kept_console = self.machine.console()[-CONSOLE:]
        shutil.rmtree(self.home, ignore_errors=True)

    def described(self, tags: Mapping[str, str]) -> dict[str, Any]:
        """Return the instance as DescribeInstances shows it."""
        state = self.state()
        said = self.image.specification
        code, _, message = self.reason.partition(": ")
        described: dict[str, Any] = {
            "InstanceId": self.id,
            "ImageId": self.image.id,
            "State": {"Code": CODES[state], "Name": state},
            "InstanceType": self.type,
            "LaunchTime": self.launched,
            "Placement": {"AvailabilityZone": self.network.zone, "Tenancy": "default"},
            "Monitoring": {"State": "disabled"},
            "Architecture": said.architecture,
            "RootDeviceName": said.root_device,
            "RootDeviceType": "ebs",
            "VirtualizationType": said.virtualization,
            "Hypervisor": "xen",
            "EnaSupport": said.ena,
            "ClientToken": self.token,
            "CurrentInstanceBootMode": "legacy-bios" if self.firmware == "bios" else "uefi",
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            "MetadataOptions": {
                "State": "applied",
                "HttpTokens": self.http_tokens,
                "HttpPutResponseHopLimit": self.hop_limit,
                "HttpEndpoint": "enabled",
            },
        }
        if said.boot_mode:
            described["BootMode"] = said.boot_mode
        if said.tpm:
            described["TpmSupport"] = said.tpm
        if code:
            described["StateReason"] = {"Code": code, "Message": message or code}
            described["StateTransitionReason"] = self.reason
        if state != "terminated":
            described |= {
                "SubnetId": self.network.subnet,
                "VpcId": self.network.vpc,
                "SecurityGroups": [{"GroupId": group} for group in self.network.groups],
                "BlockDeviceMappings": [
                    {
                        "DeviceName": device,
                        "Ebs": {"VolumeId": volume, "Status": "attached", "DeleteOnTermination": True},
                    }
                    for device, volume in self.volumes
                ],
            }
        return described


def firmware(image: Image) -> Literal["bios", "uefi"]:
    """Return what an instance of the image boots with.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-boot.html: without a boot mode, legacy-bios on Intel and
    AMD, UEFI on Graviton; uefi-preferred is UEFI on every type that has it, and those of the sandbox all have it.
    """
    said = image.specification
    if said.boot_mode in ("uefi", "uefi-preferred") or said.architecture == "arm64":
        return "uefi"
    return "bios"


def architecture(image: Image) -> Literal["x86_64", "arm64"]:
    """Return the architecture of the machine; what is registered as i386 runs on x86_64."""
    return "arm64" if image.specification.architecture == "arm64" else "x86_64"
