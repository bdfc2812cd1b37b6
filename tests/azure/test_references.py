# SPDX-License-Identifier: Apache-2.0
"""What holds an image: `latest`, machines, scale sets, and a version's own protection."""

import pytest

from lkcloud.errors import Refused
from lkcloud.provider import Hold, Image
from lkcloud_azure import images, references
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.cloud import LOCATION
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.session import Session
from tests.azure.imaging import GROUP, hold_image, hold_version, make_definition, make_gallery
from tests.azure.pushing import others, refuse


def found(session: Session, *ids: object) -> list[Image]:
    return [image for one in ids if (image := images.get(session, str(one))) is not None]


@pytest.fixture
def gallery(session: Session) -> None:
    make_gallery(session)
    make_definition(session)


def scale_set(session: Session, name: str, image: str) -> None:
    """Make a scale set without machines, which would be made from IMAGE."""
    from azure.mgmt.compute import models

    storage = models.VirtualMachineScaleSetStorageProfile(image_reference=models.ImageReference(id=image))
    profile = models.VirtualMachineScaleSetVMProfile(storage_profile=storage)
    wanted = models.VirtualMachineScaleSet(
        location=LOCATION,
        sku=models.Sku(name="Standard_B2s", capacity=0),
        properties=models.VirtualMachineScaleSetProperties(virtual_machine_profile=profile),
    )
    sets = session.compute.virtual_machine_scale_sets
    sets.begin_create_or_update(GROUP, name, wanted, polling_interval=0).result()


def test_nothing_holds_what_nobody_uses(azure: AzureStandIn, session: Session) -> None:
    assert list(references.holds(session, found(session, hold_image(azure).id))) == []
    azure.traffic.clear()
    assert list(references.holds(session, [])) == []
    assert azure.traffic.operations() == []


@pytest.mark.usefixtures("gallery")
def test_latest_leads_to_the_highest_that_is_not_excluded(azure: AzureStandIn, session: Session) -> None:
    held = [hold_version(azure, f"1.0.{number}", name=f"n{number}", excluded=number == 2) for number in range(3)]
    assert list(references.holds(session, found(session, *(one.id for one in held)))) == [
        Hold(str(held[1].id), "is what `latest` of image leads to", leads=True)
    ]
    assert list(references.holds(session, found(session, held[0].id))) == []


@pytest.mark.usefixtures("gallery")
def test_a_version_is_protected_until_its_end_of_life(azure: AzureStandIn, session: Session) -> None:
    held = hold_version(azure, "1.0.0")
    held.safety["blockDeletionBeforeEndOfLife"] = True
    assert list(references.holds(session, found(session, held.id))) == []
    held.end_of_life = "2099-01-01T00:00:00+00:00"
    [hold] = references.holds(session, found(session, held.id))
    assert (hold.reason, hold.leads) == ("is kept from deletion until its end of life, 2099-01-01", False)
    held.end_of_life = "2026-01-01T00:00:00+00:00"
    assert list(references.holds(session, found(session, held.id))) == []


@pytest.mark.usefixtures("gallery")
def test_scale_sets_use_what_they_name(azure: AzureStandIn, session: Session) -> None:
    managed, version = hold_image(azure), hold_version(azure, "1.0.0", excluded=False)
    with others(azure):
        for number in range(5):
            scale_set(session, f"set-{number}", str(managed.id).upper() if number == 4 else str(managed.id))
        scale_set(session, "one", str(version.id))
        scale_set(session, "moving", str(version.id).rpartition("/versions/")[0])
    assert list(references.holds(session, found(session, managed.id, version.id))) == [
        Hold(str(version.id), "is what `latest` of image leads to", leads=True),
        Hold(str(managed.id), "is used by the scale set set-0, set-1, set-2 and 2 more"),
        Hold(str(version.id), "is used by the scale set one"),
    ]
    with others(azure):
        session.compute.virtual_machine_scale_sets.begin_delete(GROUP, "one", polling_interval=0).result()
    assert [hold.leads for hold in references.holds(session, found(session, version.id))] == [True]


@pytest.mark.parametrize("operation", ["VirtualMachines.ListAll", "VirtualMachineScaleSets.ListAll"])
def test_who_may_not_look_spares_nothing_unseen(azure: AzureStandIn, session: Session, operation: str) -> None:
    image = found(session, hold_image(azure).id)
    refuse(azure, operation, ApiError(403, "AuthorizationFailed", "The client does not have authorization."))
    with pytest.raises(Refused) as raised:
        list(references.holds(session, image))
    assert "role Reader" in raised.value.hint
