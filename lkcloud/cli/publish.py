# SPDX-License-Identifier: Apache-2.0
"""`lkcloud publish RELEASE.yaml`."""

import json
import logging
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lkcloud.cli.settings import SETTINGS
from lkcloud.errors import LkcloudError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    from lkcloud.cli.release_progress import Display
    from lkcloud.pipeline import Plan
    from lkcloud.release.cluster import Cluster
    from lkcloud.release.job import Job
    from lkcloud.release.reading import ReleaseFile
    from lkcloud.release.run import Publication, Result
    from lkcloud.release.steps import Bench, Failure


def add_commands(app: typer.Typer) -> None:
    """Add the command to APP."""
    app.command("publish")(publish)


def publish(
    *,
    file: Annotated[Path, typer.Argument(metavar="RELEASE.yaml", help="What is released, and where it goes.")],
    only: Annotated[
        list[str], typer.Option("--only", metavar="NAME", help="A cloud or a target; can be repeated. [default: all]")
    ] = [],  # noqa: B006 - typer copies it
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The manifest. [default: release.json beside the file; in the sandbox release.sandbox.json]",
        ),
    ] = None,
    jobs_at_a_time: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=256, help="Most images that are worked on at a time.")
    ] = 16,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Let the workers of a Dask cluster do it: tcp://HOST:PORT or tls://HOST:PORT. [default: this machine]",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and make nothing.")] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", envvar="LKCLOUD_SANDBOX", help="Use the clouds on this machine.")
    ] = False,
    events: Annotated[
        bool, typer.Option("--events", help="Print what happens as lines of JSON, while it does.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document: the manifest, or the plan.")
    ] = False,
) -> None:
    """Make the images that a release file names, on all its clouds; test them; then share and promote them.

    Done again, it does only what is missing.
    """
    SETTINGS.json = as_json
    if scheduler and sandbox:
        raise UsageError(
            "--sandbox is this machine's, and the work is done on others",
            hint='start the workers here, with eval "$(lkcloud sandbox env)"; or leave out one of the two',
        )
    if events and (as_json or dry_run):
        other = "--json" if as_json else "--dry-run"
        raise UsageError(f"--events and {other} do not go together", hint="leave out one of them")
    from lkcloud.release import job, reading
    from lkcloud.release.steps import looking

    read = reading.read(file)
    clouds = {target.cloud for target in read.release.targets if not only or {target.cloud, target.label} & {*only}}
    if sandbox:
        _enter(clouds)
    manifest = output or read.path.parent / ("release.sandbox.json" if sandbox else "release.json")
    with (
        _listening(dry_run=dry_run, events=events) as shown,
        _interrupted_once(shown),
        _workers(scheduler, jobs_at_a_time, shown) as workers,
    ):
        jobs = job.jobs(read, tuple(only), looking(*workers), own_account=sandbox)
        if dry_run:
            planned = _planned(jobs, *workers)
        else:
            result = _publication(read, jobs, workers, shown, manifest, whole=not only, sandbox=sandbox).run()
    if dry_run:
        _print_plan(planned, as_json=as_json)
    else:
        _print_result(result, jobs, events=events, as_json=as_json)
        _require_complete(result, jobs, manifest)


def _enter(clouds: set[str]) -> None:
    from lkcloud.cli.sandbox import enter
    from lkcloud.cli.terminal import reporter

    for cloud in sorted(clouds):
        enter(cloud, reporter(quiet=SETTINGS.quiet))


@contextmanager
def _listening(*, dry_run: bool, events: bool) -> "Iterator[Display]":
    """Yield what shows what happens, until it is over."""
    from lkcloud.cli.release_progress import JsonLines, display

    shown = JsonLines(sys.stdout) if events else display(quiet=SETTINGS.quiet, passing=dry_run)
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def _interrupted_once(shown: "Display") -> "Iterator[None]":
    """Let Ctrl-C, and what else ends a process, interrupt once: while jobs stop in order another one is only answered.

    What a job does then, such as removing a test machine, is not done again by another run.
    """

    def say(text: str) -> None:
        # Not here: a handler runs in the middle of whatever the thread does, which may be printing.
        threading.Thread(target=shown.say, args=(text,), daemon=True).start()

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        for each in before:
            signal.signal(each, lambda *_: say("jobs are still stopping"))
        say("interrupted: jobs stop in order, and remove their test machines")
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {one: signal.getsignal(one) for one in numbers if signal.getsignal(one) is not signal.SIG_IGN}
    for each in before:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each, handler in before.items():
            # None is a handler that was not set from Python, and cannot be set again from it.
            signal.signal(each, signal.SIG_DFL if handler is None else handler)


@contextmanager
def _workers(scheduler: str | None, jobs: int, shown: "Display") -> "Iterator[tuple[Executor, Bench]]":
    """Yield who does the work, and their bench; when it ends, by Ctrl-C as well, so has the work."""
    from lkcloud.release.steps import Bench, Disks

    if scheduler:
        with _cluster(scheduler, jobs, shown) as cluster:
            yield cluster, cluster.bench
        return
    with Disks() as disks, ThreadPoolExecutor(jobs) as executor:
        bench = Bench(shown, disks)
        try:
            yield executor, bench
        except BaseException:
            bench.stop()
            raise


