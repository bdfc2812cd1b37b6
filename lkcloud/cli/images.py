# SPDX-License-Identifier: Apache-2.0
"""`lkcloud test|list|show|delete CLOUD`."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from lkcloud import registry
from lkcloud.cli.asking import age_option
from lkcloud.cli.flags import chosen, same_place
from lkcloud.cli.push import Expect, Json, Keep, Sandbox, Timeout, images_document, running, speaking
from lkcloud.cli.settings import SETTINGS
from lkcloud.errors import NotFound, UsageError
from lkcloud.life.choice import Selection
from lkcloud.provider import Blob, Image, Launches, Leaves, Lists, Provider

Family = Annotated[
    str | None, typer.Option("--family", help="Only those of this image family (of Azure: image definition).")
]
Glob = Annotated[
    str | None, typer.Option("--name", "-n", metavar="PATTERN", help="Only those whose name is like this: my-os-*")
]
OlderThan = Annotated[timedelta | None, age_option("--older-than", "Only those that are older, such as 30d or 12h.")]

Reference = Annotated[str, typer.Argument(metavar="IMAGE", help="The id or the name of an image.")]


def test_command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud test CLOUD`."""

    def test(
        *,
        ctx: typer.Context,
        reference: Reference,
        expect: Expect = [],  # noqa: B006 - typer copies it
        timeout: Timeout = 300.0,
        keep: Keep = False,
        sandbox: Sandbox = False,
        as_json: Json = False,
        **values: Any,
    ) -> None:
        SETTINGS.json = as_json
        from lkcloud.boot import Expectation, boot_test

        expectation = Expectation(patterns=tuple(expect), timeout=timeout)
        with running(cloud, sandbox=sandbox, remembering=False) as run:
            provider = provider_of(cloud, ctx, values)
            if not isinstance(provider, Launches):
                raise UsageError(f"{cloud} cannot boot a test machine", hint="see lkcloud providers")
            image = find_image(provider, reference, ctx)
            booted = boot_test(provider, image, run=run, expectation=expectation, keep=keep)
        if as_json:
            document = {"id": image.id, "machine": booted.machine, "line": booted.line, "seconds": booted.seconds}
            typer.echo(json.dumps(document, indent=2))
        else:
            typer.echo(f"{image.id} booted in {booted.seconds:.1f} s: {booted.line}")

    test.__doc__ = f"Boot an image on {cloud}, stream its console to stderr and say whether it booted."
    return test


def list_command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud list CLOUD`."""

    def list_(
        *,
        ctx: typer.Context,
        family: Family = None,
        name: Glob = None,
        older_than: OlderThan = None,
        sandbox: Sandbox = False,
        as_json: Json = False,
        **values: Any,
    ) -> None:
        SETTINGS.json = as_json
        speaking(cloud, sandbox=sandbox)
        provider = provider_of(cloud, ctx, values)
        if not isinstance(provider, Lists):
            raise UsageError(f"{cloud} cannot list images", hint="see lkcloud providers")
        found = Selection(family, name, older_than).chosen(provider.images(), datetime.now(UTC))
        if as_json:
            typer.echo(json.dumps([images_document(image) for image in found], indent=2))
            return
        width = max((len(image.name) for image in found), default=0)
        for image in found:
            made = f"{image.created:%Y-%m-%d %H:%M}" if image.created else ""
            since = f"  withdrawn {image.withdrawn:%Y-%m-%d}" if image.withdrawn else ""
            line = f"{image.id}  {image.name:{width}}  {image.region}  {image.state}  {made}  {image.digest[:12]}"
            typer.echo(line + since)

    list_.__doc__ = f"List the images that lkcloud made on {cloud}, oldest first."
    return list_


def show_command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud show CLOUD`."""

    def show(
        *, ctx: typer.Context, reference: Reference, sandbox: Sandbox = False, as_json: Json = False, **values: Any
    ) -> None:
        SETTINGS.json = as_json
        speaking(cloud, sandbox=sandbox)
        document = images_document(find_image(provider_of(cloud, ctx, values), reference, ctx))
        if as_json:
            typer.echo(json.dumps(document, indent=2))
            return
        blobs = document.pop("blobs")
        tags = document.pop("tags")
        for key, value in document.items():
            typer.echo(f"{key + ':':14}{'' if value is None else value}")
        for blob in blobs:
            typer.echo(f"{blob['kind'] + ':':14}{blob['id']} {blob['state']}")
        for key, value in tags.items():
            typer.echo(f"{'tag:':14}{key}={value}")

    show.__doc__ = f"Show one image on {cloud}."
    return show


def delete_command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud delete CLOUD`."""

    def delete(
        *,
        ctx: typer.Context,
        reference: Reference,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted.")] = False,
        sandbox: Sandbox = False,
        **values: Any,
    ) -> None:
        voice = speaking(cloud, sandbox=sandbox)
        provider = provider_of(cloud, ctx, values)
        image = provider.get(reference) or provider.find(reference)
        left = list(provider.leftovers(image.name if image else reference)) if isinstance(provider, Leaves) else []
        kept = {blob.id for blob in image.blobs} if image else set()
        left = [blob for blob in left if blob.id not in kept]
        if image is None and not left:
            if ids := _ids(provider, reference):
                raise UsageError(f"{cloud}: {reference} is not where these options look", hint=f"give the id: {ids}")
            voice.note(f"{cloud}: there is nothing called {reference}")
            return
        resources: list[Image | Blob] = [*([image] if image else []), *left]
        for resource in resources:
            typer.echo(f"{resource.id}  {'image' if isinstance(resource, Image) else resource.kind}  {resource.name}")
        if dry_run:
            return
        if not yes:
            typer.confirm(f"delete {'this' if len(resources) == 1 else 'these'}?", abort=True, err=True)
        for resource in resources:
            provider.delete(resource)
        voice.note(f"deleted {len(resources)}")

    delete.__doc__ = f"Delete an image on {cloud} with what it stands on, and what unfinished pushes of its name left."
    return delete


def provider_of(cloud: str, ctx: typer.Context, values: dict[str, Any]) -> Provider:
    """Return the provider with the options that were given."""
    return registry.make(cloud, chosen(cloud, registry.options_of(registry.load(cloud)), ctx, values))


def _ids(provider: Provider, name: str) -> str:
    """Return the ids of the images that `lkcloud list` shows under NAME, with commas.

    `find` is for a push, and looks only where that would put the image: on Azure, in one definition of the gallery.
    What else has the name may be another image, and has to be meant.
    """
    listed = provider.images() if isinstance(provider, Lists) else ()
    return ", ".join(image.id for image in listed if image.name == name)


def find_image(provider: Provider, reference: str, ctx: typer.Context) -> Image:
    """Return the image with this id or name; raises NotFound."""
    image = provider.get(reference) or provider.find(reference)
    if image is None:
        place, ids = same_place(ctx, type(provider.options)), _ids(provider, reference)
        look = f"lkcloud list {provider.name}{place} shows those there are; is it the right region and account?"
        raise NotFound(
            f"{provider.name}: there is no image with the id or name {reference}"
            + (" where these options look" if ids else ""),
            hint=f"give the id: {ids}" if ids else look,
        )
    return image
