# SPDX-License-Identifier: Apache-2.0
"""A snapshot made by VM Import: the disk goes to a bucket, and ImportSnapshot reads it there.

https://docs.aws.amazon.com/vm-import/latest/userguide/vmimport-import-snapshot.html
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError, Refused, UsageError
from lkcloud.formats import raw, vhd_dynamic
from lkcloud.polling import poll
from lkcloud.provider import Blob, Run, Source
from lkcloud.transfer.journal import Transfer
from lkcloud_aws import s3_upload, snapshots
from lkcloud_aws.errors import explain, fault
from lkcloud_aws.naming import DIGEST, NAME, listed, object_key, pairs, tags_of, token
from lkcloud_aws.options import AwsOptions
from lkcloud_aws.s3_upload import S3Upload
from lkcloud_aws.session import Session
from lkcloud_aws.snapshots import Snapshot
from lkcloud_aws.validation import gib

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImportSnapshotRequestTypeDef, ImportSnapshotTaskTypeDef

KIND = "import-task"

_GENERATIONS = 20
"""Tokens to try: each stands for an import of these bytes that has failed."""

_RUNNING = ("active", "pending")
_FAILED = ("deleting", "deleted", "cancelling", "cancelled", "error")
"""A task that fails is deleted: `deleted` is what a failure looks like, not something that somebody did."""

_HINTS: tuple[tuple[str, str], ...] = (
    (r"not local|region", "give a --bucket that is in the region of the push"),
    (
        r"role|vmimport|permission|[Aa]ccess.?[Dd]enied|not authorized",
        "let the role be assumed by vmie.amazonaws.com and read the bucket (docs/aws.md, Setup), or use --method ebs",
    ),
    (r"[Uu]nsupported|validation|[Ff]ormat|VHD", "try --import-format raw, or use --method ebs"),
    (r"KMS|kms|[Ee]ncrypt", "let the role and this identity use the key (docs/aws.md, Encryption)"),
    (r"does not exist|NoSuch|not found|404", "run the same command again, and keep the object until the import ends"),
)


@dataclass(frozen=True, slots=True)
class Task:
    """An import task; STATE is AWS's word, MESSAGE its explanation, PROGRESS such as `40`."""

    id: str
    state: str
    message: str
    progress: str
    snapshot: str
    encrypted: bool
    bucket: str
    key: str
    name: str
    digest: str

    def blob(self, region: str) -> Blob:
        """Return it as the house knows it."""
        return Blob("aws", region, self.id, KIND, self.name, self.digest, self.state)


def running(session: Session, name: str = "") -> Iterator[Task]:
    """Yield our tasks that are still at work; for an image NAME if given."""
    yield from (task for task in _tasks(session) if task.state in _RUNNING and task.digest and name in ("", task.name))


def untagged(session: Session, name: str = "") -> Iterator[Blob]:
    """Yield the snapshots that our tasks have made and that no run came back to put tags on."""
    for task in _tasks(session):
        if task.state == "completed" and task.digest and name in ("", task.name):
            snapshot = snapshots.get(session, task.snapshot)
            if snapshot and not snapshot.digest:
                yield replace(snapshot.blob(session.region), name=task.name, digest=task.digest)


def cancel(session: Session, task_id: str) -> None:
    """Cancel a task; one that has ended is no error, and the snapshot goes that it has made in the meantime."""
    try:
        session.attempt(lambda: session.ec2.cancel_import_task(ImportTaskId=task_id))
    except Exception as error:
        found = [task for task in _tasks(session) if task.id == task_id]
        if found and found[0].state in _RUNNING:
            raise explain(error, f"cancelling {task_id}") from error
        if found and found[0].state == "completed":
            made = snapshots.get(session, found[0].snapshot)
            if made is not None and not made.digest:
                snapshots.delete(session, made.id)


