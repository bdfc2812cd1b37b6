# SPDX-License-Identifier: Apache-2.0
"""An image made from the tarball, once whatever happens: the name of an image is unique, and says whose it is."""

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lkcloud.errors import Conflict, LkcloudError, Refused
from lkcloud.polling import poll
from lkcloud.provider import Blob, Image, Run, Source
from lkcloud.reporting import Meter
from lkcloud.transfer.retry import Verdict, retry
from lkcloud_gcp import features, images, objects, operations, shielded
from lkcloud_gcp.errors import GcpFault, explain, fault, judge
from lkcloud_gcp.naming import labels_of
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session

if TYPE_CHECKING:
    from google.cloud import compute_v1

_DOING = "importing the tarball"

_GOES_ON = "the import goes on at Google: run the same command again to wait for it (--import-timeout says how long)"

_ATTEMPT = 60.0
"""Seconds for one attempt at images.insert."""

_TARBALL = re.compile(r"\btar archive\b", re.IGNORECASE)
"""What Compute Engine says when it cannot use the content of a tarball: "The tar archive is not a valid image."

(google/netbsd-gce#4), and other sentences with these two words (nix-community/nixos-generators#221,
openshift/sandboxed-containers-operator#777). The name of a tarball, in what it says of one that is missing, has not.
"""

_BAD_TARBALL = "INVALID_IMAGE_TAR"
"""The code beside the first of these sentences (google/syzkaller#825)."""

_HINTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"\bkms\b|cryptokey", re.IGNORECASE),
        "let Compute Engine's service agent use the key, as roles/cloudkms.cryptoKeyEncrypterDecrypter",
    ),
    (
        re.compile(r"Cloud Storage object' was not found"),
        "run the same command again: it uploads the tarball anew",
    ),
)
"""What to do about an import that has failed, by what Google says; else what is right for any answer of Google's."""


