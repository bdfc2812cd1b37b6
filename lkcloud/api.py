# SPDX-License-Identifier: Apache-2.0
"""The public face of the library: a cloud is named as on the command line, its options are keyword arguments."""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lkcloud import boot, pipeline, registry
from lkcloud.boot import Boot, Expectation
from lkcloud.disk import Disk
from lkcloud.errors import UsageError
from lkcloud.formats import catalogue
from lkcloud.formats import convert as conversion
from lkcloud.formats.convert import Converted
from lkcloud.life import collect
from lkcloud.life import prune as pruning
from lkcloud.life import sweep as sweeping
from lkcloud.life.choice import Policy, Selection, Verdict
from lkcloud.life.collect import YOUNG, Leftover
from lkcloud.life.doing import Outcome
from lkcloud.life.sweep import Sweeping
from lkcloud.pipeline import Pushed
from lkcloud.provider import Deprecates, Deprecation, Image, Launches, Lists, Provider
from lkcloud.reporting import Reporter, Silent


def cloud(name: str, **options: Any) -> Provider:
    """Return the provider of the cloud called NAME; OPTIONS are the fields of its options model.

    Raises UsageError for a cloud that is not installed, and for options that it does not take.
    """
    return _provider(name, options)


def push(
    disk: Disk,
    cloud: str,
    *,
    name: str,
    description: str = "",
    replace: bool = False,
    reporter: Reporter | None = None,
    **options: Any,
) -> Pushed:
    """Make DISK the image called NAME on CLOUD, or find that it is there already.

    OPTIONS are the cloud's, as on the command line: region="eu-central-1", method="import". A push that was
    interrupted goes on where it stopped when it is done again. Raises what `lkcloud.pipeline.push` raises.
    """
    chosen = _provider(cloud, options)
    with pipeline.running(reporter or Silent()) as run:
        return pipeline.push(chosen, disk, name=name, run=run, description=description, replacing=replace)


def boot_test(
    image: Image,
    cloud: str,
    *,
    expect: Sequence[str] = (),
    timeout: float = 300.0,
    keep: bool = False,
    reporter: Reporter | None = None,
    **options: Any,
) -> Boot:
    """Boot IMAGE on a test machine and watch its console until all of EXPECT (regular expressions) have appeared.

    TIMEOUT is seconds. Raises BootFailed with the reason.
    """
    chosen = _provider(cloud, options)
    if not isinstance(chosen, Launches):
        raise UsageError(f"{cloud} cannot boot a test machine", hint="see lkcloud providers")
    with pipeline.running(reporter or Silent(), remembering=False) as run:
        expectation = Expectation(patterns=tuple(expect), timeout=timeout)
        return boot.boot_test(chosen, image, run=run, expectation=expectation, keep=keep)


def publish(image: Image, cloud: str, *, reporter: Reporter | None = None, **options: Any) -> tuple[Image, ...]:
    """Copy, share, promote and protect IMAGE as OPTIONS say (family="stable", public=True), and return the copies.

    That it boots is yours to have seen.
    """
    chosen = _provider(cloud, options)
    with pipeline.running(reporter or Silent(), remembering=False) as run:
        copies = pipeline.copy(chosen, image, run=run)
        pipeline.publish(chosen, image, run=run, copies=copies)
        return copies


def deprecate(
    image: Image, cloud: str, deprecation: Deprecation, *, reporter: Reporter | None = None, **options: Any
) -> None:
    """Say of IMAGE what DEPRECATION says."""
    chosen = _provider(cloud, options)
    if not isinstance(chosen, Deprecates):
        raise UsageError(f"{cloud} cannot deprecate images yet", hint="see lkcloud providers")
    with pipeline.running(reporter or Silent(), remembering=False) as run:
        chosen.deprecate(image, deprecation, run)


def find(name: str, cloud: str, **options: Any) -> Image | None:
    """Return the image called NAME on CLOUD."""
    return _provider(cloud, options).find(name)


