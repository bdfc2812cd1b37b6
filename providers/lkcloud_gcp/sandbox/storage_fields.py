# SPDX-License-Identifier: Apache-2.0
"""Partial responses: the parameter `fields`, https://docs.cloud.google.com/storage/docs/json_api#partial-response."""

import re
from collections.abc import Mapping
from typing import Any

from lkcloud_gcp.sandbox.errors import ApiError

Tree = dict[str, "Tree"]
"""What is wanted within what; {} is all of it."""

_WORD = re.compile(r"[\w.*-]+|[(),/]")


def parse(text: str) -> Tree:
    """Return the fields that TEXT asks for, such as `items(name,size),nextPageToken`. Raises ApiError."""
    words = _WORD.findall(text)
    if "".join(words) != re.sub(r"\s", "", text):
        raise _bad(text)
    tree = _selection(text, words)
    if words:
        raise _bad(text)
    return tree


def _bad(text: str) -> ApiError:
    return ApiError(400, "invalidParameter", f"Invalid field selection {text}", location="fields")


def _selection(text: str, words: list[str]) -> Tree:
    """Take `a/b(c,d),e` off WORDS, up to a closing parenthesis."""
    tree: Tree = {}
    while True:
        inner = tree
        while True:
            if not words or words[0] in "(),/":
                raise _bad(text)
            inner = inner.setdefault(words.pop(0), {})
            if not words or words[0] != "/":
                break
            words.pop(0)
        if words and words[0] == "(":
            words.pop(0)
            inner |= _selection(text, words)
            if not words or words.pop(0) != ")":
                raise _bad(text)
        if not words or words[0] != ",":
            return tree
        words.pop(0)


def selected(value: Any, tree: Tree) -> Any:
    """Return the part of a JSON value that is asked for."""
    if not tree:
        return value
    if isinstance(value, list):
        return [selected(item, tree) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: selected(item, tree.get(key, tree.get("*", {})))
        for key, item in value.items()
        if key in tree or "*" in tree
    }
