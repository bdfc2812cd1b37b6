# SPDX-License-Identifier: Apache-2.0
"""Which images boot on which sizes, with which disk controller, and as which security type."""

from lkcloud_azure.sandbox.arm_call import Body
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.vm_sizes import NAMES, Controller, Series, series_of
from lkcloud_azure.sandbox.vm_source import Source

_STANDARD_SINCE = "2025-11-01"
"""https://learn.microsoft.com/azure/virtual-machines/trusted-launch#general-availability-trusted-launch-as-default:
the api-version from which on Standard can be asked for. Before, a feature has to be registered (Azure/azure-cli#31234),
which it is not here."""

_TRUSTED = ("TrustedLaunch", "TrustedLaunchSupported", "TrustedLaunchAndConfidentialVmSupported")
_ONLY = {"TrustedLaunch": "TrustedLaunch", "ConfidentialVM": "ConfidentialVM"}
"""Security types of image definitions that allow one security type of machines."""


def size(name: str) -> Series:
    """Return the series of the size NAME. Raises ApiError if the region has none of that name."""
    found = series_of(name)
    if found is None:
        message = (
            f"The value {name} provided for the VM size is not valid. The valid sizes in the current region are: "
            f"{','.join(NAMES)}."
        )
        raise ApiError(400, "InvalidParameter", message, target="vmSize")
    return found


def check_boots(name: str, series: Series, source: Source) -> None:
    """Raise ApiError if the size NAME, one of SERIES, does not boot the image SOURCE."""
    if source.generation not in series.generations:
        # kubermatic/kubermatic#13184; it is what is said of a V1 image on an Arm size too.
        number = source.generation.removeprefix("V")
        message = (
            f"The selected VM size '{name}' cannot boot Hypervisor Generation '{number}'. If this was a Create "
            "operation please check that the Hypervisor Generation of the Image matches the Hypervisor Generation of "
            "the selected VM Size. If this was an Update operation please select a Hypervisor Generation "
            f"'{number}' VM Size. For more information, see https://aka.ms/azuregen2vm"
        )
        raise ApiError(400, "BadRequest", message)
    if source.architecture != series.architecture:
        # No thread with the words was found: these are from memory.
        message = (
            f"Cannot create a VM of size '{name}' because this VM size only supports a CPU Architecture of "
            f"'{series.architecture}', but an image or disk with CPU Architecture '{source.architecture}' was given. "
            "Please check that the CPU Architecture of the image or disk is compatible with that of the VM size."
        )
        raise ApiError(400, "BadRequest", message)


def controller(name: str, series: Series, source: Source, asked: str | None) -> Controller:
    """Return the disk controller of a machine: the one that was ASKED for, or one that size and image have.

    SCSI where both have both (hashicorp/terraform-provider-azurerm#22058). Raises ApiError.
    """
    query = (
        "Please query sku api at https://aka.ms/azure-compute-skus  to determine supported disk controller types for "
        "the VM size."
    )
    if asked is not None:
        where = "storageProfile.diskControllerType"
        if source.generation == "V1":
            # microsoft/lisa#2628
            message = "Disk Controller Type is only supported for Hypervisor Generation 2 images."
            raise ApiError(400, "InvalidParameter", message, target=where)
        if source.managed and asked == "NVMe":
            message = "Disk controller type 'NVMe' not supported for user VM image."
            raise ApiError(400, "InvalidParameter", message, target=where)
        if asked not in series.controllers:
            # Azure/FederalAVD#20
            message = (
                f"The VM size '{name}' cannot boot with DiskControllerType '{asked}'. Please check that the disk "
                f"controller type provided is one of the supported disk controller types for the VM size '{name}'. "
                f"{query}"
            )
            raise ApiError(400, "InvalidParameter", message, target=where)
    possible = [one for one in series.controllers if one in source.controllers and asked in (None, one)]
    if not possible:
        # kubernetes-sigs/image-builder#1875
        message = (
            f"The VM size '{name}' cannot boot with OS image or disk. Please check that disk controller types "
            "supported by the OS image or disk is one of the supported disk controller types for the VM size "
            f"'{name}'. {query}"
        )
        raise ApiError(400, "InvalidParameter", message, target="vmSize")
    return possible[0]


def security(version: str, name: str, series: Series, source: Source, sent: Body | None) -> dict[str, object]:
    """Return the security profile that a machine shows, for what was SENT by api-version VERSION. Raises ApiError."""
    asked = (sent or {}).get("securityType")
    settings = (sent or {}).get("uefiSettings")
    if asked == "Standard" and version < _STANDARD_SINCE:
        message = "The value of parameter securityProfile.securityType is invalid."
        raise ApiError(400, "InvalidParameter", message, target="securityProfile.securityType")
    kind = str(asked or "Standard")
    if settings is not None and kind == "Standard":
        # Azure/azure-cli#30728
        message = f"Use of UEFI settings is not supported when security type is '{asked or '<NULL>'}'."
        raise ApiError(400, "BadRequest", message)
    only = _ONLY.get(source.security)
    if only is not None and kind != only:
        # kubermatic/machine-controller#2013
        message = (
            f"The provided gallery image only supports creation of VMs and VM Scale Sets with '{only}' security type."
        )
        raise ApiError(400, "BadRequest", message)
    if kind == "TrustedLaunch" and (source.generation == "V1" or source.security not in _TRUSTED):
        # https://learn.microsoft.com/azure/virtual-machines/trusted-launch-faq; managed images never can.
        message = (
            "Use of TrustedLaunch setting is not supported for the provided image. Please select Trusted Launch "
            "Supported Gen2 OS Image. For more information, see https://aka.ms/TrustedLaunch-FAQ."
        )
        raise ApiError(400, "BadRequest", message)
    if kind not in series.security:
        message = (
            f"The VM size '{name}' is not supported for creation of VMs and Virtual Machine Scale Set with "
            f"'{asked or '<NULL>'}' security type."
        )
        raise ApiError(400, "BadRequest", message)
    if kind == "Standard":
        # SecurityProfile.security_type of the SDK: what is not said is not shown before that version.
        return {"securityType": "Standard"} if asked or version >= _STANDARD_SINCE else {}
    chosen = settings or {}
    # kubermatic/machine-controller#2020: a TPM unless said otherwise, and no Secure Boot.
    return {
        "securityType": kind,
        "uefiSettings": {
            "secureBootEnabled": bool(chosen.get("secureBootEnabled", False)),
            "vTpmEnabled": bool(chosen.get("vTpmEnabled", True)),
        },
    }
