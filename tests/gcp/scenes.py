# SPDX-License-Identifier: Apache-2.0
"""Each use of lkcloud on Google Cloud, from beginning to end: what must be there first, and what is then done."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lkcloud import pipeline
from lkcloud.diagnosis import Purpose
from lkcloud.disk import Disk
from lkcloud.life import prune, sweep
from lkcloud.life.choice import Policy, Selection
from lkcloud.life.doing import Outcome
from lkcloud.provider import Deprecation, Image, Run, Status
from lkcloud.sandbox.http import Response
from lkcloud_gcp import Gcp, GcpOptions, bucket, naming, objects
from lkcloud_gcp.composite import WHOLE
from lkcloud_gcp.object_reader import GcsObject
from lkcloud_gcp.sandbox import GcpStandIn, Seen
from lkcloud_gcp.sandbox import image as held
from lkcloud_gcp.session import Session
from tests.gcp.imaging import BUCKET, hold, put
from tests.gcp.pushing import MIB, DiskMaker

FRIEND = "user:jane@example.com"
DISKS = "disks"
"""The bucket that a disk is read from."""
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)

Act = Callable[[], object]


@dataclass
class Stage:
    """What a scene is played on."""

    gcp: GcpStandIn
    session: Session
    run: Run
    make_disk: DiskMaker

    def provider(self, **options: Any) -> Gcp:
        """Return a provider with the session that there is, whose clients are made already."""
        made = Gcp(GcpOptions.model_validate({"bucket": BUCKET, **options}))
        made.__dict__["_session"] = self.session
        return made


def _push(stage: Stage, method: str) -> Act:
    """Push after others: a failed image and another tarball are in the way; then one that is being imported already."""
    provider = stage.provider(method=method)
    holder = stage.session.storage.create_bucket(BUCKET)
    disk, other = _disk(stage, 1), _disk(stage, 2)
    digest = disk.content().digest
    hold(stage.gcp, state="FAILED", digest=digest)
    wrong = holder.blob(naming.tarball("lkcloud/", "image", digest))
    wrong.metadata = {naming.DIGEST: digest, WHOLE: "AAAAAA=="}
    wrong.upload_from_string(b"x")
    hold(stage.gcp, "other", state="PENDING", digest=other.content().digest)
    stage.gcp.traffic.hooks.append(_ends_when_asked_for(stage.gcp, "other"))

    def act() -> None:
        pipeline.push(provider, disk, name="image", run=stage.run)
        pipeline.push(provider, other, name="other", run=stage.run)

    return act


def _disk(stage: Stage, seed: int) -> Disk:
    return stage.make_disk(MIB, pieces={0: bytes([seed])}, name=f"{seed}.raw")


def _ends_when_asked_for(gcp: GcpStandIn, name: str) -> Callable[[Seen], Response | None]:
    """Return a hook that ends the import of an image when somebody has asked for its operation."""

    def hook(seen: Seen) -> Response | None:
        if seen.phase == "after" and seen.operation == "globalOperations.list":
            gcp.holdings.engine.images[name].state = "READY"
        return None

    return hook


def composite(stage: Stage) -> Act:
    return _push(stage, "composite")


def resumable(stage: Stage) -> Act:
    return _push(stage, "resumable")


def own_bucket(stage: Stage) -> Act:
    """A bucket is made, and found by the next push."""
    options = GcpOptions()

    def act() -> None:
        bucket.prepare(stage.session, options, stage.run)
        bucket.prepare(stage.session, options, stage.run)

    return act


def keep(stage: Stage) -> Act:
    blob = put(stage.session, b"tarball")
    return lambda: objects.keep(stage.session, blob)


def disk(stage: Stage) -> Act:
    stage.session.storage.create_bucket(DISKS).blob("a.raw").upload_from_string(b"x" * 1000)
    found = GcsObject(f"gs://{DISKS}/a.raw")
    return lambda: b"".join(found.pieces(found.state(), 0, 1000, 10.0))


def test(stage: Stage) -> Act:
    hold(stage.gcp)
    provider = stage.provider()

    def act() -> None:
        machine = provider.launch(_found(provider), stage.run)
        machine.state()
        machine.console()
        machine.terminate()

    return act


def share(stage: Stage) -> Act:
    hold(stage.gcp)
    provider = stage.provider(share_with=[FRIEND], public=True)
    return lambda: provider.share(_found(provider), stage.run)


def promote(stage: Stage) -> Act:
    hold(stage.gcp)
    provider = stage.provider(family="stable")
    return lambda: provider.promote(_found(provider), stage.run)


def deprecate(stage: Stage) -> Act:
    """An image is marked, withdrawn by somebody, and taken back."""
    hold(stage.gcp)
    hold(stage.gcp, "newer")
    provider = stage.provider()

    def act() -> None:
        soon = datetime.now(UTC) + timedelta(days=3)
        marked = Deprecation(Status.DEPRECATED, "newer", obsolete=soon)
        provider.deprecate(_found(provider), marked, stage.run)
        provider.deprecate(_found(provider), Deprecation(Status.OBSOLETE), stage.run)
        stage.gcp.holdings.engine.images["image"].labels[naming.WITHDRAWN] = naming.time_label(LONG_AGO)
        provider.deprecate(_found(provider), Deprecation(Status.ACTIVE), stage.run)

    return act


def listing(stage: Stage) -> Act:
    hold(stage.gcp)
    provider = stage.provider()
    return lambda: list(provider.images())


def _leftovers(stage: Stage) -> Gcp:
    """Leave a machine, an image that has failed, a tarball and parts of pushes called image."""
    put(stage.session, b"tarball")
    put(stage.session, b"part", ending=".parts/000000")
    provider = stage.provider()
    hold(stage.gcp)
    provider.launch(_found(provider), stage.run)
    return provider


def delete(stage: Stage) -> Act:
    provider = _leftovers(stage)

    def act() -> None:
        image = _found(provider)
        for blob in list(provider.leftovers("image")):
            provider.delete(blob)
        provider.delete(image)

    return act


def prune_(stage: Stage) -> Act:
    """One of two images is shared, and withdrawn; one that was withdrawn long ago is deleted."""
    for number, name in enumerate(("os-old", "os-1", "os-2")):
        hold(stage.gcp, name, family="os")
        stage.gcp.holdings.engine.images[name].created = LONG_AGO + timedelta(days=number)
    provider = stage.provider(share_with=[FRIEND])
    for name in ("os-old", "os-1"):
        provider.share(_found(provider, name), stage.run)
    provider.withdraw(_found(provider, "os-old"), stage.run)

    def act() -> None:
        policy = Policy(keep=1, withdraw_for=timedelta(days=30))
        for now in (datetime.now(UTC), datetime.now(UTC) + timedelta(days=31)):
            verdicts = prune.plan(provider, policy, Selection(name="os-*"), now=now)
            _all_done(prune.carry_out(provider, verdicts, stage.run))

    return act


def sweep_(stage: Stage) -> Act:
    past = LONG_AGO.isoformat()
    for name, said in (
        ("to-deprecate", held.Deprecation("ACTIVE", deprecated=past)),
        ("to-obsolete", held.Deprecation("DEPRECATED", obsolete=past)),
        ("to-delete", held.Deprecation("OBSOLETE", deleted=past)),
    ):
        hold(stage.gcp, name, family="os")
        stage.gcp.holdings.engine.images[name].deprecation = said
    hold(stage.gcp, "head", family="os")
    # Somebody has made it active again, and has left the label of its withdrawal.
    stage.gcp.holdings.engine.images["to-deprecate"].labels[naming.WITHDRAWN] = naming.time_label(LONG_AGO)
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
    hold(stage.gcp, "bad", state="FAILED")

    def act() -> None:
        for blob in list(provider.leftovers("")):
            provider.delete(blob)

    return act


def doctor(stage: Stage) -> Act:
    """What is not allowed is told, and nothing fails."""
    stage.session.storage.create_bucket(BUCKET)
    provider = stage.provider()
    return lambda: list(provider.diagnose(tuple(Purpose)))


def _found(provider: Gcp, name: str = "image") -> Image:
    image = provider.find(name)
    assert image is not None
    return image


SCENES: Mapping[str, Callable[[Stage], Act]] = {
    "composite": composite,
    "resumable": resumable,
    "bucket": own_bucket,
    "keep": keep,
    "disk": disk,
    "test": test,
    "share": share,
    "promote": promote,
    "deprecate": deprecate,
    "list": listing,
    "delete": delete,
    "prune": prune_,
    "sweep": sweep_,
    "gc": gc,
    "doctor": doctor,
}
