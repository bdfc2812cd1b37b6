# SPDX-License-Identifier: Apache-2.0
"""A machine image: what RegisterImage was given, and its life."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lkcloud_aws.sandbox.permissions import EVERYBODY, Permissions

_PUBLIC = timedelta(days=731)
"""After which AWS deprecates a public image: two years, of which one may be a leap year."""


@dataclass(frozen=True, slots=True)
class Volume:
    """One entry of the block device mapping."""

    device: str
    snapshot: str = ""
    size: int = 0
    """GiB."""
    type: str = ""
    iops: int = 0
    throughput: int = 0
    """MiB/s."""
    delete_on_termination: bool = True
    encrypted: bool = False
    kms_key: str = ""
    virtual_name: str = ""
    """`ephemeral0` and so on: an instance store volume, no EBS at all."""

    def described(self, *, with_snapshot: bool) -> dict[str, Any]:
        """Return the entry as EC2 shows it."""
        if self.virtual_name:
            return {"DeviceName": self.device, "VirtualName": self.virtual_name}
        ebs: dict[str, Any] = {
            "VolumeSize": self.size,
            "VolumeType": self.type,
            "DeleteOnTermination": self.delete_on_termination,
            "Encrypted": self.encrypted,
        }
        if self.iops:
            ebs["Iops"] = self.iops
        if self.throughput:
            ebs["Throughput"] = self.throughput
        if self.snapshot and with_snapshot:
            ebs["SnapshotId"] = self.snapshot
        return {"DeviceName": self.device, "Ebs": ebs}


@dataclass(frozen=True, slots=True)
class Specification:
    """What an image is, as it was registered."""

    name: str
    description: str
    architecture: str
    virtualization: str
    root_device: str
    volumes: tuple[Volume, ...]
    boot_mode: str = ""
    tpm: str = ""
    imds: str = ""
    uefi_data: str = ""
    ena: bool = False
    sriov: str = ""


@dataclass(slots=True)
class Image:
    """An image and its state."""

    id: str
    specification: Specification
    pending: float = 0.0
    """Seconds from its making to `available`."""
    unseen_describes: int = 0
    source_id: str = ""
    source_region: str = ""
    launch_permissions: Permissions = field(default_factory=Permissions)
    deprecation: datetime | None = None
    protection: str = "disabled"
    protected_until: float = 0.0
    """On the monotonic clock; the end of the cooldown after its protection."""
    disabled: bool = False
    fault: str = ""
    """Why it ends in `failed` instead of `available`."""
    exists: bool = True
    name_held_until: float = 0.0
    """On the monotonic clock; its name is not free before, although it has been deregistered."""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    _made: float = field(default_factory=time.monotonic)

    @property
    def state(self) -> str:
        """EC2's word."""
        if self.disabled:
            return "disabled"
        if time.monotonic() < self._made + self.pending:
            return "pending"
        return "failed" if self.fault else "available"

    @property
    def public_end(self) -> datetime:
        """The latest time at which it becomes deprecated while it is public."""
        return self.created + _PUBLIC

    @property
    def holds_name(self) -> bool:
        """Whether no other image can have its name."""
        return self.exists or time.monotonic() < self.name_held_until

    @property
    def snapshot_ids(self) -> tuple[str, ...]:
        """The snapshots that it stands on."""
        return tuple(volume.snapshot for volume in self.specification.volumes if volume.snapshot)

    def described(self, owner: str, tags: Mapping[str, str]) -> dict[str, Any]:
        """Return the image as DescribeImages shows it."""
        said = self.specification
        state = self.state
        # While it is pending, its volumes have no snapshot ids yet (bottlerocket-os/bottlerocket#1066).
        volumes = [volume.described(with_snapshot=state not in ("pending", "failed")) for volume in said.volumes]
        described: dict[str, Any] = {
            "ImageId": self.id,
            "ImageLocation": f"{owner}/{said.name}",
            "ImageType": "machine",
            "Name": said.name,
            "OwnerId": owner,
            "State": state,
            "Public": EVERYBODY in self.launch_permissions.names,
            "Architecture": said.architecture,
            "CreationDate": stamp(self.created),
            "PlatformDetails": "Linux/UNIX",
            "UsageOperation": "RunInstances",
            "BlockDeviceMappings": volumes,
            "EnaSupport": said.ena,
            "Hypervisor": "xen",
            "RootDeviceName": said.root_device,
            "RootDeviceType": "ebs",
            "VirtualizationType": said.virtualization,
            "DeregistrationProtection": self.protection,
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
        optional = {
            "Description": said.description,
            "BootMode": said.boot_mode,
            "TpmSupport": said.tpm,
            "ImdsSupport": said.imds,
            "SriovNetSupport": said.sriov,
            "DeprecationTime": stamp(self.deprecation) if self.deprecation else "",
            "SourceImageId": self.source_id,
            "SourceImageRegion": self.source_region,
        }
        if state == "failed":
            described["StateReason"] = {"Code": "Client.InternalError", "Message": self.fault}
        return described | {name: value for name, value in optional.items() if value}

    def filter_values(self, owner: str, name: str) -> list[str] | None:
        """Return its values for a filter of DescribeImages that is not about tags; None if there is no such filter."""
        said = self.specification
        ebs = [volume for volume in said.volumes if not volume.virtual_name]
        simple = {
            "architecture": said.architecture,
            "boot-mode": said.boot_mode,
            "creation-date": stamp(self.created),
            "description": said.description,
            "ena-support": str(said.ena).lower(),
            "hypervisor": "xen",
            "image-id": self.id,
            "image-type": "machine",
            "imds-support": said.imds,
            "is-public": str(EVERYBODY in self.launch_permissions.names).lower(),
            "manifest-location": f"{owner}/{said.name}",
            "name": said.name,
            "owner-id": owner,
            "root-device-name": said.root_device,
            "root-device-type": "ebs",
            "source-image-id": self.source_id,
            "source-image-region": self.source_region,
            "sriov-net-support": said.sriov,
            "state": self.state,
            "tpm-support": said.tpm,
            "virtualization-type": said.virtualization,
        }
        mapping = {
            "device-name": [volume.device for volume in said.volumes],
            "snapshot-id": list(self.snapshot_ids),
            "volume-size": [str(volume.size) for volume in ebs],
            "volume-type": [volume.type for volume in ebs],
            "encrypted": [str(volume.encrypted).lower() for volume in ebs],
            "delete-on-termination": [str(volume.delete_on_termination).lower() for volume in ebs],
        }
        if name in simple:
            return [simple[name]]
        return mapping.get(name.removeprefix("block-device-mapping.")) if "." in name else None


def stamp(when: datetime) -> str:
    """Return a time as DescribeImages writes it."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.000Z")
