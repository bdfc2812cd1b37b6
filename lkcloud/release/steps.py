# SPDX-License-Identifier: Apache-2.0
"""What is done for one job, phase by phase; each is a function that a worker calls, here or on another machine."""

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from itertools import repeat

from lkcloud import pipeline, registry
from lkcloud.boot import boot_test
from lkcloud.disk import Disk
from lkcloud.disk.inspect import inspect
from lkcloud.errors import BootFailed, Incomplete, LkcloudError, NotAuthenticated, UnusableImage, UsageError
from lkcloud.pipeline import Plan
from lkcloud.provider import Copies, Finding, Image, Launches, Promotes, Protects, Provider, Run, Shares, Source
from lkcloud.release.events import JobReporter, Listener, Stopped
from lkcloud.release.hints import in_file
from lkcloud.release.image_file import ImageFile
from lkcloud.release.job import Job, Look, UnusableSource
from lkcloud.release.manifest import Identity
from lkcloud.reporting import Reporter


@dataclass(frozen=True, slots=True)
class Made:
    """What the first phase of a job came to: the image, tested if it was to be, and its copies in other regions.

    With a FAILURE it came no further than that: the image is there, and did not boot or was not copied everywhere.
    """

    image: Image
    copies: tuple[Image, ...]
    size: int
    """Bytes of the disk."""
    made: bool
    """False where the image was there already."""
    tested: bool
    failure: "Failure | None" = None

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
        if isinstance(error, ModuleNotFoundError):
            return cls(f"the Python package {error.name} is missing", "pip install 'lkcloud[all]'", 1)
        first = str(error).partition("\n")[0]
        return cls(
            f"unexpected: {type(error).__name__}{first and ': '}{first}",
            "this is a fault of lkcloud: report what `lkcloud -v publish` says",
            LkcloudError.exit_code,
        )

    def in_file(self, cloud: str) -> "Failure":
        """Return it as a release file would have it, whose target is on CLOUD."""
        return replace(self, hint=in_file(self.hint, cloud))

    def error(self) -> LkcloudError:
        """Return an error that says the same."""
        kinds = {kind.exit_code: kind for kind in (UsageError, Incomplete, NotAuthenticated, BootFailed)}
        return kinds.get(self.exit_code, LkcloudError)(self.message, hint=self.hint)


class Disks:
    """Disks that are opened once and shared, until they are all closed."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._disks: dict[ImageFile, Disk] = {}
        self._locks: defaultdict[ImageFile, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def __enter__(self) -> "Disks":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close them; nobody may use one any more."""
        self._opened.close()

    def open(self, file: ImageFile, reporter: Reporter) -> Disk:
        """Return the disk FILE. Raises what `open_disk` raises."""
        with self._lock:
            lock = self._locks[file]
        # Fetching or unpacking an image takes long; who waits here waits for the same.
        with lock:
            if file not in self._disks:
                self._disks[file] = self._opened.enter_context(file.open(reporter))
            return self._disks[file]


