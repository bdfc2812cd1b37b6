# SPDX-License-Identifier: Apache-2.0
import time
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient

from lkcloud_azure.sandbox.vhd_footer import check
from tests.azure_sandbox.arm import COMPUTE, GROUP, MIB, PLACE, QUICK, SIZE, Arm, refused, vhd

GIB = 1 << 30


def upload_of(size: int) -> dict[str, Any]:
    return {"creationData": {"createOption": "Upload", "uploadSizeBytes": size}}


def test_a_disk_for_an_upload(arm: Arm) -> None:
    made = arm.disk(osType="Linux", hyperVGeneration="V2", tags={"a": "b"})
    assert (made.name, made.tags, made.provisioning_state) == ("disk", {"a": "b"}, "Succeeded")
    assert (made.disk_state, made.disk_size_bytes, made.disk_size_gb) == ("ReadyToUpload", SIZE, 1)
    assert (made.os_type, made.hyper_v_generation) == ("Linux", "V2")
    assert made.sku is not None
    assert made.sku.name == "Standard_LRS"
    assert made.creation_data is not None
    assert made.creation_data.upload_size_bytes == SIZE + 512


@pytest.mark.parametrize(
    ("size", "code", "told"),
    [
        # microsoft/AzureStorageExplorer#3029: the size that the service was asked for there, and its words.
        (
            44716382720,
            "BadRequest",
            "The upload size in bytes 44716382720 - 512 bytes for the VHD footer (44716382208 in this case) must be a "
            "multiple of MiB.",
        ),
        (SIZE, "BadRequest", "must be a multiple of MiB"),
        (19 * MIB + 512, "InvalidParameter", "between 20972032 and 35183298347520"),
        ((32 << 40) + MIB + 512, "InvalidParameter", "between 20972032 and 35183298347520"),
    ],
)
def test_sizes_that_cannot_be_uploaded(arm: Arm, size: int, code: str, told: str) -> None:
    assert told in refused(400, code, arm.disk, **upload_of(size))


def test_a_large_upload_takes_no_room(arm: Arm) -> None:
    disk = arm.disk(**upload_of((4 << 40) + 512))
    assert arm.cloud.disk_file(disk.id or "").stat().st_blocks < 8


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"creationData": {"createOption": "Upload"}}, "'creationData.uploadSizeBytes' is missing"),
        ({**upload_of(SIZE + 512), "diskSizeGB": 1}, "disk.diskSizeGB"),
        ({"creationData": {"createOption": "Empty"}}, "'disk.diskSizeGB' is missing"),
        ({"creationData": {"createOption": "Empty"}, "diskSizeGB": 0}, "between 1 and 32767"),
        ({"creationData": {"createOption": "Import"}}, "'Import'"),
        ({"creationData": {"createOption": "Copy", "sourceResourceId": "x"}}, "creationData.sourceResourceId"),
    ],
)
def test_disks_that_cannot_be(arm: Arm, properties: dict[str, Any], told: str) -> None:
    assert told in refused(400, "InvalidParameter", lambda: arm.disk(**({"creationData": None} | properties)))


@pytest.mark.parametrize("name", ["-disk", "disk.", "disk-", "_disk", "d" * 81, "dïsk"])
def test_names_that_a_disk_cannot_have(arm: Arm, name: str) -> None:
    assert "invalid according to its validation rule" in refused(400, "InvalidParameter", arm.disk, name)


def test_another_sku(arm: Arm) -> None:
    body = {"location": PLACE, "sku": {"name": "UltraSSD_LRS"}, "properties": upload_of(SIZE + 512)}
    refused(400, "InvalidParameter", arm.compute.disks.begin_create_or_update, GROUP, "disk", body, **QUICK)


def test_an_upload(arm: Arm) -> None:
    arm.disk()
    url = arm.grant()
    assert arm.compute.disks.get(GROUP, "disk").disk_state == "ActiveUpload"
    with BlobClient.from_blob_url(url) as blob:
        for offset, data in zip((0, SIZE), vhd(), strict=True):
            blob.upload_page(data, offset, len(data))
        arm.revoke()
        with pytest.raises(HttpResponseError) as caught:
            blob.upload_page(bytes(512), 0, 512)
        assert caught.value.status_code == 403
    disk = arm.compute.disks.get(GROUP, "disk")
    assert disk.disk_state == "Unattached"
    file = arm.cloud.disk_file(disk.id or "")
    assert file.stat().st_size == SIZE
    assert file.stat().st_blocks < 40
    assert file.read_bytes() == vhd()[0].ljust(SIZE, b"\0")


