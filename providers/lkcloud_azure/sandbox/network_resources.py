# SPDX-License-Identifier: Apache-2.0
"""Virtual networks, their subnets, and network interfaces: what is known of them. No packet moves here."""

import ipaddress
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from lkcloud_azure.naming import NETWORK, ResourceId
from lkcloud_azure.sandbox.cloud import Cloud, Resource
from lkcloud_azure.sandbox.errors import ApiError

Prefix = ipaddress.IPv4Network | ipaddress.IPv6Network

RESERVED = 4
"""Addresses at the start of a subnet that are Azure's own; the last one is too
(https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq)."""


@dataclass(kw_only=True)
class VirtualNetwork(Resource):
    """A virtual network; its subnets are resources within it."""

    prefixes: tuple[Prefix, ...]
    cloud: Cloud

    def subnets(self) -> "Iterator[Subnet]":
        """Yield its subnets."""
        return self.cloud.every(Subnet, str(self.id))

    def properties(self) -> dict[str, Any]:
        """Return what is in `properties`."""
        return {
            "resourceGuid": self.unique,
            "addressSpace": {"addressPrefixes": [str(prefix) for prefix in self.prefixes]},
            "subnets": [subnet.described() for subnet in self.subnets()],
        }

    def top(self) -> dict[str, Any]:
        """Return the etag."""
        return {"etag": _etag(self)}


@dataclass(kw_only=True)
class Subnet(Resource):
    """A subnet of a virtual network, in whose region it is."""

    prefix: Prefix
    outbound: bool | None
    cloud: Cloud

    @property
    def network(self) -> VirtualNetwork:
        """The virtual network."""
        found = self.cloud.get(VirtualNetwork, parent(self.id))
        assert found is not None
        return found

    def interfaces(self) -> "Iterator[Interface]":
        """Yield the interfaces in it."""
        for interface in self.cloud.every(Interface):
            if str(interface.subnet).lower() == str(self.id).lower():
                yield interface

    def free_address(self) -> str | None:
        """Return an address that none of its interfaces has, None if there is none."""
        taken = {interface.address for interface in self.interfaces()}
        for number in range(RESERVED, self.prefix.num_addresses - 1):
            if (address := str(self.prefix[number])) not in taken:
                return address
        return None

    def properties(self) -> dict[str, Any]:
        """Return what is in `properties`."""
        users = [{"id": interface.configuration} for interface in self.interfaces()]
        return {
            "addressPrefix": str(self.prefix),
            **({"ipConfigurations": users} if users else {}),
            **({"defaultOutboundAccess": self.outbound} if self.outbound is not None else {}),
        }

    def described(self) -> dict[str, Any]:
        """Return its document, which has neither region nor tags."""
        return {
            "name": self.name,
            "id": str(self.id),
            "etag": _etag(self),
            "properties": {**self.properties(), "provisioningState": self.state},
            "type": self.kind,
        }

    def check_unused(self) -> None:
        """Raise ApiError if an interface is in it (actions/runner-images#7691)."""
        user = next(self.interfaces(), None)
        if user is not None:
            message = (
                f"Subnet {self.name} is in use by {user.configuration} and cannot be deleted. In order to delete the "
                "subnet, delete all the resources within the subnet. See aka.ms/deletesubnet."
            )
            raise ApiError(400, "InUseSubnetCannotBeDeleted", message)


@dataclass(kw_only=True)
class Interface(Resource):
    """A network interface with one address; MACHINE is the id of the machine that has it, "" if none has."""

    subnet: ResourceId
    address: str
    configuration_name: str
    accelerated: bool
    machine: str = ""
    kept_for: str = ""
    """The id of the machine that it is kept for until UNTIL (of time.monotonic)."""
    until: float = 0.0

    @property
    def configuration(self) -> str:
        """The id of its IP configuration."""
        return f"{self.id}/ipConfigurations/{self.configuration_name}"

    def keep(self, machine: str, seconds: float) -> None:
        """Keep it for MACHINE, which could not be made or has just gone."""
        self.kept_for, self.until = machine, time.monotonic() + seconds

    def check_free(self, machine: str = "") -> None:
        """Raise ApiError if it is another machine's than MACHINE, or kept for another one."""
        if self.machine and self.machine.lower() != machine.lower():
            # hashicorp/terraform-provider-azurerm#8105
            message = (
                f"Network Interface {self.id} is used by existing resource {self.machine}. In order to delete the "
                "network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic."
            )
            raise ApiError(400, "NicInUse", message)
        if time.monotonic() < self.until and self.kept_for.lower() != machine.lower():
            # rancher/machine#359, cloudfoundry/bosh-azure-cpi-release#366
            message = (
                "Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another "
                f"nic(s) or retry after 180 seconds. Reserved VM: {self.kept_for}"
            )
            raise ApiError(400, "NicReservedForAnotherVm", message)

    def properties(self) -> dict[str, Any]:
        """Return what is in `properties`."""
        configuration = {
            "name": self.configuration_name,
            "id": self.configuration,
            "etag": _etag(self),
            "type": f"{self.kind}/ipConfigurations",
            "properties": {
                "provisioningState": "Succeeded",
                "privateIPAddress": self.address,
                "privateIPAllocationMethod": "Dynamic",
                "subnet": {"id": str(self.subnet)},
                "primary": True,
                "privateIPAddressVersion": "IPv4",
            },
        }
        return {
            "resourceGuid": self.unique,
            "ipConfigurations": [configuration],
            "enableAcceleratedNetworking": self.accelerated,
            "primary": bool(self.machine),
            **({"virtualMachine": {"id": self.machine}} if self.machine else {}),
        }

    def top(self) -> dict[str, Any]:
        """Return the etag."""
        return {"etag": _etag(self)}


def parent(resource: ResourceId) -> ResourceId:
    """Return the id of the resource that RESOURCE is within."""
    return replace(resource, kinds=resource.kinds[:-1], names=resource.names[:-1])


def subnet_id(text: str) -> ResourceId | None:
    """Return TEXT as the id of a subnet, None if it is none."""
    found = ResourceId.parse(text)
    if found is None or found.namespace.lower() != NETWORK.lower():
        return None
    return found if [kind.lower() for kind in found.kinds] == ["virtualnetworks", "subnets"] else None


def invalid_reference(what: str, user: ResourceId) -> ApiError:
    """Return what Microsoft.Network says of a resource that is not there, or not in the region.

    MicrosoftDocs/azure-docs#81734
    """
    message = (
        f"Resource {what} referenced by resource {user} was not found. Please make sure that the referenced resource "
        "exists, and that both resources are in the same region."
    )
    return ApiError(400, "InvalidResourceReference", message)


def _etag(resource: Resource) -> str:
    return f'W/"{uuid4() if resource.state != "Succeeded" else resource.unique}"'
