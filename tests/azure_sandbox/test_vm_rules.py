# SPDX-License-Identifier: Apache-2.0
"""Virtual machines that Azure does not make: names, users, images, sizes, disk controllers, security types."""

from pathlib import Path
from typing import Any

import pytest

from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.vm_machine import Machine
from lkcloud_azure.session import Session
from tests.azure_sandbox.machines import Machines, hold_version
from tests.azure_sandbox.networks import GROUP, QUICK, refused

VERSION = "galleries/gallery/images/definition/versions/1.0.0"
NVME = {"DiskControllerTypes": "SCSI, NVMe"}


@pytest.fixture
def machines(azure: AzureStandIn, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """Return clients of a cloud that begins to make machines, and has no QEMU to boot them."""
    monkeypatch.setenv("PATH", "/nowhere")
    return Machines.of(azure, session, tmp_path)


def version(machines: Machines, **said: Any) -> None:
    hold_version(machines.cloud, machines.disk(), GROUP, **said)


def begins(machines: Machines, **fields: Any) -> dict[str, Any]:
    """Begin to make a machine, which must be taken, and return what it shows of its properties."""
    machines.begin(**fields)
    return dict(machines.vms.get(GROUP, "vm").as_dict()["properties"])


@pytest.mark.parametrize(
    ("status", "code", "fields"),
    [
        (400, "InvalidParameter", {"name": "-vm"}),
        (400, "InvalidParameter", {"name": "v" * 81}),
        (400, "InvalidParameter", {"size": "Standard_None"}),
        (400, "LocationNotAvailableForResourceType", {"location": "atlantis"}),
        (404, "NotFound", {"location": "eastus"}),
        (404, "NotFound", {"image": "images/none"}),
        (404, "GalleryImageNotFound", {"image": VERSION}),
        (404, "GalleryImageNotFound", {"image": "galleries/gallery/images/definition"}),
        (400, "InvalidParameter", {"image": "disks/os"}),
        (400, "InvalidResourceReference", {"interface": "networkInterfaces/none"}),
        (400, "InvalidParameter", {"interface": "virtualNetworks/net"}),
        (409, "OperationNotAllowed", {"disk": {"diskSizeGB": 0}}),
        (400, "NotSupportedInSandbox", {"disk": {"diffDiskSettings": {"option": "Local"}}}),
        (400, "NotSupportedInSandbox", {"disk": {"createOption": "Attach"}}),
        (400, "NotSupportedInSandbox", {"priority": "Spot"}),
        (400, "NotSupportedInSandbox", {"diagnosticsProfile": {"bootDiagnostics": {"storageUri": "https://a"}}}),
        (400, "InvalidParameter", {"storage": {"imageReference": None}}),
        (404, "PlatformImageNotFound", {"storage": {"imageReference": {"publisher": "Canonical"}}}),
    ],
)
def test_machines_that_are_refused(machines: Machines, status: int, code: str, fields: dict[str, Any]) -> None:
    machines.image()
    refused(status, code, machines.begin, **{"name": "vm", **fields})
    assert list(machines.vms.list(GROUP)) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"profile": {"computerName": "v" * 65}},
        {"profile": {"computerName": "v_m"}},
        {"profile": {"adminUsername": None}},
        {"profile": {"adminUsername": "Admin"}},
        {"profile": {"adminUsername": "a" * 65}},
        {"profile": {"adminPassword": "aA1-x"}},
        {"profile": {"adminPassword": "aA1-" + "x" * 69}},
        {"profile": {"adminPassword": "lowercase1"}},
        {"profile": {"adminPassword": "P@ssw0rd"}},
        {"profile": {"adminPassword": None}},
        {"profile": {"customData": "no base64"}},
        {"profile": {"windowsConfiguration": {"provisionVMAgent": False}}},
        {"profile": {"allowExtensionOperations": True}},
        {"linux": {"disablePasswordAuthentication": True}},
        {"linux": {"ssh": {"publicKeys": [{"path": "/root/.ssh/authorized_keys", "keyData": "ssh-rsa AAAA"}]}}},
    ],
)
def test_profiles_that_are_refused(machines: Machines, fields: dict[str, Any]) -> None:
    machines.image()
    refused(400, "InvalidParameter", machines.begin, **fields)


