# SPDX-License-Identifier: Apache-2.0
"""What AWS would refuse, or never boot, as far as it can be known without asking AWS.

Rules of names, sizes and pairs: EC2 API reference, RegisterImage; EBS User Guide, volume types; EBS direct APIs,
StartSnapshot.
"""

import re
from collections.abc import Iterator

from lkcloud.errors import LkcloudError
from lkcloud.provider import Finding, Source
from lkcloud_aws import firmware, uefi_data, validation_sharing
from lkcloud_aws.naming import RESERVED
from lkcloud_aws.options import MAX_GIB, AwsOptions, VolumeType

GIB = 1024**3

_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
_KMS_ARN = re.compile(r"arn:aws[a-z\-]*:kms:[^:]+:[0-9]{12}:key/.+")

_OWN_TAGS = 9
"""With the family, and what is put on an image later."""
_MAX_TAGS = 50
_EBS_TAG_KEY, _EBS_TAG_VALUE = 127, 255

SIZES: dict[VolumeType, tuple[int, int]] = {
    "gp2": (1, 16_384),
    "gp3": (1, 65_536),
    "io1": (4, 16_384),
    "io2": (4, 65_536),
    "st1": (125, 16_384),
    "sc1": (125, 16_384),
    "standard": (1, 1_024),
}
"""The smallest and the largest volume of each type, GiB."""

IOPS: dict[VolumeType, tuple[int, int]] = {"gp3": (3_000, 80_000), "io1": (100, 64_000), "io2": (100, 256_000)}
"""The least and the most IOPS of the types that let one choose."""

IOPS_PER_GIB: dict[VolumeType, int] = {"gp3": 500, "io1": 50, "io2": 1_000}

BOOTABLE: tuple[VolumeType, ...] = ("gp2", "gp3", "io1", "io2", "standard")
"""Throughput-optimised and cold disks cannot be root volumes."""

THROUGHPUT = (125, 2_000)
"""MiB/s of gp3; at most a quarter of the IOPS."""


