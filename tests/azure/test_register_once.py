# SPDX-License-Identifier: Apache-2.0
"""Managed images: made once, whatever happens: again, stopped, failed, refused, or made by two runs."""

import threading
from pathlib import Path

import pytest

from lkcloud.disk import Disk
from lkcloud.errors import Conflict, LkcloudError, NotFound, Refused, Unreachable, UsageError
from lkcloud.provider import Blob, Run
from lkcloud.transfer.journal import Journal
from lkcloud_azure import images
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


@pytest.fixture
def blob(azure: AzureStandIn) -> Blob:
    return put_disk(azure)


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
