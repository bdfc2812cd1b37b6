# SPDX-License-Identifier: Apache-2.0
"""ImportSnapshot and its tasks.

https://docs.aws.amazon.com/vm-import/latest/userguide/vmimport-import-snapshot.html and the API's own pages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

from lkcloud_aws.sandbox import authorization
from lkcloud_aws.sandbox.cloud import Cloud, Region, fingerprint, new_id
from lkcloud_aws.sandbox.disk_import import UnusableDisk, to_raw
from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result
from lkcloud_aws.sandbox.errors import ApiError, bad_combination, invalid, missing_parameter
from lkcloud_aws.sandbox.iam_policy import Need, decision
from lkcloud_aws.sandbox.listing import filtered, page, tag_values
from lkcloud_aws.sandbox.moto_side import ROLE
from lkcloud_aws.sandbox.regions import partition
from lkcloud_aws.sandbox.s3_store import Object
from lkcloud_aws.sandbox.snapshot import GIB, Snapshot

FORMATS = ("VHD", "VMDK", "RAW")
_STEPS = ((3, "pending"), (19, "validating"), (29, "validated"), (45, "converting"))


@dataclass(slots=True)
class ImportTask:
    """One import, and how far it is. `deleting` and `deleted` are how a task fails (osbuild/osbuild-composer#706)."""

    id: str
    bucket: str
    key: str
    format: str
    role: str
    size: int
    description: str = ""
    encrypted: bool = False
    kms_key: str = ""
    status: str = "active"
    message: str = "pending"
    progress: int = 3
    snapshot: str = ""
    thread: Thread | None = None
    ended: Event = field(default_factory=Event)

    def described(self, tags: Mapping[str, str]) -> dict[str, Any]:
        """Return the task as EC2 shows it."""
        detail: dict[str, Any] = {
            "Description": self.description,
            "DiskImageSize": float(self.size),
            "Encrypted": self.encrypted,
            "Format": self.format,
            "Status": self.status,
            "UserBucket": {"S3Bucket": self.bucket, "S3Key": self.key},
        }
        optional = {
            "KmsKeyId": self.kms_key,
            "SnapshotId": self.snapshot,
            "StatusMessage": self.message,
            "Progress": str(self.progress) if self.status == "active" else "",
        }
        detail |= {name: value for name, value in optional.items() if value}
        return {
            "ImportTaskId": self.id,
            "Description": self.description,
            "SnapshotTaskDetail": detail,
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }

    def end(self) -> None:
        """Stop working on it, and wait until that is so."""
        self.ended.set()
        if self.thread:
            self.thread.join()


def _import(call: Call) -> Result:
    # ImportSnapshot, KmsKeyId: "If a KmsKeyId is specified, the Encrypted flag must also be set."
    if call.text("KmsKeyId") and not call.flag("Encrypted"):
        raise bad_combination("KmsKeyId needs Encrypted")
    tags = call.tags("import-snapshot-task")["import-snapshot-task"]
    token, parameters = call.text("ClientToken"), fingerprint(call.parameters)
    replayed = call.region.replayed("ImportSnapshot", token, parameters, error="IdempotentParameterMismatch")
    if replayed:
        return call.region.tasks[replayed].described(call.region.tags(replayed))
    task = _task(call)
    problem = _refusal(call.cloud, call.region, task)
    if problem and call.cloud.windows.import_refused_by == "call":
        raise ApiError("InvalidParameter", problem)
    call.stop_if_dry_run()
    found = call.cloud.s3.find(task.bucket, task.key)
    task.size = found.size if found else 0
    call.region.tasks[task.id] = task
    call.region.tags(task.id).update(tags)
    call.region.remember("ImportSnapshot", token, parameters, task.id)
    answer = task.described(tags)
    task.thread = Thread(target=_work, args=(call.cloud, call.region, task), daemon=True)
    task.thread.start()
    return answer


def _task(call: Call) -> ImportTask:
    container = call.structure("DiskContainer")
    if not container:
        raise missing_parameter("diskContainer")
    bucket = container.get("UserBucket") or {}
    name, key = str(bucket.get("S3Bucket") or ""), str(bucket.get("S3Key") or "")
    if container.get("Url"):
        parts = urlsplit(container["Url"])
        if parts.scheme != "s3" or name:
            raise invalid("The disk must be named by UserBucket, or by a Url of the form s3://BUCKET/KEY")
        name, key = parts.netloc, parts.path.removeprefix("/")
    if not name or not key:
        raise missing_parameter("diskContainer.userBucket")
    form = str(container.get("Format") or "").upper()
    if form not in FORMATS:
        raise ApiError("InvalidParameter", f"The value '{container.get('Format')}' is not a format of a disk")
    encrypted = call.flag("Encrypted") or call.cloud.moto.encrypts_by_default(call.region.name)
    return ImportTask(
        id=new_id("import-snap"),
        bucket=name,
        key=key,
        format=form,
        role=call.text("RoleName") or ROLE,
        size=0,
        description=call.text("Description") or str(container.get("Description") or ""),
        encrypted=encrypted,
        kms_key=call.text("KmsKeyId") or (call.region.default_key if encrypted else ""),
    )


def _refusal(cloud: Cloud, region: Region, task: ImportTask) -> str:
    """Return why the disk cannot be read, "" if it can be."""
    policy = cloud.moto.trust_policy(task.role)
    if policy is None or not _trusts_import(policy) or not _may_read(cloud, region, task):
        # confidential-containers/cloud-api-adaptor#3287
        return f"The service role {task.role} provided does not exist or does not have sufficient permissions"
    home = cloud.moto.bucket_region(task.bucket)
    if home is not None and home != region.name:
        # confidential-containers/cloud-api-adaptor#587
        return f"The given S3 object is not local to the region. The object must be located in {region.name}."
    if home is None or cloud.s3.find(task.bucket, task.key) is None:
        return f"User does not have access to the S3 object.({task.bucket}/{task.key})"
    return ""


def _may_read(cloud: Cloud, region: Region, task: ImportTask) -> bool:
    """Tell whether the role's own policies let VM Import read the disk."""
    policies = cloud.moto.role_policies(task.role) or []
    bucket = f"arn:{partition(region.name)}:s3:::{task.bucket}"
    needs = ("s3:GetObject", f"{bucket}/{task.key}"), ("s3:GetBucketLocation", bucket), ("s3:ListBucket", bucket)
    return all(decision(policies, Need(action, resource)) == "allowed" for action, resource in needs)


def _trusts_import(policy: Mapping[str, Any]) -> bool:
    # https://docs.aws.amazon.com/vm-import/latest/userguide/required-permissions.html
    statements = policy.get("Statement", [])
    for statement in [statements] if isinstance(statements, dict) else statements:
        services = statement.get("Principal", {}).get("Service", [])
        equals = statement.get("Condition", {}).get("StringEquals", {})
        external = {key.lower(): value for key, value in equals.items()}.get("sts:externalid", ROLE)
        if statement.get("Effect") == "Allow" and "vmie.amazonaws.com" in services and ROLE in external:
            return True
    return False


def _work(cloud: Cloud, region: Region, task: ImportTask) -> None:
    for progress, message in _STEPS:
        task.progress, task.message = progress, message
        if task.ended.wait(cloud.windows.import_step):
            return
        if message == "pending":
            with cloud.lock:
                problem = _refusal(cloud, region, task)
            if problem:
                _fail(cloud, task, f"ClientError: {problem}")
                return
            if task.kms_key and not authorization.may_use_key(cloud, region, task.kms_key):
                # Told by the task (ImportSnapshot, KmsKeyId); its words are not documented.
                _fail(cloud, task, "ClientError: The KMS key cannot be used by the caller")
                return
    identity = new_id("snap")
    scratch, raw = region.home / f"{task.id}.disk", region.home / f"{identity}.raw"
    try:
        snapshot = _read(cloud, task, Snapshot(identity, raw, 1, task.description), scratch)
    except UnusableDisk as error:
        _fail(cloud, task, str(error))
        raw.unlink(missing_ok=True)
        return
    finally:
        scratch.unlink(missing_ok=True)
    with cloud.lock:
        if task.ended.is_set():
            snapshot.remove()
            return
        region.snapshots[identity] = snapshot
        task.snapshot, task.progress, task.status, task.message = identity, 100, "completed", ""


def _read(cloud: Cloud, task: ImportTask, snapshot: Snapshot, scratch: Any) -> Snapshot:
    try:
        _object(cloud, task).copy_to(scratch)
    except FileNotFoundError:
        raise UnusableDisk(_GONE) from None
    size = to_raw(scratch, task.format, snapshot.raw)
    snapshot.volume_size = -(-size // GIB)
    snapshot.encrypted, snapshot.kms_key = task.encrypted, task.kms_key
    snapshot.unseen_tags = cloud.windows.unseen_describes
    snapshot.adopt()
    task.ended.wait(cloud.windows.import_step)
    # The object is read until the very end (cloudfoundry/bosh-aws-cpi-release#229).
    _object(cloud, task)
    snapshot.seal(0)
    return snapshot


_GONE = "ClientError: The S3 object was deleted while it was imported"


def _object(cloud: Cloud, task: ImportTask) -> Object:
    with cloud.lock:
        found = cloud.s3.find(task.bucket, task.key)
    if found is None:
        raise UnusableDisk(_GONE)
    return found


def _fail(cloud: Cloud, task: ImportTask, message: str) -> None:
    if not task.ended.is_set():
        task.message, task.status = message, "deleting"
        task.ended.wait(cloud.windows.import_step)
        task.status = "deleted"


def _describe(call: Call) -> Result:
    wanted = call.items("ImportTaskIds")
    for task_id in wanted:
        if task_id not in call.region.tasks:
            raise ApiError("InvalidConversionTaskId.Malformed", f"The task ID '{task_id}' is not valid")
    call.stop_if_dry_run()
    known = [task for task in call.region.tasks.values() if not wanted or task.id in wanted]

    def values(task: ImportTask, name: str) -> list[str] | None:
        return [task.status] if name == "task-state" else tag_values(call.region.tags(task.id), name)

    found = filtered(known, call, values)
    shown, token = page(found, call, "ImportTaskIds", key=lambda task: task.id, limits=(1, 1000))
    return {"ImportSnapshotTasks": [task.described(call.region.tags(task.id)) for task in shown], **token}


def _cancel(call: Call) -> Result:
    task = call.region.tasks.get(call.needed("ImportTaskId"))
    if task is None:
        raise ApiError("InvalidConversionTaskId.Malformed", "The task ID is not valid")
    if task.status != "active":
        raise ApiError("IncorrectState", f"The import task {task.id} is {task.status} and cannot be cancelled")
    call.stop_if_dry_run()
    task.ended.set()
    task.status, task.message = "deleted", "User requested cancellation"
    return {"ImportTaskId": task.id, "PreviousState": "active", "State": "deleted"}


OPERATIONS: dict[str, Handler] = {
    "ImportSnapshot": _import,
    "DescribeImportSnapshotTasks": _describe,
    "CancelImportTask": _cancel,
}
