# SPDX-License-Identifier: Apache-2.0
"""Who may use an image and its snapshots: added to, never written over, and read back.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/sharing-amis.html,
https://docs.aws.amazon.com/ebs/latest/userguide/ebs-modifying-snapshot-permissions.html
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from lkcloud.errors import LkcloudError, Refused, UsageError
from lkcloud.polling import poll
from lkcloud.provider import Image, Run
from lkcloud.transfer.retry import Verdict, retry
from lkcloud_aws.errors import code_of, explain, fault, judge
from lkcloud_aws.options import AwsOptions
from lkcloud_aws.session import Session

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import CreateVolumePermissionTypeDef, LaunchPermissionTypeDef

T = TypeVar("T")

EVERYBODY = "all"
"""The one group there is."""

_BATCH = 500
"""Changes in one request: ModifySnapshotAttribute takes so many, ModifyImageAttribute 10,000."""

_UNKNOWN = ("InvalidAMIID.NotFound", "InvalidSnapshot.NotFound")

_SETTLE = 60.0
"""Seconds for which one of EC2's hosts may not know yet what another has been told."""


@dataclass(frozen=True, slots=True)
class Grants:
    """Who may use an image: accounts, ARNs of organizations and their units, and `all`.

    VOLUMES are those who may use each of its snapshots, in the order of the image's blobs.
    """

    launch: frozenset[str]
    volumes: tuple[frozenset[str], ...]


def share(session: Session, options: AwsOptions, image: Image, run: Run) -> None:
    """Let those whom the options name use IMAGE, and its snapshots if the options say so.

    Nobody named, or all of them may already: nothing is changed. Raises Refused for what block public access, a quota
    or the encryption forbids.
    """
    wanted = [*options.share_with, *([EVERYBODY] if options.public else [])]
    if not wanted:
        if options.share_snapshot:
            raise UsageError("aws: --share-snapshot has nobody to share it with", hint="add --share-with or --public")
        return
    accounts = [one for one in wanted if not one.startswith("arn:")]
    if options.share_snapshot and not accounts:
        raise UsageError(
            "aws: snapshots are shared with accounts, or with everybody, and not with organizations",
            hint="name their accounts in --share-with, or leave out --share-snapshot",
        )
    with run.reporter.stage("share"):
        volumes = accounts if options.share_snapshot else []
        added = grant(session, image, Grants(frozenset(wanted), (frozenset(volumes),) * len(image.blobs)))
    if added:
        names = ", ".join(one for one in dict.fromkeys(wanted) if one in added)
        run.reporter.note(f"{image.id} in {image.region} can now be used by {names.replace(EVERYBODY, 'everybody')}")


def granted(session: Session, image: Image) -> Grants:
    """Return who may use IMAGE and its snapshots."""
    return Grants(
        frozenset(_launchers(session, image.id)),
        tuple(frozenset(_volume_makers(session, blob.id)) for blob in image.blobs),
    )


def grant(session: Session, image: Image, grants: Grants) -> frozenset[str]:
    """Let those in GRANTS use IMAGE and its snapshots, beside those who may already; return whom that was new to.

    Snapshots come first: who may start an image that is public and may not copy it believes that something is wrong.
    """
    added: frozenset[str] = frozenset()
    for blob, wanted in zip(image.blobs, grants.volumes, strict=True):
        added |= _Attribute(
            session,
            blob.id,
            read=partial(_volume_makers, session, blob.id),
            add=partial(_add_volume_makers, session, blob.id),
        ).let_in(wanted)
    return added | _Attribute(
        session,
        image.id,
        read=partial(_launchers, session, image.id),
        add=partial(_add_launchers, session, image.id),
    ).let_in(grants.launch)


