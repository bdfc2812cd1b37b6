# SPDX-License-Identifier: Apache-2.0
"""Uploads by either method: the bytes arrive whatever happens, nothing is sent twice, and nothing wrong is left."""

import os
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lkcloud.disk import Disk, open_disk
from lkcloud.errors import Conflict, Corrupt, ImageChanged, LkcloudError, NotFound, Refused, UnusableImage, UsageError
from lkcloud.provider import Run
from lkcloud_azure.pages import GAP, MOST, PAGE, Plan
from lkcloud_azure.sandbox import AzureStandIn, Seen
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.session import Session
from tests.azure.pushing import (
    MIB,
    DiskMaker,
    Noting,
    OtherMachine,
    assert_same_bytes,
    blobs,
    counted,
    cut_off,
    disks,
    drop,
    hook,
    lose_answers,
    noise,
    once,
    pages,
    refuse,
    upload,
)

FOOTER = 512
PARTS = 6
DATA = 5 * MOST + MIB
ARM = (
    "Disks.Get",
    "Disks.CreateOrUpdate",
    "Disks.GrantAccess",
    "Disks.RevokeAccess",
    "Operations.Get",
    "ResourceGroups.Get",
)
BLOB = ("StorageAccounts.List", "GetBlobProperties", "PutBlob", "CreateContainer", "SetBlobMetadata")
STEPS = [
    *(("disk", operation) for operation in (*ARM, "PutPage", "GetPageRanges")),
    *(("blob", operation) for operation in (*BLOB, "PutPage", "GetPageRanges")),
]
FAILED = ApiError(500, "InternalError", "The server encountered an internal error. Please retry the request.")

steps = pytest.mark.parametrize(("method", "operation"), STEPS)


@pytest.fixture(params=["disk", pytest.param("blob", marks=pytest.mark.long)])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def disk(make_disk: DiskMaker) -> Disk:
    """A disk of six parts, five of them 4 MiB and one a MiB, in two pieces."""
    return make_disk(40 * MIB, pieces={0: noise(1, 2 * MOST), 16 * MIB: noise(2, 3 * MOST + MIB)})


def left(azure: AzureStandIn) -> int:
    """Return how many uploads there are."""
    return len(disks(azure)) + len(blobs(azure))


