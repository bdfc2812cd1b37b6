# SPDX-License-Identifier: Apache-2.0
"""The calls on network interfaces: https://learn.microsoft.com/rest/api/virtualnetwork/network-interfaces."""

from azure.mgmt.network import models

from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox.arm_call import ALL, GROUP, Answer, Body, Call, Route, location, tags
from lkcloud_azure.sandbox.arm_model import body
from lkcloud_azure.sandbox.arm_operations import Operation, started
from lkcloud_azure.sandbox.arm_versions import NETWORK
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.network_resources import Interface, Subnet, invalid_reference, subnet_id
from lkcloud_azure.sandbox.network_virtual import check_name, check_properties

_HAS = ("ipConfigurations", "enableAcceleratedNetworking")
_CONFIGURATION_HAS = ("subnet", "privateIPAddress", "privateIPAllocationMethod", "privateIPAddressVersion", "primary")
"""An address that is told with the method Dynamic is one that was shown."""


def _put(call: Call) -> Answer:
    call.group()
    sent, cloud = body(call, models.NetworkInterface), call.cloud
    check_properties(sent, _HAS, "network interfaces")
    check_name(call.id.names[-1])
    existing = cloud.get(Interface, call.id)
    place, labels = location(call, sent, existing), tags(sent)
    properties = sent.get("properties") or {}
    configuration = _configuration(call, properties)
    subnet = _subnet(call, configuration, place)
    address = existing.address if existing and existing.subnet == subnet.id else subnet.free_address()
    if address is None:
        message = (
            f"Subnet {subnet.name} with address prefix {subnet.prefix} does not have enough capacity for 1 IP "
            "addresses."
        )
        raise ApiError(400, "SubnetIsFull", message)
    interface = Interface(
        id=existing.id if existing else call.id,
        location=place,
        tags=labels,
        state="Succeeded",  # what goes on after the answer shows in the operation only
        subnet=subnet.id,
        address=address,
        configuration_name=str(configuration.get("name") or "ipconfig"),
        accelerated=bool(properties.get("enableAcceleratedNetworking")),
    )
    if existing is not None:
        interface.unique, interface.machine = existing.unique, existing.machine
        interface.kept_for, interface.until = existing.kept_for, existing.until
    cloud.add(interface)

    def work(operation: Operation) -> None:
        del operation

    headers = started(call, work, seconds=cloud.windows.operation)
    return Answer(interface.described(), 200 if existing else 201, headers)


def _configuration(call: Call, properties: Body) -> Body:
    """Return the one IP configuration. Raises ApiError; the code for none at all is not documented."""
    found = properties.get("ipConfigurations") or []
    name = call.id.names[-1]
    if not found:
        message = f"Network interface {name} must have at least one IP configuration."
        raise ApiError(400, "NetworkInterfaceMustHaveIpConfiguration", message)
    if len(found) > 1:
        raise ApiError(400, "NotSupportedInSandbox", "The sandbox's network interfaces have one IP configuration.")
    # An address that can be reached from outside is one of those that it has not.
    check_properties(found[0], _CONFIGURATION_HAS, "IP configurations")
    if (found[0].get("properties") or {}).get("privateIPAllocationMethod") == "Static":
        raise ApiError(400, "NotSupportedInSandbox", "The sandbox gives out addresses itself.")
    one: Body = found[0]
    return one


def _subnet(call: Call, configuration: Body, place: str) -> Subnet:
    name = configuration.get("name") or "ipconfig"
    text = str(((configuration.get("properties") or {}).get("subnet") or {}).get("id") or "")
    if not text:
        # Azure/azure-sdk-for-python#536 has the words, and not the code.
        message = f"Subnet reference is required for ipconfiguration {call.id}/ipConfigurations/{name}."
        raise ApiError(400, "SubnetReferenceRequired", message)
    if ResourceId.parse(text) is None:
        # ernestio/ernest#498
        message = (
            f"Property id '{text}' at path 'properties.ipConfigurations[0].properties.subnet.id' is invalid. Expect "
            "fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or "
            "'/providers/{resourceProviderNamespace}/'."
        )
        raise ApiError(400, "LinkedInvalidPropertyId", message)
    named = subnet_id(text)
    if named is None:
        # microsoft/MCW-SAP-NetWeaver-on-Azure#19, without the wrapping
        message = (
            f"Reference Id {text} is not formatted correctly. The Id is expected to reference resources of type "
            "virtualNetworks/subnets. Path properties.ipConfigurations[0].properties.subnet."
        )
        raise ApiError(400, "InvalidJsonReferenceFormat", message)
    call.require_linked("Microsoft.Network/virtualNetworks/subnets/join/action", named)
    subnet = call.cloud.get(Subnet, named)
    if subnet is None or subnet.location != place:
        raise invalid_reference(text, call.id)
    if subnet.state != "Succeeded" or subnet.network.state != "Succeeded":
        # hashicorp/terraform#7986
        message = (
            f"Cannot proceed with operation because resource {subnet.id} used by resource {call.id} is not in "
            f"Succeeded state. Resource is in {subnet.state} state and the last operation that updated/is updating the "
            "resource is PutSubnetOperation."
        )
        raise ApiError(429, "ReferencedResourceNotProvisioned", message, {"Retry-After": "0"})
    return subnet


def _get(call: Call) -> Answer:
    return Answer(call.find(Interface).described())


def _list(call: Call) -> Answer:
    if "group" in call.segments:
        call.group()
    return call.listed([interface.described() for interface in call.cloud.every(Interface, call.scope)])


def _delete(call: Call) -> Answer:
    call.group()
    interface, cloud = call.cloud.get(Interface, call.id), call.cloud
    if interface is None:
        return Answer(None, 204)
    interface.check_free()
    interface.state = "Deleting"

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            cloud.forget(interface)

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation, result=True))


_KIND = "/providers/Microsoft.Network/networkInterfaces"
_ONE = f"{GROUP}{_KIND}/{{interface}}"

ROUTES = (
    Route("PUT", _ONE, "NetworkInterfaces.CreateOrUpdate", NETWORK, _put),
    Route("GET", _ONE, "NetworkInterfaces.Get", NETWORK, _get),
    Route("DELETE", _ONE, "NetworkInterfaces.Delete", NETWORK, _delete),
    Route("GET", f"{GROUP}{_KIND}", "NetworkInterfaces.List", NETWORK, _list),
    Route("GET", f"{ALL}{_KIND}", "NetworkInterfaces.ListAll", NETWORK, _list),
)
