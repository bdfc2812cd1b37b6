# SPDX-License-Identifier: Apache-2.0
"""`lkcloud copy|share|promote|protect|deprecate CLOUD`: what comes of an image after it has booted."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from lkcloud.cli.flags import given
from lkcloud.cli.images import Reference, find_image, provider_of
from lkcloud.cli.push import Json, Sandbox, images_document, running
from lkcloud.cli.settings import SETTINGS
from lkcloud.errors import UsageError
from lkcloud.provider import Copies, Deprecates, Deprecation, Promotes, Protects, Shares, Status, Used


def copy_command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud copy CLOUD`."""

    def copy(
        *,
        ctx: typer.Context,
        reference: Reference,
        replacing: Annotated[
            bool, typer.Option("--replace", help="Put copies in the place of images with this name and other content.")
        ] = False,
        sandbox: Sandbox = False,
        as_json: Json = False,
        **values: Any,
    ) -> None:
        SETTINGS.json = as_json
        with running(cloud, sandbox=sandbox, remembering=False) as run:
            provider = provider_of(cloud, ctx, values)
            if not isinstance(provider, Copies):
                raise UsageError(f"{cloud} cannot copy images yet", hint="see lkcloud providers")
            if not given(type(provider.options), ctx, Used.COPY):
                raise UsageError("no place is named to copy the image to", hint=f"see lkcloud copy {cloud} --help")
            copies = provider.copy(find_image(provider, reference, ctx), run, replacing=replacing)
        if as_json:
            typer.echo(json.dumps([images_document(one) for one in copies], indent=2))
        for one in () if as_json else copies:
            typer.echo(one.id)

    copy.__doc__ = f"Copy an image on {cloud} to the places that the options name, and print the copies' ids."
    return copy


def share_command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud share CLOUD`."""

    def share(*, ctx: typer.Context, reference: Reference, sandbox: Sandbox = False, **values: Any) -> None:
        with running(cloud, sandbox=sandbox, remembering=False) as run:
            provider = provider_of(cloud, ctx, values)
            if not isinstance(provider, Shares):
                raise UsageError(f"{cloud} cannot share images yet", hint="see lkcloud providers")
            if not given(type(provider.options), ctx, Used.SHARE):
                raise UsageError("nobody is named who may use the image", hint=f"see lkcloud share {cloud} --help")
            provider.share(find_image(provider, reference, ctx), run)

    share.__doc__ = f"Let those whom the options name use an image on {cloud}, beside those who may already."
    return share


def promote_command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud promote CLOUD`."""

    def promote(*, ctx: typer.Context, reference: Reference, sandbox: Sandbox = False, **values: Any) -> None:
        with running(cloud, sandbox=sandbox, remembering=False) as run:
            provider = provider_of(cloud, ctx, values)
            if not isinstance(provider, Promotes):
                raise UsageError(f"{cloud} cannot promote images yet", hint="see lkcloud providers")
            if not given(type(provider.options), ctx, Used.PROMOTE):
                raise UsageError("no name is given to promote the image to", hint=f"see lkcloud promote {cloud} --help")
            provider.promote(find_image(provider, reference, ctx), run)

    promote.__doc__ = f"Make an image on {cloud} the one that the name in the options leads to."
    return promote


def protect_command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud protect CLOUD`."""

    def protect(*, ctx: typer.Context, reference: Reference, sandbox: Sandbox = False, **values: Any) -> None:
        with running(cloud, sandbox=sandbox, remembering=False) as run:
            provider = provider_of(cloud, ctx, values)
            if not isinstance(provider, Protects):
                raise UsageError(f"{cloud} cannot protect images yet", hint="see lkcloud providers")
            if not given(type(provider.options), ctx, Used.PROTECT):
                raise UsageError("it is not said how to protect the image", hint=f"see lkcloud protect {cloud} --help")
            provider.protect(find_image(provider, reference, ctx), run)

    protect.__doc__ = f"Keep an image on {cloud} from being deleted by mistake, or no longer."
    return protect


def deprecate_command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud deprecate CLOUD`."""

    def deprecate(
        *,
        ctx: typer.Context,
        reference: Reference,
        status: Annotated[Status, typer.Option("--status", help="How the image stands from now on.")] = (
            Status.DEPRECATED
        ),
        replacement: Annotated[
            str, typer.Option("--replacement", metavar="IMAGE", help="Id or name of the image to use instead.")
        ] = "",
        deprecated_on: Annotated[datetime | None, _date("When users are told that it becomes deprecated.")] = None,
        obsolete_on: Annotated[datetime | None, _date("When users are told that it becomes obsolete.")] = None,
        deleted_on: Annotated[datetime | None, _date("When users are told that it is deleted.")] = None,
        sandbox: Sandbox = False,
        **values: Any,
    ) -> None:
        with running(cloud, sandbox=sandbox, remembering=False) as run:
            provider = provider_of(cloud, ctx, values)
            if not isinstance(provider, Deprecates):
                raise UsageError(f"{cloud} cannot deprecate images yet", hint="see lkcloud providers")
            image = find_image(provider, reference, ctx)
            instead = find_image(provider, replacement, ctx).id if replacement else ""
            dates = (_in_utc(date) for date in (deprecated_on, obsolete_on, deleted_on))
            provider.deprecate(image, Deprecation(status, instead, *dates), run)
            run.reporter.note(f"{image.id} is {status.value}")

    deprecate.__doc__ = f"Say of an image on {cloud} that it should no longer be used, and what instead."
    return deprecate


def _date(text: str) -> Any:
    return typer.Option(help=text, formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"], metavar="DATE")


def _in_utc(date: datetime | None) -> datetime | None:
    return date.replace(tzinfo=UTC) if date else None
