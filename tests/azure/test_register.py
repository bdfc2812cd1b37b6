# SPDX-License-Identifier: Apache-2.0
"""Managed images: made once, with all that the options say, whatever happens; the upload goes when it is done with."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lkcloud.disk import Disk
from lkcloud.errors import Conflict, LkcloudError, NotFound, Refused, Unreachable, UsageError
from lkcloud.provider import Blob, Run
from lkcloud.transfer.journal import Journal
from lkcloud_azure import images, leftovers, naming
from lkcloud_azure.register import register
from lkcloud_azure.sandbox import AzureStandIn, Seen
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.page_file import PageFile
from lkcloud_azure.session import Session
from tests.azure.imaging import (
    DIGEST,
    GROUP,
    OPERATION,
    OTHER_DIGEST,
    SIZE,
    Interrupting,
    Statuses,
    account_options,
    close_disk,
    ended,
    hold_image,
    is_there,
    open_disk_for_reading,
    options_of,
    put_blob,
    put_disk,
    registered,
    source_of,
    wait_for,
)
from tests.azure.pushing import Noting, blobs, counted, lose_answers, once, refuse

KEY = (
    "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/lkcloud/providers/Microsoft.Compute"
    "/diskEncryptionSets/keys"
)


@pytest.fixture
def blob(azure: AzureStandIn) -> Blob:
    return put_disk(azure)


def shown(session: Session, name: str = "image") -> Any:
    return session.compute.images.get(GROUP, name)


def test_an_image_with_nothing_left_to_defaults(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    image = registered(session, disk, blob, run, tag=("team=os",))
    place = f"/subscriptions/{session.subscription}/resourceGroups/lkcloud/providers/Microsoft.Compute/images/image"
    assert (image.id, image.name, image.kind, image.region) == (place, "image", "managed-image", "westeurope")
    assert (image.state, image.ready, image.digest, image.architecture) == ("Succeeded", True, DIGEST, "x64")
    assert image.created is not None
    assert abs(datetime.now(UTC) - image.created) < timedelta(minutes=5)
    assert image.blobs == ()
    found = shown(session)
    tags = dict(found.tags)
    assert tags.pop("lkcloud-created") == image.created.isoformat()
    assert tags == {"team": "os", **naming.tags_of("image", DIGEST)}
    assert found.properties.hyper_v_generation == "V2"
    os_disk = found.properties.storage_profile.os_disk
    assert (os_disk.os_type, os_disk.os_state, os_disk.managed_disk.id) == ("Linux", "Generalized", blob.id)
    assert os_disk.disk_encryption_set is None
    with azure.image_file(image.id).open("rb") as file:
        file.seek(SIZE - 4096)
        assert file.read(14) == b"lkcloudlkcloud"


def test_every_option_reaches_the_image(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    blob = put_disk(azure, generation="V1")
    chosen = {"hyper_v_generation": "V1", "os_type": "Windows", "disk_encryption_set": KEY, "tag": ("a=b", "c=d")}
    registered(session, disk, blob, run, **chosen)
    found = shown(session)
    assert found.properties.hyper_v_generation == "V1"
    assert found.properties.storage_profile.os_disk.os_type == "Windows"
    assert found.properties.storage_profile.os_disk.disk_encryption_set.id == KEY
    assert (found.tags["a"], found.tags["c"]) == ("b", "d")


def test_an_image_of_a_page_blob(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    blob = put_blob(session, azure)
    image = register(session, account_options(), source_of(disk), blob, run)
    assert image.ready
    found = shown(session)
    assert found.properties.storage_profile.os_disk.blob_uri == blob.id
    assert found.properties.hyper_v_generation == "V2"
    assert azure.image_file(image.id).stat().st_size == SIZE
    assert blobs(azure) == []


def test_the_upload_goes_when_the_image_is_there(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    registered(session, disk, blob, run)
    assert not is_there(azure, blob)


def test_the_upload_stays_if_it_is_to_be_kept(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    assert [one.kept for one in leftovers.leftovers(session, options_of(), "image")] == [False]
    registered(session, disk, blob, run, keep_upload=True)
    assert is_there(azure, blob)
    [left] = leftovers.leftovers(session, options_of(), "image")
    assert (left.id, left.name, left.kept) == (blob.id, "image", True)


def test_a_page_blob_stays_as_well(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    blob = put_blob(session, azure)
    chosen = {"method": "blob", "storage_account": "lkcloudsandbox"}
    registered(session, disk, blob, run, keep_upload=True, **chosen)
    [left] = leftovers.leftovers(session, account_options(), "image")
    assert (left.id, left.state, left.kept) == (blob.id, "complete", True)


def test_an_upload_that_cannot_be_marked_as_kept_is_told(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    refuse(azure, "Disks.Update", ApiError(403, "AuthorizationFailed", "The client does not have authorization."))
    noting = Noting()
    assert registered(session, disk, blob, Run(run.journal, noting), keep_upload=True).ready
    [warning] = noting.warnings
    assert "is not marked as kept" in warning


def test_an_upload_that_may_not_be_removed_is_told(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    azure.windows.denied_actions = ("Microsoft.Compute/disks/delete",)
    noting = Noting()
    assert registered(session, disk, blob, Run(run.journal, noting)).ready
    [warning] = noting.warnings
    assert blob.id in warning
    assert "left behind" in warning


def test_again_gives_the_same_image(azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    first = registered(session, disk, blob, run)
    assert registered(session, disk, blob, run) == first
    assert counted(azure, "Images.CreateOrUpdate") == 1


def test_an_image_deleted_can_be_made_again(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    images.delete(session, registered(session, disk, blob, run, keep_upload=True))
    assert registered(session, disk, blob, run, keep_upload=True).ready
    assert counted(azure, "Images.CreateOrUpdate") == 2


@pytest.mark.parametrize("operation", ["Images.CreateOrUpdate", "Images.Get", OPERATION, "Disks.Delete"])
def test_a_lost_answer_makes_one_image(
    operation: str, azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    lose_answers(azure, operation)
    assert registered(session, disk, blob, run).ready
    assert [image.name for image in images.every(session, options_of())] == ["image"]
    assert not is_there(azure, blob)


def test_throttles_are_waited_out(azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    azure.traffic.throttle("Images.Get", 2)
    azure.traffic.throttle("Images.CreateOrUpdate", 3)
    assert registered(session, disk, blob, run).ready
    assert counted(azure, "Images.CreateOrUpdate") == 4


def test_a_throttle_that_outlasts_the_patience_with_one_request_is_waited_out(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    """Azure may ask to wait for longer than one request is tried: the time for the image is what counts then."""
    long = ApiError(429, "OperationNotAllowed", "The server rejected the request.", {"Retry-After": "1000"})
    refuse(azure, "Images.CreateOrUpdate", long, times=99)
    brief, statuses = options_of().model_copy(update={"image_timeout": 0.005}), Statuses()  # minutes
    with pytest.raises(Unreachable, match="not done"):
        register(session, brief, source_of(disk), blob, Run(run.journal, statuses))
    assert statuses.seen == ["throttled by Azure, waiting"] * 2
    assert is_there(azure, blob)
    azure.traffic.hooks.clear()
    assert registered(session, disk, blob, run).ready


def test_ctrl_c_leaves_the_making_and_the_next_run_goes_on_with_it(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    azure.windows.image = 0.5
    with pytest.raises(KeyboardInterrupt):
        registered(session, disk, blob, Run(run.journal, Interrupting()))
    assert is_there(azure, blob)
    found = images.find(session, options_of(), "image")
    assert found is not None
    assert (found.state, found.ready, found.digest) == ("Creating", False, DIGEST)
    assert registered(session, disk, blob, run).ready
    assert counted(azure, "Images.CreateOrUpdate") == 1
    assert not is_there(azure, blob)


def test_the_failure_of_a_making_that_another_run_began_is_told_and_it_is_made_again(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    """The image says that it has failed; why, the operation says, whose handle the journal has."""
    open_disk_for_reading(session, blob)
    with pytest.raises(KeyboardInterrupt):
        registered(session, disk, blob, Run(run.journal, Interrupting()))
    wait_for(lambda: state_of(session) == "Failed")
    close_disk(session, blob)
    noting = Noting()
    assert registered(session, disk, blob, Run(run.journal, noting)).ready
    [warning] = noting.warnings
    assert "internal execution error" in warning
    assert "made again" in warning
    assert counted(azure, "Images.CreateOrUpdate") == 2


def state_of(session: Session) -> str:
    found = images.find(session, options_of(), "image")
    return found.state if found else ""


def fail(azure: AzureStandIn, name: str = "image") -> None:
    hold_image(azure, name, state="Failed")


def test_another_machine_waits_for_the_image_without_the_journal(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run, tmp_path: Path
) -> None:
    azure.windows.image = 0.5
    with pytest.raises(KeyboardInterrupt):
        registered(session, disk, blob, Run(run.journal, Interrupting()))
    with Journal.open(tmp_path / "other" / "journal.db") as journal:
        assert registered(session, disk, blob, Run(journal)).ready
    assert counted(azure, "Images.CreateOrUpdate") == 1


def test_an_operation_that_azure_has_forgotten(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    azure.windows.image = 0.5
    with pytest.raises(KeyboardInterrupt):
        registered(session, disk, blob, Run(run.journal, Interrupting()))
    refuse(azure, OPERATION, ApiError(404, "ResourceNotFound", "The operation was not found."), times=1)
    assert registered(session, disk, blob, run).ready
    assert counted(azure, "Images.CreateOrUpdate") == 1


def test_an_image_that_has_failed_makes_room(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    fail(azure)
    noting = Noting()
    assert registered(session, disk, blob, Run(run.journal, noting)).ready
    assert counted(azure, "Images.Delete") == 1
    assert len(noting.warnings) == 1


def test_a_making_that_fails_is_done_once_more(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    open_disk_for_reading(session, blob)
    once(azure, "before", "Images.CreateOrUpdate", lambda: close_disk(session, blob), skip=1)
    noting = Noting()
    assert registered(session, disk, blob, Run(run.journal, noting)).ready
    assert counted(azure, "Images.CreateOrUpdate") == 2
    assert counted(azure, "Images.Delete") == 1
    assert len(noting.warnings) == 1


def test_a_making_that_fails_twice_is_told_and_leaves_no_image(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    open_disk_for_reading(session, blob)
    with pytest.raises(Refused, match="internal execution error"):
        registered(session, disk, blob, run)
    assert images.find(session, options_of(), "image") is None
    assert is_there(azure, blob)
    assert counted(azure, "Images.CreateOrUpdate") == 2
    close_disk(session, blob)
    assert registered(session, disk, blob, run).ready


def test_a_failure_without_a_reason(azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    once(azure, "after", "Images.CreateOrUpdate", lambda: fail(azure))
    ended(azure, "", "", status="Canceled")
    noting = Noting()
    assert registered(session, disk, blob, Run(run.journal, noting)).ready
    [warning] = noting.warnings
    assert "it ended as Canceled, and Azure gives no reason" in warning


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("QuotaExceeded", "Operation could not be completed as it results in exceeding approved quota."),
        ("InvalidParameter", "The specified encryption set is not of this region."),
    ],
)
def test_what_would_fail_again_is_not_made_again(
    code: str, message: str, azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    once(azure, "after", "Images.CreateOrUpdate", lambda: fail(azure))
    ended(azure, code, message)
    with pytest.raises(LkcloudError):
        registered(session, disk, blob, run)
    assert counted(azure, "Images.CreateOrUpdate") == 1
    assert images.find(session, options_of(), "image") is None
    assert is_there(azure, blob)


def test_a_vhd_that_azure_cannot_use_is_told_and_removed(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    """A page blob without a footer: the next run uploads it anew."""
    blob = put_blob(session, azure)
    contents = blobs(azure)[0].contents
    assert isinstance(contents, PageFile)
    contents.clear(SIZE, 512)
    with pytest.raises(Refused, match="VHD"):
        register(session, account_options(), source_of(disk), blob, run)
    assert blobs(azure) == []
    assert images.find(session, options_of(), "image") is None


def test_the_time_limit_leaves_the_making_at_work(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    azure.windows.image = 1.0
    short = options_of().model_copy(update={"image_timeout": 0.003})  # minutes
    with pytest.raises(Unreachable, match="not done") as raised:
        register(session, short, source_of(disk), blob, run)
    assert "goes on at Azure" in raised.value.hint
    assert is_there(azure, blob)
    assert registered(session, disk, blob, run).ready
    assert counted(azure, "Images.CreateOrUpdate") == 1


def test_a_name_with_other_content_is_a_conflict(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    registered(session, disk, blob, run)
    other = put_disk(azure, digest=OTHER_DIGEST)
    with pytest.raises(Conflict, match="other content") as raised:
        registered(session, disk, other, run, digest=OTHER_DIGEST)
    assert "--replace" in raised.value.hint
    assert is_there(azure, other)


def test_an_image_that_is_not_ours_is_a_conflict(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    hold_image(azure, digest="")
    with pytest.raises(Conflict):
        registered(session, disk, blob, run)


def test_two_runs_at_once_make_one_image(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    """Both have looked and seen nothing when both ask for the image; the one that comes second joins."""
    gate = threading.Barrier(2, timeout=10)
    met: list[int] = []

    def together(seen: Seen) -> None:
        if seen.phase == "before" and seen.operation == "Images.CreateOrUpdate" and len(met) < 2:
            met.append(seen.number)
            gate.wait()

    azure.traffic.hooks.append(together)  # type: ignore[arg-type]
    azure.windows.image = 0.3
    made: list[str] = []

    def other() -> None:
        made.append(registered(session, disk, blob, run, keep_upload=True).state)

    thread = threading.Thread(target=other)
    thread.start()
    made.append(registered(session, disk, blob, run, keep_upload=True).state)
    thread.join()
    assert made == ["Succeeded", "Succeeded"]
    assert counted(azure, "Images.CreateOrUpdate") == 2
    assert len(images.every(session, options_of())) == 1


def test_an_image_on_its_way_out_is_waited_for(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    old = hold_image(azure, state="Deleting")
    timer = threading.Timer(0.3, azure.holdings.forget, [old])
    timer.start()
    assert registered(session, disk, blob, run).ready
    timer.join()


def test_azure_says_for_a_while_that_what_was_deleted_is_there(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    lag = ApiError(409, "Conflict", "The request failed due to conflict with a concurrent request.")
    refuse(azure, "Images.CreateOrUpdate", lag, times=2)
    assert registered(session, disk, blob, run).ready
    assert counted(azure, "Images.CreateOrUpdate") == 3


def test_an_image_that_is_not_to_be_seen_at_once_is_waited_for(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    gone = ApiError(404, "ResourceNotFound", "The Resource 'Microsoft.Compute/images/image' was not found.")
    refuse(azure, "Images.Get", gone, times=2)
    assert registered(session, disk, blob, run).ready
    assert counted(azure, "Images.CreateOrUpdate") == 1


def test_a_disk_that_is_gone_is_told(azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    session.compute.disks.begin_delete(GROUP, blob.id.rpartition("/")[2], polling=False)
    azure.windows.operation = 0.0
    with pytest.raises(NotFound):
        registered(session, disk, blob, run)


@pytest.mark.parametrize(
    ("error", "expected", "hint"),
    [
        (ApiError(400, "InvalidParameter", "The value of parameter x is invalid."), UsageError, "option"),
        (
            ApiError(
                403,
                "AuthorizationFailed",
                "The client does not have authorization to perform action 'Microsoft.Compute/images/write' over scope"
                " '/subscriptions/s' or the scope is invalid.",
            ),
            Refused,
            "Microsoft.Compute/images/write",
        ),
    ],
)
def test_what_azure_refuses_is_told_and_the_upload_kept(
    error: ApiError,
    expected: type[LkcloudError],
    hint: str,
    azure: AzureStandIn,
    session: Session,
    disk: Disk,
    blob: Blob,
    run: Run,
) -> None:
    refuse(azure, "Images.CreateOrUpdate", error)
    with pytest.raises(expected) as raised:
        registered(session, disk, blob, run)
    assert hint in raised.value.hint
    assert is_there(azure, blob)
    assert registered(session, disk, blob, run).ready


def test_the_family_of_a_managed_image_is_a_tag(session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    image = registered(session, disk, blob, run, family="my-os")
    assert (image.family, dict(image.tags)[naming.FAMILY]) == ("my-os", "my-os")
