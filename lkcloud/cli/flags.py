# SPDX-License-Identifier: Apache-2.0
"""A provider's options as flags: one field of the model is one flag and one environment variable."""

import inspect
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar, get_origin

import typer
from pydantic.fields import FieldInfo

from lkcloud import registry
from lkcloud.provider import Options, Used
from lkcloud.registry import variable

M = TypeVar("M", bound=Options)


def flag(field: str) -> str:
    """Return the flag of a field: --boot-mode."""
    return "--" + field.replace("_", "-")


def parameters(
    cloud: str, options: type[Options], uses: Iterable[Used] | None, *, prefix: str = ""
) -> list[inspect.Parameter]:
    """Return one keyword parameter, and so one flag, for each field of OPTIONS.

    USES limits them to the fields with one of these marks; None takes all. PREFIX is what their names begin with, where
    one command has the options of several clouds.
    """
    wanted = None if uses is None else set(uses)
    return [
        _parameter(cloud, key, field, prefix)
        for key, field in options.model_fields.items()
        if wanted is None or wanted & {mark for mark in field.metadata if isinstance(mark, Used)}
    ]


def _parameter(cloud: str, key: str, field: FieldInfo, prefix: str) -> inspect.Parameter:
    annotation: Any = field.annotation
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    names = flag(prefix + key)
    if get_origin(annotation) is tuple:
        # A tuple is a flag that can be repeated; the model takes the texts apart.
        annotation, default = list[str], []
    elif annotation is bool:
        names = f"{names}/--no-{names[2:]}"
    option = typer.Option(
        names, help=field.description, envvar=variable(cloud, key), show_default=default not in (None, [])
    )
    return inspect.Parameter(
        prefix + key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, option]
    )


def chosen(cloud: str, options: type[M], context: typer.Context, values: Mapping[str, Any], *, prefix: str = "") -> M:
    """Build OPTIONS from what was given by flag or by environment, also by one that was set after the flags were read.

    So a sandbox can say where its things are, for as long as no flag says otherwise. PREFIX is that of the flags'
    names. Raises UsageError that names the flag.
    """
    given: dict[str, Any] = {}
    surrounding = registry.from_environment(cloud, options)
    for key in options.model_fields:
        if prefix + key not in values:
            continue
        if _source(context, prefix + key) not in ("DEFAULT", "ENVIRONMENT"):
            given[key] = values[prefix + key]
        elif key in surrounding:
            given[key] = surrounding[key]

    def hint(field: str) -> str:
        also = f"; it can come from {variable(cloud, field)} as well" if field else ""
        return f"see {context.command_path} --help{also}"

    return registry.options_from(options, given, called=lambda field: flag(prefix + field), hint=hint)


def given(options: type[Options], context: typer.Context, *uses: Used) -> list[str]:
    """Return the flags of the fields with one of the marks USES that were given, by flag or by environment."""
    marked = (key for key, field in options.model_fields.items() if any(use in field.metadata for use in uses))
    return [flag(key) for key in marked if _source(context, key) != "DEFAULT" and context.params[key]]


def same_place(context: typer.Context, options: type[Options]) -> str:
    """Return the flags that lead another command to the same account, behind a blank: " --region eu-west-1 --sandbox".

    What came from the environment will come from there again.
    """
    words = [
        word
        for key, field in options.model_fields.items()
        if Used.EVERYWHERE in field.metadata and _source(context, key) == "COMMANDLINE"
        for word in _words(key, context.params[key])
    ]
    if _source(context, "sandbox") == "COMMANDLINE":
        words.append("--sandbox")
    return "".join(f" {shlex.quote(word)}" for word in words)


def _words(key: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag(key) if value else f"--no-{flag(key)[2:]}"]
    return [word for one in (value if isinstance(value, list | tuple) else [value]) for word in (flag(key), str(one))]


def _source(context: typer.Context, key: str) -> str:
    return getattr(context.get_parameter_source(key), "name", "")


def with_flags(
    function: Callable[..., None], cloud: str, options: type[Options], uses: Iterable[Used] | None
) -> Callable[..., None]:
    """Give FUNCTION, which takes **values, the flags of OPTIONS behind its own."""
    return with_parameters(function, parameters(cloud, options, uses))


def with_parameters(function: Callable[..., None], flags: Iterable[inspect.Parameter]) -> Callable[..., None]:
    """Give FUNCTION, which takes **values, FLAGS behind its own."""
    own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    signature = inspect.Signature([*own, *flags])
    # typer reads the signature and the annotations of a command.
    function.__signature__ = signature  # type: ignore[attr-defined]  # functions have no such attribute until one is set
    function.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return function