@dataclass(frozen=True, slots=True)
class _Attribute:
    """The permissions of the resource ID: how they are read, and how names are added to them."""

    session: Session
    id: str
    read: Callable[[], set[str]]
    add: Callable[[Sequence[str]], object]

    def let_in(self, wanted: Iterable[str]) -> frozenset[str]:
        """Add those of WANTED who are missing, see that they are there, and return them."""
        names = frozenset(wanted)
        missing = sorted(names - self.read()) if names else []
        for start in range(0, len(missing), _BATCH):
            try:
                _attempt(partial(self.add, missing[start : start + _BATCH]))
            except Exception as error:
                raise refusal(error, self.id, self.session.region) from error
        if missing:
            poll(
                lambda: names <= self.read() or None,
                what=f"aws: sharing {self.id} in {self.session.region}",
                every=0.5,
                limit=_SETTLE,
                hint="EC2 has taken the permissions and does not show them: run the same command again",
            )
        return frozenset(missing)


def _attempt(request: Callable[[], T]) -> T:
    """Make a REQUEST about an image or a snapshot that EC2 has shown: one of its hosts may not know it yet."""
    began = time.monotonic()

    def verdict(error: Exception) -> Verdict:
        if code_of(error) in _UNKNOWN and time.monotonic() < began + _SETTLE:
            return Verdict.TRANSIENT
        return judge(error)

    return retry(request, judge=verdict, attempts=12, patience=120.0)


def _launchers(session: Session, image_id: str) -> set[str]:
    with session.errors(f"reading who may use {image_id}"):
        answer = _attempt(lambda: session.ec2.describe_image_attribute(ImageId=image_id, Attribute="launchPermission"))
    return {str(name) for permission in answer.get("LaunchPermissions", []) for name in permission.values()}


def _volume_makers(session: Session, snapshot_id: str) -> set[str]:
    with session.errors(f"reading who may use {snapshot_id}"):
        answer = _attempt(
            lambda: session.ec2.describe_snapshot_attribute(SnapshotId=snapshot_id, Attribute="createVolumePermission")
        )
    return {str(name) for permission in answer.get("CreateVolumePermissions", []) for name in permission.values()}


def _add_launchers(session: Session, image_id: str, names: Sequence[str]) -> object:
    return session.ec2.modify_image_attribute(
        ImageId=image_id, LaunchPermission={"Add": [_launch_permission(name) for name in names]}
    )


def _add_volume_makers(session: Session, snapshot_id: str, names: Sequence[str]) -> object:
    return session.ec2.modify_snapshot_attribute(
        SnapshotId=snapshot_id,
        Attribute="createVolumePermission",
        CreateVolumePermission={"Add": [_volume_permission(name) for name in names]},
    )


def _launch_permission(name: str) -> "LaunchPermissionTypeDef":
    if name.startswith("arn:"):
        return {"OrganizationArn": name} if ":organization/" in name else {"OrganizationalUnitArn": name}
    return {"Group": "all"} if name == EVERYBODY else {"UserId": name}


def _volume_permission(name: str) -> "CreateVolumePermissionTypeDef":
    return {"Group": "all"} if name == EVERYBODY else {"UserId": name}


def refusal(error: Exception, resource: str, region: str) -> LkcloudError:
    """Return what to tell of an ERROR while RESOURCE in REGION was shared."""
    known = explain(error, f"sharing {resource} in {region}")
    answer = fault(error)
    if answer is None:
        return known
    said = answer.message.lower()
    if answer.code == "OperationNotPermitted" and "block public access" in said:
        kind = "snapshot" if resource.startswith("snap-") else "image"
        return Refused(known.message, hint=f"allow it with {unblocking(kind, region)}")
    if "encrypted" in said:
        # InvalidParameter, UnsupportedOperation or OperationNotPermitted: DataDog/stratus-red-team#109,
        # opendevstack/ods-core#1062, hashicorp/packer#7499.
        return Refused(
            known.message, hint="encrypt it under a key of your own (--kms-key, --copy-to REGION=KEY), or not at all"
        )
    if code_of(error) == "ResourceLimitExceeded":
        return Refused(
            known.message, hint=f"make other images in {region} private, or ask for more (Service Quotas, L-0E3CBAB9)"
        )
    if answer.code.startswith(("InvalidAMIAttributeItemValue", "InvalidUserID", "InvalidParameterValue")):
        known.hint = "check --share-with: accounts, organizations and units must exist"
    return known


def unblocking(kind: str, region: str) -> str:
    """Return the command that lets the account make what is of a KIND (`image`, `snapshot`) public."""
    return f"`aws ec2 disable-{kind}-block-public-access --region {region}`"
