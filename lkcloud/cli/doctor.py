# SPDX-License-Identifier: Apache-2.0
"""`lkcloud doctor [CLOUD]...`: whether accounts are ready for a push, making nothing in them."""

import json
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from shutil import get_terminal_size
from typing import Annotated, Any

import typer

from lkcloud.cli.gathering import Clouds, each, gathered
from lkcloud.cli.push import Json, Sandbox, speaking
from lkcloud.cli.settings import SETTINGS
from lkcloud.diagnosis import Diagnoses, Diagnosis, Health, Purpose
from lkcloud.errors import LkcloudError, NotAuthenticated, UsageError
from lkcloud.provider import Provider

PUSHING = (Purpose.PUSH, Purpose.TEST, Purpose.LIST, Purpose.DELETE)
"""What is looked at unless the user says otherwise: a push that boots what it made, and its undoing."""

_MARKS = {Health.GOOD: "ok", Health.NOTE: "note", Health.UNKNOWN: "?", Health.PROBLEM: "PROBLEM"}

Purposes = Annotated[
    list[str],
    typer.Option(
        "--for",
        metavar="COMMAND",
        help=f"What the account is for, several with commas, or all: {', '.join(one.value for one in Purpose)}. "
        f"[default: {','.join(one.value for one in PUSHING)}]",
        show_default=False,
    ),
]
Fix = Annotated[
    bool, typer.Option("--fix", help="Print Terraform that mends what it can, ready to apply, and nothing else.")
]


@dataclass
class _Round:
    """The clouds that were seen, and what was found there."""

    purposes: tuple[Purpose, ...]
    found: dict[str, list[Diagnosis]] = field(default_factory=dict)
    errors: dict[str, LkcloudError] = field(default_factory=dict)

    def see(self, provider: Provider) -> None:
        """Look at the account of PROVIDER."""
        if not isinstance(provider, Diagnoses):
            raise UsageError(f"{provider.name} cannot look at an account", hint="see lkcloud providers")
        self.found[provider.name] = list(provider.diagnose(self.purposes))

    def all(self, *healths: Health) -> list[Diagnosis]:
        """Return all that stands so, on all clouds."""
        return [one for found in self.found.values() for one in found if one.health in healths]


def command() -> Any:
    """Return the command, with the options of all installed clouds."""
    return gathered("doctor", _doctor, None)


def _doctor(
    *,
    ctx: typer.Context,
    clouds: Clouds = None,
    purposes: Purposes = [],  # noqa: B006 - typer copies it
    fix: Fix = False,
    sandbox: Sandbox = False,
    as_json: Json = False,
    **values: Any,
) -> None:
    """Tell whether accounts are ready: who you are there, what you may, what stands in the way, and what mends it.

    Nothing is made. Each cloud is asked for the way of pushing that its options say. Exit code 1 if there is a problem.
    """
    SETTINGS.json = as_json
    if fix and as_json:
        raise UsageError("--fix prints Terraform, --json a document", hint="give one of them")
    seen = _Round(_purposes(purposes))
    reporter = speaking("", sandbox=False)
    for cloud, error in each(clouds, reporter, seen.see, ctx, values, sandbox=sandbox):
        seen.errors[cloud] = error
    if fix:
        for error in seen.errors.values():
            print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)  # noqa: T201
        _print_terraform(seen.all(Health.PROBLEM, Health.NOTE))
    elif as_json:
        typer.echo(json.dumps(_document(seen), indent=2))
    else:
        _print(seen)
    _end(seen, named=bool(clouds))


def _purposes(texts: Iterable[str]) -> tuple[Purpose, ...]:
    words = [word.strip() for text in texts for word in text.split(",") if word.strip()]
    if "all" in words:
        return tuple(Purpose)
    known = {one.value: one for one in Purpose}
    for word in words:
        if word not in known:
            raise UsageError(f"--for: there is no command {word}", hint=f"it takes all, or: {', '.join(known)}")
    return tuple(dict.fromkeys(known[word] for word in words)) or PUSHING


def _print(seen: _Round) -> None:
    """Print a table: how it stands, of what, and what was seen; below a problem, why it matters and what mends it."""
    inner = " " * 10
    for cloud, found in seen.found.items():
        about = max((len(one.about) for one in found), default=0)
        typer.echo(cloud)
        for one in found:
            _print_text(f"  {_MARKS[one.health]:8}{one.about:{about}}  ", one.what)
            if one.health is Health.GOOD:
                continue
            _print_text(f"{inner}why: ", one.why)
            _print_text(f"{inner}do:  ", one.remedy.do)
            for line in one.remedy.commands:
                typer.echo(f"{inner}$ {line}")  # whole, to be copied
    for cloud, error in seen.errors.items():
        typer.echo(f"{cloud}\n  PROBLEM {error.message}\n{inner}do:  {error.hint}")
    if any(one.remedy.terraform for one in seen.all(Health.PROBLEM, Health.NOTE)):
        typer.echo("--fix prints Terraform that mends what Terraform can")


def _print_text(lead: str, text: str) -> None:
    """Print TEXT behind LEAD, over as many lines as it takes; names of things stay whole."""
    width = max(40, min(get_terminal_size().columns, 120))
    if text:
        typer.echo(
            textwrap.fill(
                text,
                width,
                initial_indent=lead,
                subsequent_indent=" " * len(lead),
                break_long_words=False,
                break_on_hyphens=False,
            )
        )


def _print_terraform(found: list[Diagnosis]) -> None:
    """Print each block once, below what it mends; what Terraform cannot mend is told on stderr."""
    blocks: dict[str, list[str]] = {}
    for one in found:
        if one.remedy.terraform:
            blocks.setdefault(one.remedy.terraform.strip("\n"), []).append(one.what)
        elif ways := " && ".join(one.remedy.commands) or one.remedy.do:
            print(f"no Terraform mends it: {one.what} ({ways})", file=sys.stderr)  # noqa: T201
    if blocks:
        typer.echo("\n\n".join("\n".join([*(f"# {what}" for what in whats), block]) for block, whats in blocks.items()))


def _document(seen: _Round) -> dict[str, Any]:
    return {
        "clouds": {
            cloud: [
                {
                    "about": one.about,
                    "health": one.health.value,
                    "what": one.what,
                    "why": one.why,
                    "do": one.remedy.do,
                    "commands": list(one.remedy.commands),
                    "terraform": one.remedy.terraform,
                }
                for one in found
            ]
            for cloud, found in seen.found.items()
        },
        "problems": [
            {"cloud": cloud, "error": error.message, "hint": error.hint} for cloud, error in seen.errors.items()
        ],
    }


def _end(seen: _Round, *, named: bool) -> None:
    """End with 1 if there is a problem. That nobody is signed in is one only where the cloud was NAMED, or none is."""
    errors = list(seen.errors.values())
    unknown = [error for error in errors if isinstance(error, NotAuthenticated)]
    if errors and not seen.found:
        codes = {error.exit_code for error in errors}
        raise typer.Exit(codes.pop() if len(codes) == 1 else 1)
    if seen.all(Health.PROBLEM) or (errors if named else len(errors) > len(unknown)):
        raise typer.Exit(1)
