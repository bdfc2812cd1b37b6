# SPDX-License-Identifier: Apache-2.0
"""Our snapshots: found by tag, waited for, deleted."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lkcloud.errors import Refused
from lkcloud.polling import poll
from lkcloud.provider import Blob
from lkcloud.reporting import Meter
from lkcloud.transfer.retry import Verdict, retry
from lkcloud_aws.errors import code_of, explain, judge
from lkcloud_aws.gone import is_gone
from lkcloud_aws.naming import DIGEST, NAME, filter_value, listed, pairs
from lkcloud_aws.session import Session

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, SnapshotTypeDef

KIND = "snapshot"

_SETTLE = 60.0
"""Seconds for which one of EC2's hosts may not know yet what another has answered."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as EC2 describes it; SIZE is in GiB, PROGRESS such as `80%`, KEY the ARN of its KMS key."""

    id: str
    state: str
    size: int
    encrypted: bool
    key: str
    name: str
    digest: str
    started: datetime
    progress: str
    reason: str
    """Why it failed, as AWS says it."""
    description: str

    def blob(self, region: str) -> Blob:
        """Return it as the house knows it."""
        return Blob("aws", region, self.id, KIND, self.name, self.digest, self.state, self.started)


def ours(session: Session, *, name: str = "", digest: str = "") -> list[Snapshot]:
    """Return the snapshots that lkcloud made, oldest first; for an image NAME and a content DIGEST if given."""
    filters: list[FilterTypeDef] = [{"Name": "tag-key", "Values": [DIGEST]}]
    if name:
        filters.append({"Name": f"tag:{NAME}", "Values": [filter_value(name)]})
    if digest:
        filters.append({"Name": f"tag:{DIGEST}", "Values": [digest]})

    def describe() -> list[Snapshot]:
        pages = session.ec2.get_paginator("describe_snapshots").paginate(
            OwnerIds=["self"], Filters=filters, PaginationConfig={"PageSize": 1000}
        )
        return [_snapshot(found) for page in pages for found in page["Snapshots"]]

    return sorted(session.call("looking for snapshots", describe), key=lambda found: (found.started, found.id))


def get(session: Session, snapshot_id: str) -> Snapshot | None:
    """Return the snapshot, None if EC2 does not show it."""
    try:
        answer = session.attempt(lambda: session.ec2.describe_snapshots(SnapshotIds=[snapshot_id]))
    except Exception as error:
        if code_of(error) in ("InvalidSnapshot.NotFound", "InvalidSnapshotID.Malformed"):
            return None
        raise explain(error, f"looking at {snapshot_id}") from error
    return _snapshot(answer["Snapshots"][0]) if answer["Snapshots"] else None


def wait(session: Session, snapshot_id: str, *, minutes: int, meter: Meter) -> Snapshot:
    """Wait until the snapshot is complete.

    One look that says `completed` is enough: another of EC2's hosts may still answer `pending` then, and RegisterImage,
    which could meet that one, tries again. Raises Refused if the snapshot fails, Unreachable after the time limit.
    """

    def look() -> Snapshot | None:
        found = get(session, snapshot_id)
        if found is None:
            return None
        if found.state in ("error", "recoverable", "recovering"):
            raise Refused(
                f"aws: the snapshot {snapshot_id} is in state {found.state}: {found.reason or 'AWS gives no reason'}",
                hint="run the same command again: it starts a new snapshot; with --kms-key check the key's policy",
            )
        meter.status(f"{found.state}, {found.progress or '0%'}")
        return found if found.state == "completed" else None

    return poll(
        look,
        what=f"the snapshot {snapshot_id}",
        every=0.5,
        limit=60 * minutes,
        hint="run the same command again: it goes on waiting; --ready-timeout says how long",
    )


def delete(session: Session, snapshot_id: str) -> None:
    """Delete the snapshot; one that is gone is no error."""
    try:
        session.attempt(lambda: session.ec2.delete_snapshot(SnapshotId=snapshot_id))
    except Exception as error:
        if is_gone(error, lambda: session.ec2.describe_snapshots(SnapshotIds=[snapshot_id])):
            return
        if code_of(error) == "InvalidSnapshot.InUse":
            raise Refused(
                f"aws: an image stands on the snapshot {snapshot_id}", hint="delete the image, and this goes with it"
            ) from error
        raise explain(error, f"deleting {snapshot_id}") from error


def set_tags(session: Session, resource: str, tags: dict[str, str]) -> None:
    """Put TAGS on a RESOURCE, over tags with the same keys; a snapshot that is new may not be known everywhere."""
    began = time.monotonic()

    def verdict(error: Exception) -> Verdict:
        if code_of(error) == "InvalidSnapshot.NotFound" and time.monotonic() < began + _SETTLE:
            return Verdict.TRANSIENT
        return judge(error)

    with session.errors(f"putting tags on {resource}"):
        retry(
            lambda: session.ec2.create_tags(Resources=[resource], Tags=listed(tags)),
            judge=verdict,
            attempts=12,
            patience=120.0,
        )


def fits(session: Session, snapshot: Snapshot, *, size: int, encrypted: bool, key: str | None) -> bool:
    """Tell whether SNAPSHOT is what a push of SIZE GiB with this encryption would make."""
    if snapshot.size != size:
        return False
    if encrypted:
        # The ARN can be compared; an alias or a bare key id, which only the import takes, cannot.
        return snapshot.encrypted and (
            not key or not key.startswith("arn:") or ":key/" not in key or snapshot.key == key
        )
    return not snapshot.encrypted or _always_encrypts(session)


def _always_encrypts(session: Session) -> bool:
    """Tell whether the account encrypts what nobody asked to encrypt."""
    asked = session.call("asking for the encryption default", session.ec2.get_ebs_encryption_by_default)
    return asked["EbsEncryptionByDefault"]


def leftovers(session: Session, name: str) -> Iterator[Snapshot]:
    """Yield our snapshots that no image stands on."""
    found = ours(session, name=name)
    if not found:
        return
    used: set[str] = set()

    def describe() -> None:
        pages = session.ec2.get_paginator("describe_images").paginate(
            Owners=["self"], IncludeDeprecated=True, IncludeDisabled=True
        )
        for page in pages:
            for image in page["Images"]:
                for mapping in image.get("BlockDeviceMappings", []):
                    used.add(mapping.get("Ebs", {}).get("SnapshotId", ""))

    session.call("looking for images", describe)
    yield from (snapshot for snapshot in found if snapshot.id not in used)


def _snapshot(found: "SnapshotTypeDef") -> Snapshot:
    tags = pairs(found.get("Tags"))
    return Snapshot(
        id=found["SnapshotId"],
        state=found["State"],
        size=found["VolumeSize"],
        encrypted=found.get("Encrypted", False),
        key=found.get("KmsKeyId", ""),
        name=tags.get(NAME, ""),
        digest=tags.get(DIGEST, ""),
        started=found["StartTime"],
        progress=found.get("Progress", ""),
        reason=found.get("StateMessage", ""),
        description=found.get("Description", ""),
    )
