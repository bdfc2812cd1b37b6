# SPDX-License-Identifier: Apache-2.0
"""Each use of lkcloud on Azure, from beginning to end: what must be there first, and what is then done."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.mgmt.compute import models

from lkcloud import pipeline
from lkcloud.disk import Disk
from lkcloud.errors import Refused
from lkcloud.life import prune, sweep
from lkcloud.life.choice import Policy, Selection
from lkcloud.life.doing import Outcome
from lkcloud.provider import Blob, Deprecation, Image, Run, Status
from lkcloud_azure import Azure, checks, managed_disks, naming, storage
from lkcloud_azure.page_blobs import BlobPlace
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.cloud import LOCATION, SUBSCRIPTION, Group
from lkcloud_azure.session import Session
from tests.azure.imaging import (
    DIGEST,
    GROUP,
    SIZE,
    account_options,
    hold_image,
    hold_version,
    make_definition,
    make_gallery,
    put_blob,
    put_disk,
)
from tests.azure.pushing import options_of, source_of

FRIEND = "user:7a1f0a52-52a4-4f6d-8e0b-3f2a6d5c4b1a"
KEY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/keys/providers/Microsoft.Compute/diskEncryptionSets/keys"
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
WHOSE = {
    "community_prefix": "lkcloud",
    "publisher_uri": "https://example.com",
    "publisher_contact": "images@example.com",
    "eula": "https://example.com/terms",
}

Act = Callable[[], object]


@dataclass
class Stage:
    """What a scene is played on; DISK boots by UEFI."""

    azure: AzureStandIn
    session: Session
    run: Run
    disk: Disk

    def provider(self, **options: Any) -> Azure:
        """Return a provider with the session that there is, whose clients are made already."""
        made = Azure(options_of(**options))
        made.__dict__["_session"] = self.session
        return made

    def group(self) -> None:
        """Let there be the resource group."""
        self.azure.holdings.groups[GROUP] = Group(GROUP, LOCATION, {})

    def gallery(self, **definition: Any) -> None:
        """Let there be a gallery with a definition for the image."""
        make_gallery(self.session)
        make_definition(self.session, **definition)


def _push(stage: Stage, **options: Any) -> Act:
    """A push after another, whose upload is of no use for this one."""
    stage.group()
    put_disk(stage.azure, digest=stage.disk.content().digest, location="eastus")
    provider = stage.provider(**options)
    return lambda: pipeline.push(provider, stage.disk, name="image", run=stage.run)


def disk(stage: Stage) -> Act:
    return _push(stage)


def gallery(stage: Stage) -> Act:
    stage.gallery()
    return _push(stage, gallery="gal")


def _push_blob(stage: Stage, **options: Any) -> Act:
    """Two pushes: in the way of the first is a blob of no use, and the container of the second is not there yet."""
    stage.group()
    digest = stage.disk.content().digest
    account = storage.account(stage.session, account_options())
    place = BlobPlace.at(
        stage.session,
        storage.service(stage.session, account),
        "lkcloud",
        f"{naming.upload_name('image', digest)}.vhd",
    )
    place.make(size=512, image="image", digest=digest)
    first = stage.provider(method="blob", **options)
    second = stage.provider(method="blob", container="another", **options)

    def act() -> None:
        pipeline.push(first, stage.disk, name="image", run=stage.run)
        pipeline.push(second, stage.disk, name="another", run=stage.run)

    return act


def blob(stage: Stage) -> Act:
    return _push_blob(stage)


def blob_gallery(stage: Stage) -> Act:
    stage.gallery()
    return _push_blob(stage, gallery="gal", definition="image")


def create_gallery(stage: Stage) -> Act:
    return _push(stage, gallery="gal", create_gallery=True)


def trusted(stage: Stage) -> Act:
    """On the way to the version there is a managed image, and an earlier one has failed."""
    stage.gallery(features={"SecurityType": "TrustedLaunchSupported"})
    digest = stage.disk.content().digest
    failed = hold_image(stage.azure, naming.upload_name("image", digest), state="Failed", digest=digest)
    failed.tags.update({**naming.tags_of("image", digest), naming.STAGE: "yes"})
    return _push(stage, gallery="gal", security_type="TrustedLaunchSupported")


def encrypt(stage: Stage) -> Act:
    return _push(stage, disk_encryption_set=KEY)


def group(stage: Stage) -> Act:
    provider = stage.provider()
    return lambda: pipeline.push(provider, stage.disk, name="image", run=stage.run)


def check(stage: Stage) -> Act:
    """What each kind of push looks at first."""
    stage.gallery()
    source = source_of(stage.disk)
    pushes = [
        options_of(**options)
        for options in (
            {},
            {"gallery": "gal"},
            {"gallery": "new", "create_gallery": True},
            {"gallery": "gal", "method": "blob"},
        )
    ]

    def act() -> None:
        for options in pushes:
            for one in checks.check(stage.session, options, source):
                if one.obstacle:
                    raise Refused(one.problem, hint=one.hint)

    return act


def _both(stage: Stage) -> list[tuple[Azure, str]]:
    """Let there be a managed image and a version, both called image; return who has which, and its id."""
    stage.gallery()
    managed, version = hold_image(stage.azure), hold_version(stage.azure, "1.0.0")
    version.file.write_bytes(bytes(4096))
    return [
        (stage.provider(), str(managed.id)),
        (stage.provider(gallery="gal", definition="image"), str(version.id)),
    ]


def _found(provider: Azure) -> Image:
    image = provider.find("image")
    assert image is not None
    return image


def test(stage: Stage) -> Act:
    """A machine is made of each kind of image, looked at, and ended."""
    both = _both(stage)

    def act() -> None:
        for provider, _ in both:
            machine = provider.launch(_found(provider), stage.run)
            machine.state()
            machine.console()
            machine.terminate()

    return act


def promote(stage: Stage) -> Act:
    stage.gallery()
    hold_version(stage.azure, "1.0.0")
    provider = stage.provider(gallery="gal", latest=True)
    return lambda: provider.promote(_found(provider), stage.run)


def share(stage: Stage) -> Act:
    _both(stage)
    providers = [stage.provider(share_with=FRIEND), stage.provider(gallery="gal", share_with=FRIEND)]

    def act() -> None:
        for provider in providers:
            provider.share(_found(provider), stage.run)

    return act


def public(stage: Stage) -> Act:
    make_gallery(stage.session, community=True)
    make_definition(stage.session)
    hold_version(stage.azure, "1.0.0")
    provider = stage.provider(gallery="gal", public=True, **WHOSE)
    return lambda: provider.share(_found(provider), stage.run)


def deprecate(stage: Stage) -> Act:
    stage.gallery()
    hold_version(stage.azure, "1.0.0")
    provider = stage.provider(gallery="gal")

    def act() -> None:
        soon = datetime.now(UTC) + timedelta(days=3)
        for said in (Deprecation(Status.ACTIVE, obsolete=soon), Deprecation(Status.OBSOLETE)):
            provider.deprecate(_found(provider), said, stage.run)

    return act


def listing(stage: Stage) -> Act:
    both = _both(stage)

    def act() -> None:
        for provider, identity in both:
            assert provider.get(identity) in list(provider.images())

    return act


def _leftovers(stage: Stage, **options: Any) -> Azure:
    """Leave a machine, images that have failed, a disk that is open and a blob of pushes of an image called image."""
    provider = stage.provider(**options)
    spare = hold_image(stage.azure, "spare")
    provider.launch(replace(_found(stage.provider()), id=str(spare.id)), stage.run)
    hold_image(stage.azure, "bad", state="Failed").tags[naming.NAME] = "image"
    hold_version(stage.azure, "1.0.1", state="Failed")
    begun = managed_disks.disk_id(stage.session, GROUP, naming.upload_name("image", DIGEST))
    managed_disks.make(stage.session, begun, _uploaded())
    managed_disks.grant(stage.session, begun)
    put_blob(stage.session, stage.azure)
    return provider


def _uploaded() -> models.Disk:
    """Return a disk that an upload has begun to write."""
    creation = models.CreationData(create_option="Upload", upload_size_bytes=SIZE + 512)
    return models.Disk(
        location=LOCATION,
        tags=naming.tags_of("image", DIGEST),
        sku=models.DiskSku(name="Standard_LRS"),
        properties=models.DiskProperties(os_type="Linux", hyper_v_generation="V2", creation_data=creation),
    )


def _tidied(provider: Azure, left: Iterable[Blob]) -> None:
    """Delete what is LEFT, as far as that is allowed; the storage account is named, so that its blobs have to go."""
    for one in left:
        try:
            provider.delete(one)
        except Refused:
            if one.kind == "page-blob":
                raise


def delete(stage: Stage) -> Act:
    both = _both(stage)
    provider = _leftovers(stage, storage_account="lkcloudsandbox", gallery="gal", definition="image")

    def act() -> None:
        for one, _ in both:
            image = _found(one)
            _tidied(provider, list(provider.leftovers("image")))
            one.delete(image)

    return act


def gc(stage: Stage) -> Act:
    _both(stage)
    provider = _leftovers(stage, storage_account="lkcloudsandbox", gallery="gal")
    return lambda: _tidied(provider, list(provider.leftovers("")))


def prune_(stage: Stage) -> Act:
    """Of each kind of image too many are withdrawn, one of them is taken back, and the others are deleted later."""
    stage.gallery()
    for number in range(3):
        made = LONG_AGO + timedelta(days=number)
        managed = hold_image(stage.azure, f"os-{number}")
        managed.tags[naming.CREATED] = made.isoformat()
        hold_version(stage.azure, f"1.0.{number}", name=f"os-{number}", excluded=False)
    providers = [stage.provider(share_with=FRIEND), stage.provider(gallery="gal", definition="image")]
    for image in list(providers[0].images()):
        providers[0].share(image, stage.run)

    def act() -> None:
        policy = Policy(keep=1, withdraw_for=timedelta(days=30))
        now = datetime.now(UTC)
        for provider in providers:
            assert _pruned(provider, policy, now, stage.run) >= 2
            back = provider.find("os-0")
            assert back is not None
            provider.deprecate(back, Deprecation(Status.ACTIVE), stage.run)
            assert _pruned(provider, policy, now + timedelta(days=31), stage.run) >= 2

    return act


def _pruned(provider: Azure, policy: Policy, now: datetime, run: Run) -> int:
    """Withdraw and delete what is too much; return how many images that were."""
    verdicts = prune.plan(provider, policy, Selection(name="os-*"), now=now)
    return _all_done(prune.carry_out(provider, verdicts, run))


def sweep_(stage: Stage) -> Act:
    stage.gallery()
    past = hold_version(stage.azure, "1.0.0", name="past", excluded=False)
    past.end_of_life = LONG_AGO.isoformat()
    hold_version(stage.azure, "1.0.1", name="newer", excluded=False)
    provider = stage.provider(gallery="gal")

    def act() -> None:
        for deleting in (False, True):
            steps = sweep.plan(provider, now=datetime.now(UTC), deleting=deleting)
            assert _all_done(sweep.carry_out(provider, steps, stage.run)) == 1

    return act


def _all_done(outcomes: Iterable[Outcome[Any]]) -> int:
    """Return how many there are. Raises what one of them has failed with."""
    every = tuple(outcomes)
    for outcome in every:
        if outcome.error:
            raise outcome.error
    return len(every)


SCENES: Mapping[str, Callable[[Stage], Act]] = {
    "disk": disk,
    "blob": blob,
    "image": disk,
    "gallery": gallery,
    "blob-gallery": blob_gallery,
    "create-gallery": create_gallery,
    "trusted": trusted,
    "encrypt": encrypt,
    "group": group,
    "check": check,
    "test": test,
    "promote": promote,
    "share": share,
    "public": public,
    "deprecate": deprecate,
    "list": listing,
    "delete": delete,
    "prune": prune_,
    "sweep": sweep_,
    "gc": gc,
}
