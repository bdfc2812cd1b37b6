# SPDX-License-Identifier: Apache-2.0
"""Lists of Compute Engine: filters, order and pages.

The rules are those of the parameters filter, maxResults, orderBy and pageToken in the API's reference, such as
https://cloud.google.com/compute/docs/reference/rest/v1/images/list
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lkcloud_gcp.sandbox.compute_call import Call, Result, invalid, link

_MOST = 500
_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[()])|(?P<operator>!=|<=|>=|=|<|>|:)|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s()=!<>:"']+))"""
)
_FIELD, _LITERAL = r"[\w.\[\]-]+", r"""(?:"[^"]*"|'[^']*'|[^\s()"']+)"""
_SINGLE = re.compile(rf"\s*({_FIELD})\s+(eq|ne)\s+(\S.*?)\s*", re.DOTALL)
_ONE_OF_SEVERAL = re.compile(rf"\(\s*({_FIELD})\s+(eq|ne)\s+({_LITERAL})\s*\)")
_SEVERAL = re.compile(rf"\s*(?:\(\s*{_FIELD}\s+(?:eq|ne)\s+{_LITERAL}\s*\)\s*)+")

Test = Callable[[Mapping[str, Any]], bool]


def listed(call: Call, kind: str, place: str, items: Sequence[Mapping[str, Any]]) -> Result:
    """Return the page of ITEMS that CALL asks for, as a list of KIND at PLACE. Raises ApiError."""
    size = call.number("maxResults", _MOST, 0, _MOST)
    # 0 is in the range of values, and means the default by what gcloud sends; no document says more.
    size = min(size or _MOST, call.cloud.windows.page_size)
    order = call.query.get("orderBy", "name")
    # "Currently, only sorting by name or creationTimestamp desc is supported."
    if order not in ("", "name", "creationTimestamp desc"):
        raise invalid("orderBy", order, "Only name and creationTimestamp desc are supported")
    passes = parse_filter(call.query.get("filter", ""))
    found = sorted((item for item in items if passes(item)), key=lambda item: str(item["name"]))
    if order == "creationTimestamp desc":
        # A stable sort: what was made in the same millisecond stays in the order of the names.
        found.sort(key=lambda item: str(item.get("creationTimestamp") or item.get("insertTime")), reverse=True)
    names = [str(item["name"]) for item in found]
    after = _named_in(call.query.get("pageToken", ""))
    begin = names.index(after) + 1 if after in names else sum(name <= after for name in names)
    page = found[begin : begin + size]
    answer: dict[str, Any] = {"kind": kind, "id": f"projects/{place}", "selfLink": link(place)}
    if page:
        answer["items"] = page
    if begin + size < len(found):
        answer["nextPageToken"] = base64.urlsafe_b64encode(f"after {names[begin + size - 1]}".encode()).decode()
    return answer


def _named_in(token: str) -> str:
    if not token:
        return ""
    try:
        text = base64.urlsafe_b64decode(token).decode()
    except ValueError:
        text = ""
    if not text.startswith("after "):
        raise invalid("pageToken", token, "Invalid pageToken")
    return text.removeprefix("after ")


def parse_filter(text: str) -> Test:
    """Return the test that a filter expression is: AIP-160, or regular expressions by eq and ne. Raises ApiError."""
    if not text.strip():
        return lambda _: True
    if _SINGLE.fullmatch(text) or _SEVERAL.fullmatch(text):
        return _regular_expressions(text)
    return _Parser(text, _words(text)).parse()


def _words(text: str) -> list[str]:
    words, position = [], 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _malformed(text)
        words.append(match[0].strip())
        position = match.end()
    return words


def _malformed(text: str) -> Exception:
    return invalid("filter", text, "Invalid list filter expression.")


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word[:1] in ("'", '"') else word


def _values(item: object, path: Sequence[str]) -> list[str]:
    """Return what ITEM has at PATH, as texts; a list on the way has several; `[]` after a name is its members."""
    if isinstance(item, Sequence) and not isinstance(item, str):
        return [value for member in item for value in _values(member, path)]
    if not path:
        return [str(item).lower() if isinstance(item, bool) else str(item)]
    if not isinstance(item, Mapping):
        return []
    name = path[0].removesuffix("[]")
    return _values(item[name], path[1:]) if name in item else []


def _regular_expressions(text: str) -> Test:
    """`FIELD eq PATTERN`, or several in parentheses, which all must hold; a pattern matches the entire field."""
    single = _SINGLE.fullmatch(text)
    found = [single.groups()] if single else [match.groups() for match in _ONE_OF_SEVERAL.finditer(text)]
    if len({field for field, _, _ in found}) > 1:
        # "You cannot combine constraints on multiple fields using regular expressions."
        raise _malformed(text)
    tests = [_regular_expression(text, *one) for one in found]
    return lambda item: all(test(item) for test in tests)


def _regular_expression(text: str, name: str, operator: str, literal: str) -> Test:
    try:
        pattern = re.compile(_unquoted(literal))
    except re.error:
        raise _malformed(text) from None
    path = name.split(".")
    return lambda item: any(pattern.fullmatch(value) for value in _values(item, path)) == (operator == "eq")


class _Parser:
    """AIP-160: `FIELD OPERATOR VALUE`, AND (or nothing) and OR between, NOT or - before, parentheses.

    https://google.aip.dev/160: OR binds more tightly than AND.
    """

    def __init__(self, text: str, words: list[str]) -> None:
        self._text, self._words = text, words

    def parse(self) -> Test:
        test = self._sequence()
        if self._words:
            raise _malformed(self._text)
        return test

    def _sequence(self) -> Test:
        tests = [self._alternatives()]
        while self._words and self._words[0] != ")":
            if self._words[0] == "AND":
                self._next()
            tests.append(self._alternatives())
        return lambda item: all(test(item) for test in tests)

    def _alternatives(self) -> Test:
        tests = [self._term()]
        while self._words and self._words[0] == "OR":
            self._next()
            tests.append(self._term())
        return lambda item: any(test(item) for test in tests)

    def _term(self) -> Test:
        word = self._next()
        if word == "NOT":
            refused = self._term()
            return lambda item: not refused(item)
        if word == "(":
            inner = self._sequence()
            if self._next() != ")":
                raise _malformed(self._text)
            return inner
        return self._comparison(word)

    def _comparison(self, name: str) -> Test:
        operator, value = self._next(), self._next()
        if operator not in _COMPARISONS or value in ("(", ")") or not re.fullmatch(r"[\w.\[\]-]+", name):
            raise _malformed(self._text)
        path, wanted, compare = name.split("."), _unquoted(value), _COMPARISONS[operator]
        if operator == ":" and value == "*":
            return lambda item: bool(_values(item, path))
        if operator == "!=":
            return lambda item: wanted not in _values(item, path)
        return lambda item: any(compare(found, wanted) for found in _values(item, path))

    def _next(self) -> str:
        if not self._words:
            raise _malformed(self._text)
        return self._words.pop(0)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[str, str], bool]:
    def by_number_or_text(left: str, right: str) -> bool:
        try:
            return compare(float(left), float(right))
        except ValueError:
            return compare(left, right)

    return by_number_or_text


_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    # "has": of a text, a word of it or all of it; a `*` at its end stands for any rest.
    ":": lambda left, right: left.startswith(right[:-1]) if right.endswith("*") else right in (left, *left.split()),
    "<": _ordered(lambda left, right: left < right),
    "<=": _ordered(lambda left, right: left <= right),
    ">": _ordered(lambda left, right: left > right),
    ">=": _ordered(lambda left, right: left >= right),
}
