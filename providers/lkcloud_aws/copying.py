# SPDX-License-Identifier: Apache-2.0
"""One copy of an image in another region: found or made, waited for, and given to whoever may use the image."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from lkcloud.errors import Conflict, LkcloudError, Refused
from lkcloud.polling import poll
from lkcloud.provider import Image, Run
from lkcloud.transfer.retry import Verdict, retry
from lkcloud_aws import deprecation, images, sharing, snapshots
from lkcloud_aws.errors import code_of, explain, judge
from lkcloud_aws.images import Standing
from lkcloud_aws.naming import REPLACEMENT, listed, token
from lkcloud_aws.options import Destination
from lkcloud_aws.session import Session
from lkcloud_aws.sharing import EVERYBODY, Grants
from lkcloud_aws.snapshots import Snapshot

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import CopyImageRequestTypeDef

_GENERATIONS = 8
"""Copies that may have been made and removed before: each has used up a client token."""

_SAME_DATE = timedelta(days=1)
"""Two dates of deprecation that are no further apart are left alone: AWS counts those of public images from when each
was made, and a copy is made later."""

_SETTLE = 60.0
"""Seconds for which one of EC2's hosts may not know yet what another has answered."""

Show = Callable[[str], None]
"""Shows how a copy stands, in AWS's words."""


class _Stopped(Exception):
    """The run ends, and nobody waits for this copy any more."""


