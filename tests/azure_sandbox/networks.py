# SPDX-License-Identifier: Apache-2.0
"""The SDK's own client of the stand-in's Microsoft.Network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.network import models
from azure.mgmt.network.operations import NetworkInterfacesOperations, SubnetsOperations, VirtualNetworksOperations

from lkcloud_azure.errors import code_of
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session

GROUP = "group"
PLACE = "westeurope"
QUICK = {"polling_interval": 0.01}


@dataclass(frozen=True)
class Networks:
    """What a test asks of Microsoft.Network in a resource group of its own; nothing is tried again."""

    cloud: AzureStandIn
    session: Session

    @classmethod
    def of(cls, cloud: AzureStandIn, session: Session) -> "Networks":
        """Return the clients, with a resource group that is there."""
        session.resources.resource_groups.create_or_update(GROUP, {"location": PLACE})
        return cls(cloud, session)

    @property
    def networks(self) -> VirtualNetworksOperations:
        return self.session.network.virtual_networks

    @property
    def subnets(self) -> SubnetsOperations:
        return self.session.network.subnets

    @property
    def interfaces(self) -> NetworkInterfacesOperations:
        return self.session.network.network_interfaces

    def id(self, rest: str) -> str:
        """Return the id of something in the group, such as `virtualNetworks/net`."""
        return f"/subscriptions/{self.session.subscription}/resourceGroups/{GROUP}/providers/Microsoft.Network/{rest}"

    def network(
        self, name: str = "net", *, prefix: str = "10.0.0.0/16", location: str = PLACE, **subnets: str
    ) -> models.VirtualNetwork:
        """Make a virtual network with SUBNETS, or with one called `inner`."""
        made = [
            models.Subnet(name=one, properties=models.SubnetPropertiesFormat(address_prefix=its))
            for one, its in (subnets or {"inner": "10.0.0.0/24"}).items()
        ]
        space = models.AddressSpace(address_prefixes=[prefix] if prefix else [])
        body = models.VirtualNetwork(
            location=location,
            tags={"use": "test"},
            properties=models.VirtualNetworkPropertiesFormat(address_space=space, subnets=made),
        )
        return self.networks.begin_create_or_update(GROUP, name, body, **QUICK).result()

    def interface(
        self,
        name: str = "nic",
        *,
        subnet: str = "virtualNetworks/net/subnets/inner",
        location: str = PLACE,
        **more: Any,
    ) -> models.NetworkInterface:
        """Make a network interface in SUBNET; MORE are properties of its IP configuration."""
        where = models.Subnet(id=subnet if subnet.startswith("/") or not subnet else self.id(subnet))
        address = models.NetworkInterfaceIPConfigurationPropertiesFormat(subnet=where, **more)
        body = models.NetworkInterface(
            location=location,
            properties=models.NetworkInterfacePropertiesFormat(
                ip_configurations=[models.NetworkInterfaceIPConfiguration(name="ip", properties=address)]
            ),
        )
        return self.interfaces.begin_create_or_update(GROUP, name, body, **QUICK).result()


def refused(status: int, code: str, call: Callable[..., Any], *arguments: Any, **parameters: Any) -> str:
    """Call what must be refused with STATUS (0 = it begins and fails) and CODE, and return the message."""
    with pytest.raises(HttpResponseError) as caught:
        call(*arguments, **parameters)
    error = caught.value
    assert code_of(error) == code, error
    if status:
        assert error.status_code == status, error
    return str(error)
