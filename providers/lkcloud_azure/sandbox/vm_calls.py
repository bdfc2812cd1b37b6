# SPDX-License-Identifier: Apache-2.0
"""The calls on virtual machines: https://learn.microsoft.com/rest/api/compute/virtual-machines."""

import time
from typing import Any
from uuid import uuid4

from azure.mgmt.compute import models

from lkcloud.errors import LkcloudError
from lkcloud_azure.sandbox import sparse, vm_request
from lkcloud_azure.sandbox.arm_call import ALL, GROUP, Answer, Call, Route, location, tags
from lkcloud_azure.sandbox.arm_disks import listed
from lkcloud_azure.sandbox.arm_model import body
from lkcloud_azure.sandbox.arm_operations import Operation, OperationFailed, Work, started
from lkcloud_azure.sandbox.arm_versions import COMPUTE
from lkcloud_azure.sandbox.cloud import Cloud
from lkcloud_azure.sandbox.disk import Disk
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.network_resources import Interface
from lkcloud_azure.sandbox.vm_machine import FOLDER, Machine

_LOOK = 0.05
"""Seconds between two looks at whether a machine that waits for its guest is to go."""

_SHORTEST = 0.001
"""Seconds from the answer to the making of a machine."""


def _put(call: Call) -> Answer:
    call.group()
    sent, cloud = body(call, models.VirtualMachine), call.cloud
    existing = cloud.get(Machine, call.id)
    if existing is not None:
        _check_not_leaving(existing, "Update VM")
    place, labels = location(call, sent, existing), tags(sent)
    wanted = vm_request.wanted(call, sent, place)
    if existing is not None:
        return _changed(call, existing, wanted, labels)
    _check_available(call, wanted, place)
    file = cloud.file("disks")
    machine = Machine(
        id=call.id,
        location=place,
        tags=labels,
        source=wanted.source,
        size=wanted.size,
        sent=dict(wanted.shown),
        secret=dict(wanted.secret),
        controller=wanted.controller,
        interfaces=wanted.interfaces,
        disk=wanted.disk,
        file=file,
        home=cloud.home / FOLDER / uuid4().hex,
        diagnostics=wanted.diagnostics,
    )
    for interface in _interfaces(cloud, machine):
        interface.machine = str(machine.id)
    cloud.add(machine)
    cloud.add(_disk(machine, wanted))

    def work(operation: Operation) -> None:
        _make(cloud, machine, operation)

    # It waits for the guest in the end, so that it outlasts its answer however short the rest is.
    return Answer(machine.described(), 201, started(call, work, seconds=max(cloud.windows.vm_start, _SHORTEST)))


def _interfaces(cloud: Cloud, machine: Machine) -> list[Interface]:
    found = (cloud.get(Interface, one) for one in machine.interfaces)
    return [interface for interface in found if interface is not None]


def _disk(machine: Machine, wanted: vm_request.Wanted) -> Disk:
    """Return the machine's disk; it has the tags of the machine, and the bytes of the image under another name."""
    if wanted.disk_size > wanted.source.size:
        sparse.copy(wanted.source.file, machine.file, wanted.disk_size)
    else:
        sparse.share(wanted.source.file, machine.file)
    creation = {"createOption": "FromImage", "imageReference": {"id": str(wanted.source.id)}}
    sent: dict[str, Any] = {
        "osType": wanted.source.os_type,
        "hyperVGeneration": wanted.source.generation,
        "creationData": creation,
    }
    return Disk(
        id=wanted.disk,
        location=machine.location,
        tags=dict(machine.tags),
        state="Succeeded",
        sent=sent,
        sku=wanted.sku,
        size=wanted.disk_size,
        file=machine.file,
        managed_by=str(machine.id),
    )


def _check_available(call: Call, wanted: vm_request.Wanted, place: str) -> None:
    """Raise ApiError where the region has no room for the size; its interface is kept for it then."""
    if wanted.size in call.cloud.windows.unavailable_sizes:
        for one in wanted.interfaces:
            if (interface := call.cloud.get(Interface, one)) is not None:
                interface.keep(str(call.id), call.cloud.windows.nic_kept)
        # Azure-Samples/azuresandbox#70
        message = (
            f"The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {wanted.size}' "
            f"is currently not available in location '{place}'. Please try another size or deploy to a different "
            "location or different zone. See https://aka.ms/azureskunotavailable for details."
        )
        raise ApiError(409, "SkuNotAvailable", message)


