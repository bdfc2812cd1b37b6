# SPDX-License-Identifier: Apache-2.0
"""The calls on virtual networks and their subnets.

https://learn.microsoft.com/rest/api/virtualnetwork/virtual-networks and .../subnets
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import replace

from azure.mgmt.network import models

from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox.arm_call import ALL, GROUP, Answer, Body, Call, Route, location, tags
from lkcloud_azure.sandbox.arm_model import body
from lkcloud_azure.sandbox.arm_operations import Operation, started
from lkcloud_azure.sandbox.arm_versions import NETWORK
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.network_resources import Prefix, Subnet, VirtualNetwork

_NAME = re.compile(r"\w|\w[\w.-]{0,78}\w", re.ASCII)
"""https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftnetwork"""

_SMALLEST = 29
"""A subnet has at least eight addresses (https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq)."""

_HAS = {
    "virtualNetworks": ("addressSpace", "subnets"),
    "subnets": ("addressPrefix", "addressPrefixes", "defaultOutboundAccess"),
}
"""What the sandbox takes of a network's many properties: the others would do something that is not done here."""


def check_name(name: str, most: int = 80) -> None:
    """Raise ApiError if NAME is none for a resource of Microsoft.Network."""
    if not _NAME.fullmatch(name) or len(name) > most:
        message = (
            f"Resource name {name} is invalid. The name can be up to {most} characters long. It must begin with a word "
            "character, and it must end with a word character or with '_'. The name may contain word characters or "
            "'.', '-', '_'."
        )
        raise ApiError(400, "InvalidResourceName", message)


def check_properties(sent: Body, known: Iterable[str], kind: str) -> None:
    """Raise ApiError for properties that the sandbox makes nothing of."""
    for name in sent.get("properties") or {}:
        if name not in known:
            raise ApiError(
                400, "NotSupportedInSandbox", f"The sandbox makes nothing of '{name}' of {kind}.", target=name
            )


def _prefix(text: str) -> Prefix:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        message = f"The address prefix {text} has an invalid CIDR notation."
        raise ApiError(400, "InvalidCIDRNotation", message) from None


def _put(call: Call) -> Answer:
    call.group()
    sent = body(call, models.VirtualNetwork)
    check_properties(sent, _HAS["virtualNetworks"], "virtual networks")
    existing, cloud = call.cloud.get(VirtualNetwork, call.id), call.cloud
    check_name(call.id.names[-1], 64)
    place, labels = location(call, sent, existing), tags(sent)
    properties = sent.get("properties") or {}
    prefixes = tuple(_prefix(text) for text in (properties.get("addressSpace") or {}).get("addressPrefixes") or ())
    if not prefixes:
        # No document shows the answer; that a network has a prefix or a pool is a rule of the model.
        raise ApiError(400, "AddressSpaceMissing", f"Virtual network {call.id.names[-1]} has no address prefix.")
    network = VirtualNetwork(
        id=existing.id if existing else call.id,
        location=place,
        tags=labels,
        state="Updating",
        prefixes=prefixes,
        cloud=cloud,
    )
    if existing is not None:
        network.unique, network.created = existing.unique, existing.created
    subnets = [_subnet(network, one, existing) for one in properties.get("subnets") or ()]
    _check_apart(network, subnets)
    gone = [one for one in network.subnets() if one.name.lower() not in {new.name.lower() for new in subnets}]
    for subnet in gone:
        subnet.check_unused()
    for subnet in gone:
        cloud.forget(subnet)
    cloud.add(network)
    for subnet in subnets:
        cloud.add(subnet)

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            for resource in (network, *subnets):
                resource.state = "Succeeded"

    headers = started(call, work, seconds=cloud.windows.operation)
    return Answer(network.described(), 200 if existing else 201, headers)