class Bench:
    """What the jobs of one process share: its DISKS, and who listens."""

    def __init__(self, listener: Listener, disks: Disks) -> None:
        self._listener = listener
        self._disks = disks
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let every job stop as by Ctrl-C, when next it has something to tell."""
        self._stopping.set()

    def reporter(self, target: str, image: str, cloud: str = "") -> JobReporter:
        """Return who takes what a job has to tell; it is asked for in the thread that does the job."""
        return JobReporter(target, image, self._listener, self._stopping, cloud=cloud)

    def disk(self, file: ImageFile, reporter: JobReporter) -> Disk:
        """Return the disk FILE. Raises what `open_disk` raises."""
        return self._disks.open(file, reporter)


def looking(executor: Executor, bench: Bench) -> Look:
    """Return what looks at disks with the workers of EXECUTOR, all side by side."""

    def look_there(files: Mapping[str, ImageFile]) -> Mapping[str, str]:
        return dict(zip(files, executor.map(look, files.keys(), files.values(), repeat(bench)), strict=True))

    return look_there


def look(image: str, file: ImageFile, bench: Bench) -> str:
    """Return the architecture of the disk FILE of IMAGE, "" where it does not tell. Raises UnusableSource."""
    try:
        return inspect(bench.disk(file, bench.reporter("", image))).architecture or ""
    except (UnusableImage, UsageError) as error:
        raise UnusableSource(image, error) from error


def require_possible(jobs: Sequence[Job], executor: Executor, bench: Bench) -> None:
    """Raise UsageError if of one of JOBS can be seen offline that it cannot be done; all there is to mend is in it.

    This comes before the first byte goes anywhere: a name that one cloud does not take is no reason to fill the others.
    """
    found = zip(jobs, executor.map(obstacles, jobs, repeat(bench)), strict=True)
    problems = [(job, finding) for job, findings in found for finding in findings]
    if problems:
        first_job, first = problems[0]
        told = "; ".join(f"{job.label}: {finding.problem}" for job, finding in problems)
        raise UsageError(told, hint=in_file(first.hint, first_job.cloud))


def obstacles(job: Job, bench: Bench) -> tuple[Finding, ...]:
    """Return what can be seen offline to stand in the way of JOB. Raises what `open_disk` raises, and UsageError."""
    disk = bench.disk(job.file, bench.reporter(job.target, job.image, job.cloud))
    source = Source(disk=disk, name=job.name, facts=inspect(disk), description=job.description)
    return tuple(finding for finding in job.provider().validate(source) if finding.obstacle)


def plan(job: Job, bench: Bench) -> Plan:
    """Find out what `make` would do, making nothing. Raises what the provider raises."""
    reporter = bench.reporter(job.target, job.image, job.cloud)
    with pipeline.running(reporter, remembering=False) as run:
        planned = pipeline.plan(
            _loaded(job),
            bench.disk(job.file, reporter),
            name=job.name,
            run=run,
            description=job.description,
            replacing=job.replace,
        )
    told = tuple(replace(finding, hint=in_file(finding.hint, job.cloud)) for finding in planned.findings)
    return replace(planned, findings=told)


def make(job: Job, bench: Bench, tested: frozenset[Identity]) -> Made:
    """Let the image be there, see it boot, and copy it to the regions of the options: nobody else may use it yet.

    TESTED are images that an earlier run has seen boot; one that is made anew is none of them. Raises what the provider
    raises as long as there is no image; from then on what goes wrong is in what is returned. Raises Stopped, with what
    there is.
    """
    provider, reporter = _loaded(job), bench.reporter(job.target, job.image, job.cloud)
    if job.test is not None and not isinstance(provider, Launches):
        raise UsageError(
            f"{job.cloud} cannot boot a test machine", hint=f"say `test: false` for the target {job.target}"
        )
    disk = bench.disk(job.file, reporter)
    with pipeline.running(reporter) as run:
        pushed = pipeline.push(
            provider, disk, name=job.name, run=run, description=job.description, replacing=job.replace
        )
        image = pushed.image
        made = Made(image, (), disk.size, pushed.made, not pushed.made and Identity.of(image) in tested)
        try:
            if isinstance(provider, Launches) and job.test is not None and not made.tested:
                boot_test(provider, image, run=run, expectation=job.test)
                made = replace(made, tested=True)
            copies = provider.copy(image, run, replacing=job.replace) if isinstance(provider, Copies) else ()
        except Stopped:
            raise Stopped(made) from None
        except Exception as error:
            there = error.made if isinstance(error, LkcloudError) else ()
            return replace(made, copies=there, failure=Failure.of(error))
    return replace(made, copies=copies)


def share(job: Job, bench: Bench, images: tuple[Image, ...]) -> None:
    """Let those whom the options name use IMAGES. Raises what the provider raises."""
    provider = _loaded(job)
    if isinstance(provider, Shares):
        with _running(job, bench) as run:
            for image in images:
                provider.share(image, run)


def promote(job: Job, bench: Bench, images: tuple[Image, ...]) -> tuple[Image, ...]:
    """Let the moving names of the options lead to IMAGES, and protect these; return them as they are then.

    Raises what the provider raises.
    """
    provider = _loaded(job)
    with _running(job, bench) as run:
        if isinstance(provider, Promotes):
            for image in images:
                provider.promote(image, run)
        if isinstance(provider, Protects):
            for image in images:
                provider.protect(image, run)
    # Where a family is part of an image it is so from now on. A copy elsewhere may be known by its own place alone.
    return tuple(provider.get(image.id) or image for image in images)


def _loaded(job: Job) -> Provider:
    """Return the provider of JOB, loaded: other threads use others."""
    provider = job.provider()
    registry.load_all(provider)
    return provider


def _running(job: Job, bench: Bench) -> AbstractContextManager[Run]:
    return pipeline.running(bench.reporter(job.target, job.image, job.cloud), remembering=False)
