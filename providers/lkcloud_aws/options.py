# SPDX-License-Identifier: Apache-2.0
"""What a user can choose on AWS: one field is one flag, one environment variable and one line of the docs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from lkcloud.provider import Meaning, Options, Used

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


@dataclass(frozen=True, slots=True)
class Destination:
    """A region to copy to; KEY names the KMS key that encrypts the copy, "" = the copy is as the image is."""

    region: str
    key: str = ""
    optional: bool = False
    """Whether it is no error if the copy cannot be made."""


_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")
_KEY = re.compile(r"alias/[\w/\-]+|[0-9a-f-]{36}|mrk-[0-9a-f]{32}|arn:aws[a-z-]*:kms:[^:]+:[0-9]{12}:(key|alias)/.+")
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CopyImage.html: an id, an alias, or the ARN of either."""


def _destination(text: str) -> Destination:
    region, equals, key = text.partition("=")
    if not _REGION.fullmatch(region):
        raise ValueError(f"{text!r} is not REGION[=KMS_KEY], such as eu-west-1 or eu-west-1=alias/images")
    if equals and not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no KMS key: give its id, alias/NAME, or the ARN of either")
    # "The specified KMS key must exist in the destination Region."
    if key.startswith("arn:") and key.split(":")[3] != region:
        raise ValueError(f"the KMS key of the copy in {region} must be there, and {key} is in {key.split(':')[3]}")
    return Destination(region, key)


def _check_destinations(texts: tuple[str, ...]) -> tuple[str, ...]:
    regions = [_destination(text).region for text in texts]
    if len(set(regions)) < len(regions):
        raise ValueError("a region can be given once only")
    return texts


_PRINCIPAL = re.compile(
    r"[0-9]{12}"
    r"|arn:aws[^:]*:organizations::[0-9]{12}:organization/o-[a-z0-9]{10,32}"
    r"|arn:aws[^:]*:organizations::[0-9]{12}:ou/o-[a-z0-9]{10,32}/ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}"
)
"""https://docs.aws.amazon.com/imagebuilder/latest/APIReference/API_LaunchPermissionConfiguration.html"""


def _check_principals(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not _PRINCIPAL.fullmatch(text):
            raise ValueError(
                f"{text!r} is no account: give 12 digits, or the ARN of an organization or an organizational unit"
            )
    return texts


_LONGEST_PARAMETER = 950
"""Characters; 1,011 with the ARN that precedes the name, which is shorter than the rest in every region."""


def _check_parameters(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Check names by the rules of PutParameter.

    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
    """
    for text in texts:
        levels = text.removeprefix("/").split("/")
        if not re.fullmatch(r"[a-zA-Z0-9_.\-/]+", text) or not all(levels):
            raise ValueError(f"{text!r} is no name of a parameter: use letters, digits, _ . - and / between levels")
        if len(levels) > 1 and not text.startswith("/"):
            raise ValueError(f"{text!r} has levels: begin it with /")
        if levels[0].lower().startswith(("aws", "ssm")):
            raise ValueError(f"{text!r} begins with aws or ssm, which AWS keeps for itself")
        if len(levels) > 15 or len(text) > _LONGEST_PARAMETER:
            raise ValueError(f"{text[:40]!r}... is too long: at most 15 levels and {_LONGEST_PARAMETER} characters")
    return texts


def _several(value: object) -> object:
    """Take a mapping (as YAML writes tags), one string or numbers for a sequence of strings."""
    if isinstance(value, Mapping):
        return tuple(f"{key}={item}" if item is not None else str(key) for key, item in value.items())
    if isinstance(value, str | int):
        value = (value,)
    # Account numbers look like integers in YAML.
    return tuple(str(one) if isinstance(one, int) else one for one in value) if isinstance(value, Iterable) else value


Tags = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_check_tags)]
DataVolumes = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_check_data_volumes)]


Destinations = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_check_destinations)]
Principals = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_check_principals)]
Parameters = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_check_parameters)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_several)]


class AwsOptions(Options):
    """The options of AWS; credentials come from where the AWS CLI takes them."""

    region: Annotated[
        str | None, Used.EVERYWHERE, Field(description="Region; the AWS configuration's if not given.")
    ] = None
    profile: Annotated[
        str | None, Used.EVERYWHERE, Meaning.ACCOUNT, Field(description="Profile of the AWS configuration.")
    ] = None
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
    family: Annotated[
        str | None,
        Field(
            description="What the image is one of a row of, a tag, by which old ones are found.",
            min_length=1,
            max_length=255,
        ),
    ] = None

    copy_to: Annotated[
        Destinations,
        Used.COPY,
        Field(
            description="Region to copy the image to, REGION[=KMS_KEY]; with a key the copy is encrypted; repeatable."
        ),
    ] = ()
    copy_optional: Annotated[
        Texts, Used.COPY, Field(description="Region of `--copy-to` without which a run still succeeds; repeatable.")
    ] = ()
    copy_timeout: Annotated[int, Used.COPY, Field(description="Minutes to wait for a copy.", ge=1)] = 120
    share_with: Annotated[
        Principals,
        Used.SHARE,
        Field(description="Who may use the image: account, ARN of an organization or unit; can be repeated."),
    ] = ()
    public: Annotated[bool, Used.SHARE, Field(description="Let everybody use the image.")] = False
    share_snapshot: Annotated[
        bool, Used.SHARE, Field(description="Let accounts, or everybody, use the snapshot too, and so copy the image.")
    ] = False
    ssm_parameter: Annotated[
        Parameters,
        Used.PROMOTE,
        Field(description="Parameter of Systems Manager that names the image, in each region; can be repeated."),
    ] = ()
    deregistration_protection: Annotated[
        Literal["on", "cooldown", "off"] | None,
        Used.PROTECT,
        Field(description="Protection from deregistration; `cooldown` goes on for a day after it is switched off."),
    ] = None

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
    def destinations(self) -> tuple[Destination, ...]:
        """The regions to copy to, taken apart."""
        found = (_destination(text) for text in self.copy_to)
        return tuple(replace(one, optional=one.region in self.copy_optional) for one in found)

    @property
    def data_volumes(self) -> tuple[DataVolume, ...]:
        """The data volumes, taken apart."""
        return tuple(_data_volume(text) for text in self.data_volume)
