# SPDX-License-Identifier: Apache-2.0
"""EBS direct refuses what the service refuses, and gives back the bytes that it was given."""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lkcloud_aws.sandbox import AwsStandIn, Seen
from tests.aws_sandbox.blocks import BLOCK, block, checksum, linear, put, snapshot


def test_bytes_come_back_by_the_api_and_as_a_file(stand_in: AwsStandIn, ebs: Any) -> None:
    made = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    written = {0: block(1), 7: block(2), 2047: block(3)}
    for index, data in written.items():
        put(ebs, made, index, data)
    done = ebs.complete_snapshot(
        SnapshotId=made,
        ChangedBlocksCount=3,
        Checksum=linear(*written.values()),
        ChecksumAlgorithm="SHA256",
        ChecksumAggregationMethod="LINEAR",
    )
    assert done["Status"] == "pending"
    listed = ebs.list_snapshot_blocks(SnapshotId=made)
    assert (listed["BlockSize"], listed["VolumeSize"]) == (BLOCK, 1)
    for entry in listed["Blocks"]:
        got = ebs.get_snapshot_block(SnapshotId=made, BlockIndex=entry["BlockIndex"], BlockToken=entry["BlockToken"])
        data = got["BlockData"].read()
        assert data == written.pop(entry["BlockIndex"])
        assert (got["DataLength"], got["Checksum"]) == (BLOCK, checksum(data))
    assert not written
    raw = stand_in.snapshot_file(made)
    assert raw.stat().st_size == 1 << 30
    assert raw.stat().st_blocks * 512 < 16 << 20, "the holes of the file are holes"
    with raw.open("rb") as file:
        file.seek(7 * BLOCK)
        assert file.read(BLOCK) == block(2)


def test_a_block_may_be_written_again_until_completion(stand_in: AwsStandIn, ebs: Any) -> None:
    made = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    put(ebs, made, 3, block(1))
    put(ebs, made, 3, block(2))
    ebs.complete_snapshot(
        SnapshotId=made,
        ChangedBlocksCount=1,
        Checksum=linear(block(2)),
        ChecksumAlgorithm="SHA256",
        ChecksumAggregationMethod="LINEAR",
    )
    with stand_in.snapshot_file(made).open("rb") as file:
        file.seek(3 * BLOCK)
        assert file.read(BLOCK) == block(2)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"Checksum": checksum(b"other")}, "INVALID_BLOCK"),
        ({"ChecksumAlgorithm": "SHA1"}, "INVALID_PARAMETER_VALUE"),
        ({"DataLength": 4096}, "INVALID_BLOCK"),
        ({"BlockData": bytes(4096), "Checksum": checksum(bytes(4096))}, "INVALID_BLOCK"),
        ({"BlockData": bytes(BLOCK + 1), "Checksum": checksum(bytes(BLOCK + 1))}, "INVALID_BLOCK"),
        ({"BlockIndex": 2048}, "INVALID_PARAMETER_VALUE"),
        ({"Progress": 101}, "INVALID_PARAMETER_VALUE"),
    ],
)
def test_a_wrong_block_is_refused(
    client: Callable[..., Any], refused: Callable[..., Any], wrong: dict[str, Any], reason: str
) -> None:
    ebs = client("ebs", config={"parameter_validation": False})
    made = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    right = {"SnapshotId": made, "BlockIndex": 0, "BlockData": block(1), "DataLength": BLOCK}
    right |= {"Checksum": checksum(block(1)), "ChecksumAlgorithm": "SHA256"}
    error = refused("ValidationException", ebs.put_snapshot_block, **{**right, **wrong})
    assert error.response["Reason"] == reason
    ebs.put_snapshot_block(**right)


def test_a_new_snapshot_is_not_seen_at_once(stand_in: AwsStandIn, ebs: Any, refused: Callable[..., Any]) -> None:
    stand_in.windows.unseen_puts = 2
    made = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    for _ in range(2):
        error = refused("ResourceNotFoundException", put, ebs=ebs, snapshot_id=made, index=0, data=block(1))
        assert error.response["Reason"] == "SNAPSHOT_NOT_FOUND"
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    put(ebs, made, 0, block(1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"VolumeSize": 0},
        {"VolumeSize": 65537},
        {"Timeout": 9},
        {"Timeout": 4321},
        {"ClientToken": "with space"},
        {"ClientToken": "x" * 256},
        {"KmsKeyArn": "alias/aws/ebs", "Encrypted": True},
        {"KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/abc"},
        {"Tags": [{"Key": "aws:mine", "Value": ""}]},
        {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]},
        {"Description": "x" * 256},
        {"ParentSnapshotId": "snap-0123", "Encrypted": False},
    ],
)
def test_a_wrong_start_is_refused(
    client: Callable[..., Any], refused: Callable[..., Any], wrong: dict[str, Any]
) -> None:
    ebs = client("ebs", config={"parameter_validation": False})
    refused("ValidationException", ebs.start_snapshot, **{"VolumeSize": 1, **wrong})


