# SPDX-License-Identifier: Apache-2.0
"""Snapshots by import: tasks that fail, run on and are found again; the object goes when the task has ended."""

import json
from dataclasses import replace
from typing import Any

import pytest

from lkcloud.errors import Refused, Unreachable
from lkcloud.provider import Run
from lkcloud_aws import AwsOptions, leftovers, policy, snapshot_import, snapshots
from lkcloud_aws.permissions import IMPORT_ROLE
from lkcloud_aws.sandbox import AwsStandIn, Seen
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.session import Session
from lkcloud_aws.snapshots import Snapshot
from tests.aws.pushing import (
    BUCKET,
    KEY,
    MIB,
    TRUST,
    DiskMaker,
    Interrupting,
    Noting,
    assert_same_bytes,
    counted,
    delete_role,
    lose_answers,
    refuse,
    source_of,
    upload,
)


def objects(session: Session) -> list[str]:
    return [found["Key"] for found in session.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


@pytest.fixture
def roleless(aws: AwsStandIn, session: Session) -> None:
    """AWS whose role vmimport is missing, and whose import tasks say so only when they run."""
    aws.windows.import_refused_by = "task"
    delete_role(session)


Options = dict[str, Any]


@pytest.fixture
def import_options(bucket: str) -> Options:
    return {"method": "import", "bucket": bucket}


@pytest.mark.parametrize("form", ["vhd", "raw"])
def test_the_bytes_arrive_in_both_formats_and_nothing_stays(
    form: str, aws: AwsStandIn, session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    disk = make_disk(40 * MIB + 1000, blocks=(0, 5, 79), pieces={40 * MIB + 999: b"x"})
    made = upload(session, disk, run, import_format=form, **import_options)
    assert_same_bytes(aws, made.id, disk)
    assert objects(session) == []
    assert (made.name, made.digest) == ("image", disk.content().digest)


def test_a_snapshot_that_takes_no_tags_yet_is_waited_for(
    aws: AwsStandIn, session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    aws.windows.unseen_describes = 3
    made = upload(session, make_disk(MIB, blocks=(0,)), run, **import_options)
    assert made.name == "image"
    assert counted(aws, "CreateTags") == 4


def test_a_kms_key_reaches_the_snapshot(
    session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    made = upload(session, make_disk(MIB, blocks=(0,)), run, encrypted=True, kms_key=KEY, **import_options)
    assert (made.encrypted, made.key) == (True, KEY)


def test_of_a_vhd_only_the_data_travels(
    aws: AwsStandIn, session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    disk = make_disk(2 << 30, blocks=(0, 4, 4000))
    upload(session, disk, run, **import_options)
    assert aws.traffic.received("UploadPart") < 7 * MIB


def test_a_failed_task_ends_the_push_at_once_with_its_message(
    aws: AwsStandIn, session: Session, roleless: None, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    disk = make_disk(MIB, blocks=(0,))
    with pytest.raises(Refused, match="vmimport provided does not exist") as raised:
        upload(session, disk, run, import_timeout=1, **import_options)
    assert "docs/aws.md" in raised.value.hint
    assert objects(session) == []
    session.iam.create_role(RoleName="vmimport", AssumeRolePolicyDocument=json.dumps(TRUST))
    allowed = policy.document(IMPORT_ROLE, ["import"], {**policy.SHOWN, "bucket": ("*",)})
    session.iam.put_role_policy(RoleName="vmimport", PolicyName="vmimport", PolicyDocument=json.dumps(allowed))
    # The same parameters again: the token of the failed task must not give back that task.
    made = upload(session, disk, run, **import_options)
    assert_same_bytes(aws, made.id, disk)


def test_a_refused_call_is_told_with_the_same_hint(
    aws: AwsStandIn, session: Session, roleless: None, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    aws.windows.import_refused_by = "call"
    with pytest.raises(Refused, match="vmimport provided does not exist") as raised:
        upload(session, make_disk(MIB, blocks=(0,)), run, **import_options)
    assert "docs/aws.md" in raised.value.hint


@pytest.mark.parametrize("refused_by", ["call", "task"])
def test_a_bucket_in_another_region_is_told(
    refused_by: str, aws: AwsStandIn, session: Session, make_disk: DiskMaker, run: Run
) -> None:
    aws.windows.import_refused_by = refused_by  # type: ignore[assignment]  # a parameter is a plain string
    session.s3.create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with pytest.raises(Refused) as raised:
        upload(session, make_disk(MIB, blocks=(0,)), run, method="import", bucket="far")
    assert "region" in raised.value.hint


def test_the_object_stays_until_the_task_has_ended(
    aws: AwsStandIn, session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    states: list[str] = []

    def look(seen: Seen) -> None:
        if seen.phase == "before" and seen.operation == "DeleteObject":
            states.extend(task.status for task in aws.holdings.region(session.region).tasks.values())

    aws.traffic.hooks.append(look)
    aws.windows.import_step = 0.2
    upload(session, make_disk(MIB, blocks=(0,)), run, **import_options)
    assert states == ["completed"]


def test_ctrl_c_leaves_the_task_and_the_next_run_takes_it_up(
    aws: AwsStandIn, session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    aws.windows.import_step = 0.5
    disk = make_disk(MIB, blocks=(0,))
    with pytest.raises(KeyboardInterrupt):
        upload(session, disk, replace(run, reporter=Interrupting("import")), **import_options)
    assert [task.name for task in snapshot_import.running(session)] == ["image"]
    assert len(objects(session)) == 1
    # AWS does not tell how old a task is; its object is as old, and is looked at where the bucket is named.
    dated = {left.kind: left.created for left in leftovers.leftovers(session, AwsOptions(bucket=BUCKET), "image")}
    assert dated["import-task"] == dated["object"] is not None
    [task] = leftovers.leftovers(session, AwsOptions(), "image")
    assert task.created is None
    aws.traffic.clear()
    made = upload(session, disk, run, **import_options)
    assert counted(aws, "ImportSnapshot") == 0
    assert aws.traffic.received("UploadPart") == 0
    assert_same_bytes(aws, made.id, disk)
    assert objects(session) == []


def test_a_run_that_died_before_the_tags_is_taken_up(
    aws: AwsStandIn, session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    refuse(aws, "CreateTags", ApiError("UnauthorizedOperation", "no tags", 403))
    disk = make_disk(MIB, blocks=(0,))
    with pytest.raises(Refused, match="no tags"):
        upload(session, disk, run, **import_options)
    options = AwsOptions.model_validate(import_options)
    [left] = leftovers.leftovers(session, options, "image")
    made = upload(session, disk, run, **import_options)
    assert made.id == left.id
    assert list_all(session) == [made.id]
    assert counted(aws, "ImportSnapshot") == 1


def test_a_task_that_ends_before_it_is_cancelled_leaves_nothing(
    aws: AwsStandIn, session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    refuse(aws, "CreateTags", ApiError("UnauthorizedOperation", "no tags", 403))
    with pytest.raises(Refused, match="no tags"):
        upload(session, make_disk(MIB, blocks=(0,)), run, **import_options)
    [task] = aws.holdings.region(session.region).tasks.values()
    assert task.status == "completed"
    aws.windows.policies = ()  # the list allows no deleting of what has no tags
    for _ in range(2):
        snapshot_import.cancel(session, task.id)
    assert list_all(session) == []


def list_all(session: Session) -> list[str]:
    return [found["SnapshotId"] for found in session.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]]


@pytest.mark.parametrize("operation", ["ImportSnapshot", "DescribeImportSnapshotTasks", "DeleteObject", "CreateTags"])
def test_a_lost_answer_makes_nothing_twice(
    operation: str,
    aws: AwsStandIn,
    session: Session,
    import_options: Options,
    make_disk: DiskMaker,
    run: Run,
) -> None:
    lose_answers(aws, operation)
    disk = make_disk(MIB, blocks=(0,))
    made = upload(session, disk, run, **import_options)
    assert list_all(session) == [made.id]
    assert len(aws.holdings.region(session.region).tasks) == 1
    assert_same_bytes(aws, made.id, disk)


def test_a_cancelled_task_is_told_and_can_be_begun_again(
    aws: AwsStandIn, session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    aws.windows.import_step = 0.5
    disk = make_disk(MIB, blocks=(0,))
    with pytest.raises(KeyboardInterrupt):
        upload(session, disk, replace(run, reporter=Interrupting("import")), **import_options)
    [task] = snapshot_import.running(session)
    snapshot_import.cancel(session, task.id)
    snapshot_import.cancel(session, task.id)
    assert list(snapshot_import.running(session)) == []
    aws.windows.import_step = 0.01
    assert_same_bytes(aws, upload(session, disk, run, **import_options).id, disk)


def test_a_task_that_takes_too_long_is_left_to_go_on(
    aws: AwsStandIn, session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    aws.windows.import_step = 1.0
    disk = make_disk(MIB, blocks=(0,))
    options = AwsOptions.model_validate(import_options).model_copy(update={"import_timeout": 0})
    waiting = snapshot_import.SnapshotImport(session, options, source_of(disk))
    with pytest.raises(Unreachable) as raised:
        waiting.upload(run)
    assert "same command again" in raised.value.hint
    assert len(objects(session)) == 1
    aws.windows.import_step = 0.01
    upload(session, disk, run, **import_options)


def test_an_object_that_cannot_be_deleted_is_named(
    aws: AwsStandIn, session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    refuse(aws, "DeleteObject", ApiError("AccessDenied", "Access Denied", 403))
    noting = Noting()
    upload(session, make_disk(MIB, blocks=(0,)), replace(run, reporter=noting), **import_options)
    [key] = objects(session)
    assert [warning.split(" ")[0] for warning in noting.warnings] == [f"s3://{BUCKET}/{key}"]


def test_a_snapshot_made_the_other_way_is_used(
    session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    disk = make_disk(MIB, blocks=(0,))
    first: Snapshot = upload(session, disk, run)
    assert upload(session, disk, run, **import_options).id == first.id
    assert [found.id for found in snapshots.ours(session)] == [first.id]


def test_tasks_are_found_over_many_pages(
    aws: AwsStandIn, session: Session, import_options: Options, make_disk: DiskMaker, run: Run
) -> None:
    disk = make_disk(MIB, blocks=(0,))
    for name in ("one", "two", "three"):
        upload(session, disk, run, name=name, **import_options)
    aws.windows.page_size = 1
    aws.windows.import_step = 0.3
    with pytest.raises(KeyboardInterrupt):
        upload(session, disk, replace(run, reporter=Interrupting("import")), name="four", **import_options)
    made = upload(session, disk, run, name="four", **import_options)
    assert len(aws.holdings.region(session.region).tasks) == 4
    assert_same_bytes(aws, made.id, disk)
