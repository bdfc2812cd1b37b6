# SPDX-License-Identifier: Apache-2.0
"""What would keep an image from booting on Azure: generation, architecture, disk controllers, Secure Boot keys.

Generation 1 boots by BIOS and generation 2 by UEFI (https://learn.microsoft.com/azure/virtual-machines/generation-2).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError
from lkcloud.provider import Finding
from lkcloud_azure import features, uefi
from lkcloud_azure.options import AzureOptions

if TYPE_CHECKING:
    # Every help imports this module, and needs nothing of the disk.
    from lkcloud.disk.inspect import DiskFacts

WITH_KEYS = ("TrustedLaunchSupported", "TrustedLaunchAndConfidentialVmSupported")
"""Security types whose versions may have Secure Boot keys of their own

(https://learn.microsoft.com/azure/virtual-machines/trusted-launch-secure-boot-custom-uefi#prerequisites)."""


def validate(options: AzureOptions, facts: "DiskFacts") -> Iterator[Finding]:
    """Yield what would keep the image from booting, or from being made, for its firmware or its features."""
    yield from _architecture(options, facts)
    yield from _firmware(options, facts)
    yield from _controllers(options, facts)
    yield from _security_type(options, facts)
    if uefi.chosen(options):
        yield from _secure_boot(options, facts)


def _architecture(options: AzureOptions, facts: "DiskFacts") -> Iterator[Finding]:
    machine = features.architecture(options, facts)
    word = features.ARCHITECTURES.get(facts.architecture or "")
    if word and word != machine:
        yield Finding(
            f"the disk is for {word} and --architecture is {machine}",
            "leave out --architecture unless you know better",
            obstacle=False,
        )
    if machine == "Arm64" and options.gallery is None:
        # https://learn.microsoft.com/azure/virtual-machines/capture-image-resource
        yield Finding("a managed image cannot be for Arm64", "give --gallery")
    if machine == "Arm64" and options.hyper_v_generation == "V1":
        yield Finding("Arm64 machines are of generation V2 only", "leave --hyper-v-generation out")


def _firmware(options: AzureOptions, facts: "DiskFacts") -> Iterator[Finding]:
    machine, generation = features.architecture(options, facts), features.generation(options, facts)
    loader, bios = features.has_loader(facts, machine), facts.bios and machine == "x64"
    missing = f"EFI/BOOT/{features.LOADERS[machine]}"
    if not loader and not bios:
        yield Finding(
            f"nothing on the disk looks bootable: no BIOS boot code and no {missing}",
            "look at the disk with `lkcloud inspect`",
            obstacle=False,
        )
    elif generation == "V2" and not loader:
        yield Finding(
            f"the image would be V2, which boots by UEFI, and the disk has no {missing}",
            "put a loader there, or leave out --hyper-v-generation",
        )
    elif generation == "V1" and not bios and machine == "x64":
        yield Finding(
            "the image would be V1, which boots by BIOS, and the disk has no BIOS boot code",
            "leave out --hyper-v-generation",
        )
    elif facts.architecture is None and options.architecture is None:
        yield Finding(
            f"the disk does not tell its architecture, and {machine} is taken", "give --architecture", obstacle=False
        )


def _controllers(options: AzureOptions, facts: "DiskFacts") -> Iterator[Finding]:
    known = {"scsi": "SCSI", "nvme": features.NVME}
    chosen = features.disk_controller_types(options, facts)
    for name in chosen:
        if name not in known.values():
            better = known.get(name.lower(), "SCSI or NVMe")
            yield Finding(f"{name!r} is no disk controller", f"give --disk-controller-type {better}")
    # https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries#image-definitions
    if features.NVME in chosen and "SCSI" not in chosen:
        yield Finding(
            "Azure takes SCSI, or SCSI and NVMe, and not NVMe alone", "give --disk-controller-type SCSI as well"
        )
    if features.NVME in chosen and features.generation(options, facts) == "V1":
        # https://learn.microsoft.com/azure/virtual-machines/enable-nvme-interface
        yield Finding("images of generation V1 have no NVMe", "leave out --disk-controller-type NVMe")


def _security_type(options: AzureOptions, facts: "DiskFacts") -> Iterator[Finding]:
    kind = options.security_type
    if kind == "Standard" or options.gallery is None:
        return
    if features.generation(options, facts) == "V1":
        # https://learn.microsoft.com/azure/virtual-machines/trusted-launch
        yield Finding(f"the security type {kind} needs generation V2", "leave out --security-type")
    if features.architecture(options, facts) == "Arm64" and "Confidential" in kind:
        # https://learn.microsoft.com/azure/confidential-computing/virtual-machine-options: AMD and Intel alone
        yield Finding(
            f"there are no confidential machines for Arm64, and the security type is {kind}",
            "give --security-type TrustedLaunchSupported, or leave it out",
        )
    if kind.endswith("Supported") and options.method == "disk" and not features.stages_image(options, facts):
        # hashicorp/packer-plugin-azure#304, microsoft/STL#4682: blobs, images and other versions alone are taken
        yield Finding(
            f"Azure makes no version of the security type {kind} from a managed disk, and a managed image in between "
            "is neither for Arm64 nor specialized",
            "give --method blob",
        )


def _secure_boot(options: AzureOptions, facts: "DiskFacts") -> Iterator[Finding]:
    if options.gallery is not None and features.generation(options, facts) == "V1":
        yield Finding("Secure Boot needs generation V2", "leave out the keys")
    elif options.gallery is not None and options.security_type not in WITH_KEYS:
        yield Finding(
            f"Secure Boot keys need the security type {' or '.join(WITH_KEYS)}, and it is {options.security_type}",
            f"give --security-type {WITH_KEYS[0]}",
        )
    if options.cloud_environment != "AzureCloud":
        yield Finding(f"{options.cloud_environment} takes no Secure Boot keys", "leave out the keys")
    if options.uefi_template == "NoSignatureTemplate" and not options.signature_db:
        yield Finding(
            "NoSignatureTemplate lets nothing boot by itself, and there is no key that does",
            "give --signature-db, or leave --uefi-template out",
        )
    if options.platform_key is not None:
        yield Finding(
            "a platform key takes the place of Microsoft's; gardenlinux/glci found that it does not work",
            "give --key-exchange-key and --signature-db alone, which are added to Microsoft's",
            obstacle=False,
        )
    yield from _key_files(options)


def _key_files(options: AzureOptions) -> Iterator[Finding]:
    from lkcloud import secure_boot

    kinds: tuple[tuple[Callable[[Path], object], tuple[Path, ...]], ...] = (
        (uefi.platform_key, (options.platform_key,) if options.platform_key else ()),
        (uefi.certificates, options.key_exchange_key),
        (secure_boot.read_signatures, (*options.signature_db, *options.revoked_db)),
    )
    for read, paths in kinds:
        for path in paths:
            try:
                read(path)
            except LkcloudError as error:
                yield Finding(error.message, error.hint)
