# SPDX-License-Identifier: Apache-2.0
"""Scale sets, which name an image and have no machines, by Azure's own client."""

from pathlib import Path

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.compute import models

from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_azure.errors import code_of
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session
from tests.azure_sandbox.machines import hold_image
from tests.azure_sandbox.networks import GROUP, PLACE, QUICK, Networks


@pytest.fixture
def image(azure: AzureStandIn, session: Session, tmp_path: Path) -> str:
    Networks.of(azure, session)
    write_tiny_disk(tmp_path / "disk.raw")
    return str(hold_image(azure, tmp_path / "disk.raw", GROUP).id)


def wanted(image: str, *, size: str = "Standard_B2s", capacity: int = 0) -> models.VirtualMachineScaleSet:
    storage = models.VirtualMachineScaleSetStorageProfile(image_reference=models.ImageReference(id=image))
    profile = models.VirtualMachineScaleSetVMProfile(storage_profile=storage)
    return models.VirtualMachineScaleSet(
        location=PLACE,
        sku=models.Sku(name=size, capacity=capacity),
        properties=models.VirtualMachineScaleSetProperties(virtual_machine_profile=profile),
    )


def make(session: Session, name: str, body: models.VirtualMachineScaleSet) -> models.VirtualMachineScaleSet:
    return session.compute.virtual_machine_scale_sets.begin_create_or_update(GROUP, name, body, **QUICK).result()


def test_a_scale_set_is_made_shown_and_deleted(session: Session, image: str) -> None:
    sets = session.compute.virtual_machine_scale_sets
    made = make(session, "one", wanted(image))
    assert made.properties is not None
    assert made.properties.provisioning_state == "Succeeded"
    make(session, "one", wanted(image, size="Standard_B1s"))
    shown = sets.get(GROUP, "one")
    assert shown.sku is not None
    assert (shown.sku.name, shown.sku.capacity) == ("Standard_B1s", 0)
    assert [one.name for one in sets.list(GROUP)] == [one.name for one in sets.list_all()] == ["one"]
    [listed] = sets.list_all()
    assert listed.properties is not None
    profile = listed.properties.virtual_machine_profile
    assert profile is not None
    assert profile.storage_profile is not None
    assert profile.storage_profile.image_reference is not None
    assert profile.storage_profile.image_reference.id == image
    for _ in range(2):
        sets.begin_delete(GROUP, "one", **QUICK).result()
    with pytest.raises(ResourceNotFoundError):
        sets.get(GROUP, "one")


@pytest.mark.parametrize(
    ("image_id", "size", "capacity", "code"),
    [
        ("", "", 0, "InvalidParameter"),
        ("", "Standard_B2s", 1, "NotSupportedInSandbox"),
        ("images/none", "Standard_B2s", 0, "NotFound"),
    ],
)
def test_what_is_refused(session: Session, image: str, image_id: str, size: str, capacity: int, code: str) -> None:
    named = image.replace("images/image", image_id) if image_id else image
    with pytest.raises(HttpResponseError) as raised:
        make(session, "one", wanted(named, size=size, capacity=capacity))
    assert code_of(raised.value) == code
