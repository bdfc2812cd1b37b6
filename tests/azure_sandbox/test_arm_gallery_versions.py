# SPDX-License-Identifier: Apache-2.0
import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lkcloud_azure.sandbox.gallery import Version, latest
from tests.azure_sandbox.arm import COMPUTE, GROUP, PLACE, QUICK, SIZE, Arm, refused, vhd
from tests.azure_sandbox.versions import delete, disk_source, get, regions, update

DEFINITION = f"{COMPUTE}/galleries/gallery/images/definition"
LATER = (datetime.now(UTC) + timedelta(days=30)).isoformat()


def test_of_a_blob(filled: Arm) -> None:
    made = filled.version(**regions("West Europe", "eastus", excludeFromLatest=True, endOfLifeDate=LATER))
    assert (made.id, made.provisioning_state) == (f"{DEFINITION}/versions/1.0.0", "Succeeded")
    profile = made.publishing_profile
    assert profile is not None
    # Azure writes the names of regions for people.
    assert [(one.name, one.regional_replica_count) for one in profile.target_regions or []] == [
        ("West Europe", 1),
        ("East US", 1),
    ]
    assert (profile.exclude_from_latest, profile.replication_mode) == (True, "Full")
    assert profile.end_of_life_date == datetime.fromisoformat(LATER)
    assert made.storage_profile is not None
    assert made.storage_profile.os_disk_image is not None
    assert made.storage_profile.os_disk_image.size_in_gb == 1
    assert filled.cloud.image_file(made.id or "").read_bytes() == vhd()[0].ljust(SIZE, b"\0")
    (listed,) = filled.compute.gallery_image_versions.list_by_gallery_image(GROUP, "gallery", "definition")
    assert listed.id == made.id
    for _ in range(2):
        delete(filled).result()
    refused(404, "ResourceNotFound", get, filled)


def test_replication(filled: Arm) -> None:
    filled.cloud.windows.version = 60
    body = {
        "location": PLACE,
        "properties": {
            **regions(PLACE, "uksouth"),
            "storageProfile": {
                "osDiskImage": {"source": {"storageAccountId": filled.account, "uri": filled.blob("b.vhd")}}
            },
        },
    }
    create = filled.compute.gallery_image_versions.begin_create_or_update
    create(GROUP, "gallery", "definition", "1.0.0", body, polling=False)
    shown = get(filled, expand="ReplicationStatus").replication_status
    assert (shown.aggregated_state, {one.state for one in shown.summary}) == ("InProgress", {"Replicating"})
    assert get(filled).replication_status is None
    assert get(filled).provisioning_state == "Creating"
    refused(409, "Conflict", delete, filled)
    refused(409, "Conflict", update, filled, publishingProfile={"excludeFromLatest": True})
    filled.cloud.hurry()
    shown = get(filled, expand="ReplicationStatus").replication_status
    assert shown.aggregated_state == "Completed"
    assert [(one.region, one.state, one.progress) for one in shown.summary] == [
        ("West Europe", "Completed", 100),
        ("UK South", "Completed", 100),
    ]


@pytest.mark.parametrize("name", ["1", "1.0", "1.0.0.0", "a.b.c", "1.0.-1", "latest", "1.0.2147483648", "v1.0.0"])
def test_names_that_a_version_cannot_have(filled: Arm, name: str) -> None:
    assert refused(400, "InvalidParameter", filled.version, name).startswith("The image version name is invalid.")


def test_a_version_needs_its_definition(arm: Arm) -> None:
    arm.gallery()
    arm.blob()
    told = refused(404, "ParentResourceNotFound", arm.version)
    assert (
        f"'write' on resource(s) of type 'galleries/images/versions', because the parent resource '{DEFINITION}'"
        in told
    )
    refused(404, "ParentResourceNotFound", get, arm)


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        (regions("eastus"), "regions 'eastus' must contain the location of image version 'West Europe'."),
        (regions(PLACE, "West Europe"), "Duplicate regions are not allowed in target publishing regions."),
        (regions(PLACE, "moon"), "There is no such region"),
        (regions(PLACE, replicaCount=0), "is out of range. The value must be between 1 and 100, inclusive."),
        (regions(PLACE, replicaCount=101), "is out of range. The value must be between 1 and 100, inclusive."),
        (regions(PLACE, "eastus", replicationMode="Shallow"), "Shallow replication is for one replica in the region"),
        (regions(PLACE, replicaCount=2, replicationMode="Shallow"), "Shallow replication is for one replica"),
        (regions(PLACE, endOfLifeDate="2020-01-01T00:00:00Z"), "EndOfLifeDate must be set to a future date."),
        (
            regions(PLACE, storageAccountType="Standard_LRS", storageAccountStrategy="PreferStandard_ZRS"),
            "It cannot be given with storageAccountType",
        ),
    ],
)
def test_publishing_profiles_that_cannot_be(filled: Arm, properties: dict[str, Any], told: str) -> None:
    assert told in refused(400, "InvalidParameter", lambda: filled.version(**properties))


