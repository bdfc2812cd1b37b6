# SPDX-License-Identifier: Apache-2.0
"""Each use of lkcloud on AWS, from beginning to end: what must be there first, and what is then done."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lkcloud import pipeline
from lkcloud.diagnosis import Health, Purpose
from lkcloud.disk import Disk
from lkcloud.errors import Refused
from lkcloud.life import prune, sweep
from lkcloud.life.choice import Policy, Selection
from lkcloud.life.doing import Outcome
from lkcloud.provider import Deprecation, Image, Run, Status
from lkcloud_aws import Aws, AwsOptions, distribution
from lkcloud_aws.naming import DELETED, OBSOLETE, listed, object_key, tags_of
from lkcloud_aws.objects import S3Object
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.cloud import new_id
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.sandbox.snapshot import Snapshot
from lkcloud_aws.session import Session
from tests.aws.imaging import DIGEST, held, hold
from tests.aws.pushing import BUCKET, KEY, MIB, DiskMaker, refuse, source_of

WEST = "us-west-2"
FRIEND = "111111111111"
STABLE = "/my-os/stable"
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)

OWN = tags_of("image", DIGEST, ())

Act = Callable[[], object]


@dataclass
class Stage:
    """What a scene is played on."""

    aws: AwsStandIn
    session: Session
    run: Run
    make_disk: DiskMaker

    def provider(self, **options: Any) -> Aws:
        """Return a provider with the session that there is, whose clients are made already."""
        made = Aws(AwsOptions.model_validate(options))
        made.__dict__["_session"] = self.session
        return made

    def disk(self) -> Disk:
        """Return a small disk with something on it."""
        return self.make_disk(MIB, blocks=(0,))


def _push(stage: Stage, **options: Any) -> Act:
    """A push after others: an image and a snapshot that have failed are in its way, and one that is encrypted."""
    disk, provider = stage.disk(), stage.provider(**options)
    digest = disk.content().digest
    failed = hold(stage.aws, stage.session, "image", digest=digest)
    held(stage.aws, failed).fault = "it failed"
    home = stage.aws.holdings.region("us-east-1")
    home.tags(failed.blobs[0].id).clear()
    for broken in (True, False):
        identity = new_id("snap")
        raw = home.home / f"{identity}.raw"
        home.snapshots[identity] = Snapshot(identity, raw, 1, broken=broken, encrypted=True, kms_key="another")
        home.snapshots[identity].seal(0)
        home.tags(identity).update(tags_of("image", digest, ()))
    return lambda: pipeline.push(provider, disk, name="image", run=stage.run)


def ebs(stage: Stage) -> Act:
    return _push(stage)


def by_import(stage: Stage) -> Act:
    """Two uploads were cut off: one that cannot be gone on with, having no checksum of the whole, and one that can."""
    stage.session.s3.create_bucket(Bucket=BUCKET)
    act = _push(stage, method="import", bucket=BUCKET)
    digest = stage.make_disk(MIB, blocks=(0,), name="the-same.raw").content().digest
    key = object_key("lkcloud/", "image", digest, "vhd")
    stage.session.s3.create_multipart_upload(Bucket=BUCKET, Key=key)
    stage.session.s3.create_multipart_upload(
        Bucket=BUCKET, Key=key, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
    )
    return act


def encrypt(stage: Stage) -> Act:
    return _push(stage, encrypted=True, kms_key=KEY)


def check(stage: Stage) -> Act:
    """What a push looks at whose image is to be public, and one that is encrypted by default and shared."""
    stage.session.ec2.disable_image_block_public_access()
    stage.session.ec2.enable_ebs_encryption_by_default()
    stage.aws.holdings.region("us-east-1").default_key = KEY
    source = source_of(stage.disk())
    public = AwsOptions.model_validate({"public": True, "share_snapshot": True, "encrypted": True})
    private = AwsOptions.model_validate({"share_with": [FRIEND]})

    def act() -> None:
        for options in (public, private):
            for one in distribution.check(stage.session, options, source):
                if one.obstacle:
                    raise Refused(one.problem, hint=one.hint)

    return act


def doctor(stage: Stage) -> Act:
    """A look at an account by whoever may push to it in either way."""
    stage.session.s3.create_bucket(Bucket=BUCKET)
    provider = stage.provider(method="import", bucket=BUCKET)

    def act() -> None:
        for one in provider.diagnose([Purpose.PUSH]):
            if one.health is Health.PROBLEM:
                raise Refused(one.what, hint=one.remedy.do)

    return act


def test(stage: Stage) -> Act:
    """A machine is started where there is room on the second try, looked at, and ended."""
    hold(stage.aws, stage.session)
    refuse(stage.aws, "RunInstances", ApiError("InsufficientInstanceCapacity", "no room", 500))
    provider = stage.provider()

    def act() -> None:
        machine = provider.launch(_found(provider), stage.run)
        machine.state()
        machine.console()
        machine.terminate()

    return act


def copy(stage: Stage) -> Act:
    """An image that is shared and will be deprecated; in the other region a copy has failed."""
    image = hold(stage.aws, stage.session)
    stage.aws.windows.unseen_permissions = 0
    ec2 = stage.session.ec2
    ec2.modify_image_attribute(ImageId=image.id, LaunchPermission={"Add": [{"UserId": FRIEND}]})
    ec2.modify_snapshot_attribute(
        SnapshotId=image.blobs[0].id,
        Attribute="createVolumePermission",
        OperationType="add",
        UserIds=[FRIEND],
    )
    ec2.enable_image_deprecation(ImageId=image.id, DeprecateAt=datetime.now(UTC) + timedelta(days=30))
    failed = hold(stage.aws, stage.session, region=WEST)
    held(stage.aws, failed).fault = "it failed"
    stage.aws.holdings.region(WEST).snapshots[failed.blobs[0].id].broken = True
    provider = stage.provider(copy_to=[WEST])
    return lambda: provider.copy(image, stage.run)


def share(stage: Stage) -> Act:
    hold(stage.aws, stage.session)
    provider = stage.provider(share_with=[FRIEND])
    return lambda: provider.share(_found(provider), stage.run)


def share_snapshot(stage: Stage) -> Act:
    hold(stage.aws, stage.session)
    provider = stage.provider(share_with=[FRIEND], share_snapshot=True)
    return lambda: provider.share(_found(provider), stage.run)


def promote(stage: Stage) -> Act:
    hold(stage.aws, stage.session)
    provider = stage.provider(ssm_parameter=[STABLE])
    return lambda: provider.promote(_found(provider), stage.run)


def protect(stage: Stage) -> Act:
    hold(stage.aws, stage.session)
    on, off = (stage.provider(deregistration_protection=word) for word in ("on", "off"))

    def act() -> None:
        on.protect(_found(on), stage.run)
        off.protect(_found(off), stage.run)

    return act


def deprecate(stage: Stage) -> Act:
    hold(stage.aws, stage.session)
    provider = stage.provider()

    def act() -> None:
        soon = datetime.now(UTC) + timedelta(days=3)
        for said in (
            Deprecation(Status.ACTIVE, deprecated=soon, obsolete=soon),
            Deprecation(Status.ACTIVE),
            Deprecation(Status.OBSOLETE, replacement="other"),
            Deprecation(Status.ACTIVE),
        ):
            provider.deprecate(_found(provider), said, stage.run)

    return act


def listing(stage: Stage) -> Act:
    hold(stage.aws, stage.session)
    provider = stage.provider()
    return lambda: list(provider.images())


def _leftovers(stage: Stage) -> Aws:
    """Leave a machine, an import at work, a snapshot, an upload and an object of a push called image."""
    stage.session.s3.create_bucket(Bucket=BUCKET)
    key = object_key("lkcloud/", "image", DIGEST, "vhd")
    stage.session.s3.create_multipart_upload(Bucket=BUCKET, Key=key)
    stage.session.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    gone = hold(stage.aws, stage.session, "gone")
    del stage.aws.holdings.region("us-east-1").images[gone.id]
    stage.aws.holdings.region("us-east-1").tags(gone.blobs[0].id).update(OWN)
    stage.aws.windows.import_step = 60.0
    stage.session.ec2.import_snapshot(
        RoleName="vmimport",
        DiskContainer={"Format": "VHD", "UserBucket": {"S3Bucket": BUCKET, "S3Key": key}},
        TagSpecifications=[{"ResourceType": "import-snapshot-task", "Tags": listed(OWN)}],
    )
    provider = stage.provider(bucket=BUCKET)
    provider.launch(hold(stage.aws, stage.session, "image"), stage.run)
    return provider


def delete(stage: Stage) -> Act:
    provider = _leftovers(stage)

    def act() -> None:
        image = _found(provider)
        left = list(provider.leftovers("image"))
        for blob in left:
            provider.delete(blob)
        provider.delete(image)

    return act


def prune_(stage: Stage) -> Act:
    for number in range(3):
        hold(stage.aws, stage.session, f"os-{number}", created=LONG_AGO + timedelta(days=number))
    withdrawn = hold(stage.aws, stage.session, "os-old", created=LONG_AGO)
    provider = stage.provider()
    provider.withdraw(withdrawn, stage.run)

    def act() -> None:
        policy = Policy(keep=1, withdraw_for=timedelta(days=30))
        later = datetime.now(UTC) + timedelta(days=31)
        for now in (datetime.now(UTC), later):
            verdicts = prune.plan(provider, policy, Selection(name="os-*"), now=now)
            _all_done(prune.carry_out(provider, verdicts, stage.run))

    return act


def sweep_(stage: Stage) -> Act:
    past = LONG_AGO.isoformat()
    hold(stage.aws, stage.session, "to-obsolete", tags={OBSOLETE: past})
    hold(stage.aws, stage.session, "to-delete", tags={DELETED: past})
    provider = stage.provider()

    def act() -> None:
        steps = sweep.plan(provider, now=datetime.now(UTC), deleting=True)
        _all_done(sweep.carry_out(provider, steps, stage.run))

    return act


def _all_done(outcomes: Iterable[Outcome[Any]]) -> None:
    for outcome in outcomes:
        if outcome.error:
            raise outcome.error


def gc(stage: Stage) -> Act:
    provider = _leftovers(stage)

    def act() -> None:
        for blob in list(provider.leftovers("")):
            provider.delete(blob)

    return act


def disk(stage: Stage) -> Act:
    stage.session.s3.create_bucket(Bucket="disks")
    stage.session.s3.put_object(Bucket="disks", Key="a.raw", Body=b"x" * 1000)
    found = S3Object("s3://disks/a.raw")
    return lambda: b"".join(found.pieces(found.state(), 0, 1000, 10.0))


def _found(provider: Aws) -> Image:
    image = provider.find("image")
    assert image is not None
    return image


SCENES: Mapping[str, Callable[[Stage], Act]] = {
    "ebs": ebs,
    "import": by_import,
    "encrypt": encrypt,
    "disk": disk,
    "check": check,
    "doctor": doctor,
    "test": test,
    "copy": copy,
    "share": share,
    "share-snapshot": share_snapshot,
    "promote": promote,
    "protect": protect,
    "deprecate": deprecate,
    "list": listing,
    "delete": delete,
    "prune": prune_,
    "sweep": sweep_,
    "gc": gc,
}
