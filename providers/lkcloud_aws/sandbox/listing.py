# SPDX-License-Identifier: Apache-2.0
"""Filters and pages of EC2's Describe calls."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from lkcloud_aws.sandbox.ec2_protocol import Call
from lkcloud_aws.sandbox.errors import ApiError, bad_combination, invalid

T = TypeVar("T")

Values = Callable[[T, str], "list[str] | None"]
"""Gives the values that an item has for the name of a filter; None if there is no such filter."""


def tag_values(tags: Mapping[str, str], name: str) -> list[str] | None:
    """Return the values of the filters `tag:KEY`, `tag-key` and `tag-value`; None if NAME is none of them."""
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return [tags[key]] if key in tags else []
    if name == "tag-key":
        return list(tags)
    return list(tags.values()) if name == "tag-value" else None


def filtered(items: Iterable[T], call: Call, values: Values[T]) -> list[T]:
    """Return the items that pass every filter of CALL; a filter passes if any of its values matches.

    `*` and `?` are wildcards, a backslash takes their meaning away, case counts:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
    """
    filters = [
        (str(item.get("Name")), [_pattern(value) for value in item.get("Values") or []])
        for item in call.items("Filters")
    ]
    return [item for item in items if all(_passes(item, name, patterns, values) for name, patterns in filters)]


def _passes(item: T, name: str, patterns: list[re.Pattern[str]], values: Values[T]) -> bool:
    known = values(item, name)
    if known is None:
        raise invalid(f"The filter '{name}' is invalid")
    return any(pattern.fullmatch(value) for pattern in patterns for value in known)


def _pattern(text: str) -> re.Pattern[str]:
    out = []
    escaped = False
    for character in text:
        if escaped:
            out.append(re.escape(character))
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in "*?":
            out.append(".*" if character == "*" else ".")
        else:
            out.append(re.escape(character))
    return re.compile("".join(out), re.DOTALL)


def page(
    items: Sequence[T], call: Call, ids: str, *, key: Callable[[T], str], limits: tuple[int, int]
) -> tuple[Sequence[T], dict[str, Any]]:
    """Return the page of ITEMS that CALL asks for and, as NextToken, where the next one begins.

    IDS is the name of the parameter with ids: EC2 refuses it together with MaxResults.
    """
    size = call.parameters.get("MaxResults")
    if size is not None:
        if call.items(ids):
            raise bad_combination("The parameter maxResults cannot be used with the parameter " + ids)
        if not limits[0] <= int(size) <= limits[1]:
            raise invalid(f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value in {limits}.")
    limit = min(int(size or limits[1]), call.cloud.windows.page_size)
    ordered = sorted(items, key=key)
    token = call.text("NextToken")
    if token:
        after = token_text(token)
        ordered = [item for item in ordered if key(item) > after]
    shown = ordered[:limit]
    return shown, {"NextToken": text_token(key(shown[-1]))} if len(ordered) > limit else {}


def text_token(text: str) -> str:
    """Return TEXT as an opaque token."""
    return base64.b64encode(text.encode()).decode()


def token_text(token: str) -> str:
    """Return what is inside a token of ours. Raises ApiError if it is none."""
    try:
        return base64.b64decode(token, validate=True).decode()
    except ValueError:
        raise ApiError("InvalidNextToken", "The provided next token is invalid.") from None