def images(cloud: str, **options: Any) -> list[Image]:
    """Return the images that lkcloud made on CLOUD, oldest first."""
    chosen = _provider(cloud, options)
    if not isinstance(chosen, Lists):
        raise UsageError(f"{cloud} cannot list images", hint="see lkcloud providers")
    return list(chosen.images())


def delete(image: Image, cloud: str, **options: Any) -> None:
    """Delete IMAGE and what it stands on; one that is already gone is no error."""
    _provider(cloud, options).delete(image)


def too_many(cloud: str, policy: Policy, selection: Selection | None = None, **options: Any) -> tuple[Verdict, ...]:
    """Return what POLICY says of each image on CLOUD, or of those of SELECTION, oldest first, doing nothing.

    What uses, protects or leads to an image keeps it. `prune` does what the verdicts say.
    """
    return pruning.plan(_provider(cloud, options), policy, selection or Selection(), now=datetime.now(UTC))


def prune(
    verdicts: Iterable[Verdict], cloud: str, *, reporter: Reporter | None = None, **options: Any
) -> list[Outcome[Verdict]]:
    """Withdraw and delete images as VERDICTS say; the error of one, in what is returned, keeps no other from it."""
    with pipeline.running(reporter or Silent(), remembering=False) as run:
        return list(pruning.carry_out(_provider(cloud, options), verdicts, run))


def due(cloud: str, *, deleting: bool = False, **options: Any) -> tuple[Sweeping, ...]:
    """Return the dates of images on CLOUD that have passed, doing nothing; `sweep` carries them out.

    With DELETING, images whose last date it was are to be deleted.
    """
    return sweeping.plan(_provider(cloud, options), now=datetime.now(UTC), deleting=deleting)


def sweep(
    found: Iterable[Sweeping], cloud: str, *, reporter: Reporter | None = None, **options: Any
) -> list[Outcome[Sweeping]]:
    """Mark and delete images as `due` has FOUND; the error of one, in what is returned, keeps no other from it."""
    with pipeline.running(reporter or Silent(), remembering=False) as run:
        return list(sweeping.carry_out(_provider(cloud, options), found, run))


def leftovers(
    cloud: str, *, older_than: timedelta = YOUNG, undated: bool = False, **options: Any
) -> tuple[Leftover, ...]:
    """Return what dead runs have left on CLOUD, removing nothing; `remove` does.

    What is younger than OLDER_THAN stays, and what has no date, but if it is to go UNDATED.
    """
    return collect.plan(_provider(cloud, options), older_than=older_than, undated=undated, now=datetime.now(UTC))


def remove(found: Iterable[Leftover], cloud: str, **options: Any) -> list[Outcome[Leftover]]:
    """Remove what `leftovers` has FOUND and what is to go; the error of one keeps no other from it."""
    return list(collect.carry_out(_provider(cloud, options), found))


def convert(
    disk: Disk,
    output: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 - the word that the command line uses
    force: bool = False,
    compression_level: int | None = None,
    reporter: Reporter | None = None,
) -> Converted:
    """Write DISK to OUTPUT; FORMAT comes from its ending if it is not given.

    COMPRESSION_LEVEL is for formats that are compressed. Raises what `lkcloud.formats.convert.convert` raises.
    """
    path = Path(output)
    chosen = format or catalogue.format_for(path).name
    return conversion.convert(
        disk, path, format=chosen, force=force, compression_level=compression_level, reporter=reporter or Silent()
    )


def _provider(name: str, options: Mapping[str, Any]) -> Provider:
    model = registry.options_of(registry.load(name))
    taken = ", ".join(model.model_fields)

    def hint(field: str) -> str:
        described = model.model_fields[field].description if field in model.model_fields else None
        return described or f"options of {name} are: {taken}"

    return registry.make(name, registry.options_from(model, options, called=str, hint=hint))
