# SPDX-License-Identifier: Apache-2.0
"""`lkcloud gc [CLOUD]...`: what dead runs have left, on all clouds at once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter

from lkcloud.cli.asking import Answer, DryRun, Row, Yes, age_option, documents, end, settle
from lkcloud.cli.gathering import Clouds, each, gathered
from lkcloud.cli.push import Json, Sandbox, speaking
from lkcloud.cli.settings import SETTINGS
from lkcloud.errors import LkcloudError
from lkcloud.life import collect
from lkcloud.life.collect import YOUNG, Leftover, Place
from lkcloud.life.doing import Outcome
from lkcloud.life.local import ThisMachine
from lkcloud.provider import Blob, Provider, Used
from lkcloud.reporting import Reporter

OlderThan = Annotated[
    timedelta | None,
    age_option(
        "--older-than",
        f"Leave what is younger: it may be of a run that goes on. [default: {YOUNG // timedelta(hours=1)}h]",
    ),
]
All = Annotated[
    bool,
    typer.Option("--all", help="Also what the cloud tells no date of, be it ever so young.", show_default=False),
]

Local = Annotated[
    bool,
    typer.Option(
        "--local",
        help="Also what is on this machine: cached images, uploads that the journal remembers.",
        show_default=False,
    ),
]


@dataclass
class _Search:
    """What was found on the clouds, and of which of them nothing could be told."""

    older_than: timedelta
    undated: bool
    reporter: Reporter
    places: dict[str, Provider | Place] = field(default_factory=dict)
    found: dict[str, tuple[Leftover, ...]] = field(default_factory=dict)
    errors: dict[str, LkcloudError] = field(default_factory=dict)

    def look(self, place: Provider | Place) -> None:
        """Look for what was left in a PLACE."""
        now = datetime.now(UTC)
        found = collect.plan(place, older_than=self.older_than, undated=self.undated, now=now)
        self.places[place.name], self.found[place.name] = place, found

    def carry_out(self) -> Iterator[Outcome[Leftover]]:
        """Remove what is to go, and yield what came of each."""
        for name, leftovers in self.found.items():
            yield from collect.carry_out(self.places[name], leftovers)


def command() -> Any:
    """Return the command, with the options of all installed clouds."""
    return gathered("gc", _gc, (Used.EVERYWHERE,))


def _gc(
    *,
    ctx: typer.Context,
    clouds: Clouds = None,
    older_than: OlderThan = None,
    undated: All = False,
    local: Local = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    sandbox: Sandbox = False,
    as_json: Json = False,
    **values: Any,
) -> None:
    """Remove what runs that died have left: uploads, snapshots, disks, test machines. It shows it, and asks.

    A cloud that cannot be reached is told, and the others go on.
    """
    SETTINGS.json = as_json
    reporter = speaking("", sandbox=False)
    search = _Search(YOUNG if older_than is None else older_than, undated, reporter)
    for cloud, error in each(clouds, reporter, search.look, ctx, values, sandbox=sandbox):
        search.errors[cloud] = error
    if local:
        search.look(ThisMachine())
    rows = [_row(one) for leftovers in search.found.values() for one in leftovers]
    outcomes = settle(rows, search.carry_out, reporter, Answer(yes=yes, dry_run=dry_run, as_json=as_json))
    if as_json:
        typer.echo(json.dumps(_document(search, rows, outcomes), indent=2))
    elif search.found and not any(row.goes for row in rows):
        reporter.note(f"{', '.join(search.found)}: nothing to remove")
    end(outcomes, reporter, others=list(search.errors.values()), well=len(search.found))


def _row(leftover: Leftover) -> Row[Leftover]:
    blob, act = leftover.blob, "remove" if leftover.goes else "keep"
    state = f"  {blob.state}" if blob.state else ""
    shown: dict[str, Any] = TypeAdapter(Blob).dump_python(blob, mode="json")
    return Row(
        leftover,
        leftover.goes,
        f"{act:6}  {blob.cloud}  {blob.id}  {blob.kind}  {blob.name}{state}  {leftover.reason}",
        {**shown, "act": act, "reason": leftover.reason},
    )


def _document(search: _Search, rows: list[Row[Leftover]], outcomes: list[Outcome[Leftover]]) -> dict[str, Any]:
    problems = [
        {"cloud": cloud, "error": {"message": error.message, "hint": error.hint}}
        for cloud, error in search.errors.items()
    ]
    return {"leftovers": documents(rows, outcomes), "problems": problems}
