# SPDX-License-Identifier: Apache-2.0
"""`lkcloud push CLOUD IMAGE`."""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lkcloud import registry
from lkcloud.cli.boot_files import IMAGE_HELP, BootsBy, Cmdline, Initrd, wanted
from lkcloud.cli.flags import chosen, given, same_place
from lkcloud.cli.settings import SETTINGS
from lkcloud.errors import LkcloudError, UsageError
from lkcloud.provider import Launches, Used

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lkcloud.boot import Boot
    from lkcloud.disk.assemble.order import Wanted
    from lkcloud.pipeline import Plan, Pushed
    from lkcloud.provider import Image, Run
    from lkcloud.reporting import Reporter

Sandbox = Annotated[
    bool,
    typer.Option(
        "--sandbox", envvar="LKCLOUD_SANDBOX", help="Use the cloud on this machine; it is started if none runs."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Expect = Annotated[
    list[str],
    typer.Option(
        "--expect",
        metavar="REGEX",
        help="What the console must show for the test to pass; can be repeated, all are needed. "
        "Without it: a login prompt, systemd's or cloud-init's last words.",
    ),
]
Timeout = Annotated[float, typer.Option("--timeout", min=1, help="Seconds until a boot test fails.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the test machine running.")]


Name = Annotated[str, typer.Option("--name", "-n", help="Name of the image. [default: that of the file]")]
Description = Annotated[str, typer.Option("--description", help="Text that the cloud keeps with it.")]
Replacing = Annotated[
    bool, typer.Option("--replace", help="Put it in the place of an image with this name and other content.")
]
Test = Annotated[
    bool | None,
    typer.Option(
        "--test/--no-test",
        help="Boot it and read its console. [default: only if it is then to be copied, shared or promoted]",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and make nothing.")]


@dataclass(frozen=True, slots=True)
class Order:
    """A push as the flags have it: IMAGE becomes the image NAME ("" = that of the file)."""

    image: str
    """A path or a URL."""
    name: str
    description: str
    replacing: bool
    test: bool | None
    """None: only if it is then to be copied, shared or promoted."""
    expect: tuple[str, ...]
    timeout: float
    keep: bool
    sandbox: bool
    dry_run: bool
    as_json: bool
    wanted: "Wanted | None" = None
    """What a disk is to be put together from, if IMAGE is none."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a push came to: the image, its copies, and the boot that was seen, None if it was not booted."""

    pushed: "Pushed"
    copies: "tuple[Image, ...]"
    booted: "Boot | None"


def command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud push CLOUD`."""

    def push(
        *,
        ctx: typer.Context,
        image: Annotated[
            str,
            typer.Argument(
                metavar="IMAGE",
                help=f"{IMAGE_HELP} A file, or a URL: s3://, gs://, https://",
            ),
        ],
        name: Name = "",
        description: Description = "",
        replacing: Replacing = False,
        test: Test = None,
        expect: Expect = [],  # noqa: B006 - typer copies it
        timeout: Timeout = 300.0,
        keep: Keep = False,
        initrd: Initrd = [],  # noqa: B006 - typer copies it
        cmdline: Cmdline = None,
        boots_by: BootsBy = None,
        sandbox: Sandbox = False,
        dry_run: DryRun = False,
        as_json: Json = False,
        **values: Any,
    ) -> None:
        order = Order(
            image,
            name,
            description,
            replacing,
            test,
            tuple(expect),
            timeout,
            keep,
            sandbox,
            dry_run,
            as_json,
            wanted(initrd, cmdline, boots_by),
        )
        carry_out(cloud, order, ctx, values)

    push.__doc__ = f"Make IMAGE an image on {cloud}, and print its id; those of its copies on lines of their own."
    return push


def carry_out(cloud: str, order: Order, ctx: typer.Context, values: Mapping[str, Any]) -> Done | None:
    """Make the image of ORDER on CLOUD, test, copy and publish it as the flags say, and print what came of it.

    CTX and VALUES are the command's, with the cloud's options among them. Returns None for a dry run. Raises what the
    pipeline raises, BootFailed, and UsageError for flags that do not go together.
    """
    SETTINGS.json = order.as_json
    options = chosen(cloud, registry.options_of(registry.load(cloud)), ctx, values)
    from lkcloud import boot, pipeline
    from lkcloud.disk import open_disk

    expectation = boot.Expectation(patterns=order.expect, timeout=order.timeout)
    leading = given(type(options), ctx, Used.COPY, Used.SHARE, Used.PROMOTE)
    test = bool(leading) if order.test is None else order.test
    if (order.expect or order.keep) and not test:
        raise UsageError("--expect and --keep are of no use without --test", hint="add --test")
    place = same_place(ctx, type(options))
    with (
        running(cloud, sandbox=order.sandbox, remembering=not order.dry_run) as run,
        open_disk(order.image, wanted=order.wanted, reporter=run.reporter) as disk,
    ):
        # Anew: the sandbox has its own words in the environment.
        provider = registry.make(cloud, chosen(cloud, type(options), ctx, values))
        if test and not isinstance(provider, Launches):
            raise UsageError(f"{cloud} cannot boot a test machine", hint="leave --test out")
        if leading and not test:
            run.reporter.warn(f"{', '.join(leading)}: it has not been seen to boot")
        name, description, replacing = order.name or default_name(order.image), order.description, order.replacing
        if order.dry_run:
            planned = pipeline.plan(provider, disk, name=name, run=run, description=description, replacing=replacing)
            _print_plan(planned, as_json=order.as_json)
            return None
        try:
            pushed = pipeline.push(provider, disk, name=name, run=run, description=description, replacing=replacing)
        except LkcloudError as error:
            removal = pipeline.removal_command(cloud, name)
            error.hint = error.hint.replace(removal, removal + place)
            raise
        booted = None
        if test and isinstance(provider, Launches):
            booted = _tested(provider, pushed, run, expectation, keep=order.keep, place=place)
        copies = pipeline.copy(provider, pushed.image, run=run, replacing=replacing)
        pipeline.publish(provider, pushed.image, run=run, copies=copies)
        _print_pushed(pushed, copies, booted, run, as_json=order.as_json, place=place)
        return Done(pushed, copies, booted)


def default_name(image: str) -> str:
    """Return the name of the file or object without the endings of images and compressions."""
    from lkcloud.disk.objects import file_name

    name = file_name(image)
    return (
        re.sub(r"(-kernel|(\.(raw|img|bin|iso|qcow2|vmdk|vhdx?|gz|xz|zst))+)$", "", name, flags=re.IGNORECASE) or name
    )


def speaking(cloud: str, *, sandbox: bool) -> "Reporter":
    """Return a reporter, and enter the sandbox if it is wanted."""
    from lkcloud.cli.terminal import reporter

    voice = reporter(quiet=SETTINGS.quiet)
    if sandbox:
        from lkcloud.cli.sandbox import enter

        enter(cloud, voice)
    return voice


@contextmanager
def running(cloud: str, *, sandbox: bool, remembering: bool) -> "Iterator[Run]":
    """Open what a run needs: a reporter, the sandbox if it is wanted, and the journal."""
    from lkcloud import pipeline

    with pipeline.running(speaking(cloud, sandbox=sandbox), remembering=remembering) as run:
        yield run


def _tested(provider: Launches, pushed: "Pushed", run: "Run", expectation: Any, *, keep: bool, place: str) -> "Boot":
    from lkcloud.boot import boot_test
    from lkcloud.errors import BootFailed

    try:
        return boot_test(provider, pushed.image, run=run, expectation=expectation, keep=keep)
    except BootFailed as error:
        image = pushed.image
        removal = f"lkcloud delete {image.cloud} {shlex.quote(image.id)}{place}"
        what = "is private and can be removed" if pushed.made else "was there before; if nobody needs it, remove it"
        raise BootFailed(error.message, hint=f"{error.hint}; {image.id} {what}: {removal}") from error


def _print_pushed(
    pushed: "Pushed", copies: "Sequence[Image]", booted: "Boot | None", run: "Run", *, as_json: bool, place: str
) -> None:
    image = pushed.image
    if as_json:
        document = {
            **images_document(image),
            "made": pushed.made,
            "size": pushed.source.disk.size,
            "sent": pushed.sent,
            "seconds": round(pushed.seconds, 1),
            "boot": None if booted is None else {"line": booted.line, "seconds": round(booted.seconds, 1)},
            "copies": [images_document(one) for one in copies],
        }
        typer.echo(json.dumps(document, indent=2))
        return
    for one in (image, *copies):
        typer.echo(one.id)
    if booted:
        run.reporter.note(f"it booted: {booted.line}")
    else:
        run.reporter.note(f"next: lkcloud test {image.cloud} {shlex.quote(image.id)}{place}")


def images_document(image: Any) -> dict[str, Any]:
    """Return an image as a JSON-ready document."""
    from pydantic import TypeAdapter

    from lkcloud.provider import Image

    document: dict[str, Any] = TypeAdapter(Image).dump_python(image, mode="json")
    document["tags"] = dict(document["tags"])
    return document


def plan_document(plan: "Plan") -> dict[str, Any]:
    """Return a plan as a JSON-ready document."""
    return {
        "name": plan.name,
        "digest": plan.digest,
        "size": plan.size,
        "data": plan.data,
        "existing": images_document(plan.existing) if plan.existing else None,
        "done": plan.done,
        "findings": [{"problem": f.problem, "hint": f.hint, "obstacle": f.obstacle} for f in plan.findings],
    }


def _print_plan(plan: "Plan", *, as_json: bool) -> None:
    from lkcloud.cli.terminal import size

    if as_json:
        typer.echo(json.dumps(plan_document(plan), indent=2))
    else:
        sign = "=" if plan.done else "+" if plan.possible else "!"
        typer.echo(f"{sign} {plan.name}: {size(plan.size)}, {size(plan.data)} of data, {plan.digest[:12]}")
        if plan.existing:
            typer.echo(f"  there is {plan.existing.id} with content {plan.existing.digest[:12] or 'not from lkcloud'}")
        for finding in plan.findings:
            typer.echo(f"{'!' if finding.obstacle else '?'} {finding.problem}\n  hint: {finding.hint}")
    if plan.error:
        raise typer.Exit(plan.error.exit_code)
