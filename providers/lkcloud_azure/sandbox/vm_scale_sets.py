# SPDX-License-Identifier: Apache-2.0
"""Scale sets without machines: that one names an image is all that is wanted of them here.

https://learn.microsoft.com/rest/api/compute/virtual-machine-scale-sets
"""

from dataclasses import dataclass
from typing import Any

from azure.mgmt.compute import models

from lkcloud_azure.sandbox import vm_source
from lkcloud_azure.sandbox.arm_call import ALL, GROUP, Answer, Call, Route, location, required, tags
from lkcloud_azure.sandbox.arm_disks import listed
from lkcloud_azure.sandbox.arm_model import body
from lkcloud_azure.sandbox.arm_names import check_name
from lkcloud_azure.sandbox.arm_operations import Operation, started
from lkcloud_azure.sandbox.arm_versions import COMPUTE
from lkcloud_azure.sandbox.cloud import Resource
from lkcloud_azure.sandbox.errors import ApiError


@dataclass(kw_only=True)
class ScaleSet(Resource):
    """A scale set; SENT are its properties, SKU says of what size its machines would be."""

    sent: dict[str, Any]
    sku: dict[str, Any]

    def properties(self) -> dict[str, Any]:
        """Return its properties."""
        return {**self.sent, "uniqueId": self.unique, "timeCreated": self.created.isoformat()}

    def top(self) -> dict[str, Any]:
        """Return the size and the number of its machines."""
        return {"sku": self.sku}


def _put(call: Call) -> Answer:
    call.group()
    sent, cloud = body(call, models.VirtualMachineScaleSet), call.cloud
    existing = cloud.get(ScaleSet, call.id)
    place = location(call, sent, existing)
    check_name(call.id.names[-1], "vmScaleSetName")
    sku = sent.get("sku") or {}
    if not sku.get("name"):
        raise required("sku.name")
    if sku.get("capacity"):
        message = "The sandbox makes no machines for a scale set: its capacity must be 0."
        raise ApiError(400, "NotSupportedInSandbox", message, target="sku.capacity")
    properties = sent.get("properties") or {}
    profile = properties.get("virtualMachineProfile")
    if not profile:
        raise required("virtualMachineProfile")
    # The image has to be there; whether the size can boot it, nobody will see.
    vm_source.find(call, (profile.get("storageProfile") or {}).get("imageReference"), place)
    made = ScaleSet(id=call.id, location=place, tags=tags(sent), sent=dict(properties), sku={**sku, "capacity": 0})
    cloud.add(made)

    def work(operation: Operation) -> None:
        with cloud.lock:
            made.state = "Succeeded"
            operation.output = made.described()

    return Answer(made.described(), 200 if existing else 201, started(call, work, seconds=cloud.windows.operation))


def _get(call: Call) -> Answer:
    return Answer(call.find(ScaleSet).described())


def _list(call: Call) -> Answer:
    if "group" in call.segments:
        call.group()
    return listed(call, ScaleSet)


def _delete(call: Call) -> Answer:
    call.group()
    found, cloud = call.cloud.get(ScaleSet, call.id), call.cloud
    if found is None:
        return Answer(None, 204)
    found.state = "Deleting"

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            cloud.forget(found)

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation, result=True))


_KIND = "/providers/Microsoft.Compute/virtualMachineScaleSets"
_ONE = f"{GROUP}{_KIND}/{{set}}"

ROUTES = (
    Route("PUT", _ONE, "VirtualMachineScaleSets.CreateOrUpdate", COMPUTE, _put),
    Route("GET", _ONE, "VirtualMachineScaleSets.Get", COMPUTE, _get),
    Route("DELETE", _ONE, "VirtualMachineScaleSets.Delete", COMPUTE, _delete),
    Route("GET", f"{GROUP}{_KIND}", "VirtualMachineScaleSets.List", COMPUTE, _list),
    Route("GET", f"{ALL}{_KIND}", "VirtualMachineScaleSets.ListAll", COMPUTE, _list),
)