@dataclass(frozen=True)
class SnapshotImport:
    """Imports one source into one snapshot."""

    session: Session
    options: AwsOptions
    source: Source

    def upload(self, run: Run) -> Snapshot:
        """Return the completed snapshot: one that is there, the outcome of a task that runs, or a new one.

        Ctrl-C leaves the task at work; a later run waits for it. The object is deleted when the task has ended, well or
        not, and not before: the task would fail.
        """
        ready = self._ready()
        if ready:
            run.reporter.note(f"the bytes are there already, in snapshot {ready.id}")
            return ready
        with run.journal.transfer(f"aws s3 {self.session.s3.meta.endpoint_url} {self._bucket}/{self._key}") as transfer:
            tasks = [task for task in _tasks(self.session) if self._is_ours(task)]
            task = self._reusable(tasks)
            if task:
                run.reporter.note(f"an earlier run has begun the import, as {task.id}")
            else:
                self._upload_object(transfer, run)
                task = self._start({known.id for known in tasks})
            ended = self._wait(task, run)
            self._remove(ended, run)
        if ended.state != "completed":
            raise _failure(ended)
        # The tags of an import go to the task. That the snapshot has them is what says that all is done.
        tags = tags_of(self.source.name, self.source.digest, self.options.tags)
        snapshots.set_tags(self.session, ended.snapshot, tags)
        with run.reporter.stage("snapshot") as meter:
            return snapshots.wait(self.session, ended.snapshot, minutes=self.options.ready_timeout, meter=meter)

    @property
    def _bucket(self) -> str:
        if not self.options.bucket:
            raise UsageError("aws: --method import needs a bucket", hint="give --bucket, or use --method ebs")
        return self.options.bucket

    @property
    def _key(self) -> str:
        options = self.options
        return object_key(options.key_prefix, self.source.name, self.source.digest, options.import_format)

    def _upload_object(self, transfer: Transfer, run: Run) -> None:
        disk = self.source.disk
        layout = vhd_dynamic.dynamic(disk) if self.options.import_format == "vhd" else raw.layout(disk)
        S3Upload(self.session, self.options, self._bucket, self._key, disk, layout).upload(transfer, run)

    def _ready(self) -> Snapshot | None:
        for snapshot in snapshots.ours(self.session, name=self.source.name, digest=self.source.digest):
            if snapshot.state == "completed" and self._fits(snapshot):
                return snapshot
        return None

    def _fits(self, snapshot: Snapshot) -> bool:
        options = self.options
        size = gib(self.source.disk.size)
        return snapshots.fits(self.session, snapshot, size=size, encrypted=options.encrypted, key=options.kms_key)

    def _is_ours(self, task: Task) -> bool:
        return task.name == self.source.name and task.digest == self.source.digest

    def _reusable(self, tasks: list[Task]) -> Task | None:
        """Return the task of an earlier run that is at work, or that has ended well and was not looked after."""
        for task in tasks:
            if task.state in _RUNNING and task.encrypted >= self.options.encrypted:
                return task
        for task in tasks:
            if task.state == "completed":
                snapshot = snapshots.get(self.session, task.snapshot)
                if snapshot and self._fits(snapshot):
                    return task
        return None

    def _start(self, known: set[str]) -> Task:
        """Start a task. A token gives back the task that it made before: if that is one of KNOWN, it has failed."""
        for generation in range(_GENERATIONS):
            request = self._request(generation)
            try:
                task_id = self._ask(request)
            except Exception as error:
                answer = fault(error)
                if answer and answer.code == "InvalidParameter":
                    raise Refused(
                        f"aws: starting the import: {answer.message}".rstrip("."), hint=_hint(answer.message)
                    ) from error
                raise explain(error, "starting the import") from error
            if task_id not in known:
                return Task(
                    task_id, "active", "", "", "", self.options.encrypted, self._bucket, self._key, *self._identity
                )
        raise Refused(
            f"aws: {_GENERATIONS} imports of these bytes have failed", hint="push under another --name, or --method ebs"
        )

    def _ask(self, request: "ImportSnapshotRequestTypeDef") -> str:
        return self.session.attempt(lambda: self.session.ec2.import_snapshot(**request))["ImportTaskId"]

    @property
    def _identity(self) -> tuple[str, str]:
        return self.source.name, self.source.digest

    def _request(self, generation: int) -> "ImportSnapshotRequestTypeDef":
        options, source = self.options, self.source
        description = source.description or f"lkcloud: {source.name}"
        tags = tags_of(source.name, source.digest, options.tags)
        request: ImportSnapshotRequestTypeDef = {
            "Description": description,
            "RoleName": options.role,
            "DiskContainer": {
                "Format": options.import_format.upper(),
                "Description": description,
                "UserBucket": {"S3Bucket": self._bucket, "S3Key": self._key},
            },
            "TagSpecifications": [
                {
                    "ResourceType": "import-snapshot-task",
                    "Tags": listed(tags),
                }
            ],
        }
        if options.encrypted:
            request["Encrypted"] = True
        if options.kms_key:
            request["KmsKeyId"] = options.kms_key
        request["ClientToken"] = token("import", request, generation)
        return request

    def _wait(self, task: Task, run: Run) -> Task:
        """Wait until the task has ended, well or not.

        The SDK's own waiter knows one failed state, `error`, which AWS does not use, and so waits for ever.
        """
        with run.reporter.stage("import") as meter:

            def look() -> Task | None:
                found = next((one for one in _tasks(self.session, task.id)), None)
                if found is None:  # too new to be shown
                    return None
                if found.state in ("deleting", "cancelling"):
                    meter.status(f"{found.state}: {found.message}".rstrip(": "))
                    return None
                if found.state == "completed" or found.state in _FAILED:
                    return found
                word = ", ".join(filter(None, (found.message or found.state, f"{found.progress or 0}%")))
                meter.status(word)
                return None

            return poll(
                look,
                what=f"the import {task.id}",
                every=1.0,
                limit=60 * self.options.import_timeout,
                hint="it goes on at AWS: run the same command again to wait for it (--import-timeout says how long)",
            )

    def _remove(self, task: Task, run: Run) -> None:
        """Delete the object; an identity that may not leaves it, and the user is told."""
        bucket, key = task.bucket or self._bucket, task.key or self._key
        try:
            s3_upload.delete(self.session, bucket, key)
        except LkcloudError as error:
            run.reporter.warn(f"s3://{bucket}/{key} is left behind: {error.message}")