def gib(size: int) -> int:
    """Return the GiB of the smallest volume that holds SIZE bytes."""
    return -(-size // GIB)


def validate(options: AwsOptions, source: Source) -> Iterator[Finding]:
    """Yield what stands in the way of making SOURCE an image with OPTIONS."""
    yield from _names(options, source)
    yield from _sizes(options, source)
    yield from _encryption(options)
    yield from _pairs(options, source)
    yield from _boot(options, source)
    yield from validation_sharing.validate(options)


def _names(options: AwsOptions, source: Source) -> Iterator[Finding]:
    if not _NAME.fullmatch(source.name):
        yield Finding(
            f"AWS does not take {source.name!r} as the name of an image",
            "use 3 to 128 letters, digits, spaces and ( ) [ ] . / - ' @ _",
        )
    if len(source.description) > 255:
        yield Finding(
            f"the description has {len(source.description)} characters and AWS takes 255", "shorten --description"
        )
    for key, value in options.tags:
        if key.lower().startswith(RESERVED):
            yield Finding(f"the tag key {key!r} is reserved", f"choose a key without {' or '.join(RESERVED)} in front")
        # EBS direct takes one character less than EC2 does; the same limits for both methods are easier to know.
        if len(key) > _EBS_TAG_KEY or len(value) > _EBS_TAG_VALUE:
            yield Finding(
                f"the tag {key[:40]!r} is too long",
                f"use at most {_EBS_TAG_KEY} characters for a key and {_EBS_TAG_VALUE} for a value",
            )
    if len(options.tag) + _OWN_TAGS > _MAX_TAGS:
        yield Finding(
            f"{len(options.tag)} tags and the {_OWN_TAGS} of lkcloud are more than the {_MAX_TAGS} of AWS",
            f"give at most {_MAX_TAGS - _OWN_TAGS} tags",
        )


def _sizes(options: AwsOptions, source: Source) -> Iterator[Finding]:
    size = gib(source.disk.size)
    if not size:
        yield Finding("the image is empty", "give a disk image with at least one byte")
        return
    if size > MAX_GIB:
        yield Finding(f"the disk is {size} GiB and AWS takes {MAX_GIB}", "make the disk smaller")
        return
    if options.volume_size and options.volume_size < size:
        yield Finding(
            f"the disk needs {size} GiB and --volume-size is {options.volume_size}",
            f"give --volume-size {size} or more, or leave it out",
        )
    root = options.volume_size or size
    yield from _volume_type("root volume", options.volume_type, root)
    if options.volume_type not in BOOTABLE:
        yield Finding(
            f"AWS does not boot from {options.volume_type} volumes", f"choose --volume-type {' or '.join(BOOTABLE)}"
        )
    for volume in options.data_volumes:
        yield from _volume_type(f"data volume {volume.device}", volume.type, volume.size)
        if volume.device == options.root_device_name:
            yield Finding(f"{volume.device} is the root volume already", "give the data volume another device name")
    yield from _performance(options, root)


def _volume_type(what: str, kind: VolumeType, size: int) -> Iterator[Finding]:
    smallest, largest = SIZES[kind]
    if not smallest <= size <= largest:
        yield Finding(
            f"the {what} has {size} GiB and a {kind} volume has {smallest} to {largest}", "choose another size or type"
        )


def _performance(options: AwsOptions, size: int) -> Iterator[Finding]:
    kind = options.volume_type
    if options.iops is None and kind in ("io1", "io2"):
        yield Finding(f"a {kind} volume needs its IOPS", "give --iops, or --volume-type gp3")
    if options.iops is not None:
        if kind not in IOPS:
            yield Finding(f"a {kind} volume has no IOPS to choose", "leave out --iops, or give --volume-type gp3")
        else:
            least, most = IOPS[kind]
            # gp3 has 3,000 IOPS at any size; only what exceeds them depends on it.
            most = min(most, max(IOPS_PER_GIB[kind] * size, least))
            if not least <= options.iops <= most:
                yield Finding(
                    f"a {kind} volume of {size} GiB has {least} to {most} IOPS and --iops is {options.iops}",
                    f"give --iops between {least} and {most}",
                )
    if options.throughput is not None:
        least, most = THROUGHPUT
        most = min(most, (options.iops or 3_000) // 4)
        if kind != "gp3":
            yield Finding(f"a {kind} volume has no throughput to choose", "leave out --throughput")
        elif not least <= options.throughput <= most:
            yield Finding(
                f"--throughput is {options.throughput} MiB/s and this volume has {least} to {most}",
                "give a quarter of --iops at most, and no more than 2000",
            )


def _encryption(options: AwsOptions) -> Iterator[Finding]:
    if not options.kms_key:
        return
    if not options.encrypted:
        yield Finding("there is a KMS key and nothing to encrypt", "add --encrypted, or leave out --kms-key")
    elif not _KMS_ARN.fullmatch(options.kms_key):
        # ImportSnapshot takes other forms as well, but a snapshot shows the ARN: nothing else can be compared with it.
        yield Finding(
            "--kms-key is no key ARN",
            "give arn:aws:kms:REGION:ACCOUNT:key/ID, see `aws kms describe-key`",
        )
    elif options.data_volume:
        yield Finding(
            "data volumes are encrypted with the account's default key: RegisterImage takes no other one for them",
            "choose the default key with `aws ec2 modify-ebs-default-kms-key-id`",
            obstacle=False,
        )


def _pairs(options: AwsOptions, source: Source) -> Iterator[Finding]:
    machine = firmware.architecture(options, source.facts)
    mode = firmware.boot_mode(options, source.facts)
    if options.method == "import" and not options.bucket:
        yield Finding("--method import needs a bucket", "give --bucket, or use --method ebs, which needs none")
    if mode == "legacy-bios" and machine == "arm64":
        yield Finding("arm64 has no legacy-bios", "give --boot-mode uefi, or leave it out")
    if mode == "legacy-bios" and options.tpm:
        yield Finding("a TPM needs UEFI and the boot mode is legacy-bios", "give --boot-mode uefi, or leave out --tpm")
    if options.uefi_data:
        if mode == "legacy-bios":
            yield Finding("UEFI data needs UEFI and the boot mode is legacy-bios", "give --boot-mode uefi")
        try:
            uefi_data.read(options.uefi_data)
        except LkcloudError as error:
            yield Finding(error.message, error.hint)
    if source.facts.architecture and options.architecture not in (None, source.facts.architecture):
        yield Finding(
            f"the disk is for {source.facts.architecture} and --architecture is {options.architecture}",
            "leave out --architecture unless you know better",
            obstacle=False,
        )
    if options.tpm and machine == "arm64":
        yield Finding(
            "not every arm64 instance type has a TPM", "test with the --instance-type you mean to use", obstacle=False
        )


def _boot(options: AwsOptions, source: Source) -> Iterator[Finding]:
    facts = source.facts
    machine = firmware.architecture(options, facts)
    mode = firmware.boot_mode(options, facts)
    loader = firmware.has_loader(facts, machine)
    if not loader and not facts.bios:
        yield Finding(
            f"nothing on the disk looks bootable: no BIOS boot code and no EFI/BOOT/{firmware.LOADERS[machine]}",
            "look at the disk with `lkcloud inspect`",
            obstacle=False,
        )
    elif options.boot_mode == "legacy-bios" and not facts.bios:
        yield Finding("the disk has no BIOS boot code and --boot-mode is legacy-bios", "give --boot-mode uefi")
    # With variables of its own the firmware can start a loader from anywhere on the disk.
    elif mode in ("uefi", "uefi-preferred") and not loader and not options.uefi_data:
        yield Finding(
            f"the boot mode is {mode} and the disk has no EFI/BOOT/{firmware.LOADERS[machine]}",
            "put a loader there, or give --boot-mode legacy-bios",
        )
    elif options.boot_mode == "uefi-preferred" and not facts.bios:
        yield Finding(
            "the disk has no BIOS boot code, so it boots only on instance types with UEFI",
            "give --boot-mode uefi",
            obstacle=False,
        )
