# SPDX-License-Identifier: Apache-2.0
"""What gallery image versions are made from."""

from typing import Any

import pytest

from lkcloud_azure.sandbox.disk import GIB
from tests.azure_sandbox.arm import COMPUTE, GROUP, MIB, PLACE, QUICK, SIZE, Arm, refused, vhd
from tests.azure_sandbox.versions import delete, disk_source, get

DEFINITION = f"{COMPUTE}/galleries/gallery/images/definition"


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