@pytest.mark.parametrize(
    ("footer", "told"),
    [
        (b"", "Disk is expected to have cookie value 'conectix'."),
        (vhd(at0=b"connectx")[1], "Disk is expected to have cookie value 'conectix'."),
        (vhd(at60=(3).to_bytes(4, "big"))[1], "Disk is expected to be of type 'Fixed'."),
        (vhd(at64=b"\0\0\0\0")[1], "The specified checksum in VHD footer"),
        (
            vhd(at48=(SIZE + 512).to_bytes(8, "big"))[1],
            "unsupported virtual size of 20972032 bytes.  The size must be a",
        ),
        (vhd(at48=(SIZE + MIB).to_bytes(8, "big"))[1], "The specified current size in VHD footer"),
    ],
)
def test_what_is_uploaded_must_be_a_vhd(arm: Arm, footer: bytes, told: str) -> None:
    arm.disk()
    with BlobClient.from_blob_url(arm.grant()) as blob:
        if footer:
            blob.upload_page(footer, SIZE, 512)
    message = refused(0, "InvalidVhd", arm.revoke)
    assert told in message
    assert "/abcd " in message or told.startswith("unsupported")
    # microsoft/AzureStorageExplorer#8800: it then "may still be in an ActiveUpload state".
    assert arm.compute.disks.get(GROUP, "disk").disk_state == "ActiveUpload"
    with BlobClient.from_blob_url(arm.grant()) as blob:
        blob.upload_page(vhd()[1], SIZE, 512)
    arm.revoke()
    assert arm.compute.disks.get(GROUP, "disk").disk_state == "Unattached"


def test_one_url_at_a_time(arm: Arm) -> None:
    arm.disk()
    url = arm.grant()
    assert arm.grant(seconds=5) == url
    told = refused(409, "OperationNotAllowed", arm.grant, access="Read")
    assert "disk is in state ActiveUpload" in told


def test_urls_end(arm: Arm) -> None:
    arm.disk()
    first = arm.grant(seconds=1)
    time.sleep(1.01)
    with BlobClient.from_blob_url(first) as blob, pytest.raises(HttpResponseError):
        blob.upload_page(bytes(512), 0, 512)
    second = arm.grant()
    assert second != first
    with BlobClient.from_blob_url(second) as blob:
        blob.upload_page(vhd()[1], SIZE, 512)
    arm.revoke()
    assert arm.compute.disks.get(GROUP, "disk").disk_state == "Unattached"


def test_reading_a_disk(arm: Arm, tmp_path: Any) -> None:
    arm.uploaded()
    with BlobClient.from_blob_url(arm.grant(access="Read")) as blob:
        assert arm.compute.disks.get(GROUP, "disk").disk_state == "ActiveSAS"
        whole = blob.download_blob().readall()
        with pytest.raises(HttpResponseError):
            blob.upload_page(bytes(512), 0, 512)
    file = tmp_path / "disk.vhd"
    file.write_bytes(whole)
    assert check(file, "disk", "") == SIZE
    assert whole[:512] == vhd()[0]
    arm.revoke()
    assert arm.compute.disks.get(GROUP, "disk").disk_state == "Unattached"
    refused(409, "OperationNotAllowed", arm.grant, access="Write")


def test_a_url_for_reading_ends_by_itself(arm: Arm) -> None:
    disk = arm.uploaded()
    arm.grant(access="Read", seconds=1)
    time.sleep(1.01)
    assert arm.compute.disks.get(GROUP, "disk").disk_state == "Unattached"
    arm.image(managedDisk={"id": disk.id})
    arm.compute.disks.begin_delete(GROUP, "disk", **QUICK).result()


@pytest.mark.parametrize(("access", "seconds"), [("None", 60), ("Write", 0), ("Write", 61 * 24 * 3600)])
def test_grants_that_cannot_be(arm: Arm, access: str, seconds: int) -> None:
    arm.disk()
    refused(400, "InvalidParameter", arm.grant, access=access, seconds=seconds)


@pytest.mark.parametrize(("name", "value"), [("networkAccessPolicy", "DenyAll"), ("publicNetworkAccess", "Disabled")])
def test_a_disk_that_no_network_reaches(arm: Arm, name: str, value: str) -> None:
    arm.disk(**{name: value})
    assert name in refused(409, "OperationNotAllowed", arm.grant)


def test_an_active_url_keeps_a_disk(arm: Arm) -> None:
    arm.disk()
    arm.grant()
    told = refused(409, "OperationNotAllowed", arm.compute.disks.begin_delete, GROUP, "disk", **QUICK)
    assert "active shared access signature" in told
    # What was not uploaded as a whole is no VHD; the URL is taken back all the same.
    refused(0, "InvalidVhd", arm.revoke)
    arm.compute.disks.begin_delete(GROUP, "disk", **QUICK).result()
    refused(404, "ResourceNotFound", arm.compute.disks.get, GROUP, "disk")
    arm.compute.disks.begin_delete(GROUP, "disk", **QUICK).result()


