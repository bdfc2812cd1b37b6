# SPDX-License-Identifier: Apache-2.0
"""Snapshots block by block: the right bytes, no more of them than needed, and every trap of the EBS direct APIs."""

from dataclasses import replace
from pathlib import Path

import pytest

from lkcloud.disk import BLOCK
from lkcloud.errors import Conflict, LkcloudError, Refused
from lkcloud.provider import Run
from lkcloud.testing import CutOff
from lkcloud.transfer.journal import Journal
from lkcloud_aws import snapshots
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.session import Session
from tests.aws.pushing import (
    KEY,
    MIB,
    DiskMaker,
    Interrupting,
    assert_same_bytes,
    counted,
    lose_answers,
    noise,
    refuse,
    upload,
)

CORNERS: dict[str, tuple[int, dict[int, bytes]]] = {
    "no data at all": (3 * MIB, {}),
    "a byte at the very end": (3 * MIB, {3 * MIB - 1: b"x"}),
    "a byte in a short last block": (3 * MIB + 513, {3 * MIB + 512: b"x"}),
    "one byte": (1, {0: b"x"}),
    "one sector": (512, {0: noise(1, 512)}),
    "allocated zeros": (2 * MIB, {0: bytes(2 * MIB)}),
    "data around a block border": (2 * MIB, {BLOCK - 1: b"xy"}),
    "a byte more than a GiB": ((1 << 30) + 1, {1 << 30: b"x"}),
}


@pytest.mark.parametrize("method", ["ebs", "import"])
@pytest.mark.parametrize("corner", CORNERS)
def test_the_bytes_arrive(
    corner: str, method: str, aws: AwsStandIn, session: Session, bucket: str, make_disk: DiskMaker, run: Run
) -> None:
    size, pieces = CORNERS[corner]
    disk = make_disk(size, pieces=pieces)
    made = upload(session, disk, run, method=method, bucket=bucket)
    assert made.state == "completed"
    assert made.size == max(1, -(-size >> 30))
    assert_same_bytes(aws, made.id, disk)


def test_only_blocks_with_data_travel(aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run) -> None:
    aws.windows.unseen_puts = 0
    disk = make_disk(600 * MIB, blocks=(0, 7, 1100), pieces={5 * BLOCK: bytes(BLOCK)})
    made = upload(session, disk, run)
    assert aws.traffic.received("PutSnapshotBlock") == 3 * BLOCK
    assert_same_bytes(aws, made.id, disk)


def test_a_second_upload_sends_nothing(aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run) -> None:
    disk = make_disk(8 * MIB, blocks=(1, 2))
    first = upload(session, disk, run)
    aws.traffic.clear()
    assert upload(session, disk, run).id == first.id
    assert not {"StartSnapshot", "PutSnapshotBlock", "CompleteSnapshot"} & set(aws.traffic.operations())


def test_the_same_bytes_under_another_name_are_another_snapshot(
    aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run
) -> None:
    disk = make_disk(8 * MIB, blocks=(1,))
    assert upload(session, disk, run, name="one").id != upload(session, disk, run, name="two").id


def test_a_snapshot_has_our_tags_and_the_users(session: Session, make_disk: DiskMaker, run: Run) -> None:
    disk = make_disk(MIB, blocks=(0,))
    made = upload(session, disk, run, tag=("team=os", "Name=shown"))
    tags = session.ec2.describe_snapshots(SnapshotIds=[made.id])["Snapshots"][0]["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {
        "Name": "shown",
        "team": "os",
        "lkcloud:name": "image",
        "lkcloud:digest": disk.content().digest,
        "lkcloud:version": "1",
    }


def test_a_snapshot_that_is_not_known_yet_is_waited_for(
    aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run
) -> None:
    aws.windows.unseen_puts = 3
    aws.windows.unseen_describes = 2
    disk = make_disk(4 * MIB, blocks=(0, 1, 2))
    assert_same_bytes(aws, upload(session, disk, run).id, disk)