def _make(cloud: Cloud, machine: Machine, operation: Operation) -> None:
    """Start MACHINE, and wait for what Azure waits for: that the guest of a generalized image says that it is ready."""
    if machine.leaving.is_set():
        raise _preempted()
    if machine.size in cloud.windows.unallocatable_sizes:
        # https://learn.microsoft.com/troubleshoot/azure/virtual-machines/windows/allocation-failure
        message = (
            "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. Read more "
            "about improving likelihood of allocation success at http://aka.ms/allocation-guidance"
        )
        raise _failed(cloud, machine, "AllocationFailed", message)
    with cloud.lock:
        machine.power = "starting"
    try:
        machine.start()
    except LkcloudError as error:
        # No cloud says such a thing; who runs the sandbox without QEMU must see why nothing boots.
        message = f"The sandbox cannot run machines: {error.message}; {error.hint}"
        raise _failed(cloud, machine, "InternalExecutionError", message) from None
    with cloud.lock:
        if machine.leaving.is_set():
            raise _preempted()
        machine.power = "running"
        if not machine.source.generalized:
            machine.stands("Succeeded")
            return
        machine.stands("Creating", "OSProvisioningInprogress")
    # What a guest says to Azure comes over the network, of which there is none here: none will ever say it.
    until = time.monotonic() + cloud.windows.os_provisioning
    while time.monotonic() < until:
        if operation.ended.wait(_LOOK):
            return
        if machine.leaving.is_set():
            raise _preempted()
    # Azure/aks-engine#3694
    message = (
        f"OS Provisioning for VM '{machine.name}' did not finish in the allotted time. The VM may still finish "
        "provisioning successfully. Please check provisioning state later. For details on how to check current "
        "provisioning state of Windows VMs, refer to https://aka.ms/WindowsVMLifecycle and Linux VMs, refer to "
        "https://aka.ms/LinuxVMLifecycle."
    )
    raise _failed(cloud, machine, "OSProvisioningTimedOut", message)


def _failed(cloud: Cloud, machine: Machine, code: str, message: str) -> OperationFailed:
    with cloud.lock:
        machine.stands("Failed", code, message)
    return OperationFailed(code, message)


def _preempted() -> OperationFailed:
    # Azure/azure-sdk-for-java#1783
    message = "Operation execution has been preempted by a more recent operation."
    return OperationFailed("OperationPreempted", message, status="Canceled")


def _check_not_leaving(machine: Machine, doing: str) -> None:
    if machine.state == "Deleting":
        # Azure/azure-sdk-for-python#2702
        message = (
            f"Operation '{doing}' is not allowed on VM '{machine.name}' since the VM is marked for deletion. You can "
            "only retry the Delete operation (or wait for an ongoing one to complete)."
        )
        raise ApiError(409, "OperationNotAllowed", message)


def _changed(call: Call, machine: Machine, wanted: vm_request.Wanted, labels: dict[str, str]) -> Answer:
    """Change the tags of MACHINE; whatever else is not as it was cannot be changed, in Azure or here."""
    for name in ("osProfile", "storageProfile", "networkProfile", "securityProfile", "hardwareProfile"):
        if machine.sent.get(name) != wanted.shown.get(name):
            message = f"Changing property '{name}' is not allowed."
            raise ApiError(409, "PropertyChangeNotAllowed", message, target=name)
    for name, value in machine.secret.items():
        if wanted.secret.get(name) != value:
            message = f"Changing property 'osProfile.{name}' is not allowed."
            raise ApiError(409, "PropertyChangeNotAllowed", message, target=f"osProfile.{name}")
    machine.tags = labels
    making = machine.state == "Creating"

    def work(operation: Operation) -> None:
        # The first request's operation says how the machine came to be; this one has nothing to add.
        del operation

    answer = machine.described()
    return Answer(answer, 201 if making else 200, started(call, work, seconds=call.cloud.windows.operation))


def _get(call: Call) -> Answer:
    machine = call.find(Machine)
    document = machine.described()
    if call.query.get("$expand", "").lower() == "instanceview":
        document["properties"]["instanceView"] = machine.instance_view()
    return Answer(document)


def _instance_view(call: Call) -> Answer:
    return Answer(call.find(Machine).instance_view())


def _list(call: Call) -> Answer:
    if "group" in call.segments:
        call.group()
    return listed(call, Machine)


