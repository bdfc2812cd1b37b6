# SPDX-License-Identifier: Apache-2.0
"""A push of a disk of 64 GiB with 500 MiB of data: the bytes arrive, and memory stays flat."""

from pathlib import Path

import pytest

from lkcloud.disk import BLOCK, open_disk
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.session import Session
from tests.huge import DATA, huge, push

__all__ = ["huge"]


@pytest.mark.parametrize("method", ["ebs", pytest.param("import", marks=pytest.mark.long)])
def test_the_bytes_arrive_and_memory_stays_flat(
    method: str, huge: Path, session: Session, bucket: str, aws: AwsStandIn
) -> None:
    assert push("aws", huge, "--method", method, "--bucket", bucket).startswith("ami-")
    snapshots = session.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert [found["VolumeSize"] for found in snapshots] == [64]
    # Two digests of two files are equal when their sizes and all that is not zero are.
    with open_disk(huge) as sent, open_disk(aws.snapshot_file(snapshots[0]["SnapshotId"])) as arrived:
        assert arrived.content().digest == sent.content().digest
    if method == "ebs":
        assert aws.traffic.received("PutSnapshotBlock") <= DATA + 2 * BLOCK
