# SPDX-License-Identifier: Apache-2.0
"""Managed images: made of a disk or a page blob, looked at, tagged and deleted.

https://learn.microsoft.com/rest/api/compute/images
"""

from collections.abc import Mapping
from typing import Any

from azure.mgmt.compute import models

from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox import arm_blob_source, sparse, vm_machine
from lkcloud_azure.sandbox.arm_call import ALL, GROUP, Answer, Call, Route, invalid, location, required, tags
from lkcloud_azure.sandbox.arm_disks import listed
from lkcloud_azure.sandbox.arm_model import body
from lkcloud_azure.sandbox.arm_names import check_name
from lkcloud_azure.sandbox.arm_operations import Operation, OperationFailed, Work, started
from lkcloud_azure.sandbox.arm_versions import COMPUTE
from lkcloud_azure.sandbox.disk import GIB, Disk
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.image import Image

PATH = f"{GROUP}/providers/Microsoft.Compute/images/{{image}}"
_SOURCES = ("managedDisk", "blobUri", "snapshot")


def _put(call: Call) -> Answer:
    call.group()
    sent = body(call, models.Image)
    existing = call.cloud.get(Image, call.id)
    place = location(call, sent, existing)
    check_name(call.id.names[-1], "image.name")
    properties = sent.get("properties") or {}
    if existing is not None:
        return _changed(call, existing, properties, tags(sent))
    if properties.get("sourceVirtualMachine"):
        raise invalid(
            "image.sourceVirtualMachine",
            properties["sourceVirtualMachine"].get("id"),
            "The sandbox makes images from disks and blobs only.",
        )
    os_disk = (properties.get("storageProfile") or {}).get("osDisk")
    if not os_disk:
        raise required("image.storageProfile.osDisk")
    given = [name for name in _SOURCES if os_disk.get(name)]
    if len(given) != 1:
        message = "Exactly one of managedDisk, snapshot and blobUri must be given for image.storageProfile.osDisk."
        raise ApiError(400, "InvalidParameter", message, target="osDisk")
    if properties["storageProfile"].get("dataDisks"):
        raise invalid("image.storageProfile.dataDisks", "", "The sandbox makes images of one disk.")
    call.require_encryption_set((os_disk.get("diskEncryptionSet") or {}).get("id"))
    if given == ["blobUri"]:
        return _from_blob(call, place, properties, tags(sent))
    if given == ["managedDisk"]:
        return _from_disk(call, place, properties, tags(sent))
    raise invalid("image.storageProfile.osDisk.snapshot", "", "The sandbox has no snapshots.")


def _from_blob(call: Call, place: str, properties: Mapping[str, Any], marks: dict[str, str]) -> Answer:
    url = properties["storageProfile"]["osDisk"]["blobUri"]
    arm_blob_source.check_url(call, url, place, "disk.blobUri")
    # Image.hyper_v_generation of the SDK: the default of a blob is V1.
    image = _new(call, place, properties, marks, properties.get("hyperVGeneration") or "V1")
    cloud = call.cloud

    def work(operation: Operation) -> None:
        del operation
        image.size = arm_blob_source.fetch(cloud, url, image.file)

    return _made(call, image, work)


def _from_disk(call: Call, place: str, properties: Mapping[str, Any], marks: dict[str, str]) -> Answer:
    text = properties["storageProfile"]["osDisk"]["managedDisk"].get("id") or ""
    parsed = ResourceId.parse(text)
    if parsed is None or not parsed.is_of("disks"):
        raise invalid("image.storageProfile.osDisk.managedDisk.id", text)
    call.require_linked("Microsoft.Compute/disks/beginGetAccess/action", text)
    disk = call.cloud.get(Disk, parsed)
    if disk is None:
        raise ApiError(404, "NotFound", f"Disk {parsed.names[-1]} is not found.")
    if disk.location != place:
        # By analogy with virtual machines: Azure/azure-cli#2642
        message = f"Source disk '{disk.name}' specified in the request does not exist in this Azure location."
        raise ApiError(404, "NotFound", message)
    known = disk.properties().get("hyperVGeneration")
    wanted = properties.get("hyperVGeneration") or known or "V1"
    if known is not None and wanted != known:
        # That they must be alike: https://learn.microsoft.com/rest/api/compute/images/create-or-update. Words of ours.
        raise invalid("image.hyperVGeneration", wanted, f"The source disk is of generation {known}.")
    image = _new(call, place, properties, marks, wanted)

    def work(operation: Operation) -> None:
        del operation
        if disk.disk_state not in ("Unattached", "Reserved"):
            # Azure/azure-cli#10192: while a SAS is active, and no more is told than this.
            raise OperationFailed("InternalExecutionError", "An internal execution error occurred. Please retry later.")
        sparse.share(disk.file, image.file)
        image.size = disk.size

    return _made(call, image, work)


