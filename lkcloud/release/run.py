# SPDX-License-Identifier: Apache-2.0
"""A release carried out: all jobs side by side, phase by phase, and a manifest that is true at any moment.

First every image is made, tested and copied, and nobody else may use any of them. Only when all required ones are there
are they shared, and only when all required ones are shared do moving names lead to them: what can be taken back comes
before what cannot.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lkcloud.disk.objects import file_name
from lkcloud.errors import PARTLY, BootFailed, UsageError
from lkcloud.provider import Image
from lkcloud.release import manifest as manifests
from lkcloud.release import steps
from lkcloud.release.events import JobKnown, Listener, PhaseEnded, Stopped
from lkcloud.release.job import Job
from lkcloud.release.manifest import Artifact, Identity, Manifest, Problem, Published
from lkcloud.release.steps import Bench, Failure, Made

Phase = Literal["make", "share", "promote"]

_HELD = "waits until all required images are there"


@dataclass(slots=True)
class Standing:
    """How a job stands."""

    job: Job
    made: Made | None = None
    complete: bool = False
    """Whether MADE has all that the job makes; if not, an earlier run may have made more."""
    failure: Failure | None = None
    shared: bool = False
    promoted: bool = False

    @property
    def images(self) -> tuple[Image, ...]:
        """The image and its copies, as far as they are there."""
        return self.made.images if self.made else ()

    @property
    def blocks(self) -> bool:
        """Whether others must wait for it."""
        return self.job.required and self.failure is not None


@dataclass(frozen=True, slots=True)
class Result:
    """What a release came to; where something required failed, STOPPED_AT is the phase in which the first did."""

    manifest: Manifest
    exit_code: int
    stopped_at: Phase = "make"


class Publication:
    """Carries out JOBS, with the workers of EXECUTOR and the disks of BENCH, and keeps the manifest OUTPUT.

    VERSION is that of the release. OUTPUT may be of an earlier run: what that has seen boot is not booted again. WHOLE
    says that JOBS are all that the release has, and SANDBOX that its clouds are on this machine.

    Raises UsageError for an OUTPUT that is no manifest, or one of the sandbox where this is none, or the other way.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        version: str,
        executor: Executor,
        bench: Bench,
        listener: Listener,
        output: Path,
        whole: bool = True,
        sandbox: bool = False,
    ) -> None:
        self._standings = [Standing(job) for job in jobs]
        self._version = version
        self._executor = executor
        self._bench = bench
        self._listener = listener
        self._output = output
        self._whole = whole
        self._sandbox = sandbox
        before = manifests.read(output)
        if before and before.sandbox != sandbox:
            raise UsageError(
                f"{output} is the manifest of a release {'in the sandbox' if before.sandbox else 'on real clouds'}",
                hint="name another file with -o",
            )
        self._before = before if before and before.version == version else None

    def run(self) -> Result:
        """Carry it out. After Ctrl-C the jobs stop in order, as far as they are, and the manifest says what is there.

        Raises UsageError for what can be seen offline to be impossible, and LkcloudError where the manifest cannot be
        written; then nothing is made. Failures of jobs are in the result.
        """
        known = self._before.images if self._before else ()
        tested = frozenset(Identity.of(one) for one in known if one.tested)
        with self._stopping():
            steps.require_possible([standing.job for standing in self._standings], self._executor, self._bench)
            manifests.write(self._output, self._before or self._manifest())
            for standing in self._standings:
                self._listener(JobKnown.of(standing.job))
            self._phase("make", lambda one: self._executor.submit(steps.make, one.job, self._bench, tested))
            if self._may("share"):
                self._phase("share", lambda one: self._executor.submit(steps.share, one.job, self._bench, one.images))
            if self._may("promote"):
                self._phase(
                    "promote", lambda one: self._executor.submit(steps.promote, one.job, self._bench, one.images)
                )
        return Result(self._write(), self._exit_code(), self._stopped_at())

    def _may(self, phase: Phase) -> bool:
        """Return whether nothing that is required stands in the way of PHASE; else tell those who wait."""
        if not any(standing.blocks for standing in self._standings):
            return True
        if phase == "share" or any(standing.shared for standing in self._standings):
            self._hold(phase)
        return False

    def _phase(self, phase: Phase, submit: "Callable[[Standing], Future[Any]]") -> None:
        """Let all jobs that have not failed go through PHASE, and note each as soon as it has."""
        futures = {submit(standing): standing for standing in self._standings if standing.failure is None}
        try:
            for future in as_completed(futures):
                self._note(phase, futures[future], future)
                self._write()
        except BaseException:
            going = {future: standing for future, standing in futures.items() if not future.cancel()}
            self._bench.stop()
            wait(going)
            for future, standing in going.items():
                standing.made = _made(future) or standing.made
            self._write()
            raise

    @contextmanager
    def _stopping(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._bench.stop()
            raise

    def _note(self, phase: Phase, standing: Standing, future: "Future[Any]") -> None:
        try:
            outcome = future.result()
        except Exception as error:
            self._fail(standing, phase, Failure.of(error))
            return
        if phase == "make":
            standing.made = made = outcome
            if made.failure is None:
                standing.complete = True
                self._tell(standing.job, phase, "made" if made.made else "there", image_id=made.image.id)
            else:
                self._fail(standing, phase, made.failure)
            return
        if phase == "share":
            standing.shared = True
        else:
            standing.promoted = True
            if standing.made:
                standing.made = replace(standing.made, image=outcome[0], copies=outcome[1:])
        self._tell(standing.job, phase, "done", image_id=standing.made.image.id if standing.made else "")

    def _fail(self, standing: Standing, phase: Phase, failure: Failure) -> None:
        """Note that a job came no further; an image that is there all the same is named."""
        standing.failure = failure = failure.in_file(standing.job.cloud)
        image_id = standing.made.image.id if standing.made else ""
        self._tell(standing.job, phase, "failed", image_id=image_id, error=failure.message, hint=failure.hint)

    def _hold(self, phase: Phase) -> None:
        """Tell those who are well that they wait for others."""
        for standing in self._standings:
            if standing.failure is None and standing.made is not None:
                self._tell(standing.job, phase, "held", image_id=standing.made.image.id, error=_HELD)

    def _tell(
        self,
        job: Job,
        phase: Phase,
        outcome: Literal["made", "there", "done", "failed", "held"],
        *,
        image_id: str = "",
        error: str = "",
        hint: str = "",
    ) -> None:
        self._listener(
            PhaseEnded(
                target=job.target, image=job.image, phase=phase, outcome=outcome, id=image_id, error=error, hint=hint
            )
        )

    def _exit_code(self) -> int:
        failed = [standing.failure for standing in self._standings if standing.failure and standing.job.required]
        if not failed:
            return 0
        if any(failure.exit_code == BootFailed.exit_code for failure in failed):
            return BootFailed.exit_code
        if any(standing.made for standing in self._standings):
            return PARTLY
        codes = {failure.exit_code for failure in failed}
        return codes.pop() if len(codes) == 1 else 1

    def _stopped_at(self) -> Phase:
        blocking = [standing for standing in self._standings if standing.blocks]
        if any(standing.shared for standing in blocking):
            return "promote"
        return "make" if any(standing.made is None or standing.made.failure for standing in blocking) else "share"

    def _write(self) -> Manifest:
        manifest = self._manifest()
        manifests.write(self._output, manifest)
        return manifest

    def _manifest(self) -> Manifest:
        """Return the release as it stands; of jobs that this run has not come to, what the one before has said."""
        ours = {(standing.job.target, standing.job.image) for standing in self._standings}
        before = self._before.images if self._before else ()
        images = [one for one in before if (one.target, one.image) not in ours]
        for standing in self._standings:
            job = standing.job
            earlier = [one for one in before if (one.target, one.image) == (job.target, job.image)]
            entries = {Identity.of(one): one for one in earlier}
            images += [self._entry(standing, image, entries.get(Identity.of(image))) for image in standing.images]
            images += _unseen(standing, earlier)
        problems = tuple(
            Problem(target=one.job.target, image=one.job.image, error=one.failure.message, hint=one.failure.hint)
            for one in self._standings
            if one.failure
        )
        return Manifest(
            version=self._version,
            sandbox=self._sandbox,
            complete=self._complete(),
            artifacts=self._artifacts(),
            images=manifests.sorted_images(images),
            problems=problems,
        )

    def _complete(self) -> bool:
        """Return whether all that is required is there, of an earlier run too where this one has not come to it."""
        was = self._before is not None and self._before.complete
        for standing in self._standings:
            unchanged = was and standing.failure is None and not (standing.made and standing.made.made)
            if standing.job.required and not standing.promoted and not unchanged:
                return False
        return self._whole or was

    def _entry(self, standing: Standing, image: Image, before: Published | None) -> Published:
        job, made = standing.job, standing.made
        if made and made.made and image.id == made.image.id:
            before = None  # another one has been there and had this id, with the same content
        return Published.of(
            image,
            arch=job.architecture,
            version=self._version,
            target=job.target,
            image=job.image,
            tested=bool(made and made.tested) or bool(before and before.tested),
            shared=standing.shared or bool(before and before.shared),
            promoted=standing.promoted or bool(before and before.promoted),
        )

    def _artifacts(self) -> tuple[Artifact, ...]:
        found = {one.image: one for one in (self._before.artifacts if self._before else ())}
        for standing in self._standings:
            if standing.made:
                job, made = standing.job, standing.made
                found[job.image] = Artifact(
                    image=job.image,
                    file=file_name(job.file.path),
                    size=made.size,
                    digest=made.image.digest,
                    architecture=job.architecture,
                )
        return tuple(found[image] for image in sorted(found))


def _unseen(standing: Standing, earlier: Sequence[Published]) -> list[Published]:
    """Return what an EARLIER run of a job has said that this one has not come to.

    Not what was made of other content, or for another account: this release has no part in it any more.
    """
    if standing.made is None:
        return list(earlier)
    if standing.complete:
        return []
    seen = {Identity.of(image) for image in standing.images}
    image = standing.made.image
    ours = (one for one in earlier if (one.account, one.digest) == (image.account, image.digest))
    return [one for one in ours if Identity.of(one) not in seen]


def _made(future: "Future[Any]") -> Made | None:
    """Return what a job has made, also one that was stopped; None if that is nothing."""
    error = future.exception()
    if isinstance(error, Stopped):
        return error.made
    value = None if error else future.result()
    return value if isinstance(value, Made) else None
