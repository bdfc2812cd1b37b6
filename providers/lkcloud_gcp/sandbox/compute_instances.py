# SPDX-License-Identifier: Apache-2.0
"""Compute Engine's calls on instances and their disks.

https://cloud.google.com/compute/docs/reference/rest/v1/instances and .../v1/disks
"""

from lkcloud.errors import LkcloudError
from lkcloud_gcp.sandbox.compute_call import Call, Handler, Result, exists, link, not_found, not_ready
from lkcloud_gcp.sandbox.compute_lists import listed
from lkcloud_gcp.sandbox.compute_operations import Operation, OperationFailed, replayed, started
from lkcloud_gcp.sandbox.engine import new_id
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.instance import Disk, Instance, first_kept, place
from lkcloud_gcp.sandbox.instance_rules import check_zone, specification
from lkcloud_gcp.sandbox.labels import check_labels


def _find(call: Call) -> Instance:
    instance = call.engine.instances.get((check_zone(call.zone), call.name))
    if instance is None:
        raise not_found(place(call.zone, call.name))
    return instance


def _insert(call: Call) -> Result:
    call.check_query("requestId")
    check_zone(call.zone)
    body = call.body("Instance")
    if earlier := replayed(call):
        return earlier.described()
    said, image = specification(call, body)
    labels = check_labels(body.get("labels") or {}, "resource.labels")
    engine, cloud = call.engine, call.cloud
    key, disk_key = (call.zone, said.name), (call.zone, said.disk.name)
    if key in engine.instances:
        raise exists(place(*key))
    if disk_key in engine.disks:
        # By its reference the disk that is there is attached instead; the sandbox attaches none that it did not make.
        raise exists(engine.disks[disk_key].place)
    instance = Instance(said, image, engine.home / "instances" / new_id(), labels, call.cloud.windows.instance_stop)
    wanted = said.disk
    disk = Disk(wanted.name, call.zone, wanted.size_gb, wanted.type, image.place, said.name, wanted.labels)
    engine.instances[key], engine.disks[disk_key] = instance, disk

    def work(operation: Operation) -> None:
        if image.deprecation.state == "DEPRECATED":
            instead = image.deprecation.replacement
            text = f"The resource '{image.place}' is deprecated."
            operation.warn("DEPRECATED_RESOURCE_USED", f"{text} A suggested replacement is '{instead}'.")
        try:
            instance.start()
        except LkcloudError as error:
            with cloud.lock:
                del engine.instances[key], engine.disks[disk_key]
            # No cloud says such a thing; who runs the sandbox without QEMU must see why nothing boots.
            message = f"The sandbox cannot run instances: {error.message}; {error.hint}"
            raise OperationFailed("INTERNAL_ERROR", message, 503) from None

    return started(call, "insert", instance, work, seconds=call.cloud.windows.instance_start)


def _get(call: Call) -> Result:
    call.check_query()
    return _find(call).described()


def _list(call: Call) -> Result:
    call.check_query("filter", "maxResults", "orderBy", "pageToken", "returnPartialSuccess")
    zone = check_zone(call.zone)
    found = [one.described() for (where, _), one in call.engine.instances.items() if where == zone]
    return listed(call, "compute#instanceList", f"zones/{zone}/instances", found)


def _settled(call: Call) -> Instance:
    instance = _find(call)
    if instance.deleting or instance.state() in ("PROVISIONING", "STAGING"):
        raise not_ready(instance.place)
    return instance


def _delete(call: Call) -> Result:
    call.check_query("requestId")
    if earlier := replayed(call):
        return earlier.described()
    instance = _settled(call)
    instance.deleting = True
    engine, cloud, disk = call.engine, call.cloud, instance.specification.disk

    def work(operation: Operation) -> None:
        del operation
        instance.end()
        with cloud.lock:
            zone = instance.specification.zone
            del engine.instances[zone, instance.name]
            if disk.auto_delete:
                del engine.disks[zone, disk.name]
            else:
                engine.disks[zone, disk.name].user = ""

    return started(call, "delete", instance, work)


def _stop(call: Call) -> Result:
    call.check_query("requestId", "discardLocalSsd", "noGracefulShutdown")
    if earlier := replayed(call):
        return earlier.described()
    instance = _settled(call)

    def work(operation: Operation) -> None:
        instance.stop()
        operation.engine_ended.wait(instance.stopping)

    return started(call, "stop", instance, work)


def _serial_port(call: Call) -> Result:
    call.check_query("port", "start")
    instance = _find(call)
    port = call.number("port", 1, 1, 4)
    start = call.number("start", 0, -(1 << 62), 1 << 62)
    if instance.state() == "TERMINATED":
        # Only a machine that runs has a serial port (GoogleCloudPlatform/compute-image-tools#452); the words are those
        # of any resource that is not there to be used.
        raise not_ready(instance.place)
    # What QEMU has is the first port; a guest that uses another one is not heard.
    shown = instance.console() if port == 1 else b""
    begin = first_kept(len(shown), start)
    return {
        "kind": "compute#serialPortOutput",
        "selfLink": link(f"{instance.place}/serialPort"),
        "contents": shown[begin:].decode(errors="replace"),
        "start": str(begin),
        "next": str(len(shown)),
    }


def _find_disk(call: Call) -> Disk:
    disk = call.engine.disks.get((check_zone(call.zone), call.name))
    if disk is None:
        raise not_found(f"zones/{call.zone}/disks/{call.name}")
    return disk


def _get_disk(call: Call) -> Result:
    call.check_query()
    return _find_disk(call).described()


def _list_disks(call: Call) -> Result:
    call.check_query("filter", "maxResults", "orderBy", "pageToken", "returnPartialSuccess")
    zone = check_zone(call.zone)
    found = [disk.described() for (where, _), disk in call.engine.disks.items() if where == zone]
    return listed(call, "compute#diskList", f"zones/{zone}/disks", found)


def _delete_disk(call: Call) -> Result:
    call.check_query("requestId")
    if earlier := replayed(call):
        return earlier.described()
    disk = _find_disk(call)
    if disk.user:
        user = link(place(disk.zone, disk.user))
        message = f"The disk resource '{link(disk.place)}' is already being used by '{user}'"
        raise ApiError(400, "resourceInUseByAnotherResource", message)
    engine, cloud = call.engine, call.cloud

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            engine.disks.pop((disk.zone, disk.name), None)

    return started(call, "delete", disk, work)


HANDLERS: dict[str, Handler] = {
    "instances.insert": _insert,
    "instances.get": _get,
    "instances.list": _list,
    "instances.delete": _delete,
    "instances.stop": _stop,
    "instances.getSerialPortOutput": _serial_port,
    "disks.get": _get_disk,
    "disks.list": _list_disks,
    "disks.delete": _delete_disk,
}
