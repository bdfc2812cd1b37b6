# SPDX-License-Identifier: Apache-2.0
"""release.yaml read: an error names the file, the line and the column, and what would be right there."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from lkcloud import registry
from lkcloud.errors import UsageError
from lkcloud.release.model import Release
from lkcloud.release.templates import UnknownWord, from_environment

Location = tuple[str | int, ...]
"""The way to a value: keys of mappings and indexes of lists."""

_LARGEST = 1024 * 1024
"""Bytes; a release file has some thousand, and one that has this many is something else."""

_MOST = 100_000
"""Values, each as often as aliases repeat it."""


@dataclass(frozen=True)
class ReleaseFile:
    """A release as it was read, and where in PATH each of its values stands."""

    path: Path
    release: Release
    _places: Mapping[Location, tuple[int, int]] = field(repr=False)

    def error(self, where: Location, text: str, hint: str) -> UsageError:
        """Return the error of the value at WHERE."""
        return _error(self.path, self._places, where, text, hint)

    def options_error(self, error: ValidationError, target: int, model: type[BaseModel]) -> UsageError:
        """Return what pydantic found wrong in the options of the target with this index, which are those of MODEL."""
        cloud = self.release.targets[target].cloud
        return _explained(self.path, self._places, error, _Place(("targets", target, "options"), model, cloud))


def read(path: Path, environment: Mapping[str, str] | None = None) -> ReleaseFile:
    """Read the release file PATH; `${VAR}` comes from ENVIRONMENT, the process's own if not given.

    The clouds must be installed. Raises UsageError with
    `PATH:LINE:COLUMN: ...` for what is wrong with the file.
    """
    try:
        data, places = _parse(path, os.environ if environment is None else environment)
    except RecursionError:
        raise UsageError(f"{path} is nested too deeply", hint="name a release file") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path} holds no release", hint="write `name:`, `version:`, `images:` and `targets:`")
    try:
        release = Release.model_validate(data)
    except ValidationError as error:
        raise _explained(path, places, error, _Place((), Release)) from None
    file = ReleaseFile(path, release, places)
    _check(file)
    return file


def _parse(path: Path, environment: Mapping[str, str]) -> tuple[Any, dict[Location, tuple[int, int]]]:
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{path} is no release file: it has more than a MiB", hint="name a YAML file")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise UsageError(f"{path} cannot be read: {said}", hint="check the path of the release file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text", hint="name a YAML file") from error
    yaml = YAML(typ="rt")  # the one that knows lines and columns
    try:
        data = yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        said = str(error.problem or error.context or "this is no YAML").split("\n", maxsplit=1)[0]
        hint = "give it once" if isinstance(error, DuplicateKeyError) else "mend the YAML there"
        raise UsageError(f"{path}{at}: {said}", hint=hint) from None
    except ReaderError as error:
        before = text[: error.position].split("\n")
        what = f"the character U+{ord(text[error.position]):04X} cannot be in YAML"
        raise UsageError(f"{path}:{len(before)}:{len(before[-1]) + 1}: {what}", hint="take it out") from None
    except YAMLError as error:
        raise UsageError(f"{path}: {str(error).splitlines()[0]}", hint="mend the YAML") from None
    places: dict[Location, tuple[int, int]] = {(): (1, 1)}
    plain = _plain(data, (), places)
    if len(places) > _MOST:
        raise UsageError(f"{path} is no release file: it holds more than {_MOST} values", hint="name a release file")
    if isinstance(plain, dict) and _is_number_or_date(plain.get("version")):
        plain["version"] = _version_as_written(text)
    try:
        return _with_environment(plain, (), environment), places
    except _AtError as error:
        raise _error(path, places, error.where, error.text, "set it, or write ${NAME:-default}") from None


def _is_number_or_date(value: object) -> bool:
    return isinstance(value, int | float | date) and not isinstance(value, bool)


def _version_as_written(text: str) -> str:
    """Return the version of the YAML TEXT letter by letter: as a number 1.10 would be 1.1, which is another."""
    root = YAML(typ="rt").compose(text)
    return next(str(value.value) for key, value in root.value if key.value == "version")


def _plain(value: Any, where: Location, places: dict[Location, tuple[int, int]]) -> Any:
    """Return VALUE in Python's own types, and note in PLACES at which line and column each value stands.

    It ends early where there are too many: aliases can make as many of a few lines as one likes.
    """
    if len(places) > _MOST:
        return None
    if isinstance(value, CommentedMap):
        for key in value:
            # What a merge (`<<`) has put in has no place of its own.
            line, column = value.lc.key(key) if key in (value.lc.data or ()) else (value.lc.line, value.lc.col)
            places[(*where, str(key))] = line + 1, column + 1
        return {str(key): _plain(item, (*where, str(key)), places) for key, item in value.items()}
    if isinstance(value, CommentedSeq):
        for index in range(len(value)):
            line, column = value.lc.item(index)
            places[(*where, index)] = line + 1, column + 1
        return [_plain(item, (*where, index), places) for index, item in enumerate(value)]
    # Texts, numbers and dates of the round-trip loader are subclasses of Python's own.
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


@dataclass(eq=False)
class _AtError(Exception):
    where: Location
    text: str


def _with_environment(value: Any, where: Location, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _with_environment(item, (*where, key), environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_environment(item, (*where, index), environment) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        return from_environment(value, environment)
    except UnknownWord as error:
        raise _AtError(where, str(error)) from None


def _check(file: ReleaseFile) -> None:
    """Look at what one model alone cannot know: images that targets name, and clouds."""
    release = file.release
    images = [image.id for image in release.images]
    _check_unique(file, "image", [(name, ("images", number, "id")) for number, name in enumerate(images)])
    _check_unique(
        file, "target", [(target.label, ("targets", number, "id")) for number, target in enumerate(release.targets)]
    )
    for cloud in release.defaults.options:
        _check_cloud(file, cloud, ("defaults", "options", cloud))
    for number, target in enumerate(release.targets):
        where: Location = ("targets", number)
        _check_cloud(file, target.cloud, (*where, "cloud"))
        for index, image in enumerate(target.images or ()):
            if image not in images:
                raise file.error((*where, "images", index), f"there is no image {image}", _choose(image, images))


def _check_unique(file: ReleaseFile, what: str, names: Sequence[tuple[str, Location]]) -> None:
    seen = set()
    for name, where in names:
        if name in seen:
            raise file.error(where, f"two {what}s are called {name}", f"give each {what} an `id:` of its own")
        seen.add(name)


def _check_cloud(file: ReleaseFile, cloud: str, where: Location) -> None:
    if cloud not in registry.clouds():
        raise file.error(where, f"there is no cloud called {cloud}", _choose(cloud, registry.clouds()))


@dataclass(frozen=True)
class _Place:
    """The mapping at ABOVE, which MODEL describes; CLOUD is that of options, which may stand among the defaults."""

    above: Location
    model: type[BaseModel]
    cloud: str = ""


def _explained(
    path: Path, places: Mapping[Location, tuple[int, int]], error: ValidationError, at: "_Place"
) -> UsageError:
    """Return the first thing that pydantic found wrong in the mapping AT a place, as an error of the file."""
    first = error.errors(include_url=False)[0]
    inside = tuple(word for word in first["loc"] if _is_place(word))
    where: Location = (*at.above, *inside)
    default: Location = ("defaults", "options", at.cloud, *inside)
    if at.cloud and where not in places and default in places:
        where = default
    said = _said(first)
    name = str(where[-1]) if where else ""
    if first["type"] == "extra_forbidden":
        return _error(path, places, where, f"{name} is not known here", _choose(name, _keys(at.model, inside[:-1])))
    if first["type"] == "missing":
        return _error(path, places, where[:-1], f"{name} is missing", f"add `{name}:` there")
    return _error(path, places, where, f"{_called(where)}: {said}", _hint(at.model, inside, first))


_NEEDED = {
    "dict_type": "should be a mapping, of lines `key: value`",
    "mapping_type": "should be a mapping, of lines `key: value`",
    "model_type": "should be a mapping, of lines `key: value`",
    "tuple_type": "should be a list, as [a, b]",
    "list_type": "should be a list, as [a, b]",
    "too_short": "should have one entry at least",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
}
"""What is said of the errors of pydantic that speak of Python."""


def _said(error: ErrorDetails) -> str:
    """Return what is wrong, in words of YAML."""
    given = error["input"]
    if given is None:
        return "has no value"
    if error["type"] == "string_type":
        return "should be a text" if isinstance(given, dict | list) else "should be a text: put it in quotes"
    if given == "":
        return "should not be empty"
    if error["type"] in _NEEDED:
        return _NEEDED[error["type"]]
    said = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return said[:1].lower() + said[1:]


def _called(where: Location) -> str:
    """Return the last key of WHERE, with the indexes behind it: the line tells the rest of the way."""
    keys = [number for number, word in enumerate(where) if isinstance(word, str)]
    return ".".join(map(str, where[keys[-1] :] if keys else where))


def _is_place(word: str | int) -> bool:
    """Tell whether a word of pydantic's `loc` is a key or an index, and not the name of a form that was tried."""
    return isinstance(word, int) or word not in ("BootTest", "bool", "none")


