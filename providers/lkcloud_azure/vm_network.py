# SPDX-License-Identifier: Apache-2.0
"""The network of a test machine: a virtual network of its own unless a subnet is given, and its interface."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError
from lkcloud_azure import operations
from lkcloud_azure.naming import NETWORK, ResourceId
from lkcloud_azure.session import Session

if TYPE_CHECKING:
    from azure.mgmt.network import models

SUBNET = "test"
_SPACE = "10.77.0.0/24"
"""Nothing is joined to it, so it can be in the way of no other network."""

_LIMIT = 300.0
"""Seconds for each of the two."""


def make_network(session: Session, machine: ResourceId, *, location: str, tags: Mapping[str, str]) -> str:
    """Make a virtual network with one subnet for MACHINE, which it gets its name from; return the id of the subnet.

    The subnet is private: nothing in it reaches the Internet
    (https://learn.microsoft.com/azure/virtual-network/ip-services/default-outbound-access). What a machine needs of
    Azure itself, the wire server and DNS, is there all the same.
    """
    from azure.mgmt.network import models

    group, name = machine.group, machine.names[0]
    subnet = models.Subnet(
        name=SUBNET,
        properties=models.SubnetPropertiesFormat(address_prefix=_SPACE, default_outbound_access=False),
    )
    network = models.VirtualNetwork(
        location=location,
        tags=dict(tags),
        properties=models.VirtualNetworkPropertiesFormat(
            address_space=models.AddressSpace(address_prefixes=[_SPACE]), subnets=[subnet]
        ),
    )
    doing = "making the test network"
    request = partial(session.network.virtual_networks.begin_create_or_update, group, name, network)
    operations.wait(session, operations.begin(session, doing, request), doing=doing, limit=_LIMIT)
    return str(replace(machine, namespace=NETWORK, kinds=("virtualNetworks", "subnets"), names=(name, SUBNET)))


def make_interface(
    session: Session, machine: ResourceId, *, location: str, tags: Mapping[str, str], subnet: str
) -> str:
    """Make a network interface for MACHINE in SUBNET, without a public address, and return its id."""
    group, name = machine.group, machine.names[0]
    doing = "making the test machine's network interface"
    request = partial(
        session.network.network_interfaces.begin_create_or_update, group, name, _interface(location, tags, subnet)
    )
    try:
        operations.wait(session, operations.begin(session, doing, request), doing=doing, limit=_LIMIT)
    except LkcloudError as error:
        if "subnet" in error.message.lower():
            error.hint = f"look at --subnet; it must be in {location}"
        raise
    return str(replace(machine, namespace=NETWORK, kinds=("networkInterfaces",), names=(name,)))


def _interface(location: str, tags: Mapping[str, str], subnet: str) -> "models.NetworkInterface":
    from azure.mgmt.network import models

    address = models.NetworkInterfaceIPConfigurationPropertiesFormat(
        subnet=models.Subnet(id=subnet), private_ip_allocation_method="Dynamic", primary=True
    )
    return models.NetworkInterface(
        location=location,
        tags=dict(tags),
        properties=models.NetworkInterfacePropertiesFormat(
            ip_configurations=[models.NetworkInterfaceIPConfiguration(name="test", properties=address)]
        ),
    )
