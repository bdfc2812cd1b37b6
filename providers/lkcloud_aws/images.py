# SPDX-License-Identifier: Apache-2.0
"""Our images: found, listed, waited for, deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError, NotFound, Refused
from lkcloud.polling import poll
from lkcloud.provider import Blob, Image
from lkcloud.reporting import Meter
from lkcloud_aws import snapshots
from lkcloud_aws.errors import code_of, explain, fault
from lkcloud_aws.gone import is_gone
from lkcloud_aws.naming import DIGEST, FAMILY, WITHDRAWN, filter_value, pairs, time_of
from lkcloud_aws.session import Session

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef

FAILED = ("failed", "error", "invalid")
"""States that an image does not leave. The SDK's own waiter knows the first only."""

_GONE = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed")


@dataclass(frozen=True, slots=True)
class Standing:
    """How an image stands, beside its state."""

    public: bool
    deprecated: datetime | None
    """When it becomes, or has become, deprecated."""
    protection: str
    """AWS's word: `disabled`, `enabled-with-cooldown`, `enabled-without-cooldown`."""
    disabled: bool
    description: str = ""

    @property
    def protected(self) -> bool:
        """Whether it is kept from being deregistered."""
        return self.protection.startswith("enabled")


def find(session: Session, name: str) -> Image | None:
    """Return the image called NAME, one that lkcloud made before any other.

    AWS keeps names unique, but for copies that are made at the same time.
    """
    return min(named(session, name), key=lambda image: not image.digest, default=None)


def named(session: Session, name: str) -> list[Image]:
    """Return all images called NAME, oldest first."""
    return _describe(session, [{"Name": "name", "Values": [filter_value(name)]}])


def standing(session: Session, image_id: str) -> Standing:
    """Return how the image with this id stands. Raises NotFound if there is none."""
    missing = NotFound(f"aws: there is no image {image_id} in {session.region}", hint="check the id and --region")
    try:
        answer = session.attempt(lambda: session.ec2.describe_images(ImageIds=[image_id], IncludeDisabled=True))
    except Exception as error:
        raise (missing if code_of(error) in _GONE else explain(error, f"looking at {image_id}")) from error
    for found in answer["Images"]:
        date = found.get("DeprecationTime")
        return Standing(
            public=found.get("Public", False),
            deprecated=datetime.fromisoformat(date).astimezone(UTC) if date else None,
            protection=found.get("DeregistrationProtection", "disabled"),
            disabled=found["State"] == "disabled",
            description=found.get("Description", ""),
        )
    raise missing


def every(session: Session) -> list[Image]:
    """Return all images that lkcloud made, oldest first."""
    return _describe(session, [{"Name": "tag-key", "Values": [DIGEST]}])


def get(session: Session, image_id: str) -> Image | None:
    """Return the image with this id, of whoever's account; None if EC2 shows none."""
    try:
        answer = session.attempt(lambda: session.ec2.describe_images(ImageIds=[image_id], IncludeDisabled=True))
    except Exception as error:
        if code_of(error) in _GONE:
            return None
        raise explain(error, f"looking at {image_id}") from error
    shown = [found for found in answer["Images"] if found["State"] != "deregistered"]
    return _image(shown[0], session.region) if shown else None


def _describe(session: Session, filters: "Sequence[FilterTypeDef]") -> list[Image]:
    """Describe images of this account only: names are anybody's to choose, and others choose well-known ones."""

    def ask() -> "list[ImageTypeDef]":
        pages = session.ec2.get_paginator("describe_images").paginate(
            Owners=["self"],
            Filters=filters,
            IncludeDeprecated=True,
            IncludeDisabled=True,
            PaginationConfig={"PageSize": 1000},
        )
        return [found for page in pages for found in page["Images"] if found["State"] != "deregistered"]

    found = session.call("looking for images", ask)
    found.sort(key=lambda image: (image.get("CreationDate", ""), image["ImageId"]))
    return [_image(one, session.region) for one in found]


def wait(session: Session, image_id: str, *, minutes: int, meter: Meter) -> Image:
    """Wait until the image can be used; for a moment EC2 may not show it at all.

    Raises Refused if it fails, Unreachable after the time limit.
    """

    def look() -> Image | None:
        found = get(session, image_id)
        if found is None:
            return None
        meter.status(found.state)
        if found.state in FAILED:
            raise Refused(
                f"aws: the image {image_id} is in state {found.state}: {reason(session, image_id)}",
                hint="run the same command again: it registers the image anew",
            )
        if found.state == "disabled":
            raise Refused(
                f"aws: the image {image_id} is disabled",
                hint=f"enable it with `lkcloud deprecate aws {image_id} --status active`, or choose another --name",
            )
        return found if found.ready else None

    return poll(
        look,
        what=f"the image {image_id}",
        every=0.5,
        limit=60 * minutes,
        hint="run the same command again: it goes on waiting; --ready-timeout says how long",
    )