def _hint(model: type[BaseModel], inside: Location, error: ErrorDetails) -> str:
    described = _description(model, inside)
    if error["type"] == "model_type" and (keys := _keys(model, inside)):
        return f"{described} Its keys: {', '.join(keys)}"
    return described or f"see docs/release-file.md; it was {str(error['input'])[:60]!r}"


def _description(model: type[BaseModel], inside: Location) -> str:
    """Return what is said of the field at INSIDE of MODEL."""
    here, said = model, ""
    for word in inside:
        found = _fields(here).get(str(word)) if isinstance(word, str) else None
        if found is None:
            continue
        said, inner = found
        here = inner or here
    return said


def _keys(model: type[BaseModel], inside: Location) -> list[str]:
    """Return the keys that the mapping at INSIDE of MODEL may have."""
    here = model
    for word in inside:
        found = _fields(here).get(str(word)) if isinstance(word, str) else None
        if found and found[1]:
            here = found[1]
    return list(_fields(here))


def _fields(model: type[BaseModel]) -> dict[str, tuple[str, type[BaseModel] | None]]:
    """Return for each key of MODEL its description and the model of its value, or of those that a list of it holds."""
    return {
        field.alias or key: (field.description or "", _inner(field.annotation))
        for key, field in model.model_fields.items()
    }


def _inner(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _inner(argument)) is not None:
            return found
    return None


def _choose(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are: {', '.join(known) or 'none'}"


def _error(path: Path, places: Mapping[Location, tuple[int, int]], where: Location, text: str, hint: str) -> UsageError:
    while where not in places:
        where = where[:-1]
    line, column = places[where]
    return UsageError(f"{path}:{line}:{column}: {text}", hint=hint)