def _tasks(session: Session, task_id: str = "") -> list[Task]:
    """Return all import tasks, or the one with TASK_ID (none if AWS does not show it yet)."""

    def ask() -> list[Task]:
        pages = (
            session.ec2.get_paginator("describe_import_snapshot_tasks").paginate(ImportTaskIds=[task_id])
            if task_id
            else session.ec2.get_paginator("describe_import_snapshot_tasks").paginate()
        )
        return [_task(found) for page in pages for found in page["ImportSnapshotTasks"]]

    try:
        return session.attempt(ask)
    except Exception as error:
        answer = fault(error)
        if answer and task_id and answer.code in ("InvalidConversionTaskId", "InvalidConversionTaskId.Malformed"):
            return []
        raise explain(error, "looking at the import tasks") from error


def _task(found: "ImportSnapshotTaskTypeDef") -> Task:
    detail = found.get("SnapshotTaskDetail", {})
    place = detail.get("UserBucket", {})
    tags = pairs(found.get("Tags"))
    return Task(
        id=found["ImportTaskId"],
        state=detail.get("Status", ""),
        message=detail.get("StatusMessage", ""),
        progress=detail.get("Progress", ""),
        snapshot=detail.get("SnapshotId", ""),
        encrypted=detail.get("Encrypted", False),
        bucket=place.get("S3Bucket", ""),
        key=place.get("S3Key", ""),
        name=tags.get(NAME, ""),
        digest=tags.get(DIGEST, ""),
    )


def _failure(task: Task) -> Refused:
    reason = task.message.rstrip(".") or "AWS gives no reason"
    if task.state.startswith("cancel"):
        return Refused(f"aws: the import {task.id} was cancelled", hint="run the same command again")
    return Refused(f"aws: the import {task.id} failed: {reason}", hint=_hint(task.message))


def _hint(message: str) -> str:
    for pattern, hint in _HINTS:
        if re.search(pattern, message):
            return hint
    return "use --method ebs, which needs no import, or see docs/aws.md, Troubleshooting"