def test_a_client_token_gives_the_same_snapshot(
    ebs: Any, ec2: Any, refused: Callable[..., Any], stand_in: AwsStandIn
) -> None:
    first = ebs.start_snapshot(VolumeSize=1, ClientToken="t", Description="d")
    assert ebs.start_snapshot(VolumeSize=1, ClientToken="t", Description="d")["SnapshotId"] == first["SnapshotId"]
    error = refused("ConflictException", ebs.start_snapshot, VolumeSize=2, ClientToken="t", Description="d")
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    ec2.delete_snapshot(SnapshotId=first["SnapshotId"])
    again = ebs.start_snapshot(VolumeSize=1, ClientToken="t", Description="d")
    assert again["SnapshotId"] == first["SnapshotId"], "the token of a deleted snapshot gives the deleted id"
    refused("ResourceNotFoundException", put, ebs=ebs, snapshot_id=first["SnapshotId"], index=0, data=block(1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"ChangedBlocksCount": 1},
        {"Checksum": linear(block(2), block(1)), "ChecksumAlgorithm": "SHA256", "ChecksumAggregationMethod": "LINEAR"},
        {"Checksum": linear(block(1), block(2)), "ChecksumAlgorithm": "SHA256"},
        {"Checksum": linear(block(1), block(2)), "ChecksumAlgorithm": "SHA1", "ChecksumAggregationMethod": "LINEAR"},
    ],
)
def test_a_wrong_completion_is_refused(ebs: Any, refused: Callable[..., Any], wrong: dict[str, Any]) -> None:
    made = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    put(ebs, made, 9, block(2))
    put(ebs, made, 4, block(1))
    refused("ValidationException", ebs.complete_snapshot, **{"SnapshotId": made, "ChangedBlocksCount": 2, **wrong})
    assert ebs.complete_snapshot(SnapshotId=made, ChangedBlocksCount=2)["Status"] == "pending"


def test_nothing_can_be_put_after_completion(ebs: Any, refused: Callable[..., Any]) -> None:
    made = snapshot(ebs)
    error = refused("ValidationException", put, ebs=ebs, snapshot_id=made, index=1, data=block(1))
    assert error.response["Reason"] == "INVALID_SNAPSHOT_ID"
    refused("ValidationException", ebs.complete_snapshot, SnapshotId=made, ChangedBlocksCount=1)


def test_both_services_show_pending_until_it_is_completed(
    stand_in: AwsStandIn, ebs: Any, ec2: Any, refused: Callable[..., Any]
) -> None:
    stand_in.windows.snapshot_pending = 3600
    made = snapshot(ebs)
    assert ec2.describe_snapshots(SnapshotIds=[made])["Snapshots"][0]["State"] == "pending"
    error = refused("ValidationException", ebs.list_snapshot_blocks, SnapshotId=made)
    assert error.response["Reason"] == "INVALID_SNAPSHOT_ID"


def test_a_snapshot_that_is_left_alone_ends_in_error(
    stand_in: AwsStandIn, ebs: Any, ec2: Any, refused: Callable[..., Any]
) -> None:
    stand_in.windows.minute = 0
    made = ebs.start_snapshot(VolumeSize=1, Timeout=10)["SnapshotId"]
    shown = ec2.describe_snapshots(SnapshotIds=[made])["Snapshots"][0]
    assert shown["State"] == "error"
    assert shown["StateMessage"]
    refused("ValidationException", put, ebs=ebs, snapshot_id=made, index=0, data=block(1))


