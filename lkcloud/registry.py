# SPDX-License-Identifier: Apache-2.0
"""Which clouds are installed: the entry points of the group `lkcloud.providers`."""

import os
import pkgutil
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, TypeVar, get_origin, get_type_hints

from lkcloud.entries import offered
from lkcloud.errors import UsageError
from lkcloud.provider import Loads

if TYPE_CHECKING:
    from lkcloud.provider import Options, Provider

M = TypeVar("M", bound="Options")

GROUP = "lkcloud.providers"

_LOADING = threading.Lock()


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


def variable(cloud: str, field: str) -> str:
    """Return the environment variable of an option: LKCLOUD_AWS_BOOT_MODE."""
    return f"LKCLOUD_{cloud}_{field}".upper()


def from_environment(cloud: str, model: "type[Options]", environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the options of MODEL that ENVIRONMENT gives, as texts; one that is empty gives none.

    Of an option that can be repeated each line is a value: a tag may hold blanks and commas.
    """
    given: dict[str, Any] = {}
    for key, field in model.model_fields.items():
        text = environment.get(variable(cloud, key))
        if text and get_origin(field.annotation) is tuple:
            given[key] = [line.strip() for line in text.splitlines() if line.strip()]
        elif text:
            given[key] = text
    return given


def load_all(provider: "Provider") -> None:
    """Import what the methods of PROVIDER need, one thread at a time; again it costs nothing.

    Who uses providers in several threads calls this first. Python gives up waiting where threads import modules that
    import one another, and hands out half of one (https://github.com/python/cpython/issues/83065); SDKs have such
    modules. Raises ModuleNotFoundError where the SDK is not installed.
    """
    if isinstance(provider, Loads):
        with _LOADING:
            provider.load()


def import_all(package: str, *others: str) -> None:
    """Import the modules OTHERS and those right in PACKAGE: `Provider.load` for most clouds.

    What is in packages of PACKAGE, such as its sandbox, is left alone. Raises ModuleNotFoundError.
    """
    for name in others:
        import_module(name)
    for module in pkgutil.iter_modules(import_module(package).__path__):
        if not module.ispkg:
            import_module(f"{package}.{module.name}")


def _entries() -> dict[str, EntryPoint]:
    limit = os.environ.get("LKCLOUD_PROVIDERS")
    found = offered(GROUP)
    if limit is None:
        return found
    wanted = {name.strip() for name in limit.split(",")}
    return {name: entry for name, entry in found.items() if name in wanted}
