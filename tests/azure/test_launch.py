# SPDX-License-Identifier: Apache-2.0
"""Test machines: started once, read as long as they run, and never left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lkcloud.errors import LkcloudError, NotFound, Refused, UsageError
from lkcloud.provider import Image, Run
from lkcloud.reporting import Meter, Silent
from lkcloud.sandbox.http import DropConnection, Response
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_azure import AzureOptions, leftovers
from lkcloud_azure.launch import Launcher, VirtualMachine
from lkcloud_azure.sandbox import AzureStandIn, Seen
from lkcloud_azure.sandbox.cloud import LOCATION, SUBSCRIPTION, Group, Resource
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.vm_machine import Machine
from lkcloud_azure.session import Session
from tests.azure.pushing import Noting, counted, lose_answers, others, refuse
from tests.azure_sandbox.machines import hold_image, hold_version, needs_qemu, needs_uefi

GROUP = "lkcloud"
DIGEST = "5a" * 32


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    write_tiny_disk(tmp_path / "tiny.raw", message="hello-from-azure")
    return tmp_path / "tiny.raw"


@pytest.fixture
def image(azure: AzureStandIn, disk: Path) -> Image:
    """Return a managed image of generation 1, which boots by BIOS."""
    azure.holdings.groups[GROUP] = Group(GROUP, LOCATION, {})
    return shown(hold_image(azure, disk, GROUP))


def shown(held: Resource) -> Image:
    """Return what the stand-in holds as the provider would."""
    return Image("azure", held.location, str(held.id), "image", digest=DIGEST, state="Succeeded")


def version(azure: AzureStandIn, disk: Path, **said: Any) -> Image:
    """Return a gallery image version."""
    azure.holdings.groups[GROUP] = Group(GROUP, LOCATION, {})
    return shown(hold_version(azure, disk, GROUP, **said))


def launcher(session: Session, image: Image, **options: object) -> Launcher:
    return Launcher(session, AzureOptions.model_validate({"location": LOCATION, **options}), image)


def left(azure: AzureStandIn) -> list[str]:
    """Return the types of all that there is of test machines."""
    with azure.holdings.lock:
        found = list(azure.holdings.every(Resource))  # type: ignore[type-abstract]  # any of them
    return sorted(one.kind.rpartition("/")[2] for one in found if one.name.startswith("lkcloud-test-"))


def request_of(session: Session, machine: VirtualMachine) -> Any:
    """Return what Azure shows of MACHINE."""
    return session.compute.virtual_machines.get(machine.group, machine.name).properties


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


@needs_qemu
def test_without_room_for_one_size_the_next_one_is_taken(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    azure.windows.unavailable_sizes = ("Standard_B2s",)
    machine = launcher(session, image).launch(run)
    assert request_of(session, machine).hardware_profile.vm_size == "Standard_D2s_v5"
    machine.terminate()
    assert left(azure) == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("SkuNotAvailable", "The requested VM size for resource 'x' is currently not available in location 'y'."),
        ("QuotaExceeded", "too many"),
        ("OperationNotAllowed", "Operation results in exceeding approved standardBSFamily Cores quota."),
        ("InvalidParameter", "The value Standard_B2s provided for the VM size is not valid. The valid sizes are: a"),
        ("AllocationFailed", "no room"),
        ("ZonalAllocationFailed", "no room"),
    ],
)
def test_a_region_without_room_is_told_with_what_to_do(
    azure: AzureStandIn, session: Session, image: Image, run: Run, code: str, said: str
) -> None:
    refuse(azure, "VirtualMachines.CreateOrUpdate", ApiError(409, code, said), times=9)
    with pytest.raises(Refused) as raised:
        launcher(session, image).launch(run)
    assert "--vm-size" in raised.value.hint
    assert "--location" in raised.value.hint
    assert ("quota" in raised.value.hint) == ("quota" in f"{code} {said}".lower())
    assert counted(azure, "VirtualMachines.CreateOrUpdate") == 2
    assert left(azure) == []


def test_a_size_of_the_users_is_the_only_one(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    azure.windows.unavailable_sizes = ("Standard_D2as_v5",)
    azure.windows.nic_kept = 0.3
    reporter = Noting()
    with pytest.raises(Refused, match="Standard_D2as_v5"):
        launcher(session, image, vm_size="Standard_D2as_v5").launch(replace(run, reporter=reporter))
    [note] = reporter.notes
    assert "network interface is still in use" in note
    assert counted(azure, "VirtualMachines.CreateOrUpdate") == 1
    assert counted(azure, "NetworkInterfaces.Delete") > 1  # it was kept for the machine for some time
    assert left(azure) == []


def test_a_host_that_is_not_found_is_told(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    azure.windows.unallocatable_sizes = ("Standard_B2s",)
    with pytest.raises(Refused, match="Allocation failed") as raised:
        launcher(session, image).launch(run)
    assert "--vm-size" in raised.value.hint
    assert left(azure) == []


@pytest.mark.parametrize(
    ("size", "hint"),
    [
        ("Standard_B2ls_v2", "generation"),
        ("Standard_D2pls_v5", "generation"),
        ("Standard_None", "--vm-size"),
    ],
)
def test_a_size_that_does_not_boot_the_image(
    azure: AzureStandIn, session: Session, image: Image, run: Run, size: str, hint: str
) -> None:
    with pytest.raises(LkcloudError) as raised:
        launcher(session, image, vm_size=size).launch(run)
    assert hint in raised.value.hint
    assert left(azure) == []


def test_a_size_without_a_controller_of_the_image(azure: AzureStandIn, session: Session, disk: Path, run: Run) -> None:
    image = version(azure, disk, DiskControllerTypes="SCSI")
    with pytest.raises(UsageError) as raised:
        launcher(session, image, vm_size="Standard_D2s_v6").launch(run)
    assert "disk controller" in raised.value.hint
    with pytest.raises(UsageError) as raised:
        launcher(session, image, vm_size="Standard_D2ps_v5").launch(run)
    assert "architecture" in raised.value.hint
    assert left(azure) == []


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


def interrupt(azure: AzureStandIn, operation: str, phase: str) -> None:
    """Let Ctrl-C come while the answer to OPERATION is waited for."""

    def hook(seen: Seen) -> Response | None:
        if seen.operation == operation and seen.phase == phase:
            azure.traffic.hooks.remove(hook)
            os.kill(os.getpid(), signal.SIGINT)
            raise DropConnection
        return None

    azure.traffic.hooks.append(hook)


@needs_qemu
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize(
    "operation",
    ["VirtualNetworks.CreateOrUpdate", "NetworkInterfaces.CreateOrUpdate", "VirtualMachines.CreateOrUpdate"],
)
def test_ctrl_c_while_it_starts_leaves_nothing(
    azure: AzureStandIn, session: Session, image: Image, run: Run, operation: str, phase: str
) -> None:
    interrupt(azure, operation, phase)
    with pytest.raises(KeyboardInterrupt):
        launcher(session, image).launch(run)
    assert left(azure) == []


class InterruptingTheEnd(Silent):
    """A reporter that is interrupted while it tells the end of a stage."""

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        with super().stage(title) as meter:
            yield meter
        raise KeyboardInterrupt


@needs_qemu
def test_ctrl_c_while_the_start_is_told_leaves_nothing(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    with pytest.raises(KeyboardInterrupt):
        launcher(session, image).launch(replace(run, reporter=InterruptingTheEnd()))
    assert counted(azure, "VirtualMachines.CreateOrUpdate") == 1
    assert left(azure) == []


@needs_qemu
def test_what_cannot_be_removed_is_named(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    azure.windows.denied_actions = ("Microsoft.Compute/virtualMachines/delete",)
    refuse(azure, "VirtualMachines.InstanceView", ApiError(403, "AuthorizationFailed", "you may not look"))
    reporter = Noting()
    with pytest.raises(Refused, match="you may not look") as raised:
        launcher(session, image).launch(replace(run, reporter=reporter))
    [note] = raised.value.__notes__
    assert "/virtualMachines/lkcloud-test-" in note
    assert reporter.warnings == [note]


@needs_qemu
def test_a_machine_that_is_left_is_found_and_removed(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    options = AzureOptions()
    machine = launcher(session, image).launch(run)
    assert list(leftovers.leftovers(session, options, "other")) == []
    [blob] = leftovers.leftovers(session, options, "image")
    assert (blob.id, blob.kind, blob.name, blob.region) == (machine.id, "test-machine", "image", LOCATION)
    assert blob.created is not None
    assert datetime.now(UTC) - blob.created < timedelta(minutes=5)
    # What is left of one is found too, and goes under the same id.
    session.compute.virtual_machines.begin_delete(GROUP, machine.name).result()
    assert [(one.id, one.created) for one in leftovers.leftovers(session, options, "")] == [(machine.id, blob.created)]
    leftovers.delete(session, options, blob)
    leftovers.delete(session, options, blob)
    assert left(azure) == []
    with pytest.raises(UsageError):
        leftovers.delete(session, options, replace(blob, id=blob.id.replace("lkcloud-test-", "other-")))


@needs_qemu
def test_ctrl_c_in_a_boot_test_ends_the_machine(azure: AzureStandIn, image: Image, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lkcloud", "test", "azure", image.id, "--expect", "never-said"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while counted(azure, "VirtualMachines.CreateOrUpdate") == 0:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) != 0
    assert counted(azure, "VirtualMachines.CreateOrUpdate") == 1
    assert left(azure) == []