@pytest.mark.parametrize(
    ("version", "profile", "found"),
    [
        ("2024-03-03", {}, "Standard_LRS"),
        # StorageAccountStrategy of the SDK: from this version on PreferStandard_ZRS is the default.
        ("2025-03-03", {}, "Standard_ZRS"),
        ("2025-03-03", {"storageAccountType": "Premium_LRS"}, "Premium_LRS"),
        ("2025-03-03", {"storageAccountStrategy": "DefaultStandard_LRS"}, "Standard_LRS"),
    ],
)
def test_the_storage_that_is_not_named(filled: Arm, version: str, profile: dict[str, str], found: str) -> None:
    source = {"storageAccountId": filled.account, "uri": filled.blob("b.vhd")}
    body = {
        "location": PLACE,
        "properties": {"storageProfile": {"osDiskImage": {"source": source}}, "publishingProfile": profile},
    }
    told = filled.raw("PUT", f"{DEFINITION}/versions/1.0.0", body, version=version)[1]
    assert told["properties"]["publishingProfile"]["targetRegions"][0]["storageAccountType"] == found


def certificate(arm: Arm) -> str:
    """Return some certificate, which is that of the servers here."""
    found = x509.load_pem_x509_certificate((arm.cloud.holdings.home / "certificate.pem").read_bytes())
    return base64.b64encode(found.public_bytes(Encoding.DER)).decode()


def test_keys_of_secure_boot(filled: Arm) -> None:
    filled.definition("trusted", features={"SecurityType": "TrustedLaunchSupported"})
    key = {"type": "x509", "value": [certificate(filled)]}
    forbidden = {"type": "sha256", "value": [base64.b64encode(hashlib.sha256(b"x").digest()).decode()]}
    settings = {
        "signatureTemplateNames": ["NoSignatureTemplate"],
        "additionalSignatures": {"pk": key, "kek": [key], "db": [key], "dbx": [forbidden]},
    }
    made = filled.version(definition="trusted", securityProfile={"uefiSettings": settings})
    assert made.security_profile is not None
    assert made.security_profile.uefi_settings is not None
    assert made.security_profile.uefi_settings.signature_template_names == ["NoSignatureTemplate"]
    told = refused(400, "InvalidParameter", lambda: filled.version(securityProfile={"uefiSettings": settings}))
    assert "must be one of TrustedLaunchSupported, TrustedLaunchAndConfidentialVmSupported" in told


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"additionalSignatures": {}}, "signatureTemplateNames' is missing"),
        ({"signatureTemplateNames": ["NoSignatureTemplate", "MicrosoftWindowsTemplate"]}, "stands alone"),
        ({"additionalSignatures": {"db": [{"type": "x509", "value": ["AAAA"]}]}}, "It is no base64 of a x509"),
        ({"additionalSignatures": {"db": [{"type": "sha256", "value": ["AAAA"]}]}}, "It is no base64 of a SHA-256"),
        ({"additionalSignatures": {"db": [{"type": "sha256", "value": ["?"]}]}}, "It is no base64 of a sha256"),
        ({"additionalSignatures": {"pk": {"value": ["AAAA"]}}}, "additionalSignatures.pk.type' is missing"),
    ],
)
def test_keys_that_are_none(filled: Arm, settings: dict[str, Any], told: str) -> None:
    filled.definition("trusted", features={"SecurityType": "TrustedLaunchSupported"})
    if "is missing" not in told or "type" in told:
        settings = {"signatureTemplateNames": ["MicrosoftUefiCertificateAuthorityTemplate"], **settings}
    profile = {"uefiSettings": settings}
    assert told in refused(
        400, "InvalidParameter", lambda: filled.version(definition="trusted", securityProfile=profile)
    )


