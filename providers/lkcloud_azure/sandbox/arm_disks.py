# SPDX-License-Identifier: Apache-2.0
"""Managed disks: made, looked at, changed and deleted.

https://learn.microsoft.com/rest/api/compute/disks and
https://learn.microsoft.com/azure/virtual-machines/linux/disks-upload-vhd-to-managed-disk-cli
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from azure.mgmt.compute import models

from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox import sparse
from lkcloud_azure.sandbox.arm_call import ALL, GROUP, Answer, Body, Call, Route, invalid, location, required, tags
from lkcloud_azure.sandbox.arm_model import body
from lkcloud_azure.sandbox.arm_names import check_name
from lkcloud_azure.sandbox.arm_operations import Operation, started
from lkcloud_azure.sandbox.arm_usage import check_quota
from lkcloud_azure.sandbox.arm_versions import DISKS
from lkcloud_azure.sandbox.cloud import Resource
from lkcloud_azure.sandbox.disk import GIB, Disk
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.page_file import PageFile
from lkcloud_azure.sandbox.vhd_footer import MIB, SIZE

PATH = f"{GROUP}/providers/Microsoft.Compute/disks/{{disk}}"

_LARGEST_GIB = 32767
_SMALLEST, _LARGEST = 20 * MIB + SIZE, _LARGEST_GIB * GIB + SIZE
"""CreationData.upload_size_bytes of the SDK, which calls the largest 32 TiB."""
_TAKEN_OVER = ("osType", "hyperVGeneration", "supportedCapabilities", "securityProfile")
"""What a copy of a disk has from it."""
_SKUS = ("Standard_LRS", "Premium_LRS", "StandardSSD_LRS", "Premium_ZRS", "StandardSSD_ZRS")
"""Ultra and Premium v2 disks hold no operating system and are left out."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the bytes come from: SIZE of them, FROM_DISK or an upload; EXTRA is what the disk takes over."""

    size: int
    upload: bool = False
    disk: Disk | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def _put(call: Call) -> Answer:
    call.group()
    sent = body(call, models.Disk)
    existing = call.cloud.get(Disk, call.id)
    place = location(call, sent, existing)
    check_name(call.id.names[-1], "disk.name")
    if not sent.get("properties"):
        raise required("disk.properties")
    sku = str((sent.get("sku") or {}).get("name") or (existing.sku if existing else "Standard_LRS"))
    if sku not in _SKUS:
        raise invalid("sku.name", sku)
    if existing is not None:
        return _changed(call, existing, sent, sku)
    properties = sent["properties"]
    call.require_encryption_set((properties.get("encryption") or {}).get("diskEncryptionSetId"))
    source = _source(call, properties)
    if sku == "Standard_LRS":
        check_quota(call.cloud, place, "StandardDiskCount")
    disk = Disk(
        id=call.id,
        location=place,
        tags=tags(sent),
        state="Updating",
        sent=properties,
        sku=sku,
        size=source.size,
        file=call.cloud.file("disks"),
        zones=tuple(sent.get("zones") or ()),
        extra=dict(source.extra),
        source_unique_id=source.disk.unique if source.disk else "",
    )
    call.cloud.add(disk)
    cloud, answer = call.cloud, disk.described()

    def work(operation: Operation) -> None:
        pages = None
        if source.upload:
            pages = PageFile(disk.file, source.size + SIZE)
        elif source.disk is not None:
            sparse.copy(source.disk.file, disk.file, source.size)
        else:
            with disk.file.open("wb") as file:
                file.truncate(source.size)
        with cloud.lock:
            disk.upload, disk.state = pages, "Succeeded"
            operation.output = disk.described()

    return Answer(answer, 202, started(call, work, seconds=cloud.windows.operation, result=True))


def _source(call: Call, properties: Body) -> _Source:
    creation = properties["creationData"]
    option = creation["createOption"]
    wanted = properties.get("diskSizeGB")
    if wanted is not None and not 1 <= wanted <= _LARGEST_GIB:
        raise invalid("disk.diskSizeGB", wanted, f"The value must be between 1 and {_LARGEST_GIB}, inclusive.")
    if option == "Empty":
        if wanted is None:
            # DiskProperties.disk_size_gb of the SDK.
            raise required("disk.diskSizeGB")
        return _Source(wanted * GIB)
    if option == "Upload":
        if wanted is not None:
            # https://learn.microsoft.com/rest/api/compute/disks/create-or-update: the size is that of the upload.
            raise invalid("disk.diskSizeGB", wanted, "It cannot be given if createOption is Upload.")
        return _Source(_upload_size(creation), upload=True)
    if option == "Copy":
        return _copied(call, creation, wanted)
    raise invalid("creationData.createOption", option, "The sandbox has Empty, Upload and Copy.")


def _upload_size(creation: Body) -> int:
    size = creation.get("uploadSizeBytes")
    if size is None:
        raise required("creationData.uploadSizeBytes")
    if (size - SIZE) % MIB:
        # microsoft/AzureStorageExplorer#3029
        message = (
            f"The upload size in bytes {size} - 512 bytes for the VHD footer ({size - SIZE} in this case) must be a "
            "multiple of MiB."
        )
        raise ApiError(400, "BadRequest", message)
    if not _SMALLEST <= size <= _LARGEST:
        why = f"The value must be between {_SMALLEST} and {_LARGEST}, inclusive."
        raise invalid("creationData.uploadSizeBytes", size, why)
    return int(size) - SIZE


