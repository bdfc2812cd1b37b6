# SPDX-License-Identifier: Apache-2.0
"""Virtual machines: made, booted, stopped and deleted, by Azure's own client."""

import time
from pathlib import Path

import pytest
import urllib3
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from lkcloud_azure.errors import code_of
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session
from tests.azure_sandbox.machines import SAYS, Machines, needs_qemu, needs_uefi
from tests.azure_sandbox.networks import GROUP, QUICK, refused

RUNNING, STOPPED = "PowerState/running", "PowerState/stopped"


@pytest.fixture
def machines(azure: AzureStandIn, session: Session, tmp_path: Path) -> Machines:
    return Machines.of(azure, session, tmp_path)


def read(machines: Machines, url: str) -> tuple[int, bytes]:
    """Read URL without credentials."""
    with urllib3.PoolManager(ca_certs=machines.cloud.environment()["REQUESTS_CA_BUNDLE"]) as pool:
        answer = pool.request("GET", url, retries=False)
        return answer.status, answer.data


def log_url(machines: Machines, name: str = "vm") -> str:
    found = machines.vms.retrieve_boot_diagnostics_data(GROUP, name)
    assert found.console_screenshot_blob_uri
    assert found.serial_console_log_blob_uri
    return found.serial_console_log_blob_uri


def log(machines: Machines, text: str) -> str:
    """Return the serial log when TEXT is in it."""
    url, deadline = log_url(machines), time.monotonic() + 60
    while True:
        status, data = read(machines, url)
        assert status in (200, 404), data
        if status == 200 and text.encode() in data:
            return data.decode()
        assert time.monotonic() < deadline, data
        time.sleep(0.05)


@needs_qemu
def test_a_machine_boots_the_image_and_says_so(machines: Machines) -> None:
    machines.image(state="Specialized")
    made = machines.make()
    assert made.id == machines.id("virtualMachines/vm")
    assert made.tags == {"use": "test"}
    said = made.properties
    assert said is not None
    assert said.provisioning_state == "Succeeded"
    assert said.vm_id
    assert said.os_profile is None
    assert said.storage_profile is not None
    assert said.storage_profile.disk_controller_type is None
    text = log(machines, f"{SAYS} bios")
    assert len(text) % 512 == 0
    machines.wait("ProvisioningState/succeeded", STOPPED)  # the guest powers off


@needs_uefi
def test_generation_2_boots_by_uefi(machines: Machines) -> None:
    machines.image(state="Specialized", generation="V2")
    made = machines.make()
    assert made.properties is not None
    assert made.properties.storage_profile is not None
    assert made.properties.storage_profile.disk_controller_type == "SCSI"
    log(machines, f"{SAYS} uefi")
    assert machines.vms.instance_view(GROUP, "vm").hyper_v_generation == "V2"


@needs_qemu
def test_a_guest_that_never_says_that_it_is_ready(machines: Machines) -> None:
    machines.image()
    poller = machines.begin()
    machines.wait("ProvisioningState/creating/OSProvisioningInprogress")
    log(machines, SAYS)
    seen = machines.vms.get(GROUP, "vm", expand="instanceView").properties
    assert seen is not None
    assert seen.provisioning_state == "Creating"
    assert seen.os_profile is not None
    assert (seen.os_profile.admin_username, seen.os_profile.admin_password) == ("tester", None)
    assert seen.instance_view is not None
    assert not poller.done()
    machines.cloud.reset()


@needs_qemu
def test_it_is_told_late_that_the_guest_did_not_say_so(machines: Machines) -> None:
    machines.cloud.windows.os_provisioning = 0.2
    machines.image()
    with pytest.raises(HttpResponseError) as caught:
        machines.begin().result()
    assert code_of(caught.value) == "OSProvisioningTimedOut"
    assert "ProvisioningState/failed/OSProvisioningTimedOut" in machines.codes()
    log(machines, SAYS)