NEAR = (GAP // 4096 + 1) * 4096
"""From one page with data to another with a gap that is sent."""
PIECES = 200

SHAPES: dict[str, tuple[int, dict[int, bytes]]] = {
    "one byte": (1, {0: b"\1"}),
    "one sector": (512, {0: b"\1" * 512}),
    "no whole sector": (MIB + 700, {MIB + 600: b"\1" * 100}),
    "no whole block": (21 * MIB + 4096 + 512, {21 * MIB: b"\1" * 4608}),
    "one byte in the last block": (24 * MIB - 3, {24 * MIB - 4: b"\1"}),
    "the smallest upload": (20 * MIB, {0: b"\1", 20 * MIB - 1: b"\1"}),
    "a whole number of MiB and one byte": (20 * MIB + 1, {20 * MIB: b"\1"}),
    "nothing but holes": (22 * MIB, {}),
    "nothing but zeros": (22 * MIB, {0: bytes(22 * MIB)}),
    "pieces far from each other": (64 * MIB, {n * (NEAR + 4096): bytes([n]) * 100 for n in range(1, PIECES + 1)}),
    "pieces near each other": (64 * MIB, {n * NEAR: bytes([n]) * 100 for n in range(1, PIECES + 1)}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_bytes_arrive(
    azure: AzureStandIn, session: Session, make_disk: DiskMaker, run: Run, tmp_path: Path, method: str, shape: str
) -> None:
    size, pieces = SHAPES[shape]
    disk = make_disk(size, pieces=pieces)
    blob = upload(session, disk, run, method=method)
    assert_same_bytes(azure, blob, disk, tmp_path)
    assert azure.traffic.received("PutPage") == run.tally.sent == Plan(disk).total + FOOTER


def test_what_is_there_is_not_sent_again(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str
) -> None:
    blob = upload(session, disk, run, method=method)
    azure.traffic.clear()
    reporter = Noting()
    assert upload(session, disk, replace(run, reporter=reporter), method=method) == blob
    with OtherMachine(tmp_path) as other:
        assert upload(session, disk, other, method=method) == blob
    assert counted(azure, "PutPage") == counted(azure, "Disks.CreateOrUpdate") == counted(azure, "PutBlob") == 0
    assert any("there already" in note for note in reporter.notes)
    assert left(azure) == 1


def test_the_footer_comes_when_all_else_is_there_and_seen_to_be(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, method: str
) -> None:
    seen: list[tuple[str, int]] = []
    for operation in ("PutPage", "GetPageRanges"):
        hook(azure, "after", operation, lambda one: seen.append((one.operation, one.received)), 99)
    upload(session, disk, run, method=method)
    assert seen[-3:] == [("GetPageRanges", 0), ("PutPage", FOOTER), ("GetPageRanges", 0)]
    assert sorted(seen[:-3]) == sorted([("PutPage", MOST)] * 5 + [("PutPage", MIB)])


def test_an_interrupted_upload_goes_on(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str
) -> None:
    cut_off(azure, session, disk, run, 3, method=method)
    assert counted(azure, "PutPage") == 3
    assert left(azure) == 1
    azure.traffic.clear()
    blob = upload(session, disk, run, method=method)
    assert counted(azure, "PutPage") == PARTS + 1 - 3
    assert counted(azure, "Disks.CreateOrUpdate") == counted(azure, "PutBlob") == 0
    assert_same_bytes(azure, blob, disk, tmp_path)
    assert left(azure) == 1


def test_another_machine_goes_on_and_trusts_no_bytes(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str
) -> None:
    cut_off(azure, session, disk, run, 3, method=method)
    held = pages(azure, method)
    held.write(0, b"\7" * MOST)  # by whomever: who has not sent it does not know
    azure.traffic.clear()
    with OtherMachine(tmp_path) as other:
        blob = upload(session, disk, other, method=method)
    assert counted(azure, "PutPage") == PARTS + 1
    assert counted(azure, "Disks.CreateOrUpdate") == counted(azure, "PutBlob") == 0
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_receipts_of_an_upload_that_is_gone_are_not_used(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str
) -> None:
    cut_off(azure, session, disk, run, 3, method=method)
    azure.reset()
    azure.traffic.clear()
    blob = upload(session, disk, run, method=method)
    assert counted(azure, "PutPage") == PARTS + 1
    assert_same_bytes(azure, blob, disk, tmp_path)


@steps
def test_a_lost_answer_costs_nothing(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str, operation: str
) -> None:
    lose_answers(azure, operation)
    blob = upload(session, disk, run, method=method)
    assert_same_bytes(azure, blob, disk, tmp_path)
    assert left(azure) == 1


@steps
def test_a_service_that_stumbles_is_asked_again(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str, operation: str
) -> None:
    refuse(azure, operation, FAILED)
    drop(azure, operation, skip=1)
    blob = upload(session, disk, run, method=method)
    assert_same_bytes(azure, blob, disk, tmp_path)
    assert left(azure) == 1


def test_a_service_that_is_asked_too_much_is_asked_again(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str
) -> None:
    for operation in ("PutPage", "GetPageRanges", "Disks.GrantAccess", "PutBlob"):
        azure.traffic.throttle(operation, 2)
    blob = upload(session, disk, run, method=method)
    assert_same_bytes(azure, blob, disk, tmp_path)
    assert left(azure) == 1


def test_a_pause_that_the_service_asks_for_is_kept(
    azure: AzureStandIn, session: Session, make_disk: DiskMaker, run: Run
) -> None:
    refuse(azure, "PutPage", ApiError(503, "ServerBusy", "The server is busy.", {"Retry-After": "1"}))
    began = time.monotonic()
    upload(session, make_disk(MIB, pieces={0: b"\1"}), run)
    assert time.monotonic() - began >= 1


def test_what_azure_lost_is_sent_again(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str
) -> None:
    lost = (16 * MIB + PAGE, 3 * PAGE)
    once(azure, "before", "GetPageRanges", lambda: pages(azure, method).clear(*lost))
    reporter = Noting()
    blob = upload(session, disk, replace(run, reporter=reporter), method=method)
    assert_same_bytes(azure, blob, disk, tmp_path)
    assert azure.traffic.received("PutPage") == DATA + lost[1] + FOOTER
    assert [note for note in reporter.notes if f"{lost[1]} bytes" in note]


def test_what_nobody_sent_becomes_zeros(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str
) -> None:
    def tamper(offset: int) -> None:
        pages(azure, method).write(offset, b"\7" * (2 * PAGE))

    # Before the first look, and before the one that is taken when the footer is there.
    for offset, skip in ((12 * MIB, 0), (39 * MIB, 0), (13 * MIB, 2)):
        once(azure, "before", "GetPageRanges", partial(tamper, offset), skip=skip)
    blob = upload(session, disk, run, method=method)
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_zeros_that_azure_does_not_hold_are_not_missed(
    azure: AzureStandIn, session: Session, make_disk: DiskMaker, run: Run, tmp_path: Path, method: str
) -> None:
    """Whether pages that were written as zeros are told as written is the service's affair."""
    disk = make_disk(24 * MIB, pieces={0: noise(1, 4096), GAP - 4096: noise(2, 4096)})
    once(azure, "before", "GetPageRanges", lambda: pages(azure, method).clear(8192, 4096))
    blob = upload(session, disk, run, method=method)
    assert_same_bytes(azure, blob, disk, tmp_path)
    assert counted(azure, "PutPage") == 2


def test_pages_that_are_lost_for_good_are_told_and_nothing_is_made_of_it(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, method: str
) -> None:
    for skip in (0, 1):
        once(azure, "before", "GetPageRanges", lambda: pages(azure, method).clear(4096, PAGE), skip=skip)
    with pytest.raises(Corrupt, match="at byte 4096"):
        upload(session, disk, run, method=method)
    held = pages(azure, method)
    assert held.ranges(held.size - FOOTER) == []  # no footer, so it is no disk
    assert upload(session, disk, run, method=method).state in ("Unattached", "complete")


def test_bytes_that_change_on_the_way_are_sent_again(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str
) -> None:
    refuse(azure, "PutPage", ApiError(400, "Crc64Mismatch", "The CRC64 value did not match"), 2)
    blob = upload(session, disk, run, method=method)
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_a_service_that_takes_no_checksums_gets_none(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str
) -> None:
    error = ApiError(400, "UnsupportedHeader", "One of the HTTP headers specified in the request is not supported.")
    refuse(azure, "PutPage", error)
    blob = upload(session, disk, run, method=method, workers=1)
    assert_same_bytes(azure, blob, disk, tmp_path)
    assert counted(azure, "PutPage") == PARTS + 2  # the one that was refused was sent once more


def test_a_long_list_of_ranges_comes_in_pieces(
    azure: AzureStandIn, session: Session, make_disk: DiskMaker, run: Run, tmp_path: Path, method: str
) -> None:
    azure.windows.page_ranges = 7
    size, pieces = SHAPES["pieces far from each other"]
    disk = make_disk(size, pieces=pieces)
    blob = upload(session, disk, run, method=method)
    assert_same_bytes(azure, blob, disk, tmp_path)
    assert counted(azure, "PutPage") == PIECES + 1
    assert counted(azure, "GetPageRanges") == 2 * -(-PIECES // 7)


def change(disk: Disk) -> None:
    """Write to the file of DISK so that it is to be seen at once."""
    with disk.path.open("r+b") as file:
        file.seek(1000)
        file.write(b"changed")
    os.utime(disk.path, ns=(1, 1))


@pytest.mark.parametrize("skip", [0, 3, PARTS])
def test_a_disk_that_changes_leaves_nothing(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str, skip: int
) -> None:
    once(azure, "before", "PutPage" if skip < PARTS else "GetPageRanges", lambda: change(disk), skip=skip % PARTS)
    with pytest.raises(ImageChanged):
        upload(session, disk, run, method=method)
    assert left(azure) == 0
    with open_disk(disk.path) as changed:
        blob = upload(session, changed, run, method=method)
        assert_same_bytes(azure, blob, changed, tmp_path)


def test_two_runs_of_one_machine_do_not_meet(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, method: str
) -> None:
    errors: list[LkcloudError] = []

    def other() -> None:
        try:
            upload(session, disk, run, method=method)
        except LkcloudError as error:
            errors.append(error)

    def meet() -> None:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    once(azure, "before", "PutPage", meet)
    upload(session, disk, run, method=method)
    assert [type(error) for error in errors] == [Conflict]


def test_two_machines_make_one_upload(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path, method: str
) -> None:
    """Either may be the first to finish; the other one then has what it would have made."""
    found: list[object] = []

    def other() -> None:
        with OtherMachine(tmp_path) as machine:
            found.append(upload(session, disk, machine, method=method))

    def meet() -> None:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    once(azure, "after", "PutPage", meet, skip=2)
    blob = upload(session, disk, run, method=method)
    assert found == [blob]
    assert_same_bytes(azure, blob, disk, tmp_path)
    assert left(azure) == 1


def test_the_resource_group_is_made_where_it_is_missing(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, method: str
) -> None:
    refuse(azure, "ResourceGroups.Get", ApiError(404, "ResourceGroupNotFound", "It could not be found."), skip=1)
    blob = upload(session, disk, run, method=method, tag=("team=os",))
    group = azure.holdings.groups["lkcloud"]
    assert blob.region == group.location == "westeurope"
    assert group.tags == {"team": "os"}
    assert counted(azure, "ResourceGroups.Get") == 3  # it was not to be seen at once
    with pytest.raises(UsageError, match="no region"):
        upload(session, disk, run, method=method, resource_group="other", location=None)


def test_an_empty_disk_is_refused(
    azure: AzureStandIn, session: Session, make_disk: DiskMaker, run: Run, method: str
) -> None:
    with pytest.raises(UnusableImage, match="empty"):
        upload(session, make_disk(0), run, method=method)
    assert left(azure) == 0


def test_bytes_that_cannot_be_written_are_told_with_the_reason(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, method: str
) -> None:
    error = ApiError(403, "AuthorizationFailure", "This request is not authorized to perform this operation.")
    refuse(azure, "PutPage", error, 99)
    with pytest.raises(Refused, match="not authorized") as caught:
        upload(session, disk, run, method=method)
    assert caught.value.hint
    assert left(azure) == 1  # for the next run


def test_an_upload_that_is_taken_away_is_told(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, method: str
) -> None:
    def remove(one: Seen) -> None:
        del one
        azure.reset()

    hook(azure, "before", "PutPage", remove, 1, skip=2)
    with pytest.raises((Conflict, NotFound)):
        upload(session, disk, run, method=method)
    assert left(azure) == 0
