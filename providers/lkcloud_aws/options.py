# SPDX-License-Identifier: Apache-2.0
"""What a user can choose on AWS: one field is one flag, one environment variable and one line of the docs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from lkcloud.provider import Options, Used

Architecture = Literal["x86_64", "arm64"]
BootMode = Literal["legacy-bios", "uefi", "uefi-preferred"]
VolumeType = Literal["gp2", "gp3", "io1", "io2", "st1", "sc1", "standard"]
DATA_VOLUME_TYPES: tuple[VolumeType, ...] = ("gp2", "gp3", "st1", "sc1", "standard")
"""Those that need no IOPS to be given."""

MAX_GIB = 65_536
"""The largest EBS volume, 64 TiB."""

_DEVICE = r"(?:/dev/(?:sd[a-z][0-9]{0,2}|xvd[a-z]{1,2}[0-9]{0,2}|hd[a-z][0-9]{0,2})|xvd[a-z]{1,2}|sd[a-z])"
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html; NVMe names are the guest's alone."""


@dataclass(frozen=True, slots=True)
class DataVolume:
    """An empty volume of SIZE GiB that each instance gets as DEVICE."""

    device: str
    size: int
    type: VolumeType


def _data_volume(text: str) -> DataVolume:
    device, _, rest = text.partition(":")
    size, _, kind = rest.partition(":")
    if not re.fullmatch(_DEVICE, device) or not size.isdecimal() or not 1 <= int(size) <= MAX_GIB:
        raise ValueError(f"{text!r} is not DEVICE:SIZE_GIB[:TYPE], such as /dev/xvdb:20 or /dev/xvdb:20:gp3")
    for known in DATA_VOLUME_TYPES:
        if known == (kind or "gp3"):
            return DataVolume(device, int(size), known)
    raise ValueError(f"{kind!r} is no type for a data volume: choose from {', '.join(DATA_VOLUME_TYPES)}")


def _check_data_volumes(texts: tuple[str, ...]) -> tuple[str, ...]:
    devices = [_data_volume(text).device for text in texts]
    if len(set(devices)) < len(devices):
        raise ValueError("a device can hold one data volume only")
    return texts


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(f"{text!r} is not KEY=VALUE")
    return key, value


def _check_tags(texts: tuple[str, ...]) -> tuple[str, ...]:
    keys = [_tag(text)[0] for text in texts]
    if len(set(keys)) < len(keys):
        raise ValueError("a tag key can be given once only")
    return texts


def _several(value: object) -> object:
    """Take a mapping (as YAML writes tags) or one string for a sequence of strings."""
    if isinstance(value, Mapping):
        return tuple(f"{key}={item}" for key, item in value.items())
    return (value,) if isinstance(value, str) else value


Tags = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_check_tags)]
DataVolumes = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_check_data_volumes)]


class AwsOptions(Options):
    """The options of AWS; credentials come from where the AWS CLI takes them."""

    region: Annotated[
        str | None, Used.EVERYWHERE, Field(description="Region; the AWS configuration's if not given.")
    ] = None
    profile: Annotated[str | None, Used.EVERYWHERE, Field(description="Profile of the AWS configuration.")] = None
    method: Annotated[
        Literal["ebs", "import"],
        Field(description="`ebs` writes the snapshot block by block; `import` goes by a bucket and ImportSnapshot."),
    ] = "ebs"

    bucket: Annotated[
        str | None, Used.EVERYWHERE, Field(description="Bucket in the region, for `--method import`.")
    ] = None
    key_prefix: Annotated[str, Used.EVERYWHERE, Field(description="What object names in the bucket begin with.")] = (
        "lkcloud/"
    )
    role: Annotated[str, Field(description="Role that VM Import assumes to read the bucket.")] = "vmimport"
    import_format: Annotated[
        Literal["vhd", "raw"], Field(description="Format of the object; of a VHD only the data travels.")
    ] = "vhd"

    architecture: Annotated[Architecture | None, Field(description="Architecture; the disk tells if not given.")] = None
    boot_mode: Annotated[BootMode | None, Field(description="Boot mode; the disk tells if not given.")] = None
    root_device_name: Annotated[str, Field(description="Device name of the root volume.", pattern=f"^{_DEVICE}$")] = (
        "/dev/xvda"
    )
    volume_type: Annotated[VolumeType, Field(description="Type of the root volume.")] = "gp3"
    volume_size: Annotated[
        int | None, Field(description="Size of the root volume in GiB; the disk's if not given.", ge=1, le=MAX_GIB)
    ] = None
    iops: Annotated[int | None, Field(description="IOPS of the root volume (gp3, io1, io2).", ge=100)] = None
    throughput: Annotated[int | None, Field(description="Throughput of a gp3 root volume in MiB/s.", ge=125)] = None
    data_volume: Annotated[
        DataVolumes,
        Field(description="Empty volume, DEVICE:SIZE_GIB[:TYPE] (gp3; gp2, st1, sc1, standard); can be repeated."),
    ] = ()

    encrypted: Annotated[bool, Field(description="Encrypt the snapshot, and the data volumes.")] = False
    kms_key: Annotated[
        str | None,
        Field(description="ARN of the KMS key of the snapshot, with `--encrypted`; the account's key if not given."),
    ] = None

    ena: Annotated[bool, Field(description="Enhanced networking (ENA); the disk needs the driver.")] = True
    sriov: Annotated[bool, Field(description="Enhanced networking of older types (SR-IOV); cannot be undone.")] = True
    imdsv2: Annotated[bool, Field(description="Instances answer metadata requests with a token only (IMDSv2).")] = True
    tpm: Annotated[bool, Field(description="NitroTPM 2.0; needs UEFI.")] = False
    uefi_data: Annotated[
        Path | None, Field(description="UEFI variable store, as binary or as base64 of get-instance-uefi-data.")
    ] = None
    tag: Annotated[Tags, Field(description="Tag of image and snapshot, KEY=VALUE; can be repeated.")] = ()

    instance_type: Annotated[
        str | None, Used.LAUNCH, Field(description="Type of the test instance; t3.micro or t4g.micro if not given.")
    ] = None
    subnet: Annotated[
        str | None,
        Used.LAUNCH,
        Field(description="Subnet of the test instance, subnet-...; the default VPC's if not given."),
    ] = None
    security_group: Annotated[
        str | None,
        Used.LAUNCH,
        Field(description="Security group of the test instance, sg-...; the VPC's if not given."),
    ] = None

    workers: Annotated[int, Field(description="Most requests at a time while uploading.", ge=1, le=256)] = 32
    rate: Annotated[
        float | None, Field(description="Most blocks or parts a second; AWS allows an account 1000 blocks.", gt=0)
    ] = None
    snapshot_timeout: Annotated[
        int,
        Field(description="Minutes after which AWS gives up a snapshot nobody completes (10-4320).", ge=10, le=4320),
    ] = 1440
    import_timeout: Annotated[int, Field(description="Minutes to wait for ImportSnapshot.", ge=1)] = 120
    ready_timeout: Annotated[
        int, Field(description="Minutes to wait for a written snapshot and for a registered image.", ge=1)
    ] = 60

    @property
    def tags(self) -> tuple[tuple[str, str], ...]:
        """The tags as pairs."""
        return tuple(_tag(text) for text in self.tag)

    @property
    def data_volumes(self) -> tuple[DataVolume, ...]:
        """The data volumes, taken apart."""
        return tuple(_data_volume(text) for text in self.data_volume)