@needs_qemu
def test_with_it_go_disk_and_interface_if_it_was_said_so(machines: Machines) -> None:
    machines.image(state="Specialized")
    machines.make()
    disk = machines.networks.session.compute.disks.get(GROUP, "os")
    assert disk.managed_by == machines.id("virtualMachines/vm")
    assert disk.tags == {"use": "test"}
    assert disk.properties is not None
    assert disk.properties.disk_state == "Attached"
    nic = machines.networks.interfaces.get(GROUP, "nic").properties
    assert nic is not None
    assert nic.virtual_machine is not None
    assert nic.virtual_machine.id == machines.id("virtualMachines/vm")
    machines.vms.begin_delete(GROUP, "vm", force_deletion=True, **QUICK).result()
    for gone in (
        lambda: machines.vms.get(GROUP, "vm"),
        lambda: machines.networks.session.compute.disks.get(GROUP, "os"),
        lambda: machines.networks.interfaces.get(GROUP, "nic"),
    ):
        with pytest.raises(ResourceNotFoundError):
            gone()
    machines.vms.begin_delete(GROUP, "vm", **QUICK).result()  # again is no error
    assert not machines.cloud.holdings.busy()


@needs_qemu
def test_disk_and_interface_stay_otherwise(machines: Machines) -> None:
    machines.cloud.windows.nic_kept = 60.0
    machines.image(state="Specialized")
    machines.make(delete="Detach")
    told = refused(400, "NicInUse", machines.networks.interfaces.begin_delete, GROUP, "nic")
    assert machines.id("virtualMachines/vm") in told
    disks = machines.networks.session.compute.disks
    refused(409, "OperationNotAllowed", disks.begin_delete, GROUP, "os")
    machines.vms.begin_delete(GROUP, "vm", **QUICK).result()
    disk = disks.get(GROUP, "os")
    assert disk.properties is not None
    assert disk.properties.disk_state == "Unattached"
    refused(400, "NicReservedForAnotherVm", machines.networks.interfaces.begin_delete, GROUP, "nic")
    refused(409, "ConflictingUserInput", machines.begin, specialized=True)


@needs_qemu
def test_a_machine_that_is_being_made_can_be_deleted(machines: Machines) -> None:
    machines.image()
    poller = machines.begin()
    machines.wait("ProvisioningState/creating/OSProvisioningInprogress")
    machines.cloud.windows.vm_stop = 0.3
    deletion = machines.vms.begin_delete(GROUP, "vm", **QUICK)
    refused(409, "OperationNotAllowed", machines.begin)
    again = machines.vms.begin_delete(GROUP, "vm", **QUICK)
    with pytest.raises(HttpResponseError) as caught:
        poller.result()
    assert code_of(caught.value) == "OperationPreempted"
    deletion.result()
    again.result()
    with pytest.raises(ResourceNotFoundError):
        machines.vms.get(GROUP, "vm")


@needs_qemu
def test_it_is_powered_off_started_and_deallocated(machines: Machines) -> None:
    machines.image(state="Specialized")
    machines.make()
    machines.vms.begin_power_off(GROUP, "vm", **QUICK).result()
    assert machines.codes() == ["ProvisioningState/succeeded", STOPPED]
    machines.cloud.windows.vm_stop = 0.3
    machines.vms.begin_deallocate(GROUP, "vm", **QUICK)
    assert machines.codes() == ["ProvisioningState/updating", "PowerState/deallocating"]
    refused(409, "OperationNotAllowed", machines.vms.begin_start, GROUP, "vm")
    machines.wait("ProvisioningState/succeeded", "PowerState/deallocated")
    disk = machines.networks.session.compute.disks.get(GROUP, "os")
    assert disk.properties is not None
    assert disk.properties.disk_state == "Reserved"
    # Its disk is its own, whatever becomes of the image.
    machines.networks.session.compute.images.begin_delete(GROUP, "image", **QUICK).result()
    machines.vms.begin_start(GROUP, "vm", **QUICK).result()
    log(machines, SAYS)


