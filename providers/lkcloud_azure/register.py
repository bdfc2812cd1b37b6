# SPDX-License-Identifier: Apache-2.0
"""An image made from the upload, once whatever happens: what goes on is waited for, what has failed makes room.

https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations: the image is there as soon as it
is asked for, with `Creating` as its provisioningState. A version that has failed cannot be made again in its place
(hashicorp/packer-plugin-azure#183).
"""

import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from lkcloud.errors import Conflict, LkcloudError, Refused, Unreachable
from lkcloud.polling import poll
from lkcloud.provider import Blob, Image, Run, Source
from lkcloud.reporting import Meter
from lkcloud.transfer.retry import Verdict
from lkcloud_azure import disk_upload, features, gallery, images, leftovers, operations
from lkcloud_azure.errors import fault, judge, retry_after
from lkcloud_azure.gallery_version import GalleryVersion
from lkcloud_azure.managed_image import STAGE_KIND, ManagedImage
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.operations import Operation
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.session import Session

_DOING = "making the image"

_GOES_ON = "it goes on at Azure: run the same command again to wait for it (--image-timeout says how long)"

_LAG = 600.0
"""Seconds for which Azure may say that something else goes on where the image is to be, though nothing is to be seen:
so it does for a while after one was deleted there (Azure/azure-rest-api-specs#11559, #19686)."""

_UNSEEN = 300.0
"""Seconds for which an image may not be seen although its making has ended well."""

_BRISK, _SLOW = 60.0, 15.0
"""Seconds for which an image is looked at often, and those between two looks from then on: it can take hours."""

_VHD = re.compile(r"\bVHDs?\b")
"""What Azure's words on a VHD that it cannot use have in common: those on the cookie in its footer, those on its size
(Azure/azure-cli#6179, microsoft/AzureStorageExplorer#3029)."""

_HOPELESS = re.compile(r"\bVHDs?\b|quota|limit|not (supported|allowed)|exceeds|encryption set", re.IGNORECASE)
"""Words of failures that come again when the same is asked for again."""


class Target(Protocol):
    """What the image is to be: a managed image, or a version in a gallery."""

    def find(self) -> Image | None:
        """Return it if it is there, in whatever state; raises Conflict if another image is in its place."""
        ...

    def begin(self, doing: str) -> tuple[ResourceId, Operation] | None:
        """Ask for it; None if that is not possible right now, by what the next look may tell."""
        ...


def register(session: Session, options: AzureOptions, source: Source, blob: Blob, run: Run) -> Image:
    """Return the image when it can be used; one of the same name and digest that is there is returned.

    A making that is at work, of an earlier run or of another one, is waited for. One that has failed is removed, and
    made again once. The upload BLOB is removed when the image is there, unless the options keep it; after a failure the
    next run can go on with it. Ctrl-C leaves the making at work.

    Raises Conflict if the name is taken by other content, NotFound and UsageError for a gallery or a definition that is
    missing or does not fit, Refused and others for what Azure refuses, and Unreachable after the time limit.
    """
    limit = 60.0 * options.image_timeout
    with run.reporter.stage("register") as meter:

        def made(target: Target) -> Image:
            return Making(session, target, source.digest, run, meter, limit).image()

        try:
            if options.gallery is None:
                image = made(ManagedImage(session, options, source, blob))
            else:
                security = gallery.ensure(session, options, source, blob.region, run)
                if _needs_image(options, source, blob, security):
                    stage = ManagedImage(session, options, source, blob, staged=True)
                    image = made(GalleryVersion(session, options, source, blob, lambda: made(stage)))
                    _remove(session, options, Blob("azure", blob.region, str(stage.place), STAGE_KIND), run)
                else:
                    image = made(GalleryVersion(session, options, source, blob))
        except LkcloudError as error:
            if _blames_upload(error) and not options.keep_upload:
                _remove(session, options, blob, run)
            raise
    if options.keep_upload:
        _keep(session, options, blob, run)
    else:
        _remove(session, options, blob, run)
    return image


def _needs_image(options: AzureOptions, source: Source, blob: Blob, security: str) -> bool:
    """Tell whether a managed image has to be made on the way to a version of the security type SECURITY.

    Versions that support Trusted Launch or confidential machines are made of blobs and of images, and not of disks
    (hashicorp/packer-plugin-azure#304, microsoft/STL#4682). A managed image is generalized, and is not for Arm64: then
    the disk is given to Azure all the same.
    """
    return (
        blob.kind == disk_upload.KIND
        and security.lower().endswith("supported")
        and features.stages_image(options, source.facts)
    )


def _remove(session: Session, options: AzureOptions, blob: Blob, run: Run) -> None:
    """Remove what an image was made of; an identity that may not leaves it, and the user is told."""
    try:
        leftovers.delete(session, options, blob)
    except LkcloudError as error:
        run.reporter.warn(f"{blob.id} is left behind: {error.message}")


def _keep(session: Session, options: AzureOptions, blob: Blob, run: Run) -> None:
    """Mark what is left on purpose; an identity that may not leaves it unmarked, and the user is told."""
    try:
        leftovers.keep(session, options, blob)
    except LkcloudError as error:
        run.reporter.warn(f"{blob.id} is not marked as kept: {error.message}")


def _blames_upload(error: LkcloudError) -> bool:
    """Tell whether Azure has looked at the VHD and cannot use it: the next run has to upload it anew."""
    answer = fault(error.__cause__)
    return answer is not None and bool(_VHD.search(answer.message))