def _cluster(scheduler: str, jobs: int, shown: "Display") -> "AbstractContextManager[Cluster]":
    SETTINGS.cloud = "dask"  # the extra to name if it is not installed
    from lkcloud.release.cluster import connected

    SETTINGS.cloud = ""
    if not SETTINGS.verbose:
        # What goes wrong is told once, by an error of ours.
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return connected(scheduler, jobs=jobs, listener=shown)


def _publication(
    read: "ReleaseFile",
    jobs: "Sequence[Job]",
    workers: "tuple[Executor, Bench]",
    shown: "Display",
    output: Path,
    *,
    whole: bool,
    sandbox: bool,
) -> "Publication":
    from lkcloud.release.run import Publication

    executor, bench = workers
    return Publication(
        jobs,
        version=read.release.version,
        executor=executor,
        bench=bench,
        listener=shown,
        output=output,
        whole=whole,
        sandbox=sandbox,
    )


def _print_result(result: "Result", jobs: "Sequence[Job]", *, events: bool, as_json: bool) -> None:
    """Print what is there now."""
    if as_json:
        typer.echo(json.dumps(result.manifest.model_dump(mode="json"), indent=2))
    elif not events:
        ours = {(one.target, one.image) for one in jobs}
        for one in result.manifest.images:
            if (one.target, one.image) in ours:
                typer.echo(f"{one.target}/{one.image}  {one.region}  {one.id}")


def _require_complete(result: "Result", jobs: "Sequence[Job]", output: Path) -> None:
    """Raise an error that says what is missing, with the exit code of the run, if something required is."""
    from lkcloud.release.steps import Failure

    if not result.exit_code:
        return
    required = {job.label for job in jobs if job.required}
    labels = [f"{one.target}/{one.image}" for one in result.manifest.problems]
    failed = [label for label in labels if label in required]
    consequence = {
        "make": "nothing was shared or promoted",
        "share": "nothing was promoted",
        "promote": "not all is promoted",
    }[result.stopped_at]
    raise Failure(
        f"{len(failed)} of {len(jobs)} images failed, and {consequence}: {', '.join(failed)}",
        f"{output} says what is there; the same command goes on",
        result.exit_code,
    ).error()


def _print_plan(planned: "Sequence[_Planned]", *, as_json: bool) -> None:
    """Print what would be done, and end with the code that a run would fail with for what stands in the way."""
    if as_json:
        typer.echo(json.dumps([one.document() for one in planned], indent=2))
    else:
        for one in planned:
            typer.echo("\n".join(one.lines()))
    codes = {one.exit_code for one in planned if one.job.required} - {0}
    if codes:
        raise typer.Exit(codes.pop() if len(codes) == 1 else LkcloudError.exit_code)


@dataclass(frozen=True)
class _Planned:
    """What would be done for JOB; FAILURE says why that could not be found out."""

    job: "Job"
    plan: "Plan | None"
    failure: "Failure | None"

    @property
    def sign(self) -> str:
        """`+` for an image that would be made, `=` for one that is there, `!` for a problem."""
        if self.plan is None or not self.plan.possible:
            return "!"
        return "=" if self.plan.done else "+"

    @property
    def exit_code(self) -> int:
        """What a run would end with, if nothing else were wrong."""
        if self.failure is not None:
            return self.failure.exit_code
        return self.plan.error.exit_code if self.plan and self.plan.error else 0

    def lines(self) -> "Iterator[str]":
        """Yield the plan for people to read."""
        from lkcloud.cli.terminal import size

        job, plan = self.job, self.plan
        if plan is None:
            assert self.failure is not None
            yield f"! {job.label}: {self.failure.message}\n  hint: {self.failure.hint}"
            return
        data = f"{size(plan.size)}, {size(plan.data)} of data, {plan.digest[:12]}"
        yield f"{self.sign} {job.label}: {job.name} on {job.cloud}: {data}"
        if plan.existing:
            yield f"  there is {plan.existing.id} with content {plan.existing.digest[:12] or 'not from lkcloud'}"
        for finding in plan.findings:
            yield f"  {'!' if finding.obstacle else '?'} {finding.problem}\n    hint: {finding.hint}"

    def document(self) -> "dict[str, Any]":
        """Return the plan for programs to read."""
        from lkcloud.cli.push import plan_document

        job = self.job
        said = {"target": job.target, "image": job.image, "cloud": job.cloud, "required": job.required}
        if self.plan is None:
            assert self.failure is not None
            return {**said, "name": job.name, "error": self.failure.message, "hint": self.failure.hint}
        return {**said, **plan_document(self.plan)}


def _planned(jobs: "Sequence[Job]", executor: "Executor", bench: "Bench") -> list[_Planned]:
    """Find out what would be done, for all jobs side by side."""
    from lkcloud.release import steps

    futures = [executor.submit(steps.plan, job, bench) for job in jobs]
    planned = []
    for job, future in zip(jobs, futures, strict=True):
        try:
            planned.append(_Planned(job, future.result(), None))
        except LkcloudError as error:
            planned.append(_Planned(job, None, steps.Failure.of(error).in_file(job.cloud)))
    return planned