def test_completing_a_snapshot_that_is_not_known_yet_is_tried_again(
    aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run
) -> None:
    aws.windows.unseen_puts = 3
    disk = make_disk(4 * MIB)
    assert_same_bytes(aws, upload(session, disk, run).id, disk)
    assert counted(aws, "CompleteSnapshot") == 4


def test_a_kms_key_reaches_the_snapshot(session: Session, make_disk: DiskMaker, run: Run) -> None:
    disk = make_disk(MIB, blocks=(0,))
    made = upload(session, disk, run, encrypted=True, kms_key=KEY)
    assert (made.encrypted, made.key) == (True, KEY)
    assert upload(session, disk, run, encrypted=True, kms_key=KEY).id == made.id
    other = upload(session, disk, run, encrypted=True, kms_key=f"{KEY}-2")
    assert (other.id != made.id, other.key) == (True, f"{KEY}-2")


def test_throttles_are_waited_out(aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run) -> None:
    aws.traffic.throttle("PutSnapshotBlock", 4)
    aws.traffic.throttle("DescribeSnapshots", 1)
    aws.traffic.throttle("CompleteSnapshot", 1)
    refuse(aws, "StartSnapshot", ApiError("ConcurrentLimitExceededException", "too many"))
    disk = make_disk(4 * MIB, blocks=(0, 1, 2))
    assert_same_bytes(aws, upload(session, disk, run).id, disk)
    assert counted(aws, "StartSnapshot") == 2


@pytest.mark.parametrize("reason", ["CONFLICTING_BLOCK_UPDATE", "WRITE_REQUEST_TIMEOUT"])
def test_a_block_that_is_being_written_is_written_again(
    reason: str, aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run
) -> None:
    refuse(aws, "PutSnapshotBlock", ApiError("ValidationException", "busy", reason=reason))
    disk = make_disk(MIB, blocks=(0,))
    assert_same_bytes(aws, upload(session, disk, run).id, disk)


def test_a_denied_block_is_not_tried_again(aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run) -> None:
    refuse(aws, "PutSnapshotBlock", ApiError("AccessDeniedException", "not you", 403), times=99)
    with pytest.raises(Refused, match="AccessDeniedException") as raised:
        upload(session, make_disk(64 * MIB, blocks=tuple(range(100))), run, workers=2)
    assert "ebs:PutSnapshotBlock" in raised.value.hint
    assert counted(aws, "PutSnapshotBlock") <= 2


def test_an_interrupted_upload_goes_on_where_it_stopped(
    aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run
) -> None:
    disk = make_disk(64 * MIB, blocks=tuple(range(64)))
    with pytest.raises(KeyboardInterrupt):
        upload(session, disk, replace(run, reporter=CutOff("upload", after=24 * BLOCK)), workers=2)
    [pending] = snapshots.ours(session)
    aws.traffic.clear()
    made = upload(session, disk, run)
    assert made.id == pending.id
    assert aws.traffic.received("PutSnapshotBlock") <= 40 * BLOCK
    assert counted(aws, "StartSnapshot") == 0
    assert_same_bytes(aws, made.id, disk)


def test_without_the_journal_all_blocks_go_into_the_same_snapshot(
    aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run, tmp_path: Path
) -> None:
    disk = make_disk(64 * MIB, blocks=tuple(range(64)))
    with pytest.raises(KeyboardInterrupt):
        upload(session, disk, replace(run, reporter=CutOff("upload", after=24 * BLOCK)), workers=2)
    [pending] = snapshots.ours(session)
    with Journal.open(tmp_path / "other" / "journal.db") as journal:
        made = upload(session, disk, Run(journal), tag=("new=tag",))
    assert made.id == pending.id
    assert_same_bytes(aws, made.id, disk)


def test_a_token_that_gives_back_a_deleted_snapshot_is_passed_over(
    aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run
) -> None:
    disk = make_disk(4 * MIB, blocks=(0, 1))
    ids = set()
    for _ in range(3):
        made = upload(session, disk, run)
        assert_same_bytes(aws, made.id, disk)
        snapshots.delete(session, made.id)
        ids.add(made.id)
    assert len(ids) == 3


