# SPDX-License-Identifier: Apache-2.0
"""One stream to a session: gone on with where the session is, checked, and begun again where it must be."""

from pathlib import Path

import pytest

from lkcloud.disk import Disk
from lkcloud.errors import Corrupt, Unreachable
from lkcloud.provider import Run
from lkcloud.sandbox.http import Response
from lkcloud_gcp.sandbox import GcpStandIn, Seen
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.session import Session
from lkcloud_gcp.tarball import PART
from tests.gcp.pushing import (
    BUCKET,
    MIB,
    DiskMaker,
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
    stored,
)
from tests.gcp.pushing import upload as upload_by

BUSY = ApiError(503, "backendError", "Backend Error", "ServiceUnavailable")


@pytest.fixture
def disk(make_disk: DiskMaker) -> Disk:
    """A disk of five parts that hardly compress, the last one short."""
    return make_disk(20 * MIB, blocks=tuple(range(1, 39)))


def upload(session: Session, disk: Disk, run: Run, **options: object) -> object:
    return upload_by(session, disk, run, method="resumable", **options)


def test_chunks_are_sent_once(gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run) -> None:
    blob = upload_by(session, disk, run, method="resumable")
    assert counted(gcp, "objects.start") == 1
    assert gcp.traffic.received("objects.chunk") == stored(gcp, blob).size
    assert counted(gcp, "objects.status") == 0


def test_an_interrupted_upload_goes_on(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    cut_off(session, disk, run, 3 * PART, method="resumable")
    before = gcp.traffic.received("objects.chunk")
    assert before >= 2 * PART
    gcp.traffic.clear()
    blob = upload_by(session, disk, run, method="resumable")
    assert counted(gcp, "objects.start") == 0
    assert gcp.traffic.received("objects.chunk") == stored(gcp, blob).size - before
    assert_same_bytes(gcp, blob, disk, tmp_path)


def test_a_part_is_gone_on_with_in_its_middle(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    gcp.windows.chunk_persisted = 3 * MIB
    cut_off(session, disk, run, 3 * PART, method="resumable")
    gcp.windows.chunk_persisted = 0
    gcp.traffic.clear()
    blob = upload_by(session, disk, run, method="resumable")
    assert counted(gcp, "objects.start") == 0
    assert gcp.traffic.received("objects.chunk") < stored(gcp, blob).size - PART
    assert_same_bytes(gcp, blob, disk, tmp_path)


def test_another_machine_begins_again(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    cut_off(session, disk, run, 3 * PART, method="resumable")
    with OtherMachine(tmp_path) as other:
        blob = upload_by(session, disk, other, method="resumable")
    assert counted(gcp, "objects.start") == 2
    assert_same_bytes(gcp, blob, disk, tmp_path)


def test_another_level_begins_again(
    gcp: GcpStandIn, session: Session, bucket: str, make_disk: DiskMaker, run: Run, tmp_path: Path
) -> None:
    text = b"".join(b"line %d of a text\n" % number for number in range(4_000_000))
    disk = make_disk(len(text), pieces={0: text})
    cut_off(session, disk, run, 16 * PART, method="resumable", compression_level=0)
    assert gcp.traffic.received("objects.chunk") > 0
    blob = upload_by(session, disk, run, method="resumable", compression_level=1)
    assert counted(gcp, "objects.start") == 2
    assert_same_bytes(gcp, blob, disk, tmp_path)


@pytest.mark.parametrize("status", [404, 410])
def test_a_session_that_is_gone_is_begun_again(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path, status: int
) -> None:
    refuse(gcp, "objects.chunk", ApiError(status, "gone", "gone"), skip=2)
    blob = upload_by(session, disk, run, method="resumable")
    assert counted(gcp, "objects.start") == 2
    assert_same_bytes(gcp, blob, disk, tmp_path)


def test_a_session_that_has_expired_is_begun_again(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    cut_off(session, disk, run, 3 * PART, method="resumable")
    for one in gcp.holdings.store.sessions.values():
        one.begun -= 8 * 24 * 3600
    blob = upload_by(session, disk, run, method="resumable")
    assert counted(gcp, "objects.start") == 2
    assert_same_bytes(gcp, blob, disk, tmp_path)


def test_sessions_that_are_always_lost(gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run) -> None:
    refuse(gcp, "objects.chunk", ApiError(410, "gone", "gone"), 99)
    with pytest.raises(Unreachable, match="begun and lost"):
        upload(session, disk, run)
    assert counted(gcp, "objects.start") == 3


@pytest.mark.parametrize("skip", range(3))
def test_a_lost_answer_to_a_chunk_costs_nothing(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path, skip: int
) -> None:
    lose_answers(gcp, "objects.chunk", skip=skip)
    blob = upload_by(session, disk, run, method="resumable")
    assert gcp.traffic.received("objects.chunk") == stored(gcp, blob).size
    assert_same_bytes(gcp, blob, disk, tmp_path)


@pytest.mark.parametrize("operation", ["objects.start", "objects.chunk", "objects.status"])
def test_a_service_that_stumbles_is_asked_again(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path, operation: str
) -> None:
    if operation == "objects.status":
        drop(gcp, "objects.chunk", skip=1)
    refuse(gcp, operation, BUSY)
    drop(gcp, operation, skip=1)
    lose_answers(gcp, operation)
    gcp.traffic.throttle(operation, 2)
    blob = upload_by(session, disk, run, method="resumable")
    assert_same_bytes(gcp, blob, disk, tmp_path)


def test_a_chunk_that_is_kept_in_part(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    gcp.windows.chunk_persisted = 3 * MIB
    blob = upload_by(session, disk, run, method="resumable")
    assert_same_bytes(gcp, blob, disk, tmp_path)


def test_a_disk_that_had_changed_is_not_gone_on_with(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    cut_off(session, disk, run, 3 * PART, method="resumable")
    (receipt,) = run.journal.fetch("SELECT receipt FROM receipt WHERE part = 0")
    end, _, crc = str(receipt[0]).split()
    run.journal.fetch("UPDATE receipt SET receipt = ? WHERE part = 0", f"{end} 00000000 {crc}")
    blob = upload_by(session, disk, run, method="resumable")
    assert counted(gcp, "objects.start") == 2
    assert_same_bytes(gcp, blob, disk, tmp_path)


def test_an_object_that_is_not_what_was_sent_is_removed(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    def lie(one: Seen) -> Response | None:
        if one.status != 200:
            return None
        (made,) = names(gcp)
        found = gcp.holdings.store.find(BUCKET, made)
        assert found is not None
        return shown(found, crc32c="AQIDBA==")

    answer(gcp, "objects.chunk", lie, times=99)
    with pytest.raises(Corrupt):
        upload(session, disk, run)
    assert names(gcp) == []


def test_an_object_that_another_run_has_made_meanwhile(
    gcp: GcpStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    made: list[object] = []

    def be_quicker(one: Seen) -> Response | None:
        if one.phase == "before" and one.operation == "objects.chunk":
            gcp.traffic.hooks.clear()
            with OtherMachine(tmp_path) as other:
                made.append(upload(session, disk, other))
        return None

    gcp.traffic.hooks.append(be_quicker)
    assert upload(session, disk, run) == made[0]
