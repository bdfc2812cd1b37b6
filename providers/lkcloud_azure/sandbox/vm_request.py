# SPDX-License-Identifier: Apache-2.0
"""What virtualMachines.createOrUpdate accepts, and what it wants to make.

https://learn.microsoft.com/rest/api/compute/virtual-machines/create-or-update and the texts of the SDK's model. What
the sandbox has not is refused, not ignored.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox import vm_profile, vm_rules, vm_source
from lkcloud_azure.sandbox.arm_call import Body, Call, required
from lkcloud_azure.sandbox.arm_names import check_name
from lkcloud_azure.sandbox.disk import GIB, Disk
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.network_resources import Interface, invalid_reference
from lkcloud_azure.sandbox.vm_sizes import Controller
from lkcloud_azure.sandbox.vm_source import Source

_HAS = (
    "hardwareProfile",
    "storageProfile",
    "osProfile",
    "networkProfile",
    "diagnosticsProfile",
    "securityProfile",
)
_DISK_HAS = (
    "name",
    "osType",
    "createOption",
    "deleteOption",
    "caching",
    "diskSizeGB",
    "managedDisk",
)
_SKUS = ("Standard_LRS", "StandardSSD_LRS", "Premium_LRS", "StandardSSD_ZRS", "Premium_ZRS")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A machine that can be made: SHOWN is what it will show of its properties, SECRET what it will not."""

    size: str
    source: Source
    controller: Controller
    disk: ResourceId
    disk_size: int
    sku: str
    interfaces: tuple[ResourceId, ...]
    diagnostics: bool
    shown: Mapping[str, Any]
    secret: Mapping[str, Any]


def check_known(sent: Body, known: Iterable[str], where: str) -> None:
    """Raise ApiError for a field of what was SENT that the sandbox makes nothing of."""
    for name in sent:
        if name not in known:
            message = f"The sandbox makes nothing of '{where}.{name}'."
            raise ApiError(400, "NotSupportedInSandbox", message, target=f"{where}.{name}")