def test_what_can_change_in_a_version(filled: Arm) -> None:
    made = filled.version(**regions(PLACE, excludeFromLatest=True))
    profile = {
        "excludeFromLatest": False,
        "endOfLifeDate": LATER,
        "targetRegions": [{"name": PLACE, "regionalReplicaCount": 2}, {"name": "eastus", "excludeFromLatest": True}],
    }
    changed = update(filled, publishingProfile=profile).result().publishing_profile
    assert (changed.exclude_from_latest, changed.end_of_life_date) == (False, datetime.fromisoformat(LATER))
    assert [(one.name, one.regional_replica_count, one.exclude_from_latest) for one in changed.target_regions] == [
        ("West Europe", 2, False),
        ("East US", 1, True),
    ]
    # A PUT of the whole, as it was read, changes the tags alone.
    body = get(filled)
    body.tags = {"a": "b"}
    create = filled.compute.gallery_image_versions.begin_create_or_update
    again = create(GROUP, "gallery", "definition", "1.0.0", body, **QUICK).result()
    assert (again.id, again.tags) == (made.id, {"a": "b"})


def test_an_update_names_its_storage_though_it_cannot_change(filled: Arm) -> None:
    filled.version()
    change, body = filled.compute.gallery_image_versions.begin_update, {"properties": regions(PLACE)}
    told = refused(400, "InvalidParameter", change, GROUP, "gallery", "definition", "1.0.0", body, **QUICK)
    assert "storageProfile" in told


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"publishingProfile": {"replicationMode": "Shallow"}}, "publishingProfile.replicationMode"),
        ({"publishingProfile": {"storageAccountType": "Premium_LRS"}}, "publishingProfile.storageAccountType"),
        ({"storageProfile": {"source": {"id": f"{COMPUTE}/images/image"}}}, "storageProfile.source.id"),
        ({"storageProfile": disk_source(f"{COMPUTE}/disks/disk")}, "storageProfile.osDiskImage.source.id"),
        (
            {"securityProfile": {"uefiSettings": {"signatureTemplateNames": ["MicrosoftWindowsTemplate"]}}},
            "securityProfile",
        ),
        (
            regions(PLACE)
            | {"publishingProfile": {"targetRegions": [{"name": PLACE, "storageAccountType": "Premium_LRS"}]}},
            "publishingProfile.targetRegions.storageAccountType",
        ),
    ],
)
def test_what_stays_in_a_version(filled: Arm, properties: dict[str, Any], told: str) -> None:
    filled.version()
    message = refused(409, "PropertyChangeNotAllowed", update, filled, **properties)
    assert message == f"Changing property 'galleryImageVersion.properties.{told}' is not allowed."


def test_regions_are_left_only_if_that_is_allowed(filled: Arm) -> None:
    filled.version(**regions(PLACE, "eastus"))
    refused(409, "OperationNotAllowed", update, filled, **regions(PLACE))
    update(filled, safetyProfile={"allowDeletionOfReplicatedLocations": True}).result()
    changed = update(filled, **regions(PLACE)).result()
    assert [one.name for one in changed.publishing_profile.target_regions] == ["West Europe"]


def test_deletion_before_the_end_of_life(filled: Arm) -> None:
    filled.version(**regions(PLACE, endOfLifeDate=LATER), safetyProfile={"blockDeletionBeforeEndOfLife": True})
    refused(409, "DeleteGalleryImageVersionBlockedBeforeEndOfLife", delete, filled)
    update(filled, safetyProfile={"blockDeletionBeforeEndOfLife": False}).result()
    delete(filled).result()


