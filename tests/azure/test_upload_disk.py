# SPDX-License-Identifier: Apache-2.0
"""Managed disks made for an upload: what they are, who they belong to, how their URLs end, how they are closed."""

from dataclasses import replace
from pathlib import Path

import pytest
import urllib3

from lkcloud.disk import Disk
from lkcloud.errors import Conflict, LkcloudError, Refused
from lkcloud.provider import Run
from lkcloud_azure import managed_disks, naming
from lkcloud_azure.managed_disks import READY, UNATTACHED, UPLOADING
from lkcloud_azure.naming import COMPUTE, ResourceId
from lkcloud_azure.pages import MOST
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.cloud import SUBSCRIPTION, Group
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.session import Session
from tests.azure.pushing import (
    MIB,
    DiskMaker,
    Noting,
    assert_same_bytes,
    counted,
    cut_off,
    disks,
    noise,
    once,
    pages,
    refuse,
    upload,
)

PARTS = 6
FOOTER = 512
GROUP = "lkcloud"
FORBIDDEN = ApiError(403, "AuthorizationFailed", "The client does not have authorization to perform action 'x'.")
ENDED = ApiError(403, "AuthenticationFailed", "Server failed to authenticate the request.")


@pytest.fixture
def disk(make_disk: DiskMaker) -> Disk:
    """A disk of six parts, the last one of a MiB."""
    return make_disk(40 * MIB, pieces={0: noise(1, 2 * MOST), 16 * MIB: noise(2, 3 * MOST + MIB)})


def where(disk: Disk, name: str = "image", group: str = GROUP) -> ResourceId:
    return ResourceId(SUBSCRIPTION, group, COMPUTE, ("disks",), (naming.upload_name(name, disk.content().digest),))


