# SPDX-License-Identifier: Apache-2.0
"""Words that stand for others: `${VAR}` for the environment, as the file is read; `{version}` in names, at the end."""

import re
from collections.abc import Mapping
from typing import Any

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})")
_FIELD = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}|[{}]")


class UnknownWord(Exception):
    """A text names something that nothing is known of; the message says it."""


def from_environment(text: str, environment: Mapping[str, str]) -> str:
    """Return TEXT with `${VAR}` and `${VAR:-default}` put in, and `$$` as `$`. Raises UnknownWord."""

    def put(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name is None:
            return "$"
        value = environment.get(name) or default
        if value is None:
            how = "is empty" if name in environment else "is not set"
            raise UnknownWord(f"${{{name}}} {how} in the environment")
        return value

    return _VARIABLE.sub(put, text)


def filled(text: str, words: Mapping[str, str]) -> str:
    """Return TEXT with each `{word}` put in; `{{` and `}}` are braces. Raises UnknownWord."""

    def put(match: re.Match[str]) -> str:
        whole, name = match[0], match["name"]
        if whole in ("{{", "}}"):
            return whole[0]
        if name is None or name not in words:
            known = ", ".join(f"{{{word}}}" for word in words)
            raise UnknownWord(f"{whole} stands for nothing in {text!r}: there are {known}, and {{{{ for a brace")
        return words[name]

    return _FIELD.sub(put, text)


def filled_all(value: Any, words: Mapping[str, str]) -> Any:
    """Return VALUE, a value of YAML, with all its texts filled. Raises UnknownWord."""
    if isinstance(value, str):
        return filled(value, words)
    if isinstance(value, Mapping):
        return {key: filled_all(item, words) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled_all(item, words) for item in value]
    return value
