# SPDX-License-Identifier: Apache-2.0
import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lkcloud_azure.sandbox.disk import GIB
from lkcloud_azure.sandbox.gallery import Version, latest
from tests.azure_sandbox.arm import COMPUTE, GROUP, MIB, PLACE, QUICK, SIZE, Arm, refused, vhd

DEFINITION = f"{COMPUTE}/galleries/gallery/images/definition"
LATER = (datetime.now(UTC) + timedelta(days=30)).isoformat()


@pytest.fixture
def filled(arm: Arm) -> Arm:
    """Return clients of an Azure with a gallery, an image definition and a page blob."""
    arm.gallery()
    arm.definition()
    arm.blob()
    return arm


def regions(*names: str, **more: Any) -> dict[str, Any]:
    return {"publishingProfile": {"targetRegions": [{"name": name} for name in names], **more}}


def update(arm: Arm, **properties: Any) -> Any:
    return arm.compute.gallery_image_versions.begin_update(
        GROUP, "gallery", "definition", "1.0.0", {"properties": properties}, **QUICK
    )


def get(arm: Arm, name: str = "1.0.0", **more: Any) -> Any:
    return arm.compute.gallery_image_versions.get(GROUP, "gallery", "definition", name, **more)


def delete(arm: Arm, name: str = "1.0.0") -> Any:
    return arm.compute.gallery_image_versions.begin_delete(GROUP, "gallery", "definition", name, **QUICK)


def disk_source(disk_id: str | None) -> dict[str, Any]:
    return {"osDiskImage": {"source": {"id": disk_id}}}


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


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ({}, "One and only one source type"),
        ({"source": {"id": "x"}, "osDiskImage": {"source": {"id": "y"}}}, "One and only one source type"),
        ({"osDiskImage": {"source": {"uri": "https://x/y.vhd"}}}, "source.storageAccountId' is missing"),
        ({"source": {"virtualMachineId": "x"}}, "makes no versions of these"),
        (
            {"source": {"id": f"{COMPUTE}/disks/disk"}},
            "must either be a managed image, virtual machine or another gallery",
        ),
        (disk_source(f"{COMPUTE}/images/image"), "must be a managed disk or snapshot."),
    ],
)
def test_sources_that_cannot_be(filled: Arm, storage: dict[str, Any], told: str) -> None:
    assert told in refused(400, "InvalidParameter", lambda: filled.version(storage=storage))


def test_sources_that_are_not_there(filled: Arm) -> None:
    for storage in (
        disk_source(f"{COMPUTE}/disks/disk"),
        {"source": {"id": f"{COMPUTE}/images/image"}},
        {"source": {"id": f"{DEFINITION}/versions/0.1.0"}},
        {"osDiskImage": {"source": {"storageAccountId": f"{filled.account}2", "uri": "https://x/y.vhd"}}},
    ):
        told = refused(404, "NotFound", lambda storage=storage: filled.version(storage=storage))
        assert "is not found. Please check source exists, and is in the same region as gallery image version" in told
    refused(400, "LinkedInvalidPropertyId", lambda: filled.version(storage=disk_source("disk")))


def test_sources_elsewhere(filled: Arm) -> None:
    disk = filled.uploaded()
    refused(404, "NotFound", lambda: filled.version(storage=disk_source(disk.id), location="eastus"))
    told = refused(400, "BadRequest", lambda: filled.version(location="eastus"))
    assert "does not belong to the same region" in told


