# SPDX-License-Identifier: Apache-2.0
"""Test machines get a size that boots the image and that there is room for."""

from dataclasses import replace
from pathlib import Path

import pytest

from lkcloud.errors import LkcloudError, Refused, UsageError
from lkcloud.provider import Image, Run
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.session import Session
from tests.azure.launching import disk, image, launcher, left, request_of, version
from tests.azure.pushing import Noting, counted, refuse
from tests.azure_sandbox.machines import needs_qemu

__all__ = ["disk", "image"]


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