def test_a_child_has_its_parents_blocks(ebs: Any, stand_in: AwsStandIn) -> None:
    parent = snapshot(ebs, {0: block(1), 1: block(2)})
    child = snapshot(ebs, {1: block(3)}, size=2, ParentSnapshotId=parent)
    listed = ebs.list_snapshot_blocks(SnapshotId=child)
    assert [entry["BlockIndex"] for entry in listed["Blocks"]] == [0, 1]
    changed = ebs.list_changed_blocks(FirstSnapshotId=parent, SecondSnapshotId=child)["ChangedBlocks"]
    assert [entry["BlockIndex"] for entry in changed] == [1]
    with stand_in.snapshot_file(child).open("rb") as file:
        assert file.read(2 * BLOCK) == block(1) + block(3)


def test_lists_have_pages_and_tokens_of_their_own(stand_in: AwsStandIn, ebs: Any, refused: Callable[..., Any]) -> None:
    stand_in.windows.page_size = 2
    made = snapshot(ebs, {index: block(index) for index in (1, 3, 5)})
    first = ebs.list_snapshot_blocks(SnapshotId=made)
    second = ebs.list_snapshot_blocks(SnapshotId=made, NextToken=first["NextToken"])
    assert [entry["BlockIndex"] for entry in first["Blocks"] + second["Blocks"]] == [1, 3, 5]
    assert "NextToken" not in second
    token = first["Blocks"][0]["BlockToken"]
    error = refused("ValidationException", ebs.get_snapshot_block, SnapshotId=made, BlockIndex=3, BlockToken=token)
    assert error.response["Reason"] == "INVALID_BLOCK_TOKEN"
    other = base64.b64encode(b"snap-0@1").decode()
    error = refused("ValidationException", ebs.list_snapshot_blocks, SnapshotId=made, NextToken=other)
    assert error.response["Reason"] == "INVALID_PAGE_TOKEN"


def test_a_block_token_runs_out(stand_in: AwsStandIn, ebs: Any, refused: Callable[..., Any]) -> None:
    stand_in.windows.block_token = -5
    made = snapshot(ebs)
    entry = ebs.list_snapshot_blocks(SnapshotId=made)["Blocks"][0]
    refused(
        "ValidationException",
        ebs.get_snapshot_block,
        SnapshotId=made,
        BlockIndex=entry["BlockIndex"],
        BlockToken=entry["BlockToken"],
    )


def test_too_many_pending_snapshots_are_refused(stand_in: AwsStandIn, ebs: Any, refused: Callable[..., Any]) -> None:
    stand_in.windows.pending_snapshots = 1
    ebs.start_snapshot(VolumeSize=1)
    refused("ConcurrentLimitExceededException", ebs.start_snapshot, VolumeSize=1)


def test_many_workers_write_one_snapshot(stand_in: AwsStandIn, client: Callable[..., Any]) -> None:
    ebs = client("ebs", config={"max_pool_connections": 8})
    made = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: put(ebs, made, index, block(index)), range(64)))
    ebs.complete_snapshot(SnapshotId=made, ChangedBlocksCount=64)
    with stand_in.snapshot_file(made).open("rb") as file:
        assert file.read(64 * BLOCK) == b"".join(block(index) for index in range(64))


def test_one_block_cannot_be_written_twice_at_once(
    stand_in: AwsStandIn, client: Callable[..., Any], refused: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    ebs = client("ebs")
    made = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    [kept] = [region.snapshots[made] for region in stand_in.holdings.regions.values()]
    # The first writer is inside the stand-in: it holds the snapshot's own lock, which this test has.
    with kept.lock, ThreadPoolExecutor(1) as pool:
        first = pool.submit(put, ebs, made, 0, block(1))
        wait(lambda: 0 in kept.in_flight)
        error = refused("ValidationException", put, ebs=client("ebs"), snapshot_id=made, index=0, data=block(1))
        assert error.response["Reason"] == "CONFLICTING_BLOCK_UPDATE"
        kept.lock.release()
        first.result()
        kept.lock.acquire()


def test_the_log_counts_requests_and_bytes(stand_in: AwsStandIn, ebs: Any) -> None:
    snapshot(ebs, {0: block(1), 1: block(2)})
    assert stand_in.traffic.operations() == [
        "StartSnapshot",
        "PutSnapshotBlock",
        "PutSnapshotBlock",
        "CompleteSnapshot",
    ]
    assert stand_in.traffic.received("PutSnapshotBlock") == 2 * BLOCK
    last: Seen = stand_in.traffic.log[-1]
    assert (last.status, last.service, last.region) == (202, "ebs", "us-east-1")
