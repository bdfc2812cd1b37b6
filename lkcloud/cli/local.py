# SPDX-License-Identifier: Apache-2.0
"""The commands that need no cloud: `lkcloud inspect` and `lkcloud convert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lkcloud.cli.boot_files import IMAGE_HELP, BootsBy, Cmdline, Initrd, wanted
from lkcloud.cli.settings import SETTINGS
from lkcloud.errors import UsageError

if TYPE_CHECKING:
    from lkcloud.disk import Disk
    from lkcloud.disk.readiness import Needs

ImagePath = Annotated[Path, typer.Argument(metavar="IMAGE", help=IMAGE_HELP)]


def add_commands(app: typer.Typer) -> None:
    """Add the commands to APP."""
    app.command("inspect")(inspect)
    app.command("convert")(convert)


def inspect(
    image: ImagePath,
    *,
    clouds: Annotated[
        list[str],
        typer.Option(
            "--for",
            metavar="CLOUD",
            help="Tell whether it would boot there instead: aws, gcp, azure, local, several with commas, or all. "
            "Exit code 1 if it will not.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    initrd: Initrd = [],  # noqa: B006 - typer copies it
    cmdline: Cmdline = None,
    boots_by: BootsBy = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what is on a disk: size, data, digest, partitions, file systems, firmware, architecture, kernel."""
    SETTINGS.json = as_json
    from lkcloud.cli.terminal import reporter
    from lkcloud.disk import open_disk
    from lkcloud.disk.inspect.report import inspect_report

    voice = reporter(quiet=SETTINGS.quiet)
    needs = _needs(clouds)
    with open_disk(image, wanted=wanted(initrd, cmdline, boots_by), looking=True, reporter=voice) as disk:
        if needs:
            _print_readiness(disk, needs, as_json=as_json)
            return
        with voice.stage("read") as meter:
            disk.content(meter)
        report = inspect_report(disk)
    typer.echo(report.model_dump_json(indent=2) if as_json else report.text())


def _needs(clouds: list[str]) -> "dict[str, Needs]":
    """Return what the clouds need that are named in CLOUDS, each a name or several with commas, or `all`."""
    from lkcloud import registry
    from lkcloud.provider import Requires

    named = [name.strip() for text in clouds for name in text.split(",") if name.strip()]
    every = "all" in named
    found: dict[str, Needs] = {}
    for cloud in registry.clouds() if every else dict.fromkeys(named):
        kind = registry.load(cloud)
        provider = registry.make(cloud, registry.options_of(kind)())
        if isinstance(provider, Requires):
            found[cloud] = provider.needs()
        elif not every:
            raise UsageError(f"{cloud} does not say what its machines need", hint="leave it out of --for")
    if named and not found:
        raise UsageError("no cloud is installed", hint="pip install 'lkcloud[all]'")
    return found


def _formats(incomplete: str) -> list[str]:
    """Return the formats that begin with INCOMPLETE, for the completion of shells."""
    from lkcloud.formats import catalogue

    return [name for name in catalogue.names() if name.startswith(incomplete)]


def _print_readiness(disk: "Disk", needs: "dict[str, Needs]", *, as_json: bool) -> None:
    from lkcloud.disk.readiness import readiness_report

    report = readiness_report(disk, needs)
    typer.echo(report.model_dump_json(indent=2) if as_json else report.text())
    if not report.boots:
        raise typer.Exit(1)


def convert(
    image: ImagePath,
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The file to write; for pxe, the folder.")],
    *,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            autocompletion=_formats,
            help="raw, vhd, vhd-dynamic, vhdx, qcow2, qcow2-zlib, qcow2-zstd, gce, vmdk, ova or pxe. "
            "[default: from OUTPUT's ending]",
        ),
    ] = "",
    compression_level: Annotated[
        int | None,
        typer.Option(
            "--compression-level",
            help="Fast to small: 0 to 9 for gce [default: 2], 1 to 12 for vmdk and ova [default: 1], 1 to 9 for "
            "qcow2-zlib [default: 4], 1 to 19 for qcow2-zstd [default: 3].",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    initrd: Initrd = [],  # noqa: B006 - typer copies it
    cmdline: Cmdline = None,
    boots_by: BootsBy = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a disk as another format: sparse, and under its name only when it is whole."""
    SETTINGS.json = as_json
    from lkcloud.cli.terminal import reporter
    from lkcloud.disk import open_disk
    from lkcloud.formats import catalogue
    from lkcloud.formats import convert as conversion

    voice = reporter(quiet=SETTINGS.quiet)
    chosen = format_ or catalogue.format_for(output).name
    if chosen != catalogue.PXE:
        catalogue.level_of(catalogue.format_named(chosen), compression_level)  # first: an image may take long to unpack
    with open_disk(image, wanted=wanted(initrd, cmdline, boots_by), reporter=voice) as disk:
        made = conversion.convert(
            disk, output, format=chosen, force=force, compression_level=compression_level, reporter=voice
        )
    if as_json:
        import json

        document = {"path": str(made.path), "format": made.format, "size": made.size, "data": made.data}
        typer.echo(json.dumps(document, indent=2))
    else:
        typer.echo(made.path)
