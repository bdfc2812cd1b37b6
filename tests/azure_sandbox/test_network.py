# SPDX-License-Identifier: Apache-2.0
"""Virtual networks, subnets and network interfaces, by Azure's own client."""

from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.network import models

from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session
from tests.azure_sandbox.networks import GROUP, PLACE, QUICK, Networks, refused


@pytest.fixture
def networks(azure: AzureStandIn, session: Session) -> Networks:
    return Networks.of(azure, session)


def test_a_network_and_its_subnet(networks: Networks) -> None:
    made = networks.network()
    assert made.id == networks.id("virtualNetworks/net")
    assert (made.location, made.tags) == (PLACE, {"use": "test"})
    assert made.properties is not None
    assert made.properties.provisioning_state == "Succeeded"
    assert made.properties.address_space is not None
    assert made.properties.address_space.address_prefixes == ["10.0.0.0/16"]
    (inner,) = made.properties.subnets or ()
    assert inner.id == networks.id("virtualNetworks/net/subnets/inner")
    seen = networks.subnets.get(GROUP, "net", "inner")
    assert seen.properties is not None
    assert (seen.properties.address_prefix, seen.properties.provisioning_state) == ("10.0.0.0/24", "Succeeded")
    assert [one.name for one in networks.networks.list(GROUP)] == ["net"]
    assert [one.name for one in networks.networks.list_all()] == ["net"]
    networks.networks.begin_delete(GROUP, "net", **QUICK).result()
    with pytest.raises(ResourceNotFoundError):
        networks.networks.get(GROUP, "net")
    with pytest.raises(ResourceNotFoundError):
        networks.subnets.get(GROUP, "net", "inner")
    networks.networks.begin_delete(GROUP, "net", **QUICK).result()  # again is no error


def test_it_is_updating_until_the_operation_has_ended(networks: Networks) -> None:
    networks.cloud.windows.operation = 5.0
    space = models.AddressSpace(address_prefixes=["10.0.0.0/16"])
    body = models.VirtualNetwork(location=PLACE, properties=models.VirtualNetworkPropertiesFormat(address_space=space))
    networks.networks.begin_create_or_update(GROUP, "net", body, polling=False)
    seen = networks.networks.get(GROUP, "net")
    assert seen.properties is not None
    assert seen.properties.provisioning_state == "Updating"


def test_letters_case_does_not_count(networks: Networks) -> None:
    networks.network("Net")
    networks.network("nET", prefix="10.0.0.0/8")
    assert [one.name for one in networks.networks.list(GROUP)] == ["Net"]
    networks.interface(subnet="VIRTUALNETWORKS/NET/SUBNETS/INNER")


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("InvalidResourceName", {"name": "-net"}),
        ("InvalidResourceName", {"name": "n" * 65}),
        ("InvalidResourceName", {"in-": "10.0.0.0/24"}),
        ("LocationNotAvailableForResourceType", {"location": "atlantis"}),
        ("InvalidCIDRNotation", {"prefix": "10.0.0.0/33"}),
        ("InvalidCIDRNotation", {"prefix": "10.0.0.1/24"}),
        ("AddressSpaceMissing", {"prefix": ""}),
        ("NetcfgSubnetRangeOutsideVnet", {"inner": "10.1.0.0/24"}),
        ("NetcfgSubnetRangesOverlap", {"inner": "10.0.0.0/24", "outer": "10.0.0.128/25"}),
        ("NetcfgInvalidSubnet", {"inner": "10.0.0.0/30"}),
    ],
)
def test_networks_that_are_refused(networks: Networks, code: str, fields: dict[str, Any]) -> None:
    refused(400, code, networks.network, **fields)
    assert list(networks.networks.list(GROUP)) == []


def test_what_the_sandbox_does_not_have_is_refused(networks: Networks) -> None:
    networks.network()
    address = models.PublicIPAddress(id=networks.id("publicIPAddresses/ip"))
    told = refused(400, "NotSupportedInSandbox", networks.interface, public_ip_address=address)
    assert "publicIPAddress" in told
    refused(400, "NotSupportedInSandbox", networks.interface, private_ip_allocation_method="Static")


