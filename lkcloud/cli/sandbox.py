# SPDX-License-Identifier: Apache-2.0
"""`lkcloud sandbox up|down|status|env|reset|disk`: clouds on this machine."""

import json
import os
import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from lkcloud.cli.settings import SETTINGS
from lkcloud.errors import NotFound, UsageError
from lkcloud.reporting import Reporter

group = typer.Typer(rich_markup_mode=None, help="Clouds on this machine, for trying and testing.")
Cloud = Annotated[str, typer.Argument(metavar="[CLOUD]", help="Which cloud. [default: all]")]


def add_commands(app: typer.Typer) -> None:
    """Add the group to APP."""
    app.add_typer(group, name="sandbox")


def enter(cloud: str, reporter: Reporter) -> None:
    """Point the SDK of CLOUD in this process at the sandbox, which is started if none runs."""
    from lkcloud.sandbox import client

    os.environ.update(client.up(cloud, reporter=reporter).environment)


@group.command()
def up(cloud: Cloud = "") -> None:
    """Start the sandbox in the background; it ends with `down`, or after an hour unused."""
    from lkcloud.cli.terminal import reporter
    from lkcloud.sandbox import client
    from lkcloud.sandbox.standin import stand_ins

    for name in [cloud] if cloud else stand_ins():
        SETTINGS.cloud = "sandbox"
        client.up(name, reporter=reporter(quiet=SETTINGS.quiet))
    typer.echo('eval "$(lkcloud sandbox env)"')


@group.command()
def down(cloud: Cloud = "") -> None:
    """Stop the sandbox and remove all that was in it."""
    from lkcloud.sandbox import client

    stopped = client.down(cloud or None)
    for name in stopped:
        typer.echo(f"{name} stopped")
    if not stopped:
        _require_known(cloud)
        typer.echo(f"no sandbox {f'of {cloud} ' if cloud else ''}runs", err=True)


@group.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Show which sandboxes run."""
    from lkcloud.sandbox import client

    found = client.running()
    if as_json:
        document = [
            {"cloud": r.cloud, "pid": r.pid, "started": r.started.isoformat(), "environment": dict(r.environment)}
            for r in found
        ]
        typer.echo(json.dumps(document, indent=2))
        return
    for r in found:
        typer.echo(f"{r.cloud}  process {r.pid}  since {r.started:%Y-%m-%d %H:%M}  {r.home}")
    if not found:
        typer.echo("no sandbox runs")


@group.command()
def env(cloud: Cloud = "") -> None:
    """Print the environment that points other tools at the sandbox, for a shell to read."""
    from lkcloud.sandbox import client

    found = [r for r in client.running() if cloud in ("", r.cloud)]
    if not found:
        _require_known(cloud)
        raise NotFound("no sandbox runs", hint=f"lkcloud sandbox up {cloud}".rstrip())
    for r in found:
        for key, value in r.environment:
            typer.echo(f"export {key}={shlex.quote(value)}")


@group.command()
def reset(cloud: Cloud = "") -> None:
    """Empty the sandbox without stopping it."""
    from lkcloud.sandbox import client

    _require_known(cloud)
    for name in [cloud] if cloud else [r.cloud for r in client.running()]:
        client.reset(name)
        typer.echo(f"{name} is empty")


@group.command()
def disk(
    output: Annotated[Path, typer.Argument(help="The file to write.")],
    message: Annotated[str, typer.Option("--message", help="What it prints when it has booted.")] = "lkcloud-boot-ok",
    size: Annotated[int, typer.Option("--size", min=4, max=1 << 20, help="MiB.")] = 4,
    architecture: Annotated[
        Literal["x86_64", "arm64"], typer.Option("--architecture", help="What it boots on.")
    ] = "x86_64",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a tiny disk that boots by BIOS and by UEFI, prints one line on its serial port and powers off.

    One for arm64 boots by UEFI only: there is no BIOS.
    """
    from lkcloud.sandbox.tinydisk import write_tiny_disk

    if output.exists() and not force:
        raise UsageError(f"{output} is there already", hint="give --force to write over it, or another path")
    try:
        write_tiny_disk(output, size=size << 20, message=message, architecture=architecture)
    except ValueError as error:
        raise UsageError(
            f"--message cannot be used: {error}", hint="give one line of ASCII, at most 390 characters"
        ) from error
    typer.echo(output)


def _require_known(cloud: str) -> None:
    """Raise UsageError if CLOUD is given and has no sandbox."""
    from lkcloud.sandbox.standin import stand_in

    if cloud:
        stand_in(cloud)