def _delete(call: Call) -> Answer:
    call.group()
    machine, cloud = call.cloud.get(Machine, call.id), call.cloud
    if machine is None:
        return Answer(None, 204)
    again = machine.state == "Deleting"
    machine.stands("Deleting")
    machine.leaving.set()

    def work(operation: Operation) -> None:
        if again:
            while not machine.gone.wait(_LOOK) and not operation.ended.is_set():
                pass
            return
        machine.end()
        with cloud.lock:
            disk = _let_go(cloud, machine)
            cloud.forget(machine)
        if disk is not None:
            disk.removed(cloud)

    # forceDeletion asks for no shutdown of the guest, which nothing here waits for in any case.
    return Answer(None, 202, started(call, work, seconds=cloud.windows.vm_stop, result=True))


def _let_go(cloud: Cloud, machine: Machine) -> Disk | None:
    """Let go of what MACHINE had, or forget it as its deleteOption says; return the disk if that is to be removed."""
    listed_interfaces = machine.sent["networkProfile"]["networkInterfaces"]
    for interface, said in zip(_interfaces(cloud, machine), listed_interfaces, strict=False):
        if (said.get("properties") or {}).get("deleteOption") == "Delete":
            cloud.forget(interface)
        else:
            interface.machine = ""
            interface.keep(str(machine.id), cloud.windows.nic_kept)
    disk = cloud.get(Disk, machine.disk)
    if disk is None:
        return None
    if machine.sent["storageProfile"]["osDisk"]["deleteOption"] == "Delete":
        cloud.forget(disk)
        return disk
    disk.managed_by = ""
    return None


def _power(call: Call, between: str, then: str) -> Answer:
    """Bring the machine by way of the power state BETWEEN to THEN."""
    machine, cloud = call.find(Machine), call.cloud
    _check_not_leaving(machine, call.route.path.rpartition("/")[2])
    if machine.state in ("Creating", "Updating"):
        message = (
            f"Operation '{call.route.path.rpartition('/')[2]}' is not allowed on VM '{machine.name}' since another "
            "operation is in progress on it."
        )
        raise ApiError(409, "OperationNotAllowed", message)
    before, detail, said = machine.state, machine.detail, machine.message
    machine.stands("Updating")
    machine.power = between

    def work(operation: Operation) -> None:
        del operation
        try:
            if then == "running":
                machine.start()
            else:
                machine.halt()
        except LkcloudError as error:
            raise _failed(cloud, machine, "InternalExecutionError", error.message) from None
        with cloud.lock:
            if machine.leaving.is_set():
                raise _preempted()
            machine.power = then
            # A guest that has not told that it is ready has not told it now either.
            machine.stands(before, detail, said)
            disk = cloud.get(Disk, machine.disk)
            if disk is not None:
                disk.machine_runs = then != "deallocated"

    seconds = cloud.windows.vm_start if then == "running" else cloud.windows.vm_stop
    return Answer(None, 202, started(call, work, seconds=seconds, result=True))


def _start(call: Call) -> Answer:
    machine = call.find(Machine)
    if machine.powered() == "running" and machine.state not in ("Creating", "Updating", "Deleting"):
        return Answer(None, 202, started(call, _nothing, seconds=call.cloud.windows.operation, result=True))
    return _power(call, "starting", "running")


def _power_off(call: Call) -> Answer:
    return _power(call, "stopping", "stopped")


def _deallocate(call: Call) -> Answer:
    return _power(call, "deallocating", "deallocated")


def _do_nothing(operation: Operation) -> None:
    del operation


_nothing: Work = _do_nothing

_KIND = "/providers/Microsoft.Compute/virtualMachines"
_ONE = f"{GROUP}{_KIND}/{{machine}}"

ROUTES = (
    Route("PUT", _ONE, "VirtualMachines.CreateOrUpdate", COMPUTE, _put),
    Route("GET", _ONE, "VirtualMachines.Get", COMPUTE, _get),
    Route("DELETE", _ONE, "VirtualMachines.Delete", COMPUTE, _delete),
    Route("GET", f"{_ONE}/instanceView", "VirtualMachines.InstanceView", COMPUTE, _instance_view),
    Route("POST", f"{_ONE}/start", "VirtualMachines.Start", COMPUTE, _start),
    Route("POST", f"{_ONE}/powerOff", "VirtualMachines.PowerOff", COMPUTE, _power_off),
    Route("POST", f"{_ONE}/deallocate", "VirtualMachines.Deallocate", COMPUTE, _deallocate),
    Route("GET", f"{GROUP}{_KIND}", "VirtualMachines.List", COMPUTE, _list),
    Route("GET", f"{ALL}{_KIND}", "VirtualMachines.ListAll", COMPUTE, _list),
)
