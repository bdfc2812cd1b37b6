# SPDX-License-Identifier: Apache-2.0
"""A snapshot written block by block through the EBS direct APIs: only what is not zero travels.

API: https://docs.aws.amazon.com/ebs/latest/APIReference/API_Operations.html
"""

import base64
import hashlib
import time
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from lkcloud.disk import BLOCK, Content
from lkcloud.errors import ImageChanged, LkcloudError, Refused, Unreachable
from lkcloud.polling import poll
from lkcloud.provider import Run, Source
from lkcloud.transfer.buffers import Buffers
from lkcloud.transfer.engine import Limits, Part, send
from lkcloud.transfer.journal import Transfer
from lkcloud.transfer.retry import Verdict, retry
from lkcloud_aws import snapshots
from lkcloud_aws.data_plane import DataPlane
from lkcloud_aws.errors import code_of, explain, judge
from lkcloud_aws.naming import listed, tags_of, token
from lkcloud_aws.options import AwsOptions
from lkcloud_aws.session import Session
from lkcloud_aws.snapshots import Snapshot
from lkcloud_aws.validation import gib

if TYPE_CHECKING:
    from mypy_boto3_ebs.type_defs import StartSnapshotRequestTypeDef, StartSnapshotResponseTypeDef

_GENERATIONS = 20
"""Tokens to try: each stands for a snapshot of these parameters that was started and has failed or been deleted."""

_NOT_WRITABLE = ("ValidationException", "ConflictException", "ResourceNotFoundException")
"""What EBS may say of a snapshot that has been completed; which of them it says is not documented."""

_SEALED = 60.0
"""Seconds for a completed snapshot to say so."""

_NEW = 120.0
"""Seconds for which a request for a new snapshot may be answered with 404, as AWS advises (awslabs/coldsnap#43)."""


