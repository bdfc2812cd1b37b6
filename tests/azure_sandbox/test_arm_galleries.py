# SPDX-License-Identifier: Apache-2.0
"""Galleries and image definitions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.azure_sandbox.arm import COMPUTE, GROUP, PLACE, QUICK, Arm, refused

COMMUNITY = {
    "publisherUri": "https://example.com",
    "publisherContact": "images@example.com",
    "eula": "https://example.com/eula",
    "publicNamePrefix": "Example",
}
FEATURES = {"SecurityType": "TrustedLaunchSupported"}


def community(**changes: str) -> dict[str, Any]:
    return {"permissions": "Community", "communityGalleryInfo": {**COMMUNITY, **changes}}


def share(arm: Arm, operation: str, **more: Any) -> Any:
    body = {"operationType": operation, **more}
    return arm.compute.gallery_sharing_profile.begin_update(GROUP, "gallery", body, **QUICK)


def features(found: Any) -> dict[str, str]:
    return {one.name: one.value for one in found.features or []}


def test_a_gallery_comes_and_goes(arm: Arm) -> None:
    made = arm.gallery(description="ours")
    assert (made.id, made.description, made.provisioning_state) == (f"{COMPUTE}/galleries/gallery", "ours", "Succeeded")
    assert made.identifier is not None
    assert (made.identifier.unique_name or "").endswith("-GALLERY")
    arm.gallery("Other.one_2")
    assert [one.name for one in arm.compute.galleries.list()] == ["gallery", "Other.one_2"]
    assert [one.name for one in arm.compute.galleries.list_by_resource_group(GROUP)] == ["gallery", "Other.one_2"]
    changed = arm.compute.galleries.begin_update(GROUP, "gallery", {"tags": {"a": "b"}}, **QUICK).result()
    assert (changed.tags, changed.description) == ({"a": "b"}, "ours")
    for _ in range(2):
        arm.compute.galleries.begin_delete(GROUP, "gallery", **QUICK).result()
    refused(404, "ResourceNotFound", arm.compute.galleries.get, GROUP, "gallery")


@pytest.mark.parametrize("name", ["with-dash", "_gallery", "gallery.", "g" * 81, "gällery"])
def test_names_that_a_gallery_cannot_have(arm: Arm, name: str) -> None:
    assert refused(400, "InvalidParameter", arm.gallery, name).startswith("Gallery name is invalid.")


def test_names_are_of_the_whole_subscription(arm: Arm) -> None:
    arm.gallery()
    body = {"location": PLACE}
    create = arm.compute.galleries.begin_create_or_update
    told = refused(409, "Conflict", create, "lkcloud-sandbox", "GALLERY", body, **QUICK)
    assert "is not unique within the subscription" in told


@pytest.mark.parametrize(
    ("sharing", "told"),
    [
        *((community(**{name: ""}), f"communityGalleryInfo.{name}' is missing") for name in COMMUNITY),
        (community(publicNamePrefix="a-b-c-d"), "publicNamePrefix"),
        (community(publicNamePrefix="abcd"), "publicNamePrefix"),
        (community(publisherContact="nobody"), "publisherContact"),
        (community(eula="none"), "eula"),
        ({"permissions": "Private", "communityGalleryInfo": COMMUNITY}, "communityGalleryInfo"),
    ],
)
def test_community_galleries_that_cannot_be(arm: Arm, sharing: dict[str, Any], told: str) -> None:
    assert told in refused(400, "InvalidParameter", lambda: arm.gallery(sharingProfile=sharing))


def test_a_community_gallery(arm: Arm) -> None:
    arm.gallery(sharingProfile=community())
    info = arm.compute.galleries.get(GROUP, "gallery").sharing_profile.community_gallery_info
    (name,) = info.public_names
    assert name.startswith("Example-")
    assert info.community_gallery_enabled is False
    refused(404, "ResourceNotFound", arm.compute.community_galleries.get, PLACE, name)
    share(arm, "EnableCommunity").result()
    assert arm.compute.galleries.get(GROUP, "gallery").sharing_profile.community_gallery_info.community_gallery_enabled
    public = arm.compute.community_galleries.get(PLACE, name)
    assert public.unique_id == f"/CommunityGalleries/{name}"
    told = refused(409, "OperationNotAllowed", arm.compute.galleries.begin_delete, GROUP, "gallery", **QUICK)
    assert "reset its sharing" in told
    share(arm, "Reset").result()
    refused(404, "ResourceNotFound", arm.compute.community_galleries.get, PLACE, name)
    arm.compute.galleries.begin_delete(GROUP, "gallery", **QUICK).result()


def test_a_private_gallery_stays_one(arm: Arm) -> None:
    arm.gallery()
    refused(409, "PropertyChangeNotAllowed", lambda: arm.gallery(sharingProfile=community()))
    assert "are Private, not Community" in refused(400, "InvalidParameter", share, arm, "EnableCommunity")
    assert "are Private, not Groups" in refused(400, "InvalidParameter", share, arm, "Add", groups=[])


def test_what_is_deleted_can_be_kept_or_not(arm: Arm) -> None:
    arm.gallery(softDeletePolicy={"isSoftDeleteEnabled": True})
    for wanted in (True, False):
        change: Any = {"properties": {"softDeletePolicy": {"isSoftDeleteEnabled": wanted}}}
        arm.compute.galleries.begin_update(GROUP, "gallery", change, **QUICK).result()
        shown = arm.compute.galleries.get(GROUP, "gallery").soft_delete_policy
        assert shown is not None
        assert shown.is_soft_delete_enabled is wanted


def test_who_may_not_publish(arm: Arm) -> None:
    arm.gallery(sharingProfile=community())
    arm.cloud.windows.denied_actions = ("Microsoft.Compute/galleries/share/action",)
    refused(403, "AuthorizationFailed", share, arm, "EnableCommunity")


def test_sharing_with_groups(arm: Arm) -> None:
    arm.gallery(sharingProfile={"permissions": "Groups"})
    one, other = ("00000000-0000-0000-0000-00000000000" + digit for digit in "12")
    share(arm, "Add", groups=[{"type": "Subscriptions", "ids": [one, other]}]).result()
    share(arm, "Remove", groups=[{"type": "Subscriptions", "ids": [one]}]).result()
    found = arm.compute.galleries.get(GROUP, "gallery", expand="SharingProfile/Groups").sharing_profile
    assert found is not None
    assert [(group.type, group.ids) for group in found.groups or []] == [("Subscriptions", [other])]
    assert arm.compute.galleries.get(GROUP, "gallery").sharing_profile.groups is None


def test_a_definition_comes_and_goes(arm: Arm) -> None:
    arm.gallery()
    made = arm.definition(features={"DiskControllerTypes": "SCSI, NVMe"}, architecture="x64")
    assert made.id == f"{COMPUTE}/galleries/gallery/images/definition"
    assert (made.os_type, made.os_state, made.hyper_v_generation) == ("Linux", "Generalized", "V2")
    assert features(made) == {"SecurityType": "Standard", "DiskControllerTypes": "SCSI, NVMe"}
    assert [one.name for one in arm.compute.gallery_images.list_by_gallery(GROUP, "gallery")] == ["definition"]
    told = refused(409, "CannotDeleteResource", arm.compute.galleries.begin_delete, GROUP, "gallery", **QUICK)
    assert "'Microsoft.Compute/galleries/gallery/images/definition'" in told
    for _ in range(2):
        arm.compute.gallery_images.begin_delete(GROUP, "gallery", "definition", **QUICK).result()
    refused(404, "ResourceNotFound", arm.compute.gallery_images.get, GROUP, "gallery", "definition")
    arm.compute.galleries.begin_delete(GROUP, "gallery", **QUICK).result()


def test_a_definition_needs_its_gallery(arm: Arm) -> None:
    told = refused(404, "ParentResourceNotFound", arm.definition)
    assert f"because the parent resource '{COMPUTE}/galleries/gallery' could not be found" in told
    refused(404, "ParentResourceNotFound", arm.compute.gallery_images.get, GROUP, "gallery", "definition")
    refused(404, "ParentResourceNotFound", lambda: list(arm.compute.gallery_images.list_by_gallery(GROUP, "gallery")))


@pytest.mark.parametrize(
    ("version", "generation", "found"),
    [
        ("2024-03-03", None, ("V1", None)),
        ("2024-03-03", "V2", ("V2", None)),
        # https://learn.microsoft.com/azure/virtual-machines/trusted-launch: from this version on by default
        ("2025-03-03", None, ("V2", "TrustedLaunchSupported")),
        ("2025-03-03", "V2", ("V2", "TrustedLaunchSupported")),
        ("2025-03-03", "V1", ("V1", None)),
    ],
)
def test_the_security_type_that_is_not_named(
    arm: Arm, version: str, generation: str | None, found: tuple[str, str | None]
) -> None:
    arm.gallery()
    properties = {
        "osType": "Linux",
        "osState": "Generalized",
        "hyperVGeneration": generation,
        "identifier": {"publisher": "p", "offer": "o", "sku": "s"},
    }
    body = {"location": PLACE, "properties": properties}
    told = arm.raw("PUT", f"{COMPUTE}/galleries/gallery/images/definition", body, version=version)[1]["properties"]
    security = {one["name"]: one["value"] for one in told.get("features", [])}.get("SecurityType")
    assert (told["hyperVGeneration"], security) == found


def test_publisher_offer_and_sku_are_unique(arm: Arm) -> None:
    arm.gallery()
    arm.definition("one", identifier={"publisher": "p", "offer": "o", "sku": "s"})
    told = refused(
        409, "Conflict", lambda: arm.definition("two", identifier={"publisher": "P", "offer": "O", "sku": "S"})
    )
    assert told == (
        "Gallery image: one identified by (publisher:P, offer:O, sku:S) already exists. Choose a different publisher, "
        "offer, sku combination."
    )
    arm.gallery("other")
    arm.definition("two", gallery="other", identifier={"publisher": "p", "offer": "o", "sku": "s"})


@pytest.mark.parametrize(
    ("name", "value", "longest"),
    [("publisher", "p" * 129, 128), ("offer", "o" * 65, 64), ("sku", "s.", 64), ("sku", "", 64), ("offer", "a b", 64)],
)
def test_identifiers_that_are_none(arm: Arm, name: str, value: str, longest: int) -> None:
    arm.gallery()
    identifier = {"publisher": "p", "offer": "o", "sku": "s", name: value}
    told = refused(400, "InvalidParameter", lambda: arm.definition(identifier=identifier))
    assert told.startswith(f"Asset name galleryImage.properties.identifier.{name} is not valid.")
    assert told.endswith(f"The length of the name cannot exceed {longest} characters.")


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"features": {"SecurityType": "Very"}}, "The value 'Very' for feature 'SecurityType' is invalid."),
        ({"features": {"DiskControllerTypes": "IDE"}}, "The value 'IDE' for feature 'DiskControllerTypes'"),
        ({"features": {"DiskControllerTypes": "SCSI;NVMe"}}, "The value 'SCSI;NVMe'"),
        ({"features": {"IsAcceleratedNetworkSupported": "yes"}}, "The value 'yes'"),
        ({"features": {"IsFast": "true"}}, "There is no such feature"),
        ({"features": FEATURES, "hyperVGeneration": "V1"}, "needs hyperVGeneration V2"),
        ({"architecture": "Arm64", "hyperVGeneration": "V1"}, "Arm64 needs hyperVGeneration V2"),
        ({"architecture": "Arm64", "features": {"SecurityType": "ConfidentialVMSupported"}}, "not supported for Arm64"),
        ({"endOfLifeDate": "2020-01-01T00:00:00Z"}, "EndOfLifeDate must be set to a future date."),
        ({"recommended": {"vCPUs": {"min": 4, "max": 2}}}, "must not be greater than the maximum value"),
    ],
)
def test_definitions_that_cannot_be(arm: Arm, properties: dict[str, Any], told: str) -> None:
    arm.gallery()
    assert told in refused(400, "InvalidParameter", lambda: arm.definition(**properties))


def test_dates_that_are_none(arm: Arm) -> None:
    arm.gallery()
    assert "DateTimeOffset" in refused(400, "BadRequest", lambda: arm.definition(endOfLifeDate="tomorrow"))


@pytest.mark.parametrize("security", ["TrustedLaunch", "ConfidentialVM"])
def test_what_must_have_it_is_private(arm: Arm, security: str) -> None:
    arm.gallery(sharingProfile=community())
    told = refused(400, "InvalidParameter", lambda: arm.definition(features={"SecurityType": security}))
    assert "not supported in galleries with Community" in told
    arm.gallery("private")
    arm.definition(gallery="private", features={"SecurityType": security})


def test_a_community_gallery_is_of_one_region(arm: Arm) -> None:
    arm.gallery(sharingProfile=community())
    told = refused(400, "InvalidParameter", lambda: arm.definition(location="eastus"))
    assert "that of the community gallery, westeurope" in told


@pytest.mark.parametrize(
    "changes",
    [
        {"osState": "Specialized"},
        {"osType": "Windows"},
        {"hyperVGeneration": "V1"},
        {"architecture": "Arm64"},
        {"identifier": {"publisher": "p", "offer": "o", "sku": "other"}},
        {"features": {"SecurityType": "TrustedLaunchSupported"}},
    ],
)
def test_what_stays_in_a_definition(arm: Arm, changes: dict[str, Any]) -> None:
    arm.gallery()
    arm.definition()
    name = next(iter(changes))
    told = refused(409, "PropertyChangeNotAllowed", lambda: arm.definition(**changes))
    assert told == f"Changing property 'galleryImage.properties.{name}' is not allowed."


def test_what_can_change_in_a_definition(arm: Arm) -> None:
    arm.gallery()
    arm.definition()
    when = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    body = {"tags": {"a": "b"}, "properties": {"description": "ours", "endOfLifeDate": when}}
    changed = arm.compute.gallery_images.begin_update(GROUP, "gallery", "definition", body, **QUICK).result()
    assert (changed.tags, changed.description) == ({"a": "b"}, "ours")
    assert changed.end_of_life_date is not None
    found = arm.definition(features={"SecurityType": "TrustedLaunchSupported"}, allowUpdateImage=True)
    assert features(found) == {"SecurityType": "TrustedLaunchSupported"}
    assert found.description == "ours"
