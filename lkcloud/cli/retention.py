# SPDX-License-Identifier: Apache-2.0
"""`lkcloud prune|sweep CLOUD`: images of which there are too many, and images whose time has come."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer

from lkcloud.cli.asking import Answer, DryRun, Row, Yes, age_option, documents, end, settle
from lkcloud.cli.images import Family, Glob, OlderThan, provider_of
from lkcloud.cli.push import Json, Sandbox, images_document, running
from lkcloud.cli.settings import SETTINGS
from lkcloud.errors import UsageError
from lkcloud.life import prune as pruning
from lkcloud.life import sweep as sweeping
from lkcloud.life.choice import Act, Policy, Selection, Verdict
from lkcloud.life.doing import Outcome
from lkcloud.life.sweep import Step, Sweeping
from lkcloud.provider import Run

T = TypeVar("T")

KEPT = 3
"""Images that stay where nothing is said of their number."""

Keep = Annotated[
    int | None,
    typer.Option(
        "--keep",
        min=0,
        metavar="N",
        show_default=False,
        help=f"How many of the newest stay of each family and architecture. [default: {KEPT}]",
    ),
]
WithdrawFor = Annotated[
    timedelta | None,
    age_option("--withdraw-for", "Withdraw an image first, and delete it when it has been so for that long."),
]
Delete = Annotated[
    bool, typer.Option("--delete", help="Delete images whose last date has passed, but for those in use.")
]


def prune_command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud prune CLOUD`."""

    def prune(
        *,
        ctx: typer.Context,
        keep: Keep = None,
        older_than: OlderThan = None,
        family: Family = None,
        name: Glob = None,
        withdraw_for: WithdrawFor = None,
        yes: Yes = False,
        dry_run: DryRun = False,
        sandbox: Sandbox = False,
        as_json: Json = False,
        **values: Any,
    ) -> None:
        SETTINGS.json = as_json
        if keep is None and older_than is None:
            raise UsageError(
                "it is not said which images are too many", hint="give --keep, --older-than, or both of them"
            )
        policy = Policy(KEPT if keep is None else keep, older_than or timedelta(), withdraw_for)
        with running(cloud, sandbox=sandbox, remembering=False) as run:
            provider = provider_of(cloud, ctx, values)
            verdicts = pruning.plan(provider, policy, Selection(family, name), now=datetime.now(UTC))
            rows = [_verdict_row(one) for one in verdicts]
            answer = Answer(yes=yes, dry_run=dry_run, as_json=as_json)
            _settle_all(
                rows, lambda: pruning.carry_out(provider, verdicts, run), run, answer, nothing="no image is too many"
            )

    prune.__doc__ = (
        f"Take away images on {cloud} of which there are too many, and nothing that is in use or that a moving name "
        "leads to. It shows what it would do, and asks."
    )
    return prune


def sweep_command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud sweep CLOUD`."""

    def sweep(
        *,
        ctx: typer.Context,
        deleting: Delete = False,
        yes: Yes = False,
        dry_run: DryRun = False,
        sandbox: Sandbox = False,
        as_json: Json = False,
        **values: Any,
    ) -> None:
        SETTINGS.json = as_json
        with running(cloud, sandbox=sandbox, remembering=False) as run:
            provider = provider_of(cloud, ctx, values)
            found = sweeping.plan(provider, now=datetime.now(UTC), deleting=deleting)
            rows = [_sweeping_row(one) for one in found]
            answer = Answer(yes=yes, dry_run=dry_run, as_json=as_json)
            _settle_all(rows, lambda: sweeping.carry_out(provider, found, run), run, answer, nothing="no date is due")

    sweep.__doc__ = (
        f"Carry out the dates of images that {cloud} only tells, when they have passed. It shows what it would do, and "
        "asks."
    )
    return sweep


def _settle_all(
    rows: Sequence[Row[T]],
    carry_out: Callable[[], Iterable[Outcome[T]]],
    run: Run,
    answer: Answer,
    *,
    nothing: str,
) -> None:
    """Show ROWS, carry them out if ANSWER says so, and print what came of it; NOTHING is said where no row goes."""
    outcomes = settle(rows, carry_out, run.reporter, answer)
    if answer.as_json:
        typer.echo(json.dumps(documents(rows, outcomes), indent=2))
    elif not any(row.goes for row in rows):
        run.reporter.note(nothing)
    end(outcomes, run.reporter)


def _verdict_row(verdict: Verdict) -> Row[Verdict]:
    image, act = verdict.image, verdict.act.value
    return Row(
        verdict,
        verdict.act is not Act.KEEP,
        f"{act:8}  {image.id}  {image.name}  {verdict.reason}",
        {**images_document(image), "act": act, "reason": verdict.reason},
    )


def _sweeping_row(sweeping: Sweeping) -> Row[Sweeping]:
    image, act = sweeping.due.image, sweeping.step.value
    return Row(
        sweeping,
        sweeping.step is not Step.KEEP,
        f"{act:6}  {image.id}  {image.name}  {sweeping.reason}",
        {**images_document(image), "act": act, "reason": sweeping.reason, "since": sweeping.due.since.isoformat()},
    )