@dataclass(frozen=True)
class Copy:
    """A copy of SOURCE, which stands as STANDING says, at the DESTINATION, in whose region SESSION is.

    GRANTS are who may use the source, MINUTES are what a copy may take, SETTLE is what EC2 may take to know a new one.
    """

    session: Session
    destination: Destination
    source: Image
    standing: Standing
    grants: Grants
    run: Run
    minutes: int
    settle: float = _SETTLE

    def make(self, show: Show, stopped: Event, *, replacing: bool = False) -> Image:
        """Return the copy when it is available, found or made; SHOW shows its state until then.

        What else has the name is a Conflict, unless REPLACING: then it is deleted when the copy is there. Raises
        Refused for a copy that fails, which is removed. Once STOPPED is set it ends soon.
        """
        copies, others = self._named()
        if others and not replacing:
            raise self._taken(others[0])
        kept = self._kept(copies)
        if kept is not None:
            copy = self._wait(kept.id, show, stopped)
            if not self._is_copy(copy):  # while it was pending nobody could tell how it is encrypted
                raise self._taken(copy)
            self.run.reporter.note(f"the copy in {self.session.region} is there already as {copy.id}")
        else:
            made = self._wait(self._start(show, stopped), show, stopped)
            copy, others = self._settle(made, show, stopped, replacing=replacing)
            self.run.reporter.note(f"{self.source.id} is copied to {self.session.region} as {copy.id}")
        self._carry_over(copy)
        for other in others:
            self.run.reporter.note(f"replacing {other.id} in {self.session.region}")
            images.delete(self.session, other)
        return copy

    def _named(self) -> tuple[list[Image], list[Image]]:
        """Return the images that have our name: copies, oldest first, and others."""
        found = images.named(self.session, self.source.name)
        copies = [one for one in found if self._is_copy(one)]
        return copies, [one for one in found if one not in copies]

    def _is_copy(self, image: Image) -> bool:
        """Tell whether an image with our name has our content, and the encryption that is wanted."""
        if image.digest != self.source.digest:
            return False
        if not self.destination.key or not image.blobs:
            return True
        return all(self._has_key(one) for one in self._snapshots(image))

    def _snapshots(self, image: Image) -> list[Snapshot]:
        """Return what an image stands on; a snapshot that is new is not shown at once."""
        return [
            poll(
                partial(snapshots.get, self.session, blob.id),
                what=f"the snapshot {blob.id} in {self.session.region}",
                every=0.25,
                limit=self.settle,
                hint="run the same command again",
            )
            for blob in image.blobs
        ]

    def _has_key(self, snapshot: Snapshot) -> bool:
        """Only the ARN of a key can be compared: an alias leads to whatever it does today."""
        wanted = self.destination.key
        comparable = wanted.startswith("arn:") and ":key/" in wanted
        return snapshot.encrypted and (not comparable or snapshot.key == wanted)

    def _kept(self, copies: list[Image]) -> Image | None:
        """Return the oldest copy that is there or on its way; those that have failed are removed."""
        for one in copies:
            if one.state in images.FAILED:
                self._discard(one)
        alive = [one for one in copies if one.state not in images.FAILED]
        return alive[0] if alive else None

    def _start(self, show: Show, stopped: Event) -> str:
        """Begin the copy and return its id, when EC2 shows it.

        A client token that was used gives back the image that it made, even if that has been removed since; then the
        next token is tried.
        """
        for generation in range(_GENERATIONS):
            show("begins")
            image_id = self._ask(generation, stopped)
            if self._shown(image_id, stopped):
                return image_id
        raise Refused(
            f"aws: {_GENERATIONS} copies of {self.source.id} in {self.session.region} were made and removed",
            hint="push under another --name",
        )

    def _ask(self, generation: int, stopped: Event) -> str:
        request = self._request()
        request["ClientToken"] = token("copy", self.session.region, request, generation)

        def verdict(error: Exception) -> Verdict:
            # Others copy to the region as well, and AWS does only so many at a time: one of them will end.
            return Verdict.THROTTLED if code_of(error) == "ResourceLimitExceeded" else judge(error)

        try:
            answer = retry(
                lambda: self.session.ec2.copy_image(**request),
                judge=verdict,
                patience=60.0 * self.minutes,
                stopped=stopped,
            )
        except Exception as error:
            raise explain(error, f"copying {self.source.id} to {self.session.region}") from error
        return answer["ImageId"]

    def _request(self) -> "CopyImageRequestTypeDef":
        """Return what CopyImage is asked for; the source's tags go to the copy and its snapshots in the same moment."""
        source, key = self.source, self.destination.key
        # A replacement is an image of the source's region.
        tags = listed({name: value for name, value in source.tags if name != REPLACEMENT and name[:4] != "aws:"})
        request: CopyImageRequestTypeDef = {
            "Name": source.name,
            "SourceImageId": source.id,
            "SourceRegion": source.region,
            "TagSpecifications": [
                {"ResourceType": "image", "Tags": tags},
                {"ResourceType": "snapshot", "Tags": tags},
            ],
        }
        if self.standing.description:
            request["Description"] = self.standing.description
        if key:
            request["Encrypted"] = True
            request["KmsKeyId"] = key
        return request

    def _shown(self, image_id: str, stopped: Event) -> bool:
        """Tell whether EC2 shows the image; one that it does not show for a while, it shows no more."""
        deadline = time.monotonic() + self.settle

        def look() -> bool | None:
            if stopped.is_set():
                raise _Stopped
            try:
                answer = self.session.attempt(
                    lambda: self.session.ec2.describe_images(ImageIds=[image_id], IncludeDisabled=True)
                )
            except Exception as error:
                if code_of(error) == "InvalidAMIID.Unavailable":
                    return False
                if code_of(error) != "InvalidAMIID.NotFound":
                    raise explain(error, f"looking at {image_id} in {self.session.region}") from error
                answer = None
            if answer and answer["Images"]:
                return answer["Images"][0]["State"] != "deregistered"
            return None if time.monotonic() < deadline else False

        hint = "run the same command again"
        return poll(look, what=f"the copy {image_id}", every=0.25, limit=self.settle + 60, hint=hint)

    def _wait(self, image_id: str, show: Show, stopped: Event) -> Image:
        """Wait until the copy is available. Raises Refused if it fails, Unreachable after the time limit."""

        def look() -> Image | None:
            if stopped.is_set():
                raise _Stopped
            found = images.get(self.session, image_id)
            if found is None:
                return None
            show(found.state if found.ready else f"{found.state} {self._progress()}".rstrip())
            if found.state in images.FAILED:
                raise self._failure(found)
            if found.state == "disabled":
                raise Refused(
                    f"aws: the copy {image_id} in {self.session.region} is disabled",
                    hint=f"enable it with `lkcloud deprecate aws {image_id} --region {self.session.region} "
                    "--status active`",
                )
            return found if found.ready else None

        return poll(
            look,
            what=f"aws: the copy {image_id} in {self.session.region}",
            every=0.5,
            limit=60.0 * self.minutes,
            hint="run the same command again: it goes on waiting; --copy-timeout says how long",
        )

    def _progress(self) -> str:
        """Return how far AWS is with the snapshots of a copy that is on its way, such as `40%`."""
        ours = snapshots.ours(self.session, name=self.source.name, digest=self.source.digest)
        return " ".join(one.progress for one in ours if one.state == "pending")

    def _failure(self, copy: Image) -> Refused:
        """Remove a copy that has failed, and return what to tell."""
        reason = images.reason(self.session, copy.id)
        hint = "run the same command again"
        if self.destination.key:
            hint = f"see that {self.destination.key} is a key in {self.session.region} that this identity may use"
        try:
            self._discard(copy)
        except LkcloudError as error:
            hint = f"{hint}; it could not be removed: {error.message}"
        return Refused(
            f"aws: the copy {copy.id} in {self.session.region} is in state {copy.state}: {reason}", hint=hint
        )

    def _discard(self, copy: Image) -> None:
        """Deregister a copy that has failed, and delete its snapshots, which EC2 may not show with it."""
        ours = snapshots.ours(self.session, name=self.source.name, digest=self.source.digest)
        # AWS describes them as `Copied for DestinationAmi ami-... from SourceAmi ami-... for SourceSnapshot snap-...`.
        own = {one.id for one in ours if one.state == "error" or f"DestinationAmi {copy.id} " in one.description}
        images.deregister(self.session, copy.id)
        for snapshot_id in sorted(own.union(blob.id for blob in copy.blobs)):
            images.delete_snapshot(self.session, snapshot_id, copy.id)

    def _settle(self, made: Image, show: Show, stopped: Event, *, replacing: bool) -> tuple[Image, list[Image]]:
        """Return the one copy that is to stay after another run may have made one too, and what it replaces.

        CopyImage does not look at the names that are there. The oldest of all stays, which is the same for every run;
        the others take theirs back.
        """
        copies, others = self._named()
        others = [one for one in others if one.id != made.id]
        rivals = [one for one in (copies if replacing else [*copies, *others]) if one.state not in images.FAILED]
        first = min([made, *rivals], key=lambda one: (one.created or datetime.min.replace(tzinfo=UTC), one.id))
        if first.id == made.id:
            return made, others if replacing else []
        images.delete(self.session, made)
        if first not in copies:
            raise self._taken(first)
        return self._wait(first.id, show, stopped), others if replacing else []

    def _taken(self, other: Image) -> Conflict:
        region = self.session.region
        same = other.digest == self.source.digest
        what = f"not encrypted with {self.destination.key}" if same else "with other content"
        return Conflict(
            f"aws: the name {other.name} is taken in {region} by {other.id}, {what}",
            hint=f"give --replace to put the copy in its place, or `lkcloud delete aws {other.id} --region {region}`",
        )

    def _carry_over(self, copy: Image) -> None:
        """Give the copy to whoever may use the source, and let it be deprecated with it."""
        launch, volumes = self.grants.launch, frozenset[str]().union(*self.grants.volumes)
        if EVERYBODY in launch | volumes and any(one.encrypted for one in self._snapshots(copy)):
            self.run.reporter.warn(
                f"{self.source.id} is public, and its copy in {self.session.region} is encrypted, which cannot be"
            )
            launch, volumes = launch - {EVERYBODY}, volumes - {EVERYBODY}
        sharing.grant(self.session, copy, Grants(launch, (volumes,) * len(copy.blobs)))
        until = self.standing.deprecated
        if until is None:
            return
        there = images.standing(self.session, copy.id).deprecated
        if there is None or there - until > _SAME_DATE:
            deprecation.schedule(self.session, copy, max(until, deprecation.soon()), self.run)