def test_a_blob_of_another_account(filled: Arm) -> None:
    accounts = filled.session.storage.storage_accounts
    body = {"location": PLACE, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    other = accounts.begin_create(GROUP, "another", body, **QUICK).result()
    source = {"storageAccountId": other.id, "uri": filled.blob("b.vhd")}
    told = refused(400, "InvalidParameter", lambda: filled.version(storage={"osDiskImage": {"source": source}}))
    assert "The blob is not in the storage account another" in told


def test_an_older_version_knows_no_accounts(filled: Arm) -> None:
    source = {"storageAccountId": filled.account, "uri": filled.blob("b.vhd")}
    body = {"location": PLACE, "properties": {"storageProfile": {"osDiskImage": {"source": source}}}}
    status, told, _ = filled.raw("PUT", f"{DEFINITION}/versions/1.0.0", body, version="2021-10-01")
    assert (status, told["error"]["code"]) == (400, "InvalidParameter")
    assert "needs api-version 2022-03-03 or later" in told["error"]["message"]


@pytest.mark.parametrize(
    ("action", "make"),
    [
        ("Microsoft.Storage/storageAccounts/listKeys/action", lambda arm: None),
        ("Microsoft.Compute/disks/write", lambda arm: disk_source(arm.uploaded().id)),
        ("Microsoft.Compute/images/read", lambda arm: {"source": {"id": arm.image(blobUri=arm.blob("b.vhd")).id}}),
    ],
)
def test_sources_that_one_may_not_use(filled: Arm, action: str, make: Any) -> None:
    """https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries: what each source needs."""
    filled.account  # noqa: B018 - asked for while that is allowed
    storage = make(filled)
    filled.cloud.windows.denied_actions = (action,)
    assert action in refused(403, "LinkedAuthorizationFailed", lambda: filled.version(storage=storage))


def test_of_a_disk(filled: Arm) -> None:
    disk = filled.uploaded(osType="Linux", hyperVGeneration="V2")
    made = filled.version(storage=disk_source(disk.id))
    filled.compute.disks.begin_delete(GROUP, "disk", **QUICK).result()
    assert filled.cloud.image_file(made.id or "").stat().st_size == SIZE


def test_of_a_disk_with_an_active_url(filled: Arm) -> None:
    disk = filled.uploaded(osType="Linux", hyperVGeneration="V2")
    filled.grant(access="Read")
    refused(0, "InternalExecutionError", lambda: filled.version(storage=disk_source(disk.id)))
    assert get(filled).provisioning_state == "Failed"
    filled.revoke()
    refused(409, "Conflict", lambda: filled.version(storage=disk_source(disk.id)))
    delete(filled).result()
    filled.version(storage=disk_source(disk.id))


def test_of_an_image_and_of_a_version(filled: Arm) -> None:
    filled.definition("old", hyperVGeneration="V1")
    image = filled.image(blobUri=filled.blob("b.vhd"))
    first = filled.version(storage={"source": {"id": image.id}}, definition="old")
    second = filled.version("2.0.0", storage={"source": {"id": first.id}}, definition="old")
    for made in (first, second):
        assert filled.cloud.image_file(made.id or "").read_bytes() == vhd()[0].ljust(SIZE, b"\0")


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"hyperVGeneration": "V1"}, "a different Hypervisor generation ['V1'] than the parent gallery image"),
        ({"osType": "Windows"}, "a different OS type ['Windows'] than the parent gallery image OS type ['Linux']"),
        (
            {"supportedCapabilities": {"architecture": "Arm64"}},
            "a different architecture ['Arm64'] than the parent gallery image architecture ['x64']",
        ),
        ({"securityProfile": {"securityType": "TrustedLaunch"}}, "a different security type ['TrustedLaunch']"),
    ],
)
def test_disks_of_another_kind(filled: Arm, properties: dict[str, Any], told: str) -> None:
    disk = filled.uploaded(**properties)
    assert told in refused(400, "InvalidParameter", lambda: filled.version(storage=disk_source(disk.id)))


def test_images_of_another_kind(filled: Arm) -> None:
    filled.definition("special", osState="Specialized", hyperVGeneration="V1")
    filled.definition("arm", architecture="Arm64")
    first = filled.image("first", blobUri=filled.blob("b.vhd"))
    second = filled.image("second", blobUri=filled.blob("c.vhd"), generation="V2")
    told = refused(
        400, "InvalidParameter", lambda: filled.version(storage={"source": {"id": first.id}}, definition="special")
    )
    assert "since the OS State in the parent gallery image ('Specialized') is not 'Generalized'" in told
    told = refused(400, "InvalidParameter", lambda: filled.version(storage={"source": {"id": first.id}}))
    assert "['V1'] than the parent gallery image Hypervisor generation ['V2']" in told
    # Of Arm64 is no managed image.
    told = refused(
        400, "InvalidParameter", lambda: filled.version(storage={"source": {"id": second.id}}, definition="arm")
    )
    assert "a different architecture ['x64']" in told