@dataclass
class Making:
    """Makes TARGET, and waits until it can be used."""

    session: Session
    target: Target
    digest: str
    run: Run
    meter: Meter
    limit: float
    """Seconds that it may take."""
    _deadline: float = field(default=0.0, init=False)
    _failed: bool = field(default=False, init=False)
    """Whether one has failed and made room: the next failure is told."""
    _busy: float | None = field(default=None, init=False)
    """Since when Azure says that something else goes on there."""
    _pause: float = field(default=0.0, init=False)
    """Seconds that Azure asks to wait before it is asked for the image again."""

    def image(self) -> Image:
        """Return the image when it can be used."""
        self._deadline = time.monotonic() + self.limit
        return poll(
            self._look, what=f"azure: {_DOING}", every=0.5, limit=self.limit, hint=_GOES_ON, least=lambda: self._pause
        )

    def _look(self) -> Image | None:
        self._pause = 0.0
        found = self.target.find()
        if found is None:
            begun = self._begin()
            return self._follow(*begun, there=False) if begun is not None else None
        if found.ready:
            return found
        place = ResourceId.parse(found.id)
        assert place is not None
        return self._follow(place, self._recall(place), there=True)

    def _begin(self) -> tuple[ResourceId, Operation] | None:
        """Ask for the image; None if Azure lets us wait, or if something else goes on there for now."""
        try:
            begun = self.target.begin(_DOING)
        except LkcloudError as error:
            cause = error.__cause__
            if not isinstance(cause, Exception) or judge(cause) is not Verdict.THROTTLED:
                raise
            # Limits on how often images are made are of half an hour and more.
            self._pause = retry_after(cause)
            self.meter.status("throttled by Azure, waiting")
            return None
        if begun is not None:
            self._busy = None
            self._remember(*begun)
            return begun
        now = time.monotonic()
        self._busy = self._busy or now
        self.meter.status("waiting for another operation")
        if now - self._busy > _LAG:
            raise Conflict(
                f"azure: {_DOING}: something else goes on with it at Azure, for {_LAG:.0f} seconds by now",
                hint="run the same command again later",
            )
        return None

    def _follow(self, place: ResourceId, operation: Operation | None, *, there: bool) -> Image | None:
        """Wait for a making; None if there is no image then, or room for one.

        THERE says that the image has been seen, so that it has gone if it is not to be seen.
        """
        reason = self._wait(operation) if operation is not None else None
        image = self._ended(place, reason, there=there)
        if image is not None and image.ready:
            self._forget(place)
            return image if image.digest == self.digest else None  # in a race it is another's
        if image is None and reason is None:
            return None
        failure = reason or Refused(
            f"azure: {_DOING}: {place} is {image.state if image else 'gone'}, and Azure gives no reason",
            hint="run the same command again",
        )
        if image is not None:
            self._clear(image, failure)
        self._forget(place)
        if self._failed or (not there and not _is_passing(failure)):
            raise failure
        self._failed = True
        self.run.reporter.warn(f"{failure.message}: it is made again")
        return None

    def _wait(self, operation: Operation) -> LkcloudError | None:
        """Wait until OPERATION has ended; return what it ended with if that was bad."""
        try:
            operations.wait(self.session, operation, doing=_DOING, limit=self._left(), hint=_GOES_ON, meter=self.meter)
        except LkcloudError as error:
            answer = fault(error.__cause__)
            if answer is None or answer.status not in (0, 404):
                raise
            # Azure forgets operations after a while; how this one has ended, the image tells.
            return error if answer.status == 0 else None
        return None

    def _ended(self, place: ResourceId, reason: LkcloudError | None, *, there: bool) -> Image | None:
        """Return the image when nothing goes on with it any more, None if it is gone or never came to be."""

        def look() -> tuple[Image | None] | None:
            image = images.get(self.session, str(place))
            if image is None:
                return (None,) if there or reason is not None else None
            self.meter.status(image.state)
            return (image,) if image.ready or image.state in (operations.FAILED, operations.CANCELED) else None

        def least() -> float:
            return _SLOW if time.monotonic() - begun > _BRISK else 0.0

        limit, begun = self._left() if there else min(self._left(), _UNSEEN), time.monotonic()
        try:
            return poll(look, what=f"azure: {_DOING}", every=0.5, limit=limit, hint=_GOES_ON, least=least)[0]
        except Unreachable:
            if reason is not None:
                raise reason from None
            raise

    def _clear(self, image: Image, failure: LkcloudError) -> None:
        """Remove an image that has FAILED, so that there is room for another."""
        if images.released(self.session, image):
            raise Refused(
                f"{failure.message}; `latest` may lead to {image.id}, so it stays",
                hint=f"make sure that nobody needs it, delete it (lkcloud delete azure {image.id}), and run this again",
            )
        self.meter.status("removing what has failed")
        images.delete(self.session, image)

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)

    def _remember(self, place: ResourceId, operation: Operation) -> None:
        """Keep the handle of the operation, which alone tells why a making has failed."""
        with suppress(Conflict), self.run.journal.transfer(_key(place)) as transfer:
            transfer.begin(operation.to_text())

    def _recall(self, place: ResourceId) -> Operation | None:
        """Return the operation that an earlier run began, None if nothing is known of one."""
        with suppress(Conflict), self.run.journal.transfer(_key(place)) as transfer:
            return Operation.from_text(transfer.handle) if transfer.handle else None
        return None

    def _forget(self, place: ResourceId) -> None:
        with suppress(Conflict), self.run.journal.transfer(_key(place)) as transfer:
            transfer.forget()


def _key(place: ResourceId) -> str:
    """Return what the journal calls the making of an image.

    Who finds that another run has it at the moment does without: it is a hint.
    """
    return f"azure image {str(place).lower()}"


def _is_passing(failure: LkcloudError) -> bool:
    """Tell whether the same may well succeed when it is asked for again."""
    answer = fault(failure.__cause__)
    return isinstance(failure, Refused | Unreachable) and not (answer and _HOPELESS.search(answer.message))
