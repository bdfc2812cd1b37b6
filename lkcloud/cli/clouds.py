# SPDX-License-Identifier: Apache-2.0
"""The commands that name a cloud, `lkcloud VERB CLOUD ...`: a group for each verb, a command for each cloud."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from lkcloud import registry
from lkcloud.cli.settings import SETTINGS

if TYPE_CHECKING:
    from lkcloud.provider import Used

    Builder = tuple[Callable[[str], Callable[..., None]], tuple[Used, ...] | None]

VERBS = {
    "push": "Make a disk image an image of a cloud.",
    "post-process": "Make the disk that Packer has built an image of a cloud.",
    "test": "Boot an image and read its console.",
    "list": "List the images that lkcloud made.",
    "show": "Show one image.",
    "copy": "Copy an image to other regions.",
    "share": "Let others use an image.",
    "promote": "Make an image the one that a moving name leads to.",
    "protect": "Keep an image from being deleted by mistake.",
    "deprecate": "Say that an image should no longer be used.",
    "delete": "Delete an image, or what an unfinished push left.",
    "prune": "Take away images of which there are too many.",
    "sweep": "Carry out the dates of images that a cloud only tells.",
}

OPTIONAL = ("copy", "share", "promote", "protect", "deprecate", "sweep")
"""Verbs that not every cloud can, with the same words as its capabilities."""


def _builders() -> "Mapping[str, Builder]":
    """Return for each verb what makes the command for one cloud, and which options it takes (None = all).

    Imported when a command is made, since `lkcloud --help` needs none of it.
    """
    from lkcloud.cli import images, lifecycle, post_process, push, retention
    from lkcloud.provider import Used

    account = (Used.EVERYWHERE,)
    return {
        "push": (push.command, None),
        "post-process": (post_process.command, None),
        "test": (images.test_command, (*account, Used.LAUNCH)),
        "list": (images.list_command, account),
        "show": (images.show_command, account),
        "copy": (lifecycle.copy_command, (*account, Used.COPY)),
        "share": (lifecycle.share_command, (*account, Used.SHARE)),
        "promote": (lifecycle.promote_command, (*account, Used.PROMOTE)),
        "protect": (lifecycle.protect_command, (*account, Used.PROTECT)),
        "deprecate": (lifecycle.deprecate_command, account),
        "delete": (images.delete_command, account),
        "prune": (retention.prune_command, account),
        "sweep": (retention.sweep_command, account),
    }


def add_commands(app: typer.Typer) -> None:
    """Add a group for each of VERBS to APP, `doctor`, `gc` and `providers`."""
    for verb, text in VERBS.items():
        app.add_typer(_group(verb, text), name=verb)
    app.command("doctor", cls=_gathering("doctor"), help="Tell whether accounts are ready for a push.")(_stand_in)
    app.command("gc", cls=_gathering("gc"), help="Remove what runs that died have left, on all clouds.")(_stand_in)
    app.command("providers")(providers)


def providers(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show the installed clouds and what each can."""
    SETTINGS.json = as_json
    import json

    from lkcloud.capabilities import capabilities

    table = {cloud: capabilities(registry.load(cloud)) for cloud in registry.clouds()}
    if as_json:
        typer.echo(json.dumps(table, indent=2))
    for cloud, words in ({} if as_json else table).items():
        typer.echo(f"{cloud:10}{', '.join(words)}")


def _gathering(verb: str) -> type[TyperCommand]:
    class Gathering(TyperCommand):
        """A command for several clouds, with the options of all of them: they are imported when it is called."""

        def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
            made = import_module(f"lkcloud.cli.{verb}").command()
            return made.make_context(info_name, args, parent, **extra)

    return Gathering


def _stand_in() -> None:
    """Have a name and a line of help; the class of the command does the rest."""


def _group(verb: str, text: str) -> typer.Typer:
    class Clouds(TyperGroup):
        """One command for each installed cloud; a provider is imported when its command is."""

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is typer's
            return [cloud for cloud in registry.clouds() if verb not in OPTIONAL or _can(cloud, verb)]

        def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is typer's
            return _command(verb, cmd_name) if cmd_name in registry.clouds() else None

    group = typer.Typer(cls=Clouds, rich_markup_mode=None, help=text)

    @group.callback()
    def _callback() -> None:
        pass

    _callback.__doc__ = text
    return group


def _can(cloud: str, verb: str) -> bool:
    from lkcloud.capabilities import capabilities

    return verb in capabilities(registry.load(cloud))


def _command(verb: str, cloud: str) -> Any:
    SETTINGS.cloud = cloud
    from lkcloud.cli.flags import with_flags

    build, uses = _builders()[verb]
    function = with_flags(build(cloud), cloud, registry.options_of(registry.load(cloud)), uses)
    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
    )
    app.command(cloud)(function)
    return typer.main.get_command(app)