def test_what_is_gone_is_in_the_way_for_a_while(filled: Arm) -> None:
    """Azure/azure-rest-api-specs#19686, Azure/azure-sdk-for-go#8314"""
    filled.version()
    remove = filled.compute.gallery_images.begin_delete
    refused(409, "CannotDeleteResource", remove, GROUP, "gallery", "definition", **QUICK)
    filled.cloud.windows.deleted_version = 60
    delete(filled).result()
    refused(404, "ResourceNotFound", get, filled)
    told = refused(409, "CannotDeleteResource", remove, GROUP, "gallery", "definition", **QUICK)
    assert "'Microsoft.Compute/galleries/gallery/images/definition/versions/1.0.0'" in told
    filled.cloud.holdings.lagging.clear()
    remove(GROUP, "gallery", "definition", **QUICK).result()
    told = refused(409, "CannotDeleteResource", filled.compute.galleries.begin_delete, GROUP, "gallery", **QUICK)
    assert "'Microsoft.Compute/galleries/gallery/images/definition'" in told


def test_a_version_that_is_being_deleted(filled: Arm) -> None:
    filled.version()
    filled.cloud.windows.operation = 60
    delete(filled)
    told = refused(409, "OperationNotAllowed", update, filled, publishingProfile={"excludeFromLatest": True})
    assert "since it is marked for deletion" in told


def test_latest(filled: Arm) -> None:
    def found(region: str = PLACE) -> str | None:
        version = latest(filled.cloud.holdings, DEFINITION, region)
        return version.name if version else None

    assert found() is None
    filled.version("1.10.0", **regions(PLACE, excludeFromLatest=True))
    assert found() is None
    filled.version("1.9.0", **regions(PLACE, "eastus"))
    filled.version("1.2.0")
    assert (found(), found("eastus"), found("uksouth")) == ("1.9.0", "1.9.0", None)
    body = {"properties": {"storageProfile": {}, "publishingProfile": {"excludeFromLatest": False}}}
    change = filled.compute.gallery_image_versions.begin_update
    change(GROUP, "gallery", "definition", "1.10.0", body, **QUICK).result()
    assert (found(), found("eastus")) == ("1.10.0", "1.9.0")
    only = [{"name": PLACE, "excludeFromLatest": True}]
    body = {"properties": {"storageProfile": {}, "publishingProfile": {"targetRegions": only}}}
    change(GROUP, "gallery", "definition", "1.10.0", body, **QUICK).result()
    assert found() == "1.9.0"
    version = filled.cloud.holdings.get(Version, f"{DEFINITION}/versions/1.9.0")
    assert version is not None
    assert version.number == (1, 9, 0)


def test_quotas(filled: Arm) -> None:
    filled.cloud.windows.quotas = (("GalleryImageVersion", 1),)
    filled.version()
    assert "exceeding approved GalleryImageVersion quota" in refused(
        409, "OperationNotAllowed", filled.version, "2.0.0"
    )


def test_everybody_sees_the_versions_of_a_community_gallery(arm: Arm) -> None:
    info = {
        "publisherUri": "https://example.com",
        "publisherContact": "images@example.com",
        "eula": "https://example.com/eula",
        "publicNamePrefix": "Example",
    }
    arm.gallery(sharingProfile={"permissions": "Community", "communityGalleryInfo": info})
    arm.definition()
    arm.blob()
    told = refused(400, "InvalidParameter", lambda: arm.version(location="eastus", **regions("eastus")))
    assert "Versions in the community gallery gallery are unencrypted and in westeurope" in told
    arm.version(**regions(PLACE, "eastus"))
    arm.compute.gallery_sharing_profile.begin_update(
        GROUP, "gallery", {"operationType": "EnableCommunity"}, **QUICK
    ).result()
    gallery = arm.compute.galleries.get(GROUP, "gallery")
    (name,) = gallery.sharing_profile.community_gallery_info.public_names
    (image,) = arm.compute.community_gallery_images.list(PLACE, name)
    assert image.unique_id == f"/CommunityGalleries/{name}/Images/definition"
    assert arm.compute.community_gallery_images.get(PLACE, name, "definition").properties.os_type == "Linux"
    versions = arm.compute.community_gallery_image_versions
    (version,) = versions.list("eastus", name, "definition")
    assert version.unique_id == f"/CommunityGalleries/{name}/Images/definition/Versions/1.0.0"
    assert versions.get(PLACE, name, "definition", "1.0.0").properties.exclude_from_latest is False
    assert list(versions.list("uksouth", name, "definition")) == []
    refused(404, "ResourceNotFound", versions.get, "uksouth", name, "definition", "1.0.0")
    refused(404, "ResourceNotFound", arm.compute.community_gallery_images.get, PLACE, name, "other")
