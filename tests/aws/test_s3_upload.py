# SPDX-License-Identifier: Apache-2.0
"""Multipart uploads: gone on with, checked, and nothing left of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from lkcloud.disk import Disk
from lkcloud.errors import NotFound, Refused
from lkcloud.formats import raw
from lkcloud.provider import Run
from lkcloud.testing import CutOff
from lkcloud.transfer.journal import Journal
from lkcloud_aws import AwsOptions
from lkcloud_aws.s3_upload import SMALLEST_PART, S3Upload, parts, unfinished
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.session import Session
from tests.aws.pushing import MIB, DiskMaker, Noting, counted, lose_answers, refuse

KEY = "lkcloud/a name (1)/disk.raw"


def send(session: Session, bucket: str, disk: Disk, run: Run) -> None:
    upload = S3Upload(session, AwsOptions(workers=2), bucket, KEY, disk, raw.layout(disk))
    with run.journal.transfer("upload") as transfer:
        upload.upload(transfer, run)


@pytest.fixture
def disk(make_disk: DiskMaker) -> Disk:
    """A disk of four parts, the last one short."""
    return make_disk(3 * SMALLEST_PART + MIB + 5, blocks=(0, 1, 33, 66, 97, 98))


def stored(session: Session, bucket: str) -> bytes:
    return session.s3.get_object(Bucket=bucket, Key=KEY)["Body"].read()


def interrupted(session: Session, bucket: str, disk: Disk, run: Run) -> None:
    with pytest.raises(KeyboardInterrupt):
        send(session, bucket, disk, replace(run, reporter=CutOff("upload", after=2 * SMALLEST_PART)))


def assert_whole(session: Session, bucket: str, disk: Disk) -> None:
    assert stored(session, bucket) == disk.path.read_bytes()
    assert list(unfinished(session, bucket, "")) == []


@pytest.mark.parametrize(
    ("size", "count", "length"),
    [
        (1, 1, 1),
        (SMALLEST_PART, 1, SMALLEST_PART),
        (SMALLEST_PART + 1, 2, SMALLEST_PART),
        (10_000 * SMALLEST_PART, 10_000, SMALLEST_PART),
        (10_000 * SMALLEST_PART + 1, 9_412, 17 * MIB),
        (48 << 40, 9_999, 5_034 * MIB),
    ],
)
def test_parts_grow_so_that_they_are_never_too_many(size: int, count: int, length: int) -> None:
    cut = parts(size)
    assert (len(cut), cut[0].length) == (count, length)
    assert len(cut) <= 10_000
    assert sum(part.length for part in cut) == size
    assert [part.number for part in cut[:3]] == [1, 2, 3][: len(cut)]
    assert all(part.length == length for part in cut[:-1])


def test_the_object_is_whole_and_has_a_checksum_of_it(session: Session, bucket: str, disk: Disk, run: Run) -> None:
    send(session, bucket, disk, run)
    assert_whole(session, bucket, disk)
    head = session.s3.head_object(Bucket=bucket, Key=KEY, ChecksumMode="ENABLED")
    assert (head["ChecksumType"], head["ContentLength"]) == ("FULL_OBJECT", disk.size)


def test_an_interrupted_upload_goes_on(aws: AwsStandIn, session: Session, bucket: str, disk: Disk, run: Run) -> None:
    interrupted(session, bucket, disk, run)
    aws.traffic.clear()
    send(session, bucket, disk, run)
    assert counted(aws, "CreateMultipartUpload") == 0
    assert aws.traffic.received("UploadPart") <= disk.size - 2 * SMALLEST_PART
    assert_whole(session, bucket, disk)


def test_without_the_journal_parts_are_kept_by_their_checksum(
    aws: AwsStandIn, session: Session, bucket: str, disk: Disk, run: Run, tmp_path: Path
) -> None:
    interrupted(session, bucket, disk, run)
    aws.windows.page_size = 1
    aws.traffic.clear()
    with Journal.open(tmp_path / "other" / "journal.db") as journal:
        send(session, bucket, disk, Run(journal))
    assert counted(aws, "ListParts") >= 2
    assert aws.traffic.received("UploadPart") <= disk.size - 2 * SMALLEST_PART
    assert_whole(session, bucket, disk)


def test_parts_that_are_not_ours_are_sent_again(
    aws: AwsStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    interrupted(session, bucket, disk, run)
    [upload] = unfinished(session, bucket, "")
    for number in (1, 2):  # also those that the journal remembers
        session.s3.upload_part(
            Bucket=bucket,
            Key=KEY,
            UploadId=upload.id,
            PartNumber=number,
            Body=bytes(SMALLEST_PART - number),
            ChecksumAlgorithm="CRC32",
        )
    send(session, bucket, disk, run)
    assert_whole(session, bucket, disk)


def test_of_several_uploads_the_fullest_goes_on_and_the_others_go(
    aws: AwsStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    def begin(**settings: str) -> None:
        session.s3.create_multipart_upload(Bucket=bucket, Key=KEY, **settings)  # type: ignore[arg-type]  # plain strings

    begin(ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    interrupted(session, bucket, disk, run)
    begin(ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    begin(ChecksumAlgorithm="SHA256")
    aws.windows.page_size = 2
    aws.traffic.clear()
    send(session, bucket, disk, run)
    assert aws.traffic.received("UploadPart") < disk.size
    assert_whole(session, bucket, disk)


def test_an_object_that_is_there_is_not_sent_again(
    aws: AwsStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    send(session, bucket, disk, run)
    aws.traffic.clear()
    noting = Noting()
    send(session, bucket, disk, replace(run, reporter=noting))
    assert aws.traffic.received("UploadPart") == 0
    assert noting.notes == [f"the bytes are there already, in s3://{bucket}/{KEY}"]


def test_an_object_with_other_bytes_is_replaced(session: Session, bucket: str, disk: Disk, run: Run) -> None:
    session.s3.put_object(Bucket=bucket, Key=KEY, Body=bytes(disk.size), ChecksumAlgorithm="CRC32")
    send(session, bucket, disk, run)
    assert_whole(session, bucket, disk)


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
def test_a_lost_answer_leaves_one_object_and_no_upload(
    operation: str, aws: AwsStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    lose_answers(aws, operation)
    send(session, bucket, disk, run)
    assert_whole(session, bucket, disk)


def test_throttles_and_damage_on_the_way_are_got_over(
    aws: AwsStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    aws.traffic.throttle("UploadPart", 2)
    aws.traffic.throttle("CompleteMultipartUpload", 1)
    refuse(aws, "UploadPart", ApiError("BadDigest", "the checksum did not match", 400))
    send(session, bucket, disk, run)
    assert_whole(session, bucket, disk)


def test_what_is_denied_is_told(aws: AwsStandIn, session: Session, bucket: str, disk: Disk, run: Run) -> None:
    refuse(aws, "UploadPart", ApiError("AccessDenied", "Access Denied", 403), times=99)
    with pytest.raises(Refused) as raised:
        send(session, bucket, disk, run)
    assert "s3:PutObject" in raised.value.hint


def test_a_missing_bucket_is_told(aws: AwsStandIn, session: Session, disk: Disk, run: Run) -> None:
    with pytest.raises(NotFound, match="NoSuchBucket"):
        send(session, "no-such-bucket", disk, run)