@dataclass(frozen=True)
class EbsDirect:
    """Writes one source into one snapshot.

    SETTLE is how old in seconds a snapshot must be for EC2 to show it for sure, unless it has been deleted.
    """

    session: Session
    options: AwsOptions
    source: Source
    settle: float = 10.0

    @property
    def _size(self) -> int:
        return gib(self.source.disk.size)

    def upload(self, run: Run) -> Snapshot:
        """Return the completed snapshot: one that is there, one that an earlier run began, or a new one.

        Raises ImageChanged if the disk was written to meanwhile; then the snapshot is removed.
        """
        content = self.source.disk.content()
        with run.journal.transfer(self._journal_key()) as transfer:
            found = self._present(transfer)
            if found and found.state == "completed":
                run.reporter.note(f"the bytes are there already, in snapshot {found.id}")
                transfer.forget()
                return found
            snapshot_id = found.id if found else self._start()
            newborn = _Newborn()
            transfer.begin(snapshot_id)
            try:
                self._write(snapshot_id, content, transfer, run, new=found is None or _is_new(found))
                self.source.disk.check_unchanged()
                self._complete(snapshot_id, content, newborn if found is None or _is_new(found) else None)
            except ImageChanged:
                # What was written is neither the old disk nor the new one.
                snapshots.delete(self.session, snapshot_id)
                transfer.forget()
                raise
            except LkcloudError as error:
                if not self._was_completed(snapshot_id, error):
                    raise
            with run.reporter.stage("snapshot") as meter:
                done = snapshots.wait(self.session, snapshot_id, minutes=self.options.ready_timeout, meter=meter)
            transfer.forget()
        return done

    def _journal_key(self) -> str:
        endpoint = self.session.ebs.meta.endpoint_url
        return f"aws ebs {endpoint} {self.source.name} {self.source.digest}"

    def _present(self, transfer: Transfer) -> Snapshot | None:
        """Return the snapshot to use or go on with; failed ones are deleted."""
        source = self.source
        found = snapshots.ours(self.session, name=source.name, digest=source.digest)
        # Tags can take a moment to be found; the journal knows the snapshot of an earlier run by its id.
        if transfer.handle and transfer.handle not in {snapshot.id for snapshot in found}:
            known = snapshots.get(self.session, transfer.handle)
            if known and known.digest == source.digest and known.name == source.name:
                found.append(known)
        usable: list[Snapshot] = []
        for snapshot in found:
            if snapshot.state == "error":
                snapshots.delete(self.session, snapshot.id)
            elif snapshot.state in ("completed", "pending") and self._fits(snapshot):
                usable.append(snapshot)
        # A completed one costs nothing more; of pending ones the one that the journal knows the blocks of.
        rank = {"completed": 0, "pending": 1}
        usable.sort(key=lambda snapshot: (rank[snapshot.state], snapshot.id != transfer.handle, snapshot.started))
        return usable[0] if usable else None

    def _fits(self, snapshot: Snapshot) -> bool:
        options = self.options
        return snapshots.fits(self.session, snapshot, size=self._size, encrypted=options.encrypted, key=options.kms_key)

    def _start(self) -> str:
        """Start a snapshot and return its id.

        A token that was used gives back the snapshot that it made, even if that has been deleted or has failed since;
        then the next token is tried.
        """
        for generation in range(_GENERATIONS):
            request = self._request(generation)
            answer = self._ask(request)
            if answer["BlockSize"] != BLOCK:
                raise Refused(
                    f"aws: EBS wants blocks of {answer['BlockSize']} bytes and lkcloud has {BLOCK}",
                    hint="use --method import, and look for a newer lkcloud",
                )
            snapshot = self._look(answer)
            if snapshot is not None and snapshot.state == "error":
                snapshots.delete(self.session, snapshot.id)
            elif snapshot is not None and snapshot.state == "pending":
                return snapshot.id
        raise Refused(
            f"aws: {_GENERATIONS} snapshots of these bytes were started and deleted",
            hint="push under another --name",
        )

    def _ask(self, request: "StartSnapshotRequestTypeDef") -> "StartSnapshotResponseTypeDef":
        return self.session.call("starting the snapshot", lambda: self.session.ebs.start_snapshot(**request))

    def _request(self, generation: int) -> "StartSnapshotRequestTypeDef":
        options, source = self.options, self.source
        tags = tags_of(source.name, source.digest, options.tags)
        request: StartSnapshotRequestTypeDef = {
            "VolumeSize": self._size,
            "Description": source.description or f"lkcloud: {source.name}",
            "Tags": listed(tags),
            "Timeout": options.snapshot_timeout,
        }
        if options.encrypted:
            request["Encrypted"] = True
        if options.kms_key:
            request["KmsKeyArn"] = options.kms_key
        request["ClientToken"] = token("snapshot", request, generation)
        return request

    def _look(self, answer: "StartSnapshotResponseTypeDef") -> Snapshot | None:
        """Return the snapshot as EC2 shows it, None if it has been deleted.

        Not shown can mean too new or gone; the age of the snapshot by the service's own clock tells which.
        """
        snapshot_id = answer["SnapshotId"]
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        age = (now - answer["StartTime"]).total_seconds()
        try:
            return poll(
                lambda: snapshots.get(self.session, snapshot_id),
                what=f"the snapshot {snapshot_id}",
                every=0.25,
                limit=max(0.0, self.settle - age),
                hint="run the same command again",
            )
        except Unreachable:
            return None

    def _write(self, snapshot_id: str, content: Content, transfer: Transfer, run: Run, *, new: bool) -> None:
        disk, options = self.source.disk, self.options
        parts = (Part(number=index, offset=index * BLOCK, length=BLOCK) for index in content.indexes)
        with run.reporter.stage("upload") as meter, DataPlane.ebs(self.session, options.workers) as plane:
            meter.expect(len(content) * BLOCK)

            buffers = Buffers(BLOCK)

            def put(part: Part, timeout: float) -> str:
                position = bisect_left(content.indexes, part.number)
                digest = content.hashes[32 * position : 32 * position + 32]
                buffer = buffers.own()
                length = min(BLOCK, disk.size - part.offset)
                disk.readinto(part.offset, buffer[:length])
                buffer[length:] = bytes(BLOCK - length)
                run.tally.add(BLOCK)
                plane.put_block(snapshot_id, part.number, buffer, digest, timeout)
                return ""

            try:
                send(
                    parts,
                    put,
                    judge=_Newborn().judge if new else judge,
                    limits=_limits(options),
                    meter=meter,
                    transfer=transfer,
                )
            except LkcloudError:
                raise
            except Exception as error:
                # A block that is not what was hashed is refused for its checksum: the disk is to blame, not the way.
                disk.check_unchanged()
                raise explain(error, f"writing {snapshot_id}") from error

    def _complete(self, snapshot_id: str, content: Content, newborn: "_Newborn | None") -> None:
        """Say that all blocks are there, with a checksum over theirs; NEWBORN judges if the snapshot was new.

        LINEAR: the SHA-256 of all blocks' SHA-256 digests, raw, in ascending order of the blocks.
        """
        session = self.session

        def request() -> None:
            if not len(content):
                # The model allows 0 blocks; what checksum nothing has is not documented, so none is sent.
                session.ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)
                return
            session.ebs.complete_snapshot(
                SnapshotId=snapshot_id,
                ChangedBlocksCount=len(content),
                Checksum=base64.b64encode(hashlib.sha256(content.hashes).digest()).decode(),
                ChecksumAlgorithm="SHA256",
                ChecksumAggregationMethod="LINEAR",
            )

        with session.errors(f"completing {snapshot_id}"):
            retry(request, judge=newborn.judge if newborn else judge, attempts=12, patience=_NEW)

    def _was_completed(self, snapshot_id: str, error: LkcloudError) -> bool:
        """Tell whether ERROR comes of an earlier attempt, or run, that completed the snapshot and saw no answer.

        Nothing tells such a snapshot from one that is still to be written, but that it becomes `completed`.
        """
        if code_of(error.__cause__) not in _NOT_WRITABLE:
            return False

        def look() -> bool | None:
            found = snapshots.get(self.session, snapshot_id)
            if found is None or found.state == "error":
                return False
            return True if found.state == "completed" else None

        try:
            return poll(look, what=snapshot_id, every=0.5, limit=_SEALED, hint=error.hint)
        except Unreachable:
            return False


class _Newborn:
    """Judges as for any request, but for two minutes not all hosts of EBS may know a new snapshot."""

    def __init__(self) -> None:
        self._grown = time.monotonic() + _NEW

    def judge(self, error: Exception) -> Verdict:
        """Judge an ERROR of PutSnapshotBlock or CompleteSnapshot."""
        if code_of(error) == "ResourceNotFoundException" and time.monotonic() < self._grown:
            return Verdict.TRANSIENT
        return judge(error)


def _is_new(snapshot: Snapshot) -> bool:
    return (datetime.now(UTC) - snapshot.started).total_seconds() < _NEW


def _limits(options: AwsOptions) -> Limits:
    """Return what one block may take: two minutes in all."""
    return Limits(workers=options.workers, attempts=12, patience=_NEW, attempt_timeout=30.0, rate=options.rate)