def test_arm64(filled: Arm) -> None:
    filled.definition("arm", architecture="Arm64")
    disk = filled.uploaded(supportedCapabilities={"architecture": "Arm64"}, hyperVGeneration="V2")
    filled.version(storage=disk_source(disk.id), definition="arm")
    filled.version("2.0.0", definition="arm")


@pytest.mark.parametrize("security", ["TrustedLaunchSupported", "TrustedLaunchAndConfidentialVmSupported"])
def test_a_disk_cannot_have_trusted_launch(filled: Arm, security: str) -> None:
    """hashicorp/packer-plugin-azure#304, microsoft/STL#4682"""
    filled.definition("trusted", features={"SecurityType": security})
    disk = filled.uploaded(hyperVGeneration="V2")
    told = refused(400, "InvalidParameter", lambda: filled.version(storage=disk_source(disk.id), definition="trusted"))
    assert told == (
        f"The security type '{security}' is not supported for the source id '{disk.id}'. Currently only Vhd Blob, User "
        f"Image and Gallery Image Version sources are supported for '{security}' images."
    )
    image = filled.image(managedDisk={"id": disk.id})
    made = filled.version(storage={"source": {"id": image.id}}, definition="trusted")
    assert made.validations_profile is not None
    filled.version("2.0.0", definition="trusted")


def test_what_must_have_trusted_launch_comes_of_a_disk(filled: Arm) -> None:
    filled.definition("only", features={"SecurityType": "TrustedLaunch"})
    assert "Currently only Disk sources" in refused(400, "InvalidParameter", lambda: filled.version(definition="only"))
    disk = filled.uploaded(hyperVGeneration="V2", securityProfile={"securityType": "TrustedLaunch"})
    filled.version(storage=disk_source(disk.id), definition="only")


@pytest.mark.parametrize(
    ("footer", "told"),
    [(b"", "cookie value"), (vhd(at60=(3).to_bytes(4, "big"))[1], "'Fixed'"), (vhd(SIZE + MIB)[1], "current size")],
)
def test_blobs_that_are_no_vhd(filled: Arm, footer: bytes, told: str) -> None:
    filled.blob(footer=footer)
    assert told in refused(0, "InvalidParameter", filled.version)
    version = get(filled, expand="ReplicationStatus")
    assert version.provisioning_state == "Failed"
    assert version.replication_status.aggregated_state == "Failed"
    assert told in version.replication_status.summary[0].details


def test_two_tebibytes(filled: Arm) -> None:
    """https://learn.microsoft.com/azure/virtual-machines/troubleshooting-shared-images"""
    filled.blob("large.vhd", size=2520 * GIB)
    url = f"{filled.cloud.holdings.blobs.endpoint('lkcloudsandbox')}/disks/large.vhd"
    storage = {"osDiskImage": {"source": {"storageAccountId": filled.account, "uri": url}}}
    told = refused(0, "ReplicationJobFailed", lambda: filled.version(storage=storage))
    assert "source resource size 2520 exceeds the max size 2048 supported" in told
    shallow = {"publishingProfile": {"replicationMode": "Shallow"}}
    made = filled.version("1.0.1", storage=storage, **shallow)
    assert filled.cloud.image_file(made.id or "").stat().st_size == 2520 * GIB


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
    body = {"properties": {"publishingProfile": {"excludeFromLatest": False}}}
    change = filled.compute.gallery_image_versions.begin_update
    change(GROUP, "gallery", "definition", "1.10.0", body, **QUICK).result()
    assert (found(), found("eastus")) == ("1.10.0", "1.9.0")
    only = [{"name": PLACE, "excludeFromLatest": True}]
    body = {"properties": {"publishingProfile": {"targetRegions": only}}}
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