@needs_qemu
def test_it_is_listed_and_asked_for_again_without_effect(machines: Machines) -> None:
    machines.image(state="Specialized")
    made = machines.make()
    again = machines.make()
    assert made.properties is not None
    assert again.properties is not None
    assert made.properties.vm_id == again.properties.vm_id
    assert [one.name for one in machines.vms.list(GROUP)] == ["vm"]
    assert [one.id for one in machines.vms.list_all()] == [made.id.replace(GROUP, GROUP.upper())]  # type: ignore[union-attr]  # it has one
    refused(409, "PropertyChangeNotAllowed", machines.begin, specialized=True, size="Standard_B1s")


@needs_qemu
def test_the_log_is_a_secret_for_a_time(machines: Machines) -> None:
    machines.image(state="Specialized")
    machines.cloud.windows.boot_log = 60.0
    machines.make()
    url = log_url(machines)
    assert read(machines, url)[0] == 404
    machines.cloud.windows.boot_log = 0.0
    log(machines, SAYS)
    assert read(machines, url.replace(".serialconsole.log", ".screenshot.bmp"))[0] == 404
    status, body = read(machines, url.partition("&sig=")[0])
    assert (status, b"<Code>AuthenticationFailed</Code>" in body) == (403, True)
    assert "?" in url
    for minutes in (0, 1441):
        retrieve = machines.vms.retrieve_boot_diagnostics_data
        refused(400, "InvalidParameter", retrieve, GROUP, "vm", sas_uri_expiration_time_in_minutes=minutes)
    machines.vms.begin_delete(GROUP, "vm", **QUICK).result()
    assert read(machines, url)[0] == 404


@needs_qemu
def test_without_boot_diagnostics_there_is_no_log(machines: Machines) -> None:
    machines.image(state="Specialized")
    machines.make(diagnosticsProfile={"bootDiagnostics": {"enabled": False}})
    refused(409, "OperationNotAllowed", machines.vms.retrieve_boot_diagnostics_data, GROUP, "vm")
    with pytest.raises(ResourceNotFoundError):
        machines.vms.retrieve_boot_diagnostics_data(GROUP, "none")


def test_a_region_that_has_not_the_size_keeps_the_interface(machines: Machines) -> None:
    machines.cloud.windows.unavailable_sizes = ("Standard_B2s",)
    machines.cloud.windows.nic_kept = 60.0
    machines.image()
    refused(409, "SkuNotAvailable", machines.begin)
    refused(400, "NicReservedForAnotherVm", machines.networks.interfaces.begin_delete, GROUP, "nic")
    machines.cloud.windows.unavailable_sizes = ()
    refused(400, "NicReservedForAnotherVm", machines.begin, "other")


def test_a_host_that_is_not_found(machines: Machines) -> None:
    machines.cloud.windows.unallocatable_sizes = ("Standard_B2s",)
    machines.image()
    with pytest.raises(HttpResponseError) as caught:
        machines.begin().result()
    assert code_of(caught.value) == "AllocationFailed"
    assert machines.codes() == ["ProvisioningState/failed/AllocationFailed"]
    machines.vms.begin_delete(GROUP, "vm", **QUICK).result()


def test_without_qemu_the_operation_says_what_to_install(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    machines.image()
    with pytest.raises(HttpResponseError, match="qemu-system-x86"):
        machines.begin().result()


@needs_qemu
def test_an_image_is_not_deleted_while_a_machine_is_made_from_it(machines: Machines) -> None:
    machines.image()
    machines.begin()
    machines.wait("ProvisioningState/creating/OSProvisioningInprogress")
    told = refused(409, "OperationNotAllowed", machines.networks.session.compute.images.begin_delete, GROUP, "image")
    assert "'vm'" in told


@needs_qemu
def test_a_resource_group_goes_with_its_machines(machines: Machines) -> None:
    machines.image(state="Specialized")
    machines.make()
    assert machines.cloud.idle() == 0.0
    machines.networks.session.resources.resource_groups.begin_delete(GROUP, **QUICK).result()
    assert not machines.cloud.holdings.busy()
