# SPDX-License-Identifier: Apache-2.0
"""Pushes for tests: uploads with a session that is there, failures at the seams, and a look at the bytes."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lkcloud.disk import Disk
from lkcloud.disk.inspect import inspect
from lkcloud.provider import Run, Source
from lkcloud.reporting import Meter, Silent
from lkcloud.sandbox.http import DropConnection, Response
from lkcloud_aws import AwsOptions
from lkcloud_aws.ebs_direct import EbsDirect
from lkcloud_aws.sandbox import AwsStandIn, Seen
from lkcloud_aws.sandbox.errors import ApiError, render
from lkcloud_aws.session import Session
from lkcloud_aws.snapshot_import import SnapshotImport
from lkcloud_aws.snapshots import Snapshot
from lkcloud_aws.validation import gib
from tests.holes import PIECE, pieces

DiskMaker = Callable[..., Disk]

BUCKET = "pushes"
MIB = 1 << 20
KEY = "arn:aws:kms:us-east-1:123456789012:key/0123"


TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "vmie.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:Externalid": "vmimport"}},
        }
    ],
}


def delete_role(session: Session) -> None:
    for policy in session.iam.list_role_policies(RoleName="vmimport")["PolicyNames"]:
        session.iam.delete_role_policy(RoleName="vmimport", PolicyName=policy)
    session.iam.delete_role(RoleName="vmimport")


def noise(seed: int, length: int) -> bytes:
    """Return LENGTH bytes that do not compress, the same for the same SEED."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(length)


def source_of(disk: Disk, name: str = "image", description: str = "") -> Source:
    return Source(disk, name, inspect(disk), disk.content().digest, description)


def upload(session: Session, disk: Disk, run: Run, *, name: str = "image", **options: object) -> Snapshot:
    """Make the snapshot as `Aws.upload` does, with the session that there is."""
    chosen, source = AwsOptions.model_validate(options), source_of(disk, name)
    if chosen.method == "import":
        return SnapshotImport(session, chosen, source).upload(run)
    return EbsDirect(session, chosen, source, settle=0.5).upload(run)


def assert_same_bytes(stand_in: AwsStandIn, snapshot_id: str, disk: Disk) -> None:
    """Compare a snapshot with the disk it was made from; what the volume has more is zeros."""
    stored = stand_in.snapshot_file(snapshot_id)
    # A stand-in's file is as long as what was written, or as the volume.
    assert stored.stat().st_size <= gib(disk.size) << 30
    with stored.open("rb") as file, disk.path.open("rb") as expected:
        while want := expected.read(PIECE):
            have = file.read(len(want))
            assert have.ljust(len(want), b"\0") == want, f"differs before byte {expected.tell()}"
        assert all(file.read(length) == bytes(length) for length in pieces(file))


def refuse(stand_in: AwsStandIn, operation: str, error: ApiError, times: int = 1) -> None:
    """Let the next TIMES requests of OPERATION fail with ERROR."""
    left = [times]

    def hook(seen: Seen) -> Response | None:
        if seen.phase == "before" and seen.operation == operation and left[0]:
            left[0] -= 1
            return render(seen.service, error, f"refused-{seen.number}")
        return None

    stand_in.traffic.hooks.append(hook)


def lose_answers(stand_in: AwsStandIn, operation: str, times: int = 1) -> None:
    """Do what the next TIMES requests of OPERATION ask for, and do not answer them."""
    left = [times]

    def hook(seen: Seen) -> Response | None:
        if seen.phase == "after" and seen.operation == operation and left[0]:
            left[0] -= 1
            raise DropConnection
        return None

    stand_in.traffic.hooks.append(hook)


def counted(stand_in: AwsStandIn, operation: str) -> int:
    return stand_in.traffic.operations().count(operation)


class Interrupting(Silent):
    """A reporter that interrupts the run, as Ctrl-C does, when the stage called TITLE first tells its status."""

    def __init__(self, title: str) -> None:
        self.title = title

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        yield _InterruptingMeter() if title == self.title else _QuietMeter()


class _QuietMeter:
    def expect(self, total: int, done: int = 0) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass

    def status(self, text: str) -> None:
        pass


class _InterruptingMeter(_QuietMeter):
    def status(self, text: str) -> None:
        raise KeyboardInterrupt


class Noting(Silent):
    """A reporter that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def described(session: Session, image_id: str) -> dict[str, Any]:
    """Return an image as EC2 describes it."""
    images: list[Any] = session.ec2.describe_images(ImageIds=[image_id])["Images"]
    return dict(images[0])