def _new(call: Call, place: str, properties: Mapping[str, Any], marks: dict[str, str], generation: str) -> Image:
    image = Image(
        id=call.id,
        location=place,
        tags=marks,
        sent=properties,
        generation=generation,
        file=call.cloud.file("images"),
    )
    call.cloud.add(image)
    return image


def _made(call: Call, image: Image, fill: Work) -> Answer:
    cloud, wanted = call.cloud, image.os_disk.get("diskSizeGB")

    def work(operation: Operation) -> None:
        try:
            fill(operation)
            if wanted is not None and wanted * GIB < image.size:
                message = f"The value '{wanted}' of parameter 'diskSizeGB' is smaller than the source."
                raise OperationFailed("InvalidParameter", message, "diskSizeGB")
        except BaseException:
            image.file.unlink(missing_ok=True)
            image.state = "Failed"
            raise
        with cloud.lock:
            image.state = "Succeeded"
            operation.output = image.described()

    answer = image.described()
    return Answer(answer, 201, started(call, work, seconds=cloud.windows.image))


def _changed(call: Call, image: Image, properties: Mapping[str, Any], marks: dict[str, str]) -> Answer:
    if image.state != "Succeeded":
        # One that has failed must be deleted; whether Azure says so with these words is not known.
        message = f"Image {image.name} is in provisioning state {image.state}, and cannot be changed."
        raise ApiError(409, "Conflict", message)
    for name in properties:
        if name == "storageProfile" and _same(image, properties[name]):
            continue
        if properties[name] != image.properties().get(name):
            message = f"Changing property 'image.{name}' is not allowed."
            raise ApiError(409, "PropertyChangeNotAllowed", message, target=f"image.{name}")
    return _tagged(call, image, marks)


def _same(image: Image, profile: Mapping[str, Any]) -> bool:
    """Tell whether a storage PROFILE says nothing of IMAGE that is not so."""
    shown = image.properties()["storageProfile"]
    disk = profile.get("osDisk") or {}
    rest = {name: value for name, value in profile.items() if name != "osDisk"}
    return all(shown["osDisk"].get(name) == value for name, value in disk.items()) and all(
        shown.get(name) == value for name, value in rest.items()
    )


def _patch(call: Call) -> Answer:
    image = call.find(Image)
    sent = body(call, models.ImageUpdate)
    return _changed(call, image, sent.get("properties") or {}, tags(sent) if "tags" in sent else image.tags)


def _tagged(call: Call, image: Image, marks: dict[str, str]) -> Answer:
    image.tags, image.state = marks, "Updating"

    def work(operation: Operation) -> None:
        del operation
        image.state = "Succeeded"

    return Answer(image.described(), 200, started(call, work, seconds=call.cloud.windows.operation))


def _get(call: Call) -> Answer:
    return Answer(call.find(Image).described())


def _list(call: Call) -> Answer:
    if "group" in call.segments:
        call.group()
    return listed(call, Image)


def _delete(call: Call) -> Answer:
    call.group()
    image, cloud = call.cloud.get(Image, call.id), call.cloud
    if image is None:
        return Answer(None, 204)
    if image.state in ("Creating", "Deleting"):
        message = f"The request failed due to conflict with a concurrent request. Image {image.name} is {image.state}."
        raise ApiError(409, "Conflict", message)
    vm_machine.check_not_made_from(cloud, "Image Delete", image.id)
    image.state = "Deleting"

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            cloud.forget(image)
        image.removed(cloud)

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation, result=True))


ROUTES = (
    Route("PUT", PATH, "Images.CreateOrUpdate", COMPUTE, _put),
    Route("PATCH", PATH, "Images.Update", COMPUTE, _patch),
    Route("GET", PATH, "Images.Get", COMPUTE, _get),
    Route("DELETE", PATH, "Images.Delete", COMPUTE, _delete),
    Route("GET", f"{GROUP}/providers/Microsoft.Compute/images", "Images.ListByResourceGroup", COMPUTE, _list),
    Route("GET", f"{ALL}/providers/Microsoft.Compute/images", "Images.List", COMPUTE, _list),
)