def test_a_key_in_place_of_a_password(machines: Machines) -> None:
    machines.image()
    keys = [{"path": "/home/tester/.ssh/authorized_keys", "keyData": "ssh-rsa AAAA"}]
    linux = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}}
    said = begins(machines, profile={"adminPassword": None}, linux=linux)
    assert said["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"] == keys


def test_generalized_images_need_a_profile_and_specialized_ones_take_none(machines: Machines) -> None:
    machines.image()
    assert "'osProfile' is missing" in refused(400, "InvalidParameter", machines.begin, specialized=True)
    machines.image("special", state="Specialized")
    assert "'osProfile' is not allowed" in refused(400, "InvalidParameter", machines.begin, image="images/special")


def test_a_generation_that_a_size_does_not_boot(machines: Machines) -> None:
    machines.image()
    for size in ("Standard_B2ls_v2", "Standard_D2s_v6", "Standard_D2pls_v5"):
        told = refused(400, "BadRequest", machines.begin, size=size)
        assert f"'{size}' cannot boot Hypervisor Generation '1'" in told
    machines.image("two", generation="V2")
    refused(400, "BadRequest", machines.begin, image="images/two", size="Standard_A1_v2")


def test_an_architecture_that_a_size_has_not(machines: Machines) -> None:
    version(machines, architecture="Arm64")
    told = refused(400, "BadRequest", machines.begin, image=VERSION)
    assert "'x64', but an image or disk with CPU Architecture 'Arm64' was given" in told
    assert begins(machines, image=VERSION, size="Standard_B2pls_v2")["hardwareProfile"]["vmSize"] == "Standard_B2pls_v2"


def test_nvme_only_sizes_need_an_image_that_says_that_it_has_it(machines: Machines) -> None:
    version(machines)
    told = refused(400, "InvalidParameter", machines.begin, image=VERSION, size="Standard_D2s_v6")
    assert "cannot boot with OS image or disk" in told
    machines.image("two", generation="V2")
    refused(400, "InvalidParameter", machines.begin, image="images/two", size="Standard_D2s_v6")
    version(machines, **NVME)
    said = begins(machines, image=VERSION, size="Standard_D2s_v6")
    assert said["storageProfile"]["diskControllerType"] == "NVMe"


def test_disk_controllers_that_are_asked_for(machines: Machines) -> None:
    asked = {"diskControllerType": "NVMe"}
    machines.image()
    refused(400, "InvalidParameter", machines.begin, storage=asked)  # generation 1
    machines.image("two", generation="V2")
    told = refused(400, "InvalidParameter", machines.begin, image="images/two", storage=asked)
    assert "not supported for user VM image" in told
    version(machines, **NVME)
    told = refused(400, "InvalidParameter", machines.begin, image=VERSION, storage=asked)
    assert "cannot boot with DiskControllerType 'NVMe'" in told
    said = begins(machines, image=VERSION, storage=asked, size="Standard_E2bs_v5")
    assert said["storageProfile"]["diskControllerType"] == "NVMe"


def test_scsi_where_both_are_possible(machines: Machines) -> None:
    version(machines, **NVME)
    said = begins(machines, image=VERSION, size="Standard_E2bs_v5")
    assert said["storageProfile"]["diskControllerType"] == "SCSI"


