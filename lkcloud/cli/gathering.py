# SPDX-License-Identifier: Apache-2.0
"""A command for several clouds, `lkcloud VERB [CLOUD]...`, with the options of all: `--aws-region`, `--gcp-project`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

import typer

from lkcloud import registry
from lkcloud.cli.flags import chosen, parameters, with_parameters
from lkcloud.cli.push import speaking
from lkcloud.cli.settings import SETTINGS
from lkcloud.errors import LkcloudError
from lkcloud.provider import Provider, Used
from lkcloud.reporting import Reporter

Clouds = Annotated[list[str] | None, typer.Argument(metavar="CLOUD", help="Which clouds. [default: all]")]


def gathered(verb: str, function: Callable[..., None], uses: Iterable[Used] | None) -> Any:
    """Return the command VERB from FUNCTION, which takes **values, with the flags of all installed clouds.

    USES are as in `lkcloud.cli.flags.parameters`.
    """
    marks = None if uses is None else tuple(uses)
    flags = [
        one
        for cloud in registry.clouds()
        for one in parameters(cloud, registry.options_of(registry.load(cloud)), marks, prefix=_prefix(cloud))
    ]
    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
    )
    app.command(verb)(with_parameters(function, flags))
    return typer.main.get_command(app)


def each(
    clouds: list[str] | None,
    reporter: Reporter,
    act: Callable[[Provider], None],
    ctx: typer.Context,
    values: Mapping[str, Any],
    *,
    sandbox: bool,
) -> Iterator[tuple[str, LkcloudError]]:
    """Call ACT with the provider of each of CLOUDS (none = all), and yield the errors of those that fail.

    Raises UsageError for a word that is no cloud, before anything is done.
    """
    named = list(dict.fromkeys(clouds or ()))
    for cloud in named:
        registry.load(cloud)
    for cloud in named or registry.clouds():
        SETTINGS.cloud = cloud
        try:
            act(_provider(cloud, ctx, values, sandbox=sandbox))
        except ModuleNotFoundError as error:
            if named:
                raise
            reporter.note(f"{cloud} is left out: the Python package {error.name} is not installed")
        except LkcloudError as error:
            yield cloud, error


def _prefix(cloud: str) -> str:
    return f"{cloud}_"


def _provider(cloud: str, ctx: typer.Context, values: Mapping[str, Any], *, sandbox: bool) -> Provider:
    speaking(cloud, sandbox=sandbox)
    model = registry.options_of(registry.load(cloud))
    return registry.make(cloud, chosen(cloud, model, ctx, values, prefix=_prefix(cloud)))