def wanted(call: Call, sent: Body, location: str) -> Wanted:
    """Return what the body SENT wants to make in LOCATION. Raises ApiError."""
    name = call.id.names[-1]
    check_name(name, "vmName")
    check_known(sent, ("location", "tags", "properties"), "virtualMachine")
    properties: Body = sent.get("properties") or {}
    check_known(properties, _HAS, "properties")
    hardware: Body = properties.get("hardwareProfile") or {}
    check_known(hardware, ("vmSize",), "hardwareProfile")
    if not hardware.get("vmSize"):
        raise required("vmSize")
    size = str(hardware["vmSize"])
    series = vm_rules.size(size)
    storage: Body = properties.get("storageProfile") or {}
    check_known(storage, ("imageReference", "osDisk", "dataDisks", "diskControllerType"), "storageProfile")
    if storage.get("dataDisks"):
        raise ApiError(400, "NotSupportedInSandbox", "The sandbox attaches no data disks.", target="dataDisks")
    disk: Body = storage.get("osDisk") or {}
    if not disk:
        raise required("osDisk")
    check_known(disk, _DISK_HAS, "osDisk")
    if disk["createOption"] != "FromImage":
        message = "The sandbox makes machines from images only."
        raise ApiError(400, "NotSupportedInSandbox", message, target="osDisk.createOption")
    source = vm_source.find(call, storage.get("imageReference"), location)
    vm_rules.check_boots(size, series, source)
    controller = vm_rules.controller(size, series, source, storage.get("diskControllerType"))
    security = vm_rules.security(call.version, size, series, source, properties.get("securityProfile"))
    profile = vm_profile.check(
        properties.get("osProfile"), generalized=source.generalized, os_type=source.os_type, machine=name
    )
    interfaces = _interfaces(call, properties.get("networkProfile"), location)
    place, disk_size, sku = _disk(call, disk, source)
    diagnostics = _diagnostics(properties.get("diagnosticsProfile") or {})
    shown: dict[str, Any] = {
        "hardwareProfile": {"vmSize": size},
        "storageProfile": {
            "imageReference": dict(storage["imageReference"]),
            "osDisk": {
                "osType": source.os_type,
                "name": place.names[-1],
                "createOption": "FromImage",
                "caching": disk.get("caching") or "None",
                "managedDisk": {"storageAccountType": sku, "id": str(place)},
                "deleteOption": disk.get("deleteOption") or "Detach",
                "diskSizeGB": -(-disk_size // GIB),
            },
            "dataDisks": [],
            **({"diskControllerType": controller} if source.generation == "V2" else {}),
        },
        "networkProfile": {
            "networkInterfaces": [dict(one) for one in properties["networkProfile"]["networkInterfaces"]]
        },
        **({"osProfile": profile} if profile is not None else {}),
        **({"securityProfile": security} if security else {}),
        **({"diagnosticsProfile": properties["diagnosticsProfile"]} if "diagnosticsProfile" in properties else {}),
    }
    given: Body = properties.get("osProfile") or {}
    secret = {key: given.get(key) for key in ("adminPassword", "customData")}
    return Wanted(size, source, controller, place, disk_size, sku, interfaces, diagnostics, shown, secret)


def _interfaces(call: Call, sent: Body | None, location: str) -> tuple[ResourceId, ...]:
    if sent is None:
        raise required("networkProfile")
    check_known(sent, ("networkInterfaces",), "networkProfile")
    listed = sent.get("networkInterfaces") or []
    if not listed:
        raise required("networkInterfaces")
    if len(listed) > 1:
        message = "The sandbox's machines have one network interface."
        raise ApiError(400, "NotSupportedInSandbox", message, target="networkInterfaces")
    text = str(listed[0].get("id") or "")
    named = ResourceId.parse(text)
    if named is None or [kind.lower() for kind in named.kinds] != ["networkinterfaces"]:
        raise required("networkInterfaces.id")
    call.require_linked("Microsoft.Network/networkInterfaces/join/action", named)
    found = call.cloud.get(Interface, named)
    if found is None or found.location != location:
        raise invalid_reference(text, call.id)
    if found.state != "Succeeded":
        message = f"Network interface {found.id} is in state {found.state}."
        raise ApiError(409, "AnotherOperationInProgress", message)
    found.check_free(str(call.id))
    return (found.id,)


def _disk(call: Call, disk: Body, source: Source) -> tuple[ResourceId, int, str]:
    """Return id, size in bytes and SKU of the machine's disk."""
    name = str(disk.get("name") or f"{call.id.names[-1]}_OsDisk_1_{re.sub('-', '', call.cloud.file('disks').name)}")
    check_name(name, "osDisk.name")
    place = ResourceId(call.id.subscription, call.id.group, call.id.namespace, ("disks",), (name,))
    existing = call.cloud.get(Disk, place)
    if existing is not None and existing.managed_by.lower() != str(call.id).lower():
        message = (
            f"Disk {name} already exists in resource group {call.id.group.upper()}. Only CreateOption.Attach is "
            "supported."
        )
        raise ApiError(409, "ConflictingUserInput", message, target=str(place))
    managed: Body = disk.get("managedDisk") or {}
    check_known(managed, ("storageAccountType",), "managedDisk")
    sku = str(managed.get("storageAccountType") or "Premium_LRS")
    if sku not in _SKUS:
        raise ApiError(
            400, "InvalidParameter", f"The disk SKU '{sku}' is not for disks of an operating system.", target="osDisk"
        )
    wanted_gib = disk.get("diskSizeGB")
    size = -(-source.size // GIB) * GIB if wanted_gib is None else wanted_gib * GIB
    if size < source.size:
        least = -(-source.size // GIB)
        message = (
            f"The specified disk size {wanted_gib} GB is smaller than the size of the corresponding disk in the VM "
            f"image: {least} GB. This is not allowed. Please choose equal or greater size or do not specify an "
            "explicit size."
        )
        raise ApiError(409, "OperationNotAllowed", message, target="osDisk.diskSizeGB")
    return place, size, sku


def _diagnostics(sent: Body) -> bool:
    boot: Body = sent.get("bootDiagnostics") or {}
    if boot.get("storageUri"):
        message = "The sandbox keeps the serial log itself: leave storageUri out."
        raise ApiError(400, "NotSupportedInSandbox", message, target="bootDiagnostics.storageUri")
    return bool(boot.get("enabled"))