def _subnet(network: VirtualNetwork, sent: Body, existing: VirtualNetwork | None) -> Subnet:
    check_properties(sent, _HAS["subnets"], "subnets")
    name = str(sent.get("name") or "")
    check_name(name)
    properties = sent.get("properties") or {}
    texts = (
        [properties["addressPrefix"]] if properties.get("addressPrefix") else properties.get("addressPrefixes") or []
    )
    if len(texts) != 1:
        why = "has no address prefix" if not texts else "has more than one address prefix, which the sandbox has not"
        raise ApiError(400, "NetcfgInvalidSubnet", f"Subnet '{name}' {why}.")
    prefix = _prefix(str(texts[0]))
    if prefix.version == 4 and prefix.prefixlen > _SMALLEST:
        message = f"Subnet '{name}' is not valid in virtual network '{network.name}'."
        raise ApiError(400, "NetcfgInvalidSubnet", message)
    if not any(prefix.version == one.version and prefix.subnet_of(one) for one in network.prefixes):  # type: ignore[arg-type]  # both of one version
        message = (
            f"Subnet '{name}' is not valid because its IP address range is outside the IP address range of virtual "
            f"network '{network.name}'."
        )
        raise ApiError(400, "NetcfgSubnetRangeOutsideVnet", message)
    place = _within(network.id, name)
    before = network.cloud.get(Subnet, place) if existing else None
    if before is not None and before.prefix != prefix:
        before.check_unused()
    subnet = Subnet(
        id=before.id if before else place,
        location=network.location,
        tags={},
        state="Updating",
        prefix=prefix,
        outbound=properties.get("defaultOutboundAccess"),
        cloud=network.cloud,
    )
    if before is not None:
        subnet.unique = before.unique
    return subnet


def _within(network: ResourceId, name: str) -> ResourceId:
    return replace(network, kinds=(*network.kinds, "subnets"), names=(*network.names, name))


def _check_apart(network: VirtualNetwork, subnets: list[Subnet]) -> None:
    for number, one in enumerate(subnets):
        for other in subnets[:number]:
            if one.prefix.overlaps(other.prefix):
                message = (
                    f"Subnet '{one.name}' is not valid because its IP address range overlaps with that of an existing "
                    f"subnet in virtual network '{network.name}'."
                )
                raise ApiError(400, "NetcfgSubnetRangesOverlap", message)


def _get(call: Call) -> Answer:
    return Answer(call.find(VirtualNetwork).described())


def _list(call: Call) -> Answer:
    if "group" in call.segments:
        call.group()
    return call.listed([network.described() for network in call.cloud.every(VirtualNetwork, call.scope)])


def _delete(call: Call) -> Answer:
    call.group()
    network, cloud = call.cloud.get(VirtualNetwork, call.id), call.cloud
    if network is None:
        return Answer(None, 204)
    subnets = list(network.subnets())
    for subnet in subnets:
        subnet.check_unused()
    network.state = "Deleting"

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            for resource in (network, *subnets):
                cloud.forget(resource)

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation, result=True))


def _put_subnet(call: Call) -> Answer:
    call.group()
    call.parents("write")
    sent, cloud = body(call, models.Subnet), call.cloud
    network = cloud.get(
        VirtualNetwork,
        ResourceId(call.id.subscription, call.id.group, call.id.namespace, call.id.kinds[:1], call.id.names[:1]),
    )
    assert network is not None
    existing = cloud.get(Subnet, call.id)
    subnet = _subnet(network, {**sent, "name": call.id.names[-1]}, network)
    _check_apart(network, [*(one for one in network.subnets() if one.name.lower() != subnet.name.lower()), subnet])
    cloud.add(subnet)

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            subnet.state = "Succeeded"

    return Answer(subnet.described(), 200 if existing else 201, started(call, work, seconds=cloud.windows.operation))


def _get_subnet(call: Call) -> Answer:
    return Answer(call.find(Subnet).described())


def _delete_subnet(call: Call) -> Answer:
    call.group()
    subnet, cloud = call.cloud.get(Subnet, call.id), call.cloud
    if subnet is None:
        return Answer(None, 204)
    subnet.check_unused()
    subnet.state = "Deleting"

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            cloud.forget(subnet)

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation, result=True))


_KIND = "/providers/Microsoft.Network/virtualNetworks"
_ONE = f"{GROUP}{_KIND}/{{network}}"
_SUBNET = f"{_ONE}/subnets/{{subnet}}"

ROUTES = (
    Route("PUT", _ONE, "VirtualNetworks.CreateOrUpdate", NETWORK, _put),
    Route("GET", _ONE, "VirtualNetworks.Get", NETWORK, _get),
    Route("DELETE", _ONE, "VirtualNetworks.Delete", NETWORK, _delete),
    Route("GET", f"{GROUP}{_KIND}", "VirtualNetworks.List", NETWORK, _list),
    Route("GET", f"{ALL}{_KIND}", "VirtualNetworks.ListAll", NETWORK, _list),
    Route("PUT", _SUBNET, "Subnets.CreateOrUpdate", NETWORK, _put_subnet),
    Route("GET", _SUBNET, "Subnets.Get", NETWORK, _get_subnet),
    Route("DELETE", _SUBNET, "Subnets.Delete", NETWORK, _delete_subnet),
)
