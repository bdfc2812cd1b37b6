# SPDX-License-Identifier: Apache-2.0
"""Which clouds are installed: the entry points of the group `lkcloud.providers`."""

import os
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from lkcloud.errors import UsageError

if TYPE_CHECKING:
    from lkcloud.provider import Options, Provider

M = TypeVar("M", bound="Options")

GROUP = "lkcloud.providers"


def clouds() -> list[str]:
    """Return the names of the installed clouds, or of those in LKCLOUD_PROVIDERS (a,b), without importing any."""
    return sorted(_entries())


def load(cloud: str) -> "type[Provider]":
    """Import the provider of CLOUD; raises UsageError for a cloud that is not installed."""
    found = _entries().get(cloud)
    if found is None:
        raise UsageError(f"there is no cloud called {cloud}", hint=f"installed are: {', '.join(clouds()) or 'none'}")
    provider: type[Provider] = found.load()
    return provider


def options_of(provider: "type[Provider]") -> "type[Options]":
    """Return the options model of a provider: the type of its `options` field."""
    options: type[Options] = get_type_hints(provider)["options"]
    return options


def options_from(
    model: "type[M]", given: Mapping[str, Any], *, called: Callable[[str], str], hint: Callable[[str], str]
) -> "M":
    """Build MODEL from what was GIVEN; it knows its defaults itself.

    Raises UsageError that names the field as the user CALLED it, with the HINT for it; a field is "" where the error is
    about several.
    """
    from pydantic import ValidationError

    try:
        return model(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        text = str(first["msg"]).removeprefix("Value error, ")
        raise UsageError(
            f"{called(field)}: {text[:1].lower()}{text[1:]}" if field else text, hint=hint(field)
        ) from None


def make(cloud: str, options: "Options") -> "Provider":
    """Make the provider of CLOUD with OPTIONS."""
    return load(cloud)(options)  # type: ignore[call-arg]  # a Protocol says nothing of how a provider is made


def _entries() -> dict[str, EntryPoint]:
    limit = os.environ.get("LKCLOUD_PROVIDERS")
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if limit is None:
        return found
    wanted = {name.strip() for name in limit.split(",")}
    return {name: entry for name, entry in found.items() if name in wanted}