def test_an_interface_has_an_address_of_its_subnet(networks: Networks) -> None:
    networks.network()
    first, second = networks.interface("one"), networks.interface("two")
    addresses = []
    for made in (first, second):
        assert made.properties is not None
        assert made.properties.provisioning_state == "Succeeded"
        (configuration,) = made.properties.ip_configurations or ()
        assert configuration.properties is not None
        addresses.append(configuration.properties.private_ip_address)
    assert addresses == ["10.0.0.4", "10.0.0.5"]
    assert [one.name for one in networks.interfaces.list(GROUP)] == ["one", "two"]
    networks.interfaces.begin_delete(GROUP, "one", **QUICK).result()
    assert [one.name for one in networks.interfaces.list_all()] == ["two"]
    networks.interfaces.begin_delete(GROUP, "one", **QUICK).result()


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("InvalidResourceName", {"name": "nic!"}),
        ("SubnetReferenceRequired", {"subnet": ""}),
        ("LinkedInvalidPropertyId", {"subnet": "/subscriptions/inner"}),
        ("InvalidJsonReferenceFormat", {"subnet": "virtualNetworks/net"}),
        ("InvalidResourceReference", {"subnet": "virtualNetworks/net/subnets/outer"}),
        ("InvalidResourceReference", {"location": "eastus"}),
    ],
)
def test_interfaces_that_are_refused(networks: Networks, code: str, fields: dict[str, Any]) -> None:
    networks.network()
    refused(400, code, networks.interface, **fields)
    assert list(networks.interfaces.list(GROUP)) == []


def test_a_full_subnet(networks: Networks) -> None:
    networks.network(inner="10.0.0.0/29")
    for number in range(3):
        networks.interface(f"nic{number}")
    refused(400, "SubnetIsFull", networks.interface, "one-more")


def test_a_network_that_is_in_use_stays(networks: Networks) -> None:
    networks.network()
    networks.interface()
    told = refused(400, "InUseSubnetCannotBeDeleted", networks.networks.begin_delete, GROUP, "net")
    assert networks.id("networkInterfaces/nic/ipConfigurations/ip") in told
    refused(400, "InUseSubnetCannotBeDeleted", networks.subnets.begin_delete, GROUP, "net", "inner")
    refused(400, "InUseSubnetCannotBeDeleted", networks.network, outer="10.0.1.0/24")
    networks.interfaces.begin_delete(GROUP, "nic", **QUICK).result()
    networks.subnets.begin_delete(GROUP, "net", "inner", **QUICK).result()
    networks.networks.begin_delete(GROUP, "net", **QUICK).result()


def test_subnets_are_made_one_by_one_too(networks: Networks) -> None:
    networks.network()
    outer = models.Subnet(properties=models.SubnetPropertiesFormat(address_prefix="10.0.1.0/24"))
    made = networks.subnets.begin_create_or_update(GROUP, "net", "outer", outer, **QUICK).result()
    assert made.id == networks.id("virtualNetworks/net/subnets/outer")
    overlapping = models.Subnet(properties=models.SubnetPropertiesFormat(address_prefix="10.0.1.128/25"))
    make = networks.subnets.begin_create_or_update
    refused(400, "NetcfgSubnetRangesOverlap", make, GROUP, "net", "third", overlapping)
    refused(404, "ParentResourceNotFound", make, GROUP, "none", "third", outer)


def test_without_the_group_there_is_nothing(networks: Networks) -> None:
    refused(404, "ResourceGroupNotFound", networks.networks.get, "none", "net")
    refused(404, "ResourceGroupNotFound", networks.interfaces.begin_delete, "none", "nic")


def test_joining_a_subnet_is_a_right_of_its_own(networks: Networks) -> None:
    networks.network()
    networks.cloud.windows.denied_actions = ("Microsoft.Network/virtualNetworks/subnets/join/action",)
    refused(403, "LinkedAuthorizationFailed", networks.interface)


def test_what_was_shown_can_be_sent_again(networks: Networks) -> None:
    networks.network()
    interface = networks.interface()
    network = networks.networks.get(GROUP, "net")
    again = networks.networks.begin_create_or_update(GROUP, "net", network, **QUICK).result()
    assert again.as_dict() == network.as_dict()
    same = networks.interfaces.begin_create_or_update(GROUP, "nic", interface, **QUICK).result()
    assert same.as_dict() == interface.as_dict()