def test_a_snapshot_that_aws_gave_up_is_replaced(
    aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run
) -> None:
    disk = make_disk(64 * MIB, blocks=tuple(range(64)))
    with pytest.raises(KeyboardInterrupt):
        upload(session, disk, replace(run, reporter=CutOff("upload", after=8 * BLOCK)), snapshot_timeout=10, workers=2)
    [pending] = snapshots.ours(session)
    aws.holdings.region(session.region).snapshots[pending.id].timeout = 0.0
    made = upload(session, disk, run, snapshot_timeout=10)
    assert [made.id] == [found.id for found in snapshots.ours(session)]
    assert made.id != pending.id
    assert_same_bytes(aws, made.id, disk)


@pytest.mark.parametrize("operation", ["StartSnapshot", "PutSnapshotBlock", "CompleteSnapshot", "DescribeSnapshots"])
def test_a_lost_answer_makes_nothing_twice(
    operation: str, aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run
) -> None:
    lose_answers(aws, operation)
    disk = make_disk(4 * MIB, blocks=(0, 1, 2))
    made = upload(session, disk, run)
    assert [found.id for found in snapshots.ours(session)] == [made.id]
    assert_same_bytes(aws, made.id, disk)


def test_a_run_that_died_after_completing_is_taken_up(
    aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run, tmp_path: Path
) -> None:
    aws.windows.snapshot_pending = 1.5
    disk = make_disk(4 * MIB, blocks=(0, 1, 2))
    with pytest.raises(KeyboardInterrupt):
        upload(session, disk, replace(run, reporter=Interrupting("snapshot")))
    assert counted(aws, "CompleteSnapshot") == 1
    with Journal.open(tmp_path / "other" / "journal.db") as journal:
        made = upload(session, disk, Run(journal))
    assert [found.id for found in snapshots.ours(session)] == [made.id]
    assert_same_bytes(aws, made.id, disk)


def test_the_encrypted_snapshot_is_not_taken_for_the_plain_one(
    session: Session, make_disk: DiskMaker, run: Run
) -> None:
    disk = make_disk(MIB, blocks=(0,))
    plain = upload(session, disk, run)
    encrypted = upload(session, disk, run, encrypted=True)
    assert not plain.encrypted
    assert encrypted.encrypted
    assert upload(session, disk, run).id == plain.id
    assert upload(session, disk, run, encrypted=True).id == encrypted.id


def test_an_account_that_always_encrypts_has_its_snapshot_used(
    session: Session, make_disk: DiskMaker, run: Run
) -> None:
    disk = make_disk(MIB, blocks=(0,))
    encrypted = upload(session, disk, run, encrypted=True)
    session.ec2.enable_ebs_encryption_by_default()
    assert upload(session, disk, run).id == encrypted.id


def test_snapshots_are_found_over_many_pages(aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run) -> None:
    disk = make_disk(MIB, blocks=(0,))
    made = [upload(session, disk, run, name=f"image-{number}") for number in range(5)]
    aws.windows.page_size = 2
    assert [found.id for found in snapshots.ours(session)] == [one.id for one in made]
    assert upload(session, disk, run, name="image-4").id == made[4].id


def test_two_runs_at_once_are_kept_apart(session: Session, make_disk: DiskMaker, run: Run) -> None:
    disk = make_disk(MIB, blocks=(0,))
    key = f"aws ebs {session.ebs.meta.endpoint_url} image {disk.content().digest}"
    with run.journal.transfer(key), Journal.open() as other, pytest.raises(Conflict):
        upload(session, disk, Run(other))


def test_a_service_that_stays_away_is_reported_in_one_line(
    aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run
) -> None:
    refuse(aws, "StartSnapshot", ApiError("ServiceQuotaExceededException", "no more today", 402))
    with pytest.raises(LkcloudError) as raised:
        upload(session, make_disk(MIB, blocks=(0,)), run)
    assert "\n" not in raised.value.message
    assert "no more today" in raised.value.message