def delete(session: Session, image: Image) -> None:
    """Deregister the image and delete its snapshots, but those that another image stands on."""
    shown = get(session, image.id)
    ids = {blob.id for found in (image, shown) if found for blob in found.blobs}
    if image.digest and not ids:
        # EC2 shows an image that is not available yet without its snapshots.
        ids = {found.id for found in snapshots.ours(session, name=image.name, digest=image.digest)}
    deregister(session, image.id)
    for snapshot_id in sorted(ids):
        delete_snapshot(session, snapshot_id, image.id)


def deregister(session: Session, image_id: str) -> None:
    """Deregister the image alone; one that is gone is no error. Raises Refused for one that is protected."""
    try:
        session.attempt(lambda: session.ec2.deregister_image(ImageId=image_id))
    except Exception as error:
        if is_gone(error, lambda: session.ec2.describe_images(ImageIds=[image_id])):
            return
        raise _protection(session, image_id, error) or explain(error, f"deregistering {image_id}") from error


def _protection(session: Session, image_id: str, error: Exception) -> Refused | None:
    """Return what to tell if ERROR comes of a protection; AWS documents neither its code nor its words."""
    answer = fault(error)
    if answer is None or answer.code == "UnauthorizedOperation" or answer.status >= 500:
        return None
    try:
        protected = standing(session, image_id).protected
    except LkcloudError:
        return None  # the first error is the one to tell
    if protected:
        return Refused(
            f"aws: {image_id} is protected from deregistration",
            hint=f"`lkcloud protect aws {image_id} --region {session.region} --deregistration-protection off` "
            "takes the protection away",
        )
    if "protect" in answer.message.lower() or "cooldown" in answer.message.lower():
        return Refused(
            f"aws: {image_id} was protected from deregistration with a cooldown: {answer.message.rstrip('.')}",
            hint="delete it 24 hours after its protection was switched off",
        )
    return None


def delete_snapshot(session: Session, snapshot_id: str, image_id: str) -> None:
    """Delete a snapshot of an image that has just been deregistered, which EC2 takes a moment to see.

    One that another image stands on is left alone.
    """

    def attempt() -> bool | None:
        if others_stand_on(session, snapshot_id, image_id):
            return True
        try:
            snapshots.delete(session, snapshot_id)
        except Refused as error:
            if code_of(error.__cause__) == "InvalidSnapshot.InUse":
                return None
            raise
        return True

    poll(
        attempt,
        what=f"the end of {image_id}",
        every=0.5,
        limit=60.0,
        hint=f"delete the snapshot {snapshot_id} later, with `aws ec2 delete-snapshot`",
    )


def others_stand_on(session: Session, snapshot_id: str, image_id: str) -> bool:
    """Tell whether another image than the one with IMAGE_ID stands on a snapshot."""
    users = _describe(session, [{"Name": "block-device-mapping.snapshot-id", "Values": [snapshot_id]}])
    return any(user.id != image_id for user in users)


def reason(session: Session, image_id: str) -> str:
    """Return why AWS says that an image has failed."""
    answer = session.call("looking at the image", lambda: session.ec2.describe_images(ImageIds=[image_id]))
    reasons = [found.get("StateReason", {}).get("Message", "") for found in answer["Images"]]
    return (reasons[0] if reasons else "").rstrip(".") or "AWS gives no reason"


def _image(found: "ImageTypeDef", region: str) -> Image:
    tags = pairs(found.get("Tags"))
    name, digest = found.get("Name", ""), tags.get(DIGEST, "")
    ids = [mapping.get("Ebs", {}).get("SnapshotId", "") for mapping in found.get("BlockDeviceMappings", [])]
    created = found.get("CreationDate")
    return Image(
        cloud="aws",
        region=region,
        id=found["ImageId"],
        name=name,
        kind="ami",
        account=found.get("OwnerId", ""),
        family=tags.get(FAMILY, ""),
        digest=digest,
        state=found["State"],
        ready=found["State"] == "available",
        architecture=found.get("Architecture", ""),
        created=datetime.fromisoformat(created) if created else None,
        blobs=tuple(Blob("aws", region, each, snapshots.KIND, name, digest) for each in ids if each),
        tags=tuple(sorted(tags.items())),
        # Who has enabled it by other means needs it, and has left the tag.
        withdrawn=time_of(tags.get(WITHDRAWN, "")) if found["State"] == "disabled" else None,
    )
