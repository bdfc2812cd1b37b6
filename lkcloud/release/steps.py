# SPDX-License-Identifier: Apache-2.0
"""What is done for one job, phase by phase; each is a function that a worker calls, here or on another machine."""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from lkcloud import pipeline
from lkcloud.boot import boot_test
from lkcloud.disk import Disk, open_disk
from lkcloud.disk.inspect import inspect
from lkcloud.errors import LkcloudError, UsageError
from lkcloud.pipeline import Plan
from lkcloud.provider import Copies, Finding, Image, Launches, Promotes, Protects, Run, Shares, Source
from lkcloud.release.events import JobReporter, Listener
from lkcloud.release.job import Job


@dataclass(frozen=True, slots=True)
class Made:
    """What the first phase of a job came to: the image, tested if it was to be, and its copies in other regions."""

    image: Image
    copies: tuple[Image, ...]
    size: int
    """Bytes of the disk."""
    made: bool
    """False where the image was there already."""
    tested: bool

    @property
    def images(self) -> tuple[Image, ...]:
        """The image and its copies."""
        return (self.image, *self.copies)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job did not get through a phase, as a value that can be sent."""

    message: str
    hint: str
    exit_code: int

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Return what ERROR says to a user."""
        if isinstance(error, LkcloudError):
            return cls(error.message, error.hint, error.exit_code)
        first = str(error).partition("\n")[0]
        return cls(
            f"unexpected: {type(error).__name__}{first and ': '}{first}",
            "this is a fault of lkcloud: report what `lkcloud -v publish` says",
            LkcloudError.exit_code,
        )


class Bench:
    """What the jobs of one process share: their disks, which are opened and read once, and who listens."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._stopping = threading.Event()
        self._opened = ExitStack()
        self._disks: dict[Path, Disk] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def stop(self) -> None:
        """Let every job stop as by Ctrl-C, when next it has something to tell."""
        self._stopping.set()

    def reporter(self, job: Job) -> JobReporter:
        """Return who takes what JOB has to tell; it is asked for in the thread that does the job."""
        return JobReporter(job.target, job.image, self._listener, self._stopping)

    def disk(self, job: Job, reporter: JobReporter) -> Disk:
        """Return the disk of JOB, which stays open until the bench is closed. Raises UnusableImage."""
        # Unpacking a compressed disk takes long; all jobs that wait here wait for the same, or for their turn at it.
        with self._lock:
            if job.file not in self._disks:
                self._disks[job.file] = self._opened.enter_context(open_disk(job.file, reporter=reporter))
            return self._disks[job.file]


def require_possible(jobs: Sequence[Job], bench: Bench) -> None:
    """Raise UsageError if of one of JOBS can be seen offline that it cannot be done; all there is to mend is in it.

    This comes before the first byte goes anywhere: a name that one cloud does not take is no reason to fill the others.
    """
    problems: list[tuple[Job, Finding]] = []
    for job in jobs:
        disk = bench.disk(job, bench.reporter(job))
        source = Source(disk=disk, name=job.name, facts=inspect(disk), description=job.description)
        problems += [(job, finding) for finding in job.provider().validate(source) if finding.obstacle]
    if problems:
        first = problems[0][1]
        told = "; ".join(f"{job.label}: {finding.problem}" for job, finding in problems)
        raise UsageError(told, hint=first.hint)


def plan(job: Job, bench: Bench) -> Plan:
    """Find out what `make` would do, making nothing. Raises what the provider raises."""
    reporter = bench.reporter(job)
    with pipeline.running(reporter, remembering=False) as run:
        return pipeline.plan(
            job.provider(),
            bench.disk(job, reporter),
            name=job.name,
            run=run,
            description=job.description,
            replacing=job.replace,
        )


def make(job: Job, bench: Bench, tested: frozenset[tuple[str, str]]) -> Made:
    """Let the image be there, see it boot, and copy it to the regions of the options: nobody else may use it yet.

    TESTED are ids and digests of images that an earlier run has seen boot. Raises what the provider raises, and
    BootFailed.
    """
    provider, reporter = job.provider(), bench.reporter(job)
    disk = bench.disk(job, reporter)
    with pipeline.running(reporter) as run:
        pushed = pipeline.push(
            provider, disk, name=job.name, run=run, description=job.description, replacing=job.replace
        )
        image = pushed.image
        if job.test is not None and (image.id, image.digest) not in tested:
            if not isinstance(provider, Launches):
                raise UsageError(
                    f"{job.cloud} cannot boot a test machine", hint=f"say `test: false` for the target {job.target}"
                )
            boot_test(provider, image, run=run, expectation=job.test)
        copies = provider.copy(image, run, replacing=job.replace) if isinstance(provider, Copies) else ()
    return Made(image, copies, disk.size, pushed.made, job.test is not None)


def share(job: Job, bench: Bench, images: tuple[Image, ...]) -> None:
    """Let those whom the options name use IMAGES. Raises what the provider raises."""
    provider = job.provider()
    if isinstance(provider, Shares):
        with _running(job, bench) as run:
            for image in images:
                provider.share(image, run)


def promote(job: Job, bench: Bench, images: tuple[Image, ...]) -> None:
    """Let the moving names of the options lead to IMAGES, and protect these. Raises what the provider raises."""
    provider = job.provider()
    with _running(job, bench) as run:
        if isinstance(provider, Promotes):
            for image in images:
                provider.promote(image, run)
        if isinstance(provider, Protects):
            for image in images:
                provider.protect(image, run)


def _running(job: Job, bench: Bench) -> AbstractContextManager[Run]:
    return pipeline.running(bench.reporter(job), remembering=False)
