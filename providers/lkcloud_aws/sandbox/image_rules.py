# SPDX-License-Identifier: Apache-2.0
"""What RegisterImage accepts.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RegisterImage.html, API_EbsBlockDevice.html and the texts of
botocore's model ec2/2016-11-15.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lkcloud_aws.sandbox.ec2_protocol import Call
from lkcloud_aws.sandbox.errors import ApiError, bad_combination, invalid, missing_parameter
from lkcloud_aws.sandbox.image import Specification, Volume
from lkcloud_aws.sandbox.snapshot import Snapshot

_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
_DEVICE = re.compile(r"/dev/(sd[a-z][0-9]{0,2}|xvd[a-z]{1,2}[0-9]{0,2}|hd[a-z][0-9]{0,2})|xvd[a-z]{1,2}|sd[a-z]")
MAX_UEFI_DATA = 64_000
"""Characters of base64."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """The GiB, IOPS and MiB/s that a volume type takes.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EbsBlockDevice.html
    """

    sizes: tuple[int, int]
    iops: tuple[int, int] | None = None
    iops_needed: bool = False
    throughput: tuple[int, int] | None = None
    bootable: bool = True


_KINDS = {
    "standard": _Kind((1, 1024)),
    "gp2": _Kind((1, 16_384)),
    "gp3": _Kind((1, 65_536), (3_000, 80_000), throughput=(125, 2_000)),
    "io1": _Kind((4, 16_384), (100, 64_000), iops_needed=True),
    "io2": _Kind((4, 65_536), (100, 256_000), iops_needed=True),
    "st1": _Kind((125, 16_384), bootable=False),
    "sc1": _Kind((125, 16_384), bootable=False),
}


def specification(call: Call) -> Specification:
    """Return what CALL wants to register. Raises ApiError as EC2 does."""
    name = check_name(call.needed("Name"))
    description = call.text("Description")
    if len(description) > 255:
        raise invalid("Description must be at most 255 characters")
    # The defaults of the API, not those that anybody wants: an image without these two parameters boots nowhere.
    architecture = call.text("Architecture") or "i386"
    virtualization = call.text("VirtualizationType") or "paravirtual"
    if virtualization not in ("hvm", "paravirtual"):
        raise invalid(f"Value ({virtualization}) for parameter virtualizationType is invalid.")
    if architecture == "arm64" and virtualization != "hvm":
        raise bad_combination("The architecture arm64 needs the virtualization type hvm")
    said = Specification(
        name=name,
        description=description,
        architecture=architecture,
        virtualization=virtualization,
        root_device=call.text("RootDeviceName"),
        volumes=(),
        boot_mode=call.text("BootMode"),
        tpm=call.text("TpmSupport"),
        imds=call.text("ImdsSupport"),
        uefi_data=call.text("UefiData"),
        ena=call.flag("EnaSupport"),
        sriov=call.text("SriovNetSupport"),
    )
    # What can be told without looking at a snapshot comes first, so that a dry run with any snapshot id tells it.
    _check_boot(said)
    said = replace(said, volumes=_volumes(call))
    _check_root(said)
    return said


def check_name(name: str) -> str:
    """Return NAME. Raises ApiError if no image can be called so."""
    if not _NAME.fullmatch(name):
        raise ApiError(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', "
            "'-', '/' and '_'",
        )
    return name


def _volumes(call: Call) -> tuple[Volume, ...]:
    volumes = []
    for entry in call.items("BlockDeviceMappings"):
        device = str(entry.get("DeviceName") or "")
        if not _DEVICE.fullmatch(device):
            raise ApiError("InvalidBlockDeviceMapping", f"Device name '{device}' is not valid")
        if entry.get("VirtualName"):
            volumes.append(Volume(device, virtual_name=str(entry["VirtualName"])))
        elif entry.get("Ebs") is not None:
            volumes.append(_volume(call, device, entry["Ebs"]))
    devices = [volume.device for volume in volumes]
    if len(set(devices)) < len(devices):
        raise ApiError("InvalidBlockDeviceMapping", "A device is there twice")
    return tuple(volumes)


def _volume(call: Call, device: str, ebs: Mapping[str, Any]) -> Volume:
    if ebs.get("KmsKeyId"):
        # EbsBlockDevice, KmsKeyId: "only supported on BlockDeviceMapping objects called by RunInstances, ..."
        raise ApiError("UnknownParameter", "The parameter KmsKeyId is not recognized")
    snapshot = None
    if ebs.get("SnapshotId"):
        snapshot = call.region.snapshots.get(ebs["SnapshotId"])
        if snapshot is None:
            raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{ebs['SnapshotId']}' does not exist.")
        if snapshot.state != "completed":
            # No document says what RegisterImage answers; these are the words of CreateVolume.
            raise ApiError("IncorrectState", f"Snapshot is in invalid state - {snapshot.state}")
    size = _size(ebs.get("VolumeSize"), snapshot)
    if snapshot and ebs.get("Encrypted") is not None:
        # EbsBlockDevice, Encrypted: "you can't specify it together with a snapshot when you register an image".
        raise ApiError(
            "InvalidBlockDeviceMapping", "The parameter encrypted cannot be used together with the snapshot id"
        )
    kind = str(ebs.get("VolumeType") or "gp2")
    iops, throughput = _speed(kind, size, ebs)
    rate = ebs.get("VolumeInitializationRate")
    if rate is not None and (not snapshot or not 100 <= int(rate) <= 300):
        raise invalid("VolumeInitializationRate must be between 100 and 300 MiB/s, on a volume with a snapshot")
    return Volume(
        device=device,
        snapshot=snapshot.id if snapshot else "",
        size=size,
        type=kind,
        iops=iops,
        throughput=throughput,
        delete_on_termination=ebs.get("DeleteOnTermination") is not False,
        encrypted=snapshot.encrypted if snapshot else bool(ebs.get("Encrypted")),
        kms_key=snapshot.kms_key if snapshot else "",
    )


def _size(wanted: int | None, snapshot: Snapshot | None) -> int:
    if wanted is None:
        if snapshot is None:
            raise missing_parameter("volumeSize or snapshotId")
        return snapshot.volume_size
    if snapshot and wanted < snapshot.volume_size:
        raise ApiError(
            "InvalidBlockDeviceMapping",
            f"Volume of size {wanted}GB is smaller than snapshot '{snapshot.id}', expect size >= "
            f"{snapshot.volume_size}GB",
        )
    return wanted


def _speed(kind: str, size: int, ebs: Mapping[str, Any]) -> tuple[int, int]:
    rules = _KINDS[kind]
    low, high = rules.sizes
    if not low <= size <= high:
        raise invalid(f"Volume of {size}GiB is invalid; a {kind} volume must have {low} to {high} GiB")
    iops, throughput = ebs.get("Iops"), ebs.get("Throughput")
    if iops is None and rules.iops_needed:
        raise missing_parameter("iops")
    if iops is not None and rules.iops is None:
        raise bad_combination(f"The parameter iops is not supported for {kind} volumes.")
    if iops is not None and rules.iops and not rules.iops[0] <= iops <= rules.iops[1]:
        raise invalid(f"Volume iops of {iops} is invalid; {kind} takes {rules.iops[0]} to {rules.iops[1]}")
    if throughput is not None and rules.throughput is None:
        raise bad_combination(f"The parameter throughput is not supported for {kind} volumes.")
    if throughput is not None and rules.throughput and not rules.throughput[0] <= throughput <= rules.throughput[1]:
        raise invalid(f"Throughput of {throughput} is invalid; {kind} takes {rules.throughput}")
    if kind == "gp3":
        iops, throughput = iops or 3_000, throughput or 125
        # https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html: 500 IOPS a GiB, 0.25 MiB/s an IOPS.
        if iops > max(3_000, 500 * size):
            raise invalid(f"Iops to volume size ratio of {iops / size:.1f} is too high; maximum is 500 IOPS per GiB")
        if throughput > iops / 4:
            raise invalid("Throughput (MiBps) to iops ratio is too high; maximum is 0.250000 MiBps per iops")
    return iops or 0, throughput or 0


def _check_root(said: Specification) -> None:
    if not said.volumes or not said.root_device:
        raise missing_parameter("rootDeviceName and a block device mapping with a snapshot for it, or imageLocation")
    root = next((volume for volume in said.volumes if volume.device == said.root_device), None)
    if root is None or not root.snapshot:
        raise ApiError(
            "InvalidBlockDeviceMapping", f"There is no mapping with a snapshot for the root device '{said.root_device}'"
        )
    if not _KINDS[root.type].bootable:
        raise invalid(f"A {root.type} volume cannot be a root volume")


def _check_boot(said: Specification) -> None:
    if said.architecture == "arm64" and said.boot_mode == "legacy-bios":
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-boot.html: Graviton boots by UEFI only.
        raise bad_combination("The boot mode legacy-bios is not supported by the architecture arm64")
    if said.tpm and said.boot_mode not in ("uefi", "uefi-preferred"):
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/enable-nitrotpm-prerequisites.html
        raise bad_combination("tpmSupport needs the boot mode uefi or uefi-preferred")
    if said.tpm and said.architecture != "x86_64":
        raise invalid(f"Invalid machineArchitecture value '{said.architecture}' for tpmSupport")
    if said.sriov and said.sriov != "simple":
        raise invalid(f"Value ({said.sriov}) for parameter sriovNetSupport is invalid.")
    if (said.ena or said.sriov) and said.virtualization != "hvm":
        raise bad_combination("Enhanced networking needs the virtualization type hvm")
    if said.uefi_data:
        if len(said.uefi_data) > MAX_UEFI_DATA:
            raise invalid(f"UefiData must be at most {MAX_UEFI_DATA} characters")
        try:
            base64.b64decode(said.uefi_data, validate=True)
        except ValueError:
            raise invalid("UefiData must be encoded in base64") from None