def _copied(call: Call, creation: Body, wanted: int | None) -> _Source:
    text = creation.get("sourceResourceId") or ""
    parsed = ResourceId.parse(text)
    found = call.cloud.get(Disk, parsed) if parsed else None
    if parsed is None or not parsed.is_of("disks"):
        raise invalid("creationData.sourceResourceId", text, "The sandbox copies disks only.")
    call.require_linked("Microsoft.Compute/disks/beginGetAccess/action", text)
    if found is None:
        raise ApiError(404, "NotFound", f"Disk {parsed.names[-1]} is not found.")
    if found.location != location(call, body(call, models.Disk), None):
        message = f"Disk {found.name} is in location {found.location}. Copying across locations is not supported."
        raise ApiError(400, "BadRequest", message)
    if found.upload is not None or found.state != "Succeeded":
        message = f"Disk {found.name} is in state {found.disk_state}, and cannot be copied."
        raise ApiError(409, "OperationNotAllowed", message)
    size = found.size if wanted is None else wanted * GIB
    if size < found.size:
        raise invalid("disk.diskSizeGB", wanted, "It cannot be smaller than the source.")
    shown = found.properties()
    taken = {name: value for name, value in shown.items() if name in _TAKEN_OVER}
    return _Source(size, disk=found, extra=taken)


def _changed(call: Call, disk: Disk, sent: Body, sku: str) -> Answer:
    properties = sent["properties"]
    if properties["creationData"] != disk.sent["creationData"]:
        # CreationData of the SDK: "cannot be changed after the disk has been created".
        raise ApiError(
            409,
            "PropertyChangeNotAllowed",
            "Changing property 'disk.creationData' is not allowed.",
            target="disk.creationData",
        )
    return _update(call, disk, properties, sku, tags(sent))


def _patch(call: Call) -> Answer:
    disk = call.find(Disk)
    sent = body(call, models.DiskUpdate)
    sku = str((sent.get("sku") or {}).get("name") or disk.sku)
    if sku not in _SKUS:
        raise invalid("sku.name", sku)
    return _update(call, disk, sent.get("properties") or {}, sku, tags(sent) if "tags" in sent else disk.tags)


def _update(call: Call, disk: Disk, properties: Body, sku: str, marks: dict[str, str]) -> Answer:
    cloud = call.cloud
    if disk.state == "Deleting":
        raise ApiError(409, "Conflict", f"Disk {disk.name} is being deleted.")
    wanted = properties.get("diskSizeGB")
    size = disk.size if wanted is None else wanted * GIB
    if size < disk.size:
        # DiskProperties.disk_size_gb of the SDK: "can only increase the disk's size".
        raise ApiError(
            409, "OperationNotAllowed", f"Disk {disk.name} cannot be made smaller.", target="disk.diskSizeGB"
        )
    if size > disk.size and (disk.upload is not None or disk.disk_state == "Attached"):
        message = f"Disk {disk.name} is in state {disk.disk_state}, and cannot be resized."
        raise ApiError(409, "OperationNotAllowed", message, target="disk.diskSizeGB")
    disk.state, disk.sku, disk.tags = "Updating", sku, marks
    disk.sent = {**disk.sent, **{name: value for name, value in properties.items() if name != "creationData"}}

    def work(operation: Operation) -> None:
        grown = size > disk.size
        if grown:
            # The file may have other names, of images that were made from the disk.
            bigger = cloud.file("disks")
            sparse.copy(disk.file, bigger, size)
            bigger.replace(disk.file)
        with cloud.lock:
            disk.size, disk.state = size, "Succeeded"
            operation.output = disk.described()

    return Answer(disk.described(), 202, started(call, work, seconds=cloud.windows.operation, result=True))


def _get(call: Call) -> Answer:
    return Answer(call.find(Disk).described())


def _list(call: Call) -> Answer:
    if "group" in call.segments:
        call.group()
    return listed(call, Disk)


def listed(call: Call, kind: type[Resource]) -> Answer:
    """Return the resources of class KIND in the group or the subscription.

    Lists of Microsoft.Compute over a subscription write the group's name in capitals (Azure/azure-cli#9405).
    """
    found = [
        resource.described() for resource in call.cloud.every(kind, call.scope if "group" in call.segments else "")
    ]
    if "group" not in call.segments:
        for document in found:
            parts = str(document["id"]).split("/")
            document["id"] = "/".join((*parts[:4], parts[4].upper(), *parts[5:]))
    return call.listed(list(found))


def _delete(call: Call) -> Answer:
    call.group()
    disk, cloud = call.cloud.get(Disk, call.id), call.cloud
    if disk is None:
        return Answer(None, 204)
    check_free(call, disk)
    disk.state = "Deleting"

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            cloud.forget(disk)
        disk.removed(cloud)

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation, result=True))


def check_free(call: Call, disk: Disk) -> None:
    """Raise ApiError if DISK cannot be deleted."""
    if disk.managed_by:
        # ansible/ansible#54644
        raise ApiError(409, "OperationNotAllowed", f"Disk {disk.name} is attached to VM {disk.managed_by}.")
    if disk.active(call.cloud):
        # That it is in the way: Azure/azure-cli#6927.
        message = (
            f"There is an active shared access signature outstanding for disk {disk.name}. Call EndGetAccess before "
            "deleting this disk."
        )
        raise ApiError(409, "OperationNotAllowed", message)


ROUTES = (
    Route("PUT", PATH, "Disks.CreateOrUpdate", DISKS, _put),
    Route("PATCH", PATH, "Disks.Update", DISKS, _patch),
    Route("GET", PATH, "Disks.Get", DISKS, _get),
    Route("DELETE", PATH, "Disks.Delete", DISKS, _delete),
    Route("GET", f"{GROUP}/providers/Microsoft.Compute/disks", "Disks.ListByResourceGroup", DISKS, _list),
    Route("GET", f"{ALL}/providers/Microsoft.Compute/disks", "Disks.List", DISKS, _list),
)
