# SPDX-License-Identifier: Apache-2.0
"""EC2's calls on instances: run, describe, console, stop and terminate."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lkcloud.errors import LkcloudError
from lkcloud.sandbox.qemu import Drive, VirtualMachine
from lkcloud_aws.sandbox.cloud import ACCOUNT, fingerprint, new_id
from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result
from lkcloud_aws.sandbox.errors import ApiError, bad_combination, invalid
from lkcloud_aws.sandbox.image import Image
from lkcloud_aws.sandbox.images import find as find_image
from lkcloud_aws.sandbox.instance import CODES, Instance, Network, architecture, firmware
from lkcloud_aws.sandbox.listing import filtered, page, tag_values

_XEN_FAMILIES = ("t1", "t2", "m1", "m2", "m3", "m4", "c1", "c3", "c4", "r3", "r4", "i2", "i3", "d2", "p2", "p3", "g3")
"""Types without Nitro, whose console is not there while it is written:
https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-nitro-instances.html"""
MEMORY_MIB = 512
DEFAULT_TYPE = "m1.small"
"""What RunInstances takes unless told otherwise."""


def _nitro(instance_type: str) -> bool:
    return instance_type.split(".", maxsplit=1)[0] not in _XEN_FAMILIES


def _run(call: Call) -> Result:
    image = find_image(call, call.needed("ImageId"))
    if image.state != "available":
        raise ApiError("InvalidAMIID.Unavailable", f"The image id '[{image.id}]' is {image.state}")
    token, parameters = call.text("ClientToken"), fingerprint(call.parameters)
    replayed = call.region.replayed("RunInstances", token, parameters, error="IdempotentParameterMismatch")
    if replayed:
        return _reservation(call, [call.region.instances[replayed]])
    if call.number("MinCount", 1) != 1 or call.number("MaxCount", 1) != 1:
        raise invalid("The sandbox runs one instance at a time: MinCount and MaxCount must be 1")
    _check_type(call, image, call.text("InstanceType") or DEFAULT_TYPE)
    tags = call.tags("instance", "volume", "network-interface")
    network = _network(call)
    call.stop_if_dry_run()
    instance = _started(call, image, network)
    call.region.tags(instance.id).update(tags["instance"])
    call.region.remember("RunInstances", token, parameters, instance.id)
    return _reservation(call, [instance])


def _check_type(call: Call, image: Image, kind: str) -> None:
    architectures = call.cloud.moto.instance_type_architectures(call.region.name, kind)
    if not architectures:
        raise invalid(f"Invalid value '{kind}' for InstanceType.")
    wanted = image.specification.architecture
    if wanted not in architectures:
        raise invalid(
            f"The architecture '{','.join(architectures)}' of the specified instance type does not match the "
            f"architecture '{wanted}' of the specified AMI."
        )
    if image.specification.virtualization != "hvm" and _nitro(kind):
        raise bad_combination(
            "Non-Windows instances with a virtualization type of 'paravirtual' are not supported here."
        )
    if image.specification.boot_mode == "uefi" and not _nitro(kind):
        raise bad_combination(f"The instance type {kind} does not support the boot mode uefi")
    if _nitro(kind) and not image.specification.ena:
        raise bad_combination(
            f"Enhanced networking with the Elastic Network Adapter (ENA) is required for the '{kind}' instance type. "
            "Ensure that you are using an AMI that is enabled for ENA."
        )


def _network(call: Call) -> Network:
    interfaces = call.items("NetworkInterfaces")
    first: Mapping[str, Any] = interfaces[0] if interfaces else {}
    wanted = call.text("SubnetId") or str(first.get("SubnetId") or "")
    subnet = call.cloud.moto.default_subnet(call.region.name, wanted)
    if subnet is None and not wanted:
        raise ApiError("VPCIdNotSpecified", "No default VPC for this user")
    if subnet is None:
        raise ApiError("InvalidSubnetID.NotFound", f"The subnet ID '{wanted}' does not exist")
    groups = tuple(str(group) for group in [*call.items("SecurityGroupIds"), *(first.get("Groups") or [])])
    for group in groups:
        if not call.cloud.moto.security_group_exists(call.region.name, group):
            raise ApiError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
    return Network(*subnet, groups)


def _started(call: Call, image: Image, network: Network) -> Instance:
    identity = new_id("i")
    home = call.region.home / identity
    said = image.specification
    # The root device comes first, whatever the order of the mapping: the machine boots its first drive.
    volumes = sorted(said.volumes, key=lambda volume: volume.device != said.root_device)
    drives = [
        Drive(call.region.snapshots[volume.snapshot].raw, "raw")
        for volume in volumes
        if volume.snapshot and volume.snapshot in call.region.snapshots
    ]
    machine = _machine(home, drives, image)
    options = call.structure("MetadataOptions")
    return call.region.instances.setdefault(
        identity,
        Instance(
            id=identity,
            reservation=new_id("r"),
            image=image,
            type=call.text("InstanceType") or DEFAULT_TYPE,
            network=network,
            machine=machine,
            home=home,
            firmware=firmware(image),
            pending=call.cloud.windows.instance_pending,
            shutdown_behaviour=call.text("InstanceInitiatedShutdownBehavior") or "stop",
            http_tokens=str(options.get("HttpTokens") or ("required" if said.imds else "optional")),
            hop_limit=int(options.get("HttpPutResponseHopLimit") or (2 if said.imds else 1)),
            token=call.text("ClientToken"),
            volumes=tuple((volume.device, new_id("vol")) for volume in volumes if not volume.virtual_name),
        ),
    )


def _machine(home: Path, drives: Sequence[Drive], image: Image) -> VirtualMachine:
    machine = VirtualMachine(
        drives=drives,
        firmware=firmware(image),
        home=home,
        architecture=architecture(image),
        memory_mib=MEMORY_MIB,
        bus="nvme",
    )
    try:
        machine.start()
    except LkcloudError as error:
        # No cloud says such a thing; who runs the sandbox without QEMU must see why nothing boots.
        raise ApiError("InternalError", f"The sandbox cannot run instances: {error}; {error.hint}", 500) from error
    return machine


def _reservation(call: Call, instances: list[Instance]) -> dict[str, Any]:
    return {
        "ReservationId": instances[0].reservation,
        "OwnerId": ACCOUNT,
        "Groups": [],
        "Instances": [one.described(call.region.tags(one.id)) for one in instances],
    }


def _find(call: Call, instance_id: str) -> Instance:
    instance = call.region.instances.get(instance_id)
    if instance is None:
        if not instance_id.startswith("i-"):
            raise ApiError("InvalidInstanceID.Malformed", f'Invalid id: "{instance_id}"')
        raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
    return instance


def _selected(call: Call) -> list[Instance]:
    wanted = call.items("InstanceIds")
    known = [_find(call, one) for one in wanted] if wanted else list(call.region.instances.values())

    def values(instance: Instance, name: str) -> list[str] | None:
        state = instance.state()
        simple = {
            "instance-id": instance.id,
            "image-id": instance.image.id,
            "instance-state-name": state,
            "instance-state-code": str(CODES[state]),
            "instance-type": instance.type,
            "client-token": instance.token,
            "architecture": instance.image.specification.architecture,
            "subnet-id": instance.network.subnet,
            "vpc-id": instance.network.vpc,
            "availability-zone": instance.network.zone,
        }
        return [simple[name]] if name in simple else tag_values(call.region.tags(instance.id), name)

    return filtered(known, call, values)


def _describe(call: Call) -> Result:
    call.stop_if_dry_run()
    shown, token = page(_selected(call), call, "InstanceIds", key=lambda one: one.id, limits=(5, 1000))
    return {"Reservations": [_reservation(call, [one]) for one in shown], **token}


def _status(call: Call) -> Result:
    everything = call.flag("IncludeAllInstances")
    known = [one for one in _selected(call) if everything or one.state() == "running"]
    shown, token = page(known, call, "InstanceIds", key=lambda one: one.id, limits=(5, 1000))
    return {"InstanceStatuses": [_health(one) for one in shown], **token}


def _health(instance: Instance) -> dict[str, Any]:
    state = instance.state()
    health: dict[str, Any] = {"Status": "ok" if state == "running" else "not-applicable", "Details": []}
    return {
        "InstanceId": instance.id,
        "AvailabilityZone": instance.network.zone,
        "InstanceState": {"Code": CODES[state], "Name": state},
        "InstanceStatus": health,
        "SystemStatus": health,
    }


def _console(call: Call) -> Result:
    instance = _find(call, call.needed("InstanceId"))
    if call.flag("Latest") and not _nitro(instance.type):
        # GetConsoleOutput, Latest: "Instances built on the Nitro System" only.
        raise ApiError("UnsupportedOperation", "The latest console output is not supported by this instance type")
    call.stop_if_dry_run()
    # Without Latest, what was there after the last transition is given: nothing, for a machine that is still running.
    settled = instance.state() in ("stopped", "terminated")
    text = instance.console() if call.flag("Latest") or settled else b""
    answer: dict[str, Any] = {"InstanceId": instance.id, "Timestamp": datetime.now(UTC)}
    return answer | ({"Output": base64.b64encode(text).decode()} if text else {})


def _changes(call: Call, then: str) -> Result:
    instances = [_find(call, one) for one in call.items("InstanceIds")]
    if not instances:
        raise ApiError("MissingParameter", "The request must contain the parameter InstanceId")
    call.stop_if_dry_run()
    changes = []
    for instance in instances:
        before = instance.state()
        if then == "terminated":
            instance.end()
        elif before == "terminated":
            raise ApiError("IncorrectInstanceState", f"This instance '{instance.id}' is not in a state to be stopped.")
        else:
            instance.stop()
        after = instance.state()
        changes.append(
            {
                "InstanceId": instance.id,
                "PreviousState": {"Code": CODES[before], "Name": before},
                "CurrentState": {"Code": CODES[after], "Name": after},
            }
        )
    return {"TerminatingInstances" if then == "terminated" else "StoppingInstances": changes}


def _terminate(call: Call) -> Result:
    return _changes(call, "terminated")


def _stop(call: Call) -> Result:
    return _changes(call, "stopped")


OPERATIONS: dict[str, Handler] = {
    "RunInstances": _run,
    "DescribeInstances": _describe,
    "DescribeInstanceStatus": _status,
    "GetConsoleOutput": _console,
    "TerminateInstances": _terminate,
    "StopInstances": _stop,
}