def test_the_disk_is_what_was_asked_for_and_closed(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    key = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/lkcloud/providers/Microsoft.Compute/diskEncryptionSets/keys"
    blob = upload(
        session,
        disk,
        run,
        architecture="Arm64",
        hyper_v_generation="V2",
        tag=("team=os",),
        disk_encryption_set=key,
    )
    (made,) = disks(azure)
    shown = made.properties()
    assert blob.id == str(made.id) == str(where(disk))
    assert (blob.kind, blob.region, blob.state) == ("disk", "westeurope", UNATTACHED)
    assert made.size == 40 * MIB
    assert made.sku == "Standard_LRS"
    assert made.tags == naming.tags_of("image", disk.content().digest, {"team": "os"})
    assert shown["creationData"] == {"createOption": "Upload", "uploadSizeBytes": 40 * MIB + FOOTER}
    assert (shown["osType"], shown["hyperVGeneration"]) == ("Linux", "V2")
    assert shown["supportedCapabilities"] == {"architecture": "Arm64", "diskControllerTypes": "SCSI, NVMe"}
    assert shown["encryption"] == {"diskEncryptionSetId": key}
    # The URL that it was written by is good for nothing any more.
    with urllib3.PoolManager(ca_certs=session.ca) as http:
        answer = http.request("GET", made.url, headers={"x-ms-version": "2020-10-02"})
    assert answer.status == 403


def test_the_region_is_that_of_the_resource_group_if_none_is_given(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    with azure.holdings.lock:
        azure.holdings.groups["elsewhere"] = Group("elsewhere", "northeurope", {})
    blob = upload(session, disk, run, location=None, resource_group="elsewhere")
    assert blob.region == disks(azure)[0].location == "northeurope"


def test_a_url_that_has_ended_is_asked_for_again(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path
) -> None:
    once(azure, "after", "PutPage", lambda: azure.holdings.blobs.grants.revoke(pages(azure, "disk")), skip=2)
    blob = upload(session, disk, run)
    assert counted(azure, "Disks.GrantAccess") == 2
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_a_url_that_is_never_taken_is_told(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    refuse(azure, "PutPage", ENDED, 99)
    with pytest.raises(LkcloudError, match="failed to authenticate"):
        upload(session, disk, run, workers=1)
    assert counted(azure, "PutPage") == 1  # there is no other URL as long as Azure takes this one for good


def test_the_next_run_closes_what_the_last_one_could_not(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path
) -> None:
    refuse(azure, "Disks.RevokeAccess", FORBIDDEN)
    with pytest.raises(Refused, match="authorization"):
        upload(session, disk, run)
    assert disks(azure)[0].disk_state == UPLOADING
    azure.traffic.clear()
    blob = upload(session, disk, run)
    assert azure.traffic.received("PutPage") == FOOTER  # the pages are there, by journal and by ranges
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_what_another_hand_tried_to_close_is_gone_on_with(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path
) -> None:
    """Azure closes no disk without a footer, so one that is closed is whole."""
    cut_off(azure, session, disk, run, 3)
    with pytest.raises(LkcloudError, match="cookie"):
        managed_disks.revoke(session, where(disk))
    azure.traffic.clear()
    blob = upload(session, disk, run)
    assert counted(azure, "PutPage") == PARTS + 1 - 3
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_a_disk_that_another_run_closes_meanwhile_is_taken(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    def close() -> None:
        managed_disks.revoke(session, where(disk))

    once(azure, "after", "GetPageRanges", close, skip=1)  # when all is written, and before we do it
    assert upload(session, disk, run).state == UNATTACHED


def test_a_disk_of_another_image_is_left_alone(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    cut_off(azure, session, disk, run, 1)
    (made,) = disks(azure)
    with azure.holdings.lock:
        made.tags = {**made.tags, naming.NAME: "other"}
    before = made.described()
    with pytest.raises(Conflict, match="none of this image"):
        upload(session, disk, run)
    assert disks(azure)[0].described() == before


@pytest.mark.parametrize(
    "change", [{"hyper_v_generation": "V2"}, {"architecture": "Arm64"}, {"disk_controller_type": ("SCSI",)}]
)
def test_a_disk_that_would_be_another_now_is_made_anew(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, change: dict[str, object]
) -> None:
    same = {"hyper_v_generation": "V1", "architecture": "x64", "disk_controller_type": ("SCSI", "NVMe")}
    cut_off(azure, session, disk, run, 3, **same)
    (begun,) = disks(azure)
    azure.traffic.clear()
    blob = upload(session, disk, run, **{**same, **change})
    assert disks(azure)[0].unique != begun.unique
    assert counted(azure, "PutPage") == PARTS + 1
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_azures_word_for_a_controller_may_be_another(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    cut_off(azure, session, disk, run, 3, hyper_v_generation="V2")
    (begun,) = disks(azure)
    begun.sent = {**begun.sent, "supportedCapabilities": {"architecture": "x64", "diskControllerTypes": "NVME, SCSI"}}
    upload(session, disk, run, hyper_v_generation="V2")
    assert disks(azure)[0].unique == begun.unique


def test_a_disk_that_is_not_to_be_seen_at_once_is_waited_for(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    refuse(azure, "Disks.Get", ApiError(404, "ResourceNotFound", "The resource was not found."), skip=1)
    assert upload(session, disk, run).state == UNATTACHED


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("PutPage", ApiError(403, "AuthorizationFailure", "This request is not authorized to perform this operation.")),
        (
            "Disks.GrantAccess",
            ApiError(409, "OperationNotAllowed", "Access not permitted: the networkAccessPolicy is DenyAll."),
        ),
    ],
)
def test_a_disk_that_is_closed_to_this_network_is_told(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, operation: str, error: ApiError
) -> None:
    refuse(azure, operation, error, 99)
    with pytest.raises(Refused) as raised:
        upload(session, disk, run)
    assert "private endpoint" in raised.value.hint
    assert "--method blob" in raised.value.hint


def test_a_disk_that_could_not_be_made_is_made_anew(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path
) -> None:
    cut_off(azure, session, disk, run, 3)
    (begun,) = disks(azure)
    begun.state = "Failed"
    blob = upload(session, disk, run)
    assert disks(azure)[0].unique != begun.unique
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_a_disk_that_is_still_being_made_is_waited_for(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path
) -> None:
    cut_off(azure, session, disk, run, 3)
    (begun,) = disks(azure)
    begun.state = "Updating"

    def made() -> None:
        begun.state = "Succeeded"

    once(azure, "after", "Disks.Get", made)
    blob = upload(session, disk, run)
    assert disks(azure)[0].unique == begun.unique
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_a_disk_that_changes_is_kept_if_another_run_has_closed_it(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    once(azure, "after", "GetPageRanges", lambda: disk.path.write_bytes(b""), skip=1)
    blob = upload(session, disk, run)  # all was written before
    assert blob.state == UNATTACHED
    assert [made.disk_state for made in disks(azure)] == [UNATTACHED]


def test_deleting_a_disk_whatever_its_state(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    place = where(disk)
    managed_disks.delete(session, place)  # there is none
    cut_off(azure, session, disk, run, 2)
    assert disks(azure)[0].disk_state == UPLOADING
    managed_disks.delete(session, place)
    assert disks(azure) == []
    refuse(azure, "Disks.GrantAccess", FORBIDDEN)
    with pytest.raises(Refused):
        upload(session, disk, run)
    assert disks(azure)[0].disk_state == READY
    managed_disks.delete(session, place)
    upload(session, disk, run)
    managed_disks.delete(session, place)
    assert disks(azure) == []


def test_the_user_is_told_what_was_not_as_it_was_sent(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    reporter = Noting()
    once(azure, "before", "GetPageRanges", lambda: pages(azure, "disk").write(39 * MIB, b"\7" * 512))
    upload(session, disk, replace(run, reporter=reporter))
    name = where(disk).names[0]
    assert reporter.notes == [f"512 bytes of the disk {name} are not what was sent: they are written again"]
