# SPDX-License-Identifier: Apache-2.0
"""Test machines: started once, and read as long as they run."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lkcloud.errors import LkcloudError, NotFound, Refused, UsageError
from lkcloud.provider import Image, Run
from lkcloud.sandbox.http import Response
from lkcloud_azure.launch import VirtualMachine
from lkcloud_azure.sandbox import AzureStandIn, Seen
from lkcloud_azure.sandbox.cloud import LOCATION, SUBSCRIPTION
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.vm_machine import Machine
from lkcloud_azure.session import Session
from tests.azure.launching import GROUP, disk, image, launcher, left, request_of, shown, version
from tests.azure.pushing import counted, lose_answers, others, refuse
from tests.azure_sandbox.machines import hold_image, needs_qemu, needs_uefi

__all__ = ["disk", "image"]


@needs_qemu
def test_it_boots_says_so_and_is_private(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    machine = launcher(session, image, tag=("team=os",)).launch(run)
    made = session.compute.virtual_machines.get(GROUP, machine.name)
    assert machine.id == made.id
    tags = {"team": "os", "lkcloud-image": image.id, "lkcloud-name": "image", "lkcloud-version": "1"}
    created = made.tags["lkcloud-created"]
    assert made.tags == {**tags, "lkcloud-created": created}
    assert datetime.now(UTC) - datetime.fromisoformat(created) < timedelta(minutes=5)
    said = made.properties
    assert said is not None
    assert said.hardware_profile is not None
    assert said.hardware_profile.vm_size == "Standard_B2s"
    assert said.os_profile is not None
    assert said.os_profile.allow_extension_operations is False
    assert said.os_profile.linux_configuration is not None
    assert said.os_profile.linux_configuration.provision_vm_agent is False
    assert said.security_profile is not None
    assert (said.security_profile.security_type, said.security_profile.uefi_settings) == ("Standard", None)
    assert said.diagnostics_profile is not None
    assert said.diagnostics_profile.boot_diagnostics is not None
    assert said.diagnostics_profile.boot_diagnostics.storage_uri is None
    network = session.network.virtual_networks.get(GROUP, machine.name)
    nic = session.network.network_interfaces.get(GROUP, machine.name)
    disk = session.compute.disks.get(GROUP, machine.name)
    for own in (network.tags, nic.tags, disk.tags):
        assert own == {**tags, "lkcloud-created": own["lkcloud-created"]}
    assert network.properties is not None
    (subnet,) = network.properties.subnets or ()
    assert subnet.properties is not None
    assert subnet.properties.default_outbound_access is False
    deadline = time.monotonic() + 60
    while "hello-from-azure bios" not in machine.console():
        assert time.monotonic() < deadline, machine.console()
        assert machine.state() in ("starting", "running", "stopped")
        time.sleep(0.05)
    assert "\0" not in machine.console()
    machine.terminate()
    assert "hello-from-azure bios" in machine.console()
    machine.terminate()
    assert machine.state() == "stopped"
    assert left(azure) == []


@needs_uefi
def test_a_gallery_image_boots_by_uefi(azure: AzureStandIn, session: Session, disk: Path, run: Run) -> None:
    image = version(azure, disk, SecurityType="Standard", DiskControllerTypes="SCSI, NVMe")
    machine = launcher(session, image).launch(run)
    deadline = time.monotonic() + 60
    while "hello-from-azure uefi" not in machine.console():
        assert time.monotonic() < deadline, machine.console()
        time.sleep(0.1)
    machine.terminate()
    assert left(azure) == []


@pytest.mark.parametrize(
    ("said", "size", "security"),
    [
        ({}, "Standard_B2s", "Standard"),
        ({"SecurityType": "Standard", "DiskControllerTypes": "SCSI, NVMe"}, "Standard_B2s", "Standard"),
        ({"DiskControllerTypes": "NVMe"}, "Standard_D2als_v6", "Standard"),
        ({"DiskControllerType": "NVMe"}, "Standard_D2als_v6", "Standard"),
        ({"SecurityType": "TrustedLaunchSupported"}, "Standard_B2s", "TrustedLaunch"),
        ({"SecurityType": "TrustedLaunch"}, "Standard_B2s", "TrustedLaunch"),
        ({"SecurityType": "TrustedLaunchAndConfidentialVmSupported"}, "Standard_B2s", "TrustedLaunch"),
        ({"SecurityType": "ConfidentialVMSupported"}, "Standard_B2s", "Standard"),
        ({"architecture": "Arm64"}, "Standard_B2pls_v2", "Standard"),
        (
            {"architecture": "Arm64", "SecurityType": "TrustedLaunch", "DiskControllerTypes": "SCSI, NVMe"},
            "Standard_D2pls_v6",
            "TrustedLaunch",
        ),
    ],
)
def test_size_and_security_type_are_those_of_the_image(
    azure: AzureStandIn,
    session: Session,
    disk: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, str],
    size: str,
    security: str,
) -> None:
    seen: list[Machine] = []

    def look(one: Seen) -> None:
        if one.operation == "VirtualMachines.InstanceView" and not seen:
            seen.extend(azure.holdings.every(Machine))

    azure.traffic.hooks.append(look)
    monkeypatch.setenv("PATH", "/nowhere")  # what it boots on is not the point: no QEMU is needed
    image = version(azure, disk, **said)
    with pytest.raises(Refused, match="is not installed"):
        launcher(session, image).launch(run)
    (machine,) = seen
    profile = machine.sent["securityProfile"]
    assert (machine.size, profile["securityType"]) == (size, security)
    settings = {"secureBootEnabled": True, "vTpmEnabled": True} if security == "TrustedLaunch" else None
    assert profile.get("uefiSettings") == settings
    assert left(azure) == []


def test_confidential_machines_are_not_used_for_tests(
    azure: AzureStandIn, session: Session, disk: Path, run: Run
) -> None:
    image = version(azure, disk, SecurityType="ConfidentialVM")
    with pytest.raises(UsageError, match="confidential") as raised:
        launcher(session, image).launch(run)
    assert "ConfidentialVMSupported" in raised.value.hint
    assert counted(azure, "VirtualNetworks.CreateOrUpdate") == 0


def test_an_image_that_no_small_size_boots(azure: AzureStandIn, session: Session, disk: Path, run: Run) -> None:
    image = version(azure, disk, architecture="Arm64", SecurityType="TrustedLaunch")
    with pytest.raises(UsageError, match="Arm64, generation V2, SCSI, Trusted Launch") as raised:
        launcher(session, image).launch(run)
    assert "--vm-size" in raised.value.hint


@needs_qemu
def test_a_specialized_image_gets_no_user(
    azure: AzureStandIn, session: Session, image: Image, disk: Path, run: Run
) -> None:
    held = hold_image(azure, disk, GROUP, "special", state="Specialized")
    machine = launcher(session, shown(held)).launch(run)
    assert request_of(session, machine).os_profile is None
    machine.terminate()


@needs_qemu
def test_a_guest_that_never_says_that_it_is_ready_is_no_failure(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    azure.windows.os_provisioning = 0.3
    machine = launcher(session, image).launch(run)
    deadline = time.monotonic() + 30
    while request_of(session, machine).provisioning_state != "Failed":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert machine.state() in ("running", "stopped")
    machine.terminate()
    assert left(azure) == []


def statuses(*codes: str, message: str = "") -> Response:
    view = {"statuses": [{"code": code, "message": message} for code in codes]}
    return Response(200, {"Content-Type": "application/json"}, json.dumps(view).encode())


@pytest.mark.parametrize(
    ("codes", "state"),
    [
        ((), "starting"),
        (("ProvisioningState/creating",), "starting"),
        (("ProvisioningState/creating", "PowerState/starting"), "starting"),
        # It can be seen as stopped while it is made.
        (("ProvisioningState/creating", "PowerState/stopped"), "starting"),
        (("ProvisioningState/creating/OSProvisioningInprogress", "PowerState/running"), "running"),
        (("ProvisioningState/creating/OSProvisioningInprogress", "PowerState/stopped"), "stopped"),
        (("ProvisioningState/failed/OSProvisioningTimedOut", "PowerState/running"), "running"),
        (("ProvisioningState/failed/OSProvisioningTimedOut", "PowerState/stopped"), "stopped"),
        (("ProvisioningState/succeeded", "PowerState/running"), "running"),
        (("ProvisioningState/succeeded", "PowerState/stopped"), "stopped"),
        (("ProvisioningState/succeeded", "PowerState/deallocated"), "stopped"),
        (("ProvisioningState/updating", "PowerState/deallocating"), "stopped"),
        (("ProvisioningState/deleting", "PowerState/running"), "stopped"),
        (("ProvisioningState/failed/VMStartTimedOut",), "failed: VMStartTimedOut: why"),
        (("ProvisioningState/failed",), "failed: why"),
    ],
)
def test_states_are_told_in_the_houses_words(
    azure: AzureStandIn, session: Session, codes: tuple[str, ...], state: str
) -> None:
    def hook(one: Seen) -> Response | None:
        told = one.phase == "before" and one.operation == "VirtualMachines.InstanceView"
        return statuses(*codes, message="why") if told else None

    azure.traffic.hooks.append(hook)
    standing = VirtualMachine(session, GROUP, "lkcloud-test-0123456789abcdef").standing()
    assert standing is not None
    assert standing.state == state


@needs_qemu
def test_a_guest_that_is_done_before_there_is_a_log(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    azure.windows.boot_log = 60.0
    machine = launcher(session, image).launch(run)
    deadline = time.monotonic() + 30
    while (standing := machine.standing()) is None or standing.state != "stopped":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (machine.state(), machine.console()) == ("running", "")
    azure.windows.boot_log = 0.0
    assert "hello-from-azure" in machine.console()
    assert machine.state() == "stopped"
    machine.terminate()


def test_a_machine_that_does_not_exist_is_stopped_and_silent(azure: AzureStandIn, session: Session) -> None:
    gone = VirtualMachine(session, GROUP, "lkcloud-test-0123456789abcdef")
    assert (gone.state(), gone.console()) == ("stopped", "")
    gone.terminate()


@needs_qemu
def test_a_log_that_is_not_there_yet_is_empty_and_a_url_that_is_over_is_asked_for_again(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    azure.windows.boot_log = 60.0
    machine = launcher(session, image).launch(run)
    assert machine.console() == ""
    azure.windows.boot_log = 0.0
    deadline = time.monotonic() + 30
    while not machine.console():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    asked = counted(azure, "VirtualMachines.RetrieveBootDiagnosticsData")
    machine.console()
    assert counted(azure, "VirtualMachines.RetrieveBootDiagnosticsData") == asked
    text = machine.console()
    refuse(azure, "BootDiagnostics.GetLog", ApiError(403, "AuthenticationFailed", "it is over"))
    assert machine.console() == text
    assert machine.console() == text
    assert counted(azure, "VirtualMachines.RetrieveBootDiagnosticsData") == asked + 1
    machine.terminate()


def test_what_azure_says_before_there_is_a_log_ends_nothing(azure: AzureStandIn, session: Session) -> None:
    machine = VirtualMachine(session, GROUP, "lkcloud-test-0123456789abcdef")
    for status in (400, 404, 409):
        refuse(azure, "VirtualMachines.RetrieveBootDiagnosticsData", ApiError(status, "Some", "not now"))
        assert machine.console() == ""


def test_a_log_that_may_not_be_read_is_told(azure: AzureStandIn, session: Session) -> None:
    azure.windows.denied_actions = ("Microsoft.Compute/virtualMachines/retrieveBootDiagnosticsData/action",)
    with pytest.raises(Refused) as raised:
        VirtualMachine(session, GROUP, "lkcloud-test-0123456789abcdef").console()
    assert "retrieveBootDiagnosticsData" in raised.value.hint


def test_the_tag_of_a_long_id_is_cut_to_what_a_tag_can_have(session: Session, image: Image) -> None:
    long = replace(image, id=image.id + "x" * 300)
    assert launcher(session, long)._tags["lkcloud-image"] == "x" * 256


def test_without_rights_on_the_group_nothing_is_begun(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    azure.windows.denied_actions = ("Microsoft.Resources/subscriptions/resourceGroups/read",)
    with pytest.raises(Refused):
        launcher(session, image).launch(run)
    assert counted(azure, "VirtualMachines.Delete") == 0


def test_what_is_no_image_is_told(session: Session, image: Image, run: Run) -> None:
    with pytest.raises(UsageError, match="no id of an image"):
        launcher(session, replace(image, id=image.id.replace("/images/", "/disks/"))).launch(run)
    other = image.id.replace(SUBSCRIPTION, "00000000-0000-0000-0000-000000000000")
    with pytest.raises(UsageError) as raised:
        launcher(session, replace(image, id=other)).launch(run)
    assert "--subscription 00000000" in raised.value.hint
    with pytest.raises(NotFound):
        launcher(session, replace(image, id=f"{image.id}-gone")).launch(run)


@needs_qemu
def test_a_subnet_of_the_users_stays(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    space = {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}
    subnets = {"subnets": [{"name": "inner", "properties": {"addressPrefix": "10.1.0.0/24"}}]}
    body: Any = {"location": LOCATION, "properties": {**space, **subnets}}
    with others(azure):
        network = session.network.virtual_networks.begin_create_or_update(GROUP, "mine", body).result()
    machine = launcher(session, image, subnet=f"{network.id}/subnets/inner").launch(run)
    assert left(azure) == ["disks", "networkInterfaces", "virtualMachines"]
    machine.terminate()
    assert left(azure) == []
    with others(azure):
        assert session.network.subnets.get(GROUP, "mine", "inner").id == f"{network.id}/subnets/inner"
    with pytest.raises(UsageError) as raised:
        launcher(session, image, subnet=f"{network.id}/subnets/outer").launch(run)
    assert "--subnet" in raised.value.hint
    assert left(azure) == []


@needs_qemu
def test_it_is_made_in_the_region_of_the_image(azure: AzureStandIn, session: Session, disk: Path, run: Run) -> None:
    image = version(azure, disk, regions=("eastus", "northeurope"), generation="V1")
    machine = launcher(session, image).launch(run)
    assert session.compute.virtual_machines.get(GROUP, machine.name).location == "eastus"
    machine.terminate()
    chosen = launcher(session, image, location="northeurope").launch(run)
    assert session.compute.virtual_machines.get(GROUP, chosen.name).location == "northeurope"
    chosen.terminate()


@needs_qemu
def test_a_resource_group_that_is_missing_is_made(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    machine = launcher(session, image, resource_group="other").launch(run)
    assert session.resources.resource_groups.get("other").location == LOCATION
    machine.terminate()


@needs_qemu
@pytest.mark.parametrize(
    "operation",
    ["VirtualNetworks.CreateOrUpdate", "NetworkInterfaces.CreateOrUpdate", "VirtualMachines.CreateOrUpdate"],
)
def test_a_lost_answer_makes_nothing_twice(
    azure: AzureStandIn, session: Session, image: Image, run: Run, operation: str
) -> None:
    lose_answers(azure, operation)
    machine = launcher(session, image).launch(run)
    assert left(azure) == ["disks", "networkInterfaces", "virtualMachines", "virtualNetworks"]
    machine.terminate()
    assert left(azure) == []


@needs_qemu
@pytest.mark.parametrize(
    ("operation", "skip"),
    [
        ("VirtualNetworks.CreateOrUpdate", 0),
        ("NetworkInterfaces.CreateOrUpdate", 0),
        ("VirtualMachines.CreateOrUpdate", 0),
        ("VirtualMachines.InstanceView", 0),
    ],
)
def test_a_start_that_fails_leaves_nothing(
    azure: AzureStandIn, session: Session, image: Image, run: Run, operation: str, skip: int
) -> None:
    refuse(azure, operation, ApiError(403, "AuthorizationFailed", "you may not"), skip=skip)
    with pytest.raises(Refused, match="you may not"):
        launcher(session, image).launch(run)
    assert left(azure) == []


@needs_qemu
@pytest.mark.parametrize(
    ("operation", "status", "code"),
    [
        ("VirtualMachines.Delete", 409, "AnotherOperationInProgress"),
        ("NetworkInterfaces.Delete", 400, "NicReservedForAnotherVm"),
        ("Disks.Delete", 409, "Conflict"),
        ("VirtualNetworks.Delete", 400, "InUseSubnetCannotBeDeleted"),
    ],
)
def test_what_is_in_use_for_a_while_is_waited_for(
    azure: AzureStandIn, session: Session, image: Image, run: Run, operation: str, status: int, code: str
) -> None:
    machine = launcher(session, image).launch(run)
    refuse(azure, operation, ApiError(status, code, "not yet"))
    machine.terminate()
    assert left(azure) == []


@needs_qemu
def test_a_lock_is_not_waited_for(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    machine = launcher(session, image).launch(run)
    refuse(azure, "VirtualMachines.Delete", ApiError(409, "ScopeLocked", "it is locked"))
    with pytest.raises(LkcloudError, match="it is locked"):
        machine.terminate()
    machine.terminate()
    assert left(azure) == []
