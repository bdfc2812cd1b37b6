# SPDX-License-Identifier: Apache-2.0
"""`lkcloud publish RELEASE.yaml`."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lkcloud.cli.settings import SETTINGS
from lkcloud.errors import LkcloudError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lkcloud.pipeline import Plan
    from lkcloud.release.events import Event
    from lkcloud.release.job import Job
    from lkcloud.release.reading import ReleaseFile
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
        Path | None, typer.Option("--output", "-o", help="The manifest. [default: release.json beside the file]")
    ] = None,
    jobs_at_a_time: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=256, help="Most images that are worked on at a time.")
    ] = 16,
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
    from lkcloud.release import job, reading

    read = reading.read(file)
    jobs = job.jobs(read, tuple(only))
    if sandbox:
        _enter({one.cloud for one in jobs})
    target = output or file.parent / "release.json"
    with ThreadPoolExecutor(jobs_at_a_time) as executor:
        if dry_run:
            _plan(jobs, executor, as_json=as_json)
        else:
            _run(read, jobs, executor, target, whole=not only, events=events, as_json=as_json)


def _enter(clouds: set[str]) -> None:
    from lkcloud.cli.sandbox import enter
    from lkcloud.cli.terminal import reporter

    for cloud in sorted(clouds):
        enter(cloud, reporter(quiet=SETTINGS.quiet))


def _run(
    read: "ReleaseFile",
    jobs: "Sequence[Job]",
    executor: ThreadPoolExecutor,
    output: Path,
    *,
    whole: bool,
    events: bool,
    as_json: bool,
) -> None:
    from lkcloud.cli.release_progress import JsonLines, display
    from lkcloud.release.run import Publication
    from lkcloud.release.steps import Bench

    shown = JsonLines(sys.stdout) if events else display(quiet=SETTINGS.quiet)
    try:
        with Bench(shown) as bench:
            publication = Publication(
                jobs,
                version=read.release.version,
                executor=executor,
                bench=bench,
                listener=shown,
                output=output,
                whole=whole,
            )
            result = publication.run()
    finally:
        shown.close()
    if as_json:
        typer.echo(json.dumps(result.manifest.model_dump(mode="json"), indent=2))
    elif not events:
        ours = {(one.target, one.image) for one in jobs}
        for one in result.manifest.images:
            if (one.target, one.image) in ours:
                typer.echo(f"{one.target}/{one.image}  {one.region}  {one.id}")
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _plan(jobs: "Sequence[Job]", executor: ThreadPoolExecutor, *, as_json: bool) -> None:
    """Print what would be done, and end with the code that a run would fail with for what stands in the way."""
    from lkcloud.release.steps import Bench

    with Bench(_unheard) as bench:
        planned = list(executor.map(lambda job: _planned(job, bench), jobs))
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


def _planned(job: "Job", bench: "Bench") -> _Planned:
    from lkcloud.release import steps

    try:
        return _Planned(job, steps.plan(job, bench), None)
    except LkcloudError as error:
        return _Planned(job, None, steps.Failure.of(error))


def _unheard(event: "Event") -> None:
    """Take what a plan tells on its way; the plan itself is what counts."""
    del event