TRUSTED = {"securityType": "TrustedLaunch", "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True}}


@pytest.mark.parametrize("security", ["TrustedLaunch", "ConfidentialVM"])
def test_images_for_one_security_type(machines: Machines, security: str) -> None:
    version(machines, SecurityType=security)
    for profile in ({}, {"securityProfile": {"securityType": "Standard"}}):
        told = refused(400, "BadRequest", machines.begin, image=VERSION, **profile)
        assert f"only supports creation of VMs and VM Scale Sets with '{security}' security type" in told


def test_trusted_launch_where_the_image_can(machines: Machines) -> None:
    machines.image()
    refused(400, "BadRequest", machines.begin, securityProfile=TRUSTED)
    machines.image("two", generation="V2")
    refused(400, "BadRequest", machines.begin, image="images/two", securityProfile=TRUSTED)
    version(machines, SecurityType="Standard")
    told = refused(400, "BadRequest", machines.begin, image=VERSION, securityProfile=TRUSTED)
    assert "Use of TrustedLaunch setting is not supported" in told
    version(machines, SecurityType="TrustedLaunchSupported", architecture="Arm64")
    arm = {"image": VERSION, "size": "Standard_B2pls_v2"}
    told = refused(400, "BadRequest", machines.begin, securityProfile=TRUSTED, **arm)
    assert "is not supported for creation of VMs and Virtual Machine Scale Set with 'TrustedLaunch'" in told
    said = begins(machines, image=VERSION, size="Standard_D2pls_v6", securityProfile=TRUSTED)
    assert said["securityProfile"] == TRUSTED


def test_what_is_left_out_of_the_security_profile(machines: Machines) -> None:
    version(machines, SecurityType="TrustedLaunchSupported")
    assert begins(machines, image=VERSION)["securityProfile"] == {"securityType": "Standard"}


def test_the_defaults_of_trusted_launch(machines: Machines) -> None:
    version(machines, SecurityType="TrustedLaunchSupported")
    said = begins(machines, image=VERSION, securityProfile={"securityType": "TrustedLaunch"})
    assert said["securityProfile"]["uefiSettings"] == {"secureBootEnabled": False, "vTpmEnabled": True}


def test_uefi_settings_are_not_for_standard_machines(machines: Machines) -> None:
    version(machines, SecurityType="TrustedLaunchSupported")
    for kind in ({}, {"securityType": "Standard"}):
        profile = {"uefiSettings": {"vTpmEnabled": True}, **kind}
        told = refused(400, "BadRequest", machines.begin, image=VERSION, securityProfile=profile)
        assert "Use of UEFI settings is not supported" in told


def test_confidential_sizes_are_for_confidential_machines(machines: Machines) -> None:
    version(machines)
    told = refused(400, "BadRequest", machines.begin, image=VERSION, size="Standard_DC2as_v5")
    assert "with '<NULL>' security type" in told


def test_standard_could_not_be_said_in_older_versions(machines: Machines) -> None:
    machines.image()
    older = {**QUICK, "params": {"api-version": "2024-11-01"}}
    body = machines.body(securityProfile={"securityType": "Standard"})
    told = refused(400, "InvalidParameter", machines.vms.begin_create_or_update, GROUP, "vm", body, **older)
    assert "securityProfile.securityType" in told
    machines.vms.begin_create_or_update(GROUP, "vm", machines.body(), **older)
    assert machines.cloud.holdings.get(Machine, machines.id("virtualMachines/vm")) is not None


def test_the_latest_version_is_the_highest_that_is_not_left_out(machines: Machines) -> None:
    for number, excluded in (("1.9.0", False), ("1.10.0", False), ("2.0.0", True)):
        hold_version(machines.cloud, machines.disk(), GROUP, number=number, excluded=excluded)
    begins(machines, image="galleries/gallery/images/definition")
    disk = machines.networks.session.compute.disks.get(GROUP, "os").properties
    assert disk is not None
    assert disk.creation_data.image_reference is not None
    assert str(disk.creation_data.image_reference.id).endswith("/versions/1.10.0")


def test_an_interface_of_another_machine(machines: Machines) -> None:
    machines.image()
    machines.begin()
    told = refused(400, "NicInUse", machines.begin, "other", disk={"name": "other"})
    assert machines.id("virtualMachines/vm") in told


def test_an_interface_in_another_region(machines: Machines) -> None:
    machines.image("far", location="eastus")
    refused(400, "InvalidResourceReference", machines.begin, image="images/far", location="eastus")


@pytest.mark.parametrize(
    "action",
    ["Microsoft.Network/networkInterfaces/join/action", "Microsoft.Compute/images/read"],
)
def test_rights_on_what_is_made_use_of(machines: Machines, action: str) -> None:
    machines.image()
    machines.cloud.windows.denied_actions = (action,)
    refused(403, "LinkedAuthorizationFailed", machines.begin)


def test_a_disk_can_be_larger_than_the_image(machines: Machines) -> None:
    machines.image()
    begins(machines, disk={"diskSizeGB": 2, "managedDisk": {"storageAccountType": "StandardSSD_LRS"}})
    disk = machines.networks.session.compute.disks.get(GROUP, "os")
    assert disk.properties is not None
    assert disk.properties.disk_size_gb == 2
    assert disk.sku is not None
    assert disk.sku.name == "StandardSSD_LRS"