def test_disks_that_are_made_twice(arm: Arm) -> None:
    first = arm.disk(osType="Linux")
    again = arm.disk(osType="Linux", tags={"a": "b"})
    assert (again.unique_id, again.tags) == (first.unique_id, {"a": "b"})
    told = refused(409, "PropertyChangeNotAllowed", arm.disk, **upload_of(SIZE + MIB + 512))
    assert "disk.creationData" in told


def test_changes(arm: Arm) -> None:
    arm.disk(creationData={"createOption": "Empty"}, diskSizeGB=1)
    body = {"tags": {"a": "b"}, "sku": {"name": "Premium_LRS"}, "properties": {"diskSizeGB": 2}}
    changed = arm.compute.disks.begin_update(GROUP, "disk", body, **QUICK).result()
    assert (changed.tags, changed.disk_size_bytes) == ({"a": "b"}, 2 * GIB)
    assert changed.sku is not None
    assert changed.sku.name == "Premium_LRS"
    assert arm.cloud.disk_file(changed.id or "").stat().st_size == 2 * GIB
    update = arm.compute.disks.begin_update
    refused(409, "OperationNotAllowed", update, GROUP, "disk", {"properties": {"diskSizeGB": 1}}, **QUICK)
    refused(404, "ResourceNotFound", update, GROUP, "other", {"tags": {}}, **QUICK)


def test_copies(arm: Arm) -> None:
    source = arm.uploaded(osType="Linux", hyperVGeneration="V2")
    copy = arm.disk("copy", creationData={"createOption": "Copy", "sourceResourceId": source.id}, diskSizeGB=1)
    assert copy.creation_data is not None
    assert copy.creation_data.source_unique_id == source.unique_id
    assert (copy.os_type, copy.hyper_v_generation, copy.disk_size_bytes) == ("Linux", "V2", GIB)
    file = arm.cloud.disk_file(copy.id or "")
    assert file.stat().st_size == GIB
    with file.open("rb") as opened:
        assert opened.read(512) == vhd()[0]
    arm.compute.disks.begin_delete(GROUP, "disk", **QUICK).result()
    assert file.exists()
    refused(404, "NotFound", arm.disk, "two", creationData={"createOption": "Copy", "sourceResourceId": source.id})
    arm.cloud.windows.denied_actions = ("Microsoft.Compute/disks/beginGetAccess/action",)
    refused(
        403,
        "LinkedAuthorizationFailed",
        arm.disk,
        "two",
        creationData={"createOption": "Copy", "sourceResourceId": copy.id},
    )


@pytest.mark.parametrize("place", ["eastus", PLACE])
def test_copies_that_cannot_be(arm: Arm, place: str) -> None:
    """Of a disk elsewhere, and of one that nothing was uploaded into yet."""
    source = arm.disk()
    code, status = ("BadRequest", 400) if place != PLACE else ("OperationNotAllowed", 409)
    made = {"creationData": {"createOption": "Copy", "sourceResourceId": source.id}, "location": place}
    refused(status, code, lambda: arm.disk("copy", **made))


def test_a_list_over_a_subscription_has_groups_in_capitals(arm: Arm) -> None:
    arm.disk()
    (found,) = arm.compute.disks.list()
    assert found.id == f"{COMPUTE}/disks/disk".replace(GROUP, GROUP.upper())
    (found,) = arm.compute.disks.list_by_resource_group(GROUP)
    assert found.id == f"{COMPUTE}/disks/disk"


def test_quotas(arm: Arm) -> None:
    arm.cloud.windows.quotas = (("StandardDiskCount", 1),)
    arm.disk()
    told = refused(409, "OperationNotAllowed", arm.disk, "second")
    assert "exceeding approved StandardDiskCount quota" in told
    usage = {one.name.value: (one.current_value, one.limit) for one in arm.compute.usage.list(PLACE)}
    assert usage["StandardDiskCount"] == (1, 1)
    refused(400, "InvalidParameter", lambda: list(arm.compute.usage.list("moon")))


def test_nothing_is_done_to_a_disk_that_is_being_made(arm: Arm) -> None:
    arm.cloud.windows.operation = 60
    body = {"location": PLACE, "properties": upload_of(SIZE + 512)}
    arm.compute.disks.begin_create_or_update(GROUP, "disk", body, polling=False)
    assert arm.compute.disks.get(GROUP, "disk").provisioning_state == "Updating"
    refused(409, "OperationNotAllowed", arm.grant)
    arm.cloud.hurry()
    assert arm.compute.disks.get(GROUP, "disk").disk_state == "ReadyToUpload"