@dataclass(frozen=True)
class Registration:
    """Registers SOURCE, whose bytes are in a tarball in a bucket."""

    session: Session
    options: GcpOptions
    source: Source

    def register(self, blob: Blob, run: Run) -> Image:
        """Return the image when it can be used; one of the same name and digest that is there is returned.

        An import that is at work, of an earlier run or of another one, is waited for. The tarball BLOB is removed when
        the image is ready, or when Google could not read it, unless the options keep it; after any other failure the
        next run can go on with it. Ctrl-C leaves the import at work.

        Raises Conflict if the name is taken by other content, Refused and others for an import that failed, and
        Unreachable after the time limit of the options.
        """
        with run.reporter.stage("register") as meter:
            try:
                image = self._wait(blob, meter)
            except Refused as error:
                if _blames_tarball(fault(error.__cause__)):
                    self._remove(blob, run)
                raise
        self._remove(blob, run)
        return image

    def request(self, blob: Blob) -> "compute_v1.Image":
        """Return what images.insert is asked for.

        The family is not among it: a family leads to its newest image, tested or not, so that promotion comes last.
        """
        from google.cloud import compute_v1

        options, source = self.options, self.source
        request = compute_v1.Image(
            name=source.name,
            architecture=features.architecture(options, source.facts),
            guest_os_features=[
                compute_v1.GuestOsFeature(type_=feature)
                for feature in features.guest_os_features(options, source.facts)
            ],
            labels=labels_of(source.digest, dict(options.labels)),
            licenses=[self._license(text) for text in options.license],
            storage_locations=list(options.storage_location),
            raw_disk=compute_v1.RawDisk(source=self._url(blob), container_type="TAR"),
        )
        if source.description:
            request.description = source.description
        if (state := shielded.initial_state(options)) is not None:
            request.shielded_instance_initial_state = state
        if options.kms_key:
            request.image_encryption_key = compute_v1.CustomerEncryptionKey(kms_key_name=options.kms_key)
            if options.kms_service_account:
                request.image_encryption_key.kms_key_service_account = options.kms_service_account
        return request

    def _url(self, blob: Blob) -> str:
        """Return the tarball's URL in the form of RawDisk.source, which has no place for a generation.

        It is Google's own address whatever endpoint this machine reaches Cloud Storage by.
        """
        place = blob.id.removeprefix("gs://").rpartition("#")[0]
        return f"https://storage.{self.session.universe}/{place}"

    def _license(self, text: str) -> str:
        """Return a licence as a URL; Image.licenses is documented with no other form."""
        return f"https://www.{self.session.universe}/compute/v1/{text}" if text.startswith("projects/") else text

    def _wait(self, blob: Blob, meter: Meter) -> Image:
        limit = 60.0 * self.options.import_timeout
        deadline = time.monotonic() + limit
        request = self.request(blob)

        def look() -> Image | None:
            shown = images.get(self.session, self.source.name)
            if shown is None:
                self._make(request, deadline, meter)
            elif (operation := self._at_work(shown)) is not None:
                self._follow(operation, deadline, meter)
            else:
                return self._if_ready(shown, meter)
            shown = images.get(self.session, self.source.name)
            return self._if_ready(shown, meter) if shown is not None else None

        return poll(look, what=f"gcp: {_DOING}", every=0.5, limit=limit, hint=_GOES_ON)

    def _if_ready(self, shown: "compute_v1.Image", meter: Meter) -> Image | None:
        image = images.image_of(shown)
        meter.status(image.state)
        return image if image.ready and image.digest == self.source.digest else None

    def _make(self, request: "compute_v1.Image", deadline: float, meter: Meter) -> None:
        """Make the image, or find that the name has just been taken; again as long as Google throttles.

        Google's limits on how often images are made are of minutes (googleapis/python-compute#279), and may be told
        when the operation ends, so that they are waited out for as long as an import may take.
        """

        def told(error: Exception) -> Verdict:
            verdict = judge(error)
            if verdict is Verdict.THROTTLED:
                meter.status("throttled by Google, waiting")
            return verdict

        def attempt() -> None:
            if (operation := self._insert(request, deadline, told)) is not None:
                self._follow(operation, deadline, meter)

        def again(error: Exception) -> Verdict:
            answer = fault(error.__cause__)
            throttled = answer is not None and told(answer) is Verdict.THROTTLED
            return Verdict.THROTTLED if throttled else Verdict.FATAL

        retry(attempt, judge=again, patience=_left(deadline))

    def _at_work(self, shown: "compute_v1.Image") -> "compute_v1.Operation | None":
        """Return the operation that makes the image that is there, None if there is none to wait for.

        One that has failed makes room. Raises Conflict for one that is another's.
        """
        image = images.image_of(shown)
        if image.state == images.DELETING:
            return None
        if image.digest != self.source.digest:
            raise _taken(image)
        if image.state == images.FAILED:
            images.delete(self.session, image)
            return None
        return None if image.ready else operations.inserting(self.session, shown.id)

    def _insert(
        self, request: "compute_v1.Image", deadline: float, verdict: Callable[[Exception], Verdict]
    ) -> "compute_v1.Operation | None":
        """Return the operation of a new image; None if the name has just been taken, by whom the next look tells.

        The request id is the same for all attempts at this one request, so that the answer to an attempt that was lost
        is given again. It is no function of what is asked for: Google would give the old answer again to who makes the
        same image after it failed, or was deleted. Over the end of this process the image's name tells what is there.
        """
        from google.cloud import compute_v1

        whole = compute_v1.InsertImageRequest(
            project=self.session.project, image_resource=request, request_id=str(uuid.uuid4())
        )
        try:
            return retry(
                lambda: self.session.images.insert_unary(request=whole, timeout=_ATTEMPT, retry=None),
                judge=verdict,
                attempts=6,
                patience=_left(deadline),
            )
        except Exception as error:
            answer = fault(error)
            if answer is not None and answer.reason == "alreadyExists":
                return None
            raise _explained(error) from error

    def _follow(self, operation: "compute_v1.Operation", deadline: float, meter: Meter) -> None:
        """Wait for the import; that the name was taken in the end is no failure, as the next look tells whose it is."""
        try:
            operations.wait(
                self.session,
                operation,
                doing=_DOING,
                limit=_left(deadline),
                hint=_GOES_ON,
                meter=meter,
            )
        except LkcloudError as error:
            answer = fault(error.__cause__)
            if answer is None:
                raise
            if answer.reason == "RESOURCE_ALREADY_EXISTS":
                return
            raise _explained(answer) from answer

    def _remove(self, blob: Blob, run: Run) -> None:
        """Remove the tarball, or mark it as kept; an identity that may not leaves it, and the user is told."""
        try:
            if self.options.keep_object:
                objects.keep(self.session, blob)
            else:
                objects.remove(self.session, blob)
        except LkcloudError as error:
            what = "not marked as kept" if self.options.keep_object else "left behind"
            run.reporter.warn(f"{blob.id} is {what}: {error.message}")


def _explained(error: Exception) -> Exception:
    """Return what to tell the user of an import that failed, or could not be begun."""
    known = explain(error, _DOING)
    answer = fault(error)
    if known is None or answer is None:
        return known or error
    if _blames_tarball(answer):
        hint = "run the same command again; if it fails again, look at what `lkcloud convert IMAGE x.tar.gz` writes"
        return Refused(known.message, hint=hint)
    known.hint = next((hint for pattern, hint in _HINTS if pattern.search(answer.message)), known.hint)
    return known


def _blames_tarball(answer: GcpFault | None) -> bool:
    """Tell whether Google has looked at the tarball and cannot use it: the same bytes would fail again."""
    return answer is not None and (answer.reason == _BAD_TARBALL or bool(_TARBALL.search(answer.message)))


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.0)


def _taken(image: Image) -> Conflict:
    return Conflict(
        f"gcp: the name {image.name} is taken by an image with other content",
        hint="give --replace to put this image in its place, or choose another --name",
    )
