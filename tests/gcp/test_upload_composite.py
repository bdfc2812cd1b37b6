# SPDX-License-Identifier: Apache-2.0
"""Parts and what is composed of them: gone on with, checked, and nothing left of them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lkcloud.disk import Disk, open_disk
from lkcloud.errors import Conflict, Corrupt, ImageChanged, Refused
from lkcloud.provider import Run
from lkcloud.sandbox.http import Response
from lkcloud.transfer.journal import Journal
from lkcloud_gcp import naming, objects
from lkcloud_gcp.sandbox import GcpStandIn, Seen
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.session import Session
from lkcloud_gcp.tarball import PART
from tests.gcp.pushing import (
    BUCKET,
    KEY,
    MIB,
    DiskMaker,
    Noting,
    OtherMachine,
    answer,
    assert_same_bytes,
    counted,
    cut_off,
    drop,
    lose_answers,
    names,
    refuse,
    shown,
    upload,
)

PARTS = 5
BUSY = ApiError(503, "backendError", "Backend Error", "ServiceUnavailable")
STORAGE = ("objects.put", "objects.compose", "objects.list", "objects.get", "objects.delete", "batch", "buckets.get")


@pytest.fixture
def disk(make_disk: DiskMaker) -> Disk:
    """A disk of five parts that hardly compress, the last one short."""
    return make_disk(20 * MIB, blocks=tuple(range(1, 39)))


def folder(disk: Disk) -> str:
    return naming.parts_folder("lkcloud/", "image", disk.content().digest)


def parts_there(gcp: GcpStandIn) -> list[str]:
    return [name for name in names(gcp) if ".parts/" in name]


def test_parts_are_sent_once_and_removed(gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run) -> None:
    upload(session, disk, run)
    assert counted(gcp, "objects.put") == PARTS + 1  # and the trailer
    assert counted(gcp, "objects.compose") == 1
    assert parts_there(gcp) == []


def test_more_parts_than_one_compose_takes(
    gcp: GcpStandIn, session: Session, bucket: str, make_disk: DiskMaker, run: Run, tmp_path: Path
) -> None:
    disk = make_disk(34 * PART, pieces={0: b"sixteen letters." * (34 * PART // 16)})
    gcp.windows.objects_page = 7
    blob = upload(session, disk, run)
    assert counted(gcp, "objects.put") == 36
    assert counted(gcp, "objects.compose") == 3
    assert parts_there(gcp) == []
    assert_same_bytes(gcp, blob, disk, tmp_path)


def test_an_interrupted_upload_goes_on(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    cut_off(session, disk, run, 2 * PART)
    before = len(parts_there(gcp))
    assert before >= 2
    gcp.traffic.clear()
    blob = upload(session, disk, run)
    assert counted(gcp, "objects.put") == PARTS + 1 - before
    assert_same_bytes(gcp, blob, disk, tmp_path)


def test_another_machine_goes_on_with_another_level(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    cut_off(session, disk, run, 2 * PART, compression_level=1)
    before = len(parts_there(gcp))
    gcp.traffic.clear()
    with OtherMachine(tmp_path) as other:
        blob = upload(session, disk, other, compression_level=6)
    assert counted(gcp, "objects.put") == PARTS + 1 - before
    assert_same_bytes(gcp, blob, disk, tmp_path)


@pytest.mark.parametrize("operation", STORAGE)
def test_a_lost_answer_costs_nothing(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path, operation: str
) -> None:
    lose_answers(gcp, operation, 2, skip=1 if operation == "objects.put" else 0)
    blob = upload(session, disk, run)
    assert_same_bytes(gcp, blob, disk, tmp_path)
    assert len(names(gcp)) == 1


@pytest.mark.parametrize("operation", STORAGE)
def test_a_service_that_stumbles_is_asked_again(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path, operation: str
) -> None:
    refuse(gcp, operation, BUSY)
    drop(gcp, operation, skip=1)
    gcp.traffic.throttle(operation, 2)
    blob = upload(session, disk, run)
    assert_same_bytes(gcp, blob, disk, tmp_path)
    assert len(names(gcp)) == 1


def test_bytes_damaged_on_the_way_are_sent_again(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    refuse(gcp, "objects.put", ApiError(400, "invalid", "The CRC32C you specified did not match", "BadDigest"))
    upload(session, disk, run)
    assert counted(gcp, "objects.put") == PARTS + 2


def test_two_runs_that_meet_make_one_object(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, tmp_path: Path
) -> None:
    together = threading.Barrier(2)

    def one(number: int) -> str:
        with Journal.open(tmp_path / str(number) / "journal.db") as journal, open_disk(disk.path) as own:
            own.content()
            together.wait()
            return upload(session, own, Run(journal), workers=2, compression_level=number).id

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(one, (1, 2)))
    assert made[0] == made[1]
    assert len(names(gcp)) == 1


def test_a_part_of_a_disk_that_had_changed_is_replaced(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    cut_off(session, disk, run, PART)
    stale = session.storage.bucket(BUCKET).get_blob(f"{folder(disk)}4m-000000")
    stale.metadata = {**stale.metadata, "lkcloud-crc32": "00000000"}
    stale.patch()
    trailer = session.storage.bucket(BUCKET).blob(f"{folder(disk)}4m-000005")
    trailer.upload_from_string(b"of other bytes")
    blob = upload(session, disk, run)
    assert_same_bytes(gcp, blob, disk, tmp_path)


def test_a_part_in_the_way_is_a_conflict(gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run) -> None:
    def be_quicker(one: Seen) -> Response | None:
        if one.phase == "before" and one.operation == "objects.put" and one.path.endswith("4m-000001"):
            gcp.traffic.hooks.clear()
            session.storage.bucket(BUCKET).blob(f"{folder(disk)}4m-000001").upload_from_string(b"other")
        return None

    gcp.traffic.hooks.append(be_quicker)
    with pytest.raises(Conflict, match="another run is uploading other bytes"):
        upload(session, disk, run)


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_whose_parts_another_one_removes(
    finished: bool, gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    def be_quicker(one: Seen) -> Response | None:
        """Let the other run finish between the attempt at a part and the look at what is in its place."""
        if one.phase != "before" or one.operation != "objects.put" or not one.path.endswith("4m-000001"):
            return None
        gcp.traffic.hooks.clear()
        with OtherMachine(tmp_path) as other, open_disk(disk.path) as own:
            own.content()
            blob = upload(session, own, other)
        if not finished:
            objects.remove(session, blob)  # as after the import
        return ApiError(412, "conditionNotMet", "no", "PreconditionFailed").xml()

    gcp.traffic.hooks.append(be_quicker)
    if finished:
        assert_same_bytes(gcp, upload(session, disk, run, workers=1), disk, tmp_path)
        assert len(names(gcp)) == 1
    else:
        with pytest.raises(Conflict, match="another run"):
            upload(session, disk, run, workers=1)


def test_an_object_that_is_not_what_was_sent_is_removed(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    def lie(one: Seen) -> Response:
        (made,) = [name for name in names(gcp) if name.endswith(".tar.gz")]
        found = gcp.holdings.store.find(BUCKET, made)
        assert found is not None
        return shown(found, crc32c="AQIDBA==")

    answer(gcp, "objects.compose", lie)
    with pytest.raises(Corrupt):
        upload(session, disk, run)
    assert names(gcp) == []


def test_an_object_without_the_key_that_was_asked_for_is_removed(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    def forget_key(one: Seen) -> Response:
        (made,) = [name for name in names(gcp) if name.endswith(".tar.gz")]
        found = gcp.holdings.store.find(BUCKET, made)
        assert found is not None
        return shown(found)

    answer(gcp, "objects.compose", forget_key)
    with pytest.raises(Refused, match="was not encrypted with"):
        upload(session, disk, run, object_kms_key=KEY)
    assert [name for name in names(gcp) if name.endswith(".tar.gz")] == []


def test_a_run_that_died_before_it_tidied_up(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    told = Noting()
    refuse(gcp, "objects.delete", ApiError(403, "forbidden", "storage.objects.delete denied", "AccessDenied"), 99)
    blob = upload(session, disk, replace(run, reporter=told))
    assert ".parts/ is left behind" in told.warnings[0]
    assert len(parts_there(gcp)) == PARTS + 1
    gcp.traffic.hooks.clear()
    assert upload(session, disk, run) == blob
    assert parts_there(gcp) == []


def test_a_composed_object_that_was_not_looked_at_is_looked_at(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    blob = session.storage.bucket(BUCKET).blob(naming.tarball("lkcloud/", "image", disk.content().digest))
    blob.metadata = {"lkcloud-digest": disk.content().digest, "lkcloud-crc32c": "AAAAAA=="}
    blob.upload_from_string(b"damaged")
    assert_same_bytes(gcp, upload(session, disk, run), disk, tmp_path)


def test_a_disk_that_changes_at_the_end_leaves_no_parts(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    def change(one: Seen) -> None:
        if one.operation == "objects.put" and one.phase == "after":
            disk.path.touch()
            with disk.path.open("r+b") as file:
                file.write(b"changed")

    disk.content()
    gcp.traffic.hooks.append(change)
    with pytest.raises(ImageChanged):
        upload(session, disk, run)
    assert names(gcp) == []


def test_a_refusal_keeps_the_parts_for_the_next_run(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    refuse(gcp, "objects.compose", ApiError(403, "forbidden", "not allowed", "AccessDenied"))
    with pytest.raises(Refused):
        upload(session, disk, run)
    assert len(parts_there(gcp)) == PARTS + 1
    gcp.traffic.clear()
    upload(session, disk, run)
    assert counted(gcp, "objects.put") == 0
