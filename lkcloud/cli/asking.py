# SPDX-License-Identifier: Apache-2.0
"""What commands that do much at once have in common: they are dry until a yes, and tell what could not be done."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import typer

from lkcloud.errors import Incomplete, LkcloudError
from lkcloud.life import age

if TYPE_CHECKING:
    from lkcloud.life.doing import Outcome
    from lkcloud.reporting import Reporter

T = TypeVar("T")

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do not ask.")]


def age_option(flag: str, text: str) -> Any:
    """Return the option FLAG that is an age, such as 30d."""
    return typer.Option(flag, parser=_age, metavar="AGE", help=text, show_default=False)


@dataclass(frozen=True, slots=True)
class Row(Generic[T]):
    """A deed and how it is shown: as a LINE, and as a part of a JSON document. One that does not GO is not done."""

    deed: T
    goes: bool
    line: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the options of a command say before anybody is asked; where results are JSON, nobody is."""

    yes: bool
    dry_run: bool
    as_json: bool


def settle(
    rows: Sequence[Row[T]],
    carry_out: Callable[[], "Iterable[Outcome[T]]"],
    reporter: "Reporter",
    answer: Answer,
) -> "list[Outcome[T]]":
    """Show ROWS, and carry them out if that is wanted: by ANSWER, or by one at a terminal.

    Returns what came of them. Who says no at the terminal ends the command (typer.Abort).
    """
    if not answer.as_json:
        for row in rows:
            typer.echo(row.line)
    if not any(row.goes for row in rows) or not _agreed(reporter, answer):
        return []
    outcomes = list(carry_out())
    failed = sum(one.error is not None for one in outcomes)
    reporter.note(f"{len(outcomes) - failed} of {len(outcomes)} done")
    return outcomes


def documents(rows: Sequence[Row[T]], outcomes: "Iterable[Outcome[T]]") -> list[dict[str, Any]]:
    """Return ROWS as JSON-ready documents, with what came of each: whether it is done, and the error."""
    came = {id(one.deed): one.error for one in outcomes}
    found = []
    for row in rows:
        error = came.get(id(row.deed))
        said = None if error is None else {"message": error.message, "hint": error.hint}
        found.append({**row.document, "done": id(row.deed) in came and error is None, "error": said})
    return found


def end(
    outcomes: "Sequence[Outcome[Any]]",
    reporter: "Reporter",
    *,
    others: Sequence[LkcloudError] = (),
    well: int = 0,
) -> None:
    """End the command if there are errors, those of OUTCOMES or OTHERS.

    The first is raised, as Incomplete if something was done; the others are told. WELL is how much was done besides
    OUTCOMES.
    """
    errors = [*others, *(one.error for one in outcomes if one.error is not None)]
    if not errors:
        return
    for error in errors[1:]:
        reporter.warn(f"{error.message} ({error.hint})")
    if well + len(outcomes) + len(others) == len(errors):
        raise errors[0]
    raise Incomplete(errors[0].message, hint=errors[0].hint)


def _agreed(reporter: "Reporter", answer: Answer) -> bool:
    if answer.yes or answer.dry_run:
        return not answer.dry_run
    if answer.as_json or not sys.stdin.isatty():
        reporter.note("nothing was done: give --yes to do it")
        return False
    return typer.confirm("do this?", abort=True, err=True)


def _age(text: str) -> timedelta:
    try:
        return age.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
