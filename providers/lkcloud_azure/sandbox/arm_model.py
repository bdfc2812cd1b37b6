# SPDX-License-Identifier: Apache-2.0
"""The bodies of requests, held against the models of Azure's own SDK: unknown fields and wrong types are refused."""

import json
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any

from lkcloud_azure.sandbox.arm_call import Body, Call, required
from lkcloud_azure.sandbox.errors import ApiError


def body(call: Call, model: type) -> Body:
    """Return the body of CALL, an object of the SDK's class MODEL, with the model's own names of its fields.

    As in Azure, letters' case does not count in names, a field of null is as one that is not there, and what can only
    be read is taken and ignored (that is, it is left out here). A PATCH says only what is to change.
    """
    try:
        document = json.loads(call.payload or b"null")
    except ValueError as error:
        raise _unreadable(f"Error reading JSON: {error}.") from None
    if not isinstance(document, dict):
        message = "The request content is not valid and could not be deserialized: 'Expected an object'."
        raise ApiError(400, "InvalidRequestContent", message)
    text = call.payload.decode("utf-8", "replace")
    read = _Reader(text, partial=call.route.method == "PATCH").object(model, document, "")
    assert isinstance(read, dict)
    return read


_OPEN = ("VirtualMachineSizeTypes",)
"""Enumerations whose list has long not been kept: HardwareProfile.vm_size in the SDK says so."""


class _Reader:
    def __init__(self, text: str, *, partial: bool) -> None:
        self._text = text
        self._partial = partial

    def object(self, model: type, document: Mapping[str, Any], path: str) -> dict[str, Any]:
        fields = _fields(model)
        found = {}
        for name, value in document.items():
            where = f"{path}.{name}" if path else name
            known = fields.get(name.lower())
            if known is None:
                raise self._unknown(name, model, where)
            written, kind, read_only = known
            if value is not None and not read_only:
                found[written] = self.value(kind, value, where)
        for written, kind, read_only in fields.values():
            # What is said of a missing location depends on more than that it is missing.
            needed = not (self._partial or read_only or written == "location" or _optional(kind))
            if written not in found and needed:
                raise required(f"{path}.{written}".removeprefix(".").removeprefix("properties."))
        return found

    def value(self, kind: Any, value: Any, where: str) -> Any:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (typing.Union, types.UnionType):
            return self._of_union([one for one in arguments if one is not type(None)], value, where)
        if origin is list:
            if not isinstance(value, list):
                raise self._wrong(value, "array", where)
            return [self.value(arguments[0], one, f"{where}[{number}]") for number, one in enumerate(value)]
        if origin is dict:
            if not isinstance(value, dict):
                raise self._wrong(value, "object", where)
            return {key: self.value(arguments[1], one, f"{where}.{key}") for key, one in value.items()}
        if isinstance(kind, type) and hasattr(kind, "_is_model"):
            if not isinstance(value, dict):
                raise self._wrong(value, kind.__name__, where)
            return self.object(kind, value, where)
        return self._scalar(kind, value, where)

    def _of_union(self, kinds: list[Any], value: Any, where: str) -> Any:
        # Either one kind that may be missing, or the values of an enumeration, which the SDK takes as texts too.
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Enum):
                if kind.__name__ in _OPEN:
                    return self._scalar(str, value, where)
                for member in kind:
                    if str(value).lower() == str(member.value).lower():
                        return member.value
                raise self._wrong(value, kind.__name__, where)
        return self.value(kinds[0], value, where)

    def _scalar(self, kind: Any, value: Any, where: str) -> Any:
        if kind is str:
            if isinstance(value, str | int | float | bool):
                return str(value)
            raise self._wrong(value, "String", where)
        if kind is bool:
            if str(value).lower() in ("true", "false"):
                return str(value).lower() == "true"
            raise self._wrong(value, "Boolean", where)
        if kind in (int, float):
            try:
                return value if isinstance(value, kind) and not isinstance(value, bool) else kind(str(value))
            except ValueError:
                raise self._wrong(value, "Int64" if kind is int else "Double", where) from None
        if kind is datetime:
            try:
                datetime.fromisoformat(value)
            except (TypeError, ValueError):
                raise self._wrong(value, "DateTimeOffset", where) from None
        return value

    def _unknown(self, name: str, model: type, where: str) -> ApiError:
        # Azure/azure-sdk-for-net#3487 at the top, which Azure Resource Manager itself reads; #37855 below.
        top = "." not in where
        owner = "ResourceDefinition" if top else model.__name__
        message = f"Could not find member '{name}' on object of type '{owner}'. {self._place(name, where)}"
        return _unreadable(message) if top else ApiError(400, "BadRequest", message, target=where)

    def _wrong(self, value: Any, kind: str, where: str) -> ApiError:
        place = self._place(where.rpartition(".")[2].partition("[")[0], where)
        return ApiError(
            400, "BadRequest", f"Error converting value \"{value}\" to type '{kind}'. {place}", target=where
        )

    def _place(self, name: str, where: str) -> str:
        before = self._text.partition(f'"{name}"')[0]
        line = before.count("\n") + 1
        position = len(before) - before.rfind("\n") - 1 + len(name) + 3
        return f"Path '{where}', line {line}, position {position}."


def _optional(kind: Any) -> bool:
    return type(None) in typing.get_args(kind)


@cache
def _fields(model: type) -> Mapping[str, tuple[str, Any, bool]]:
    """Return the fields of a MODEL by their names in lower case: name, type, and whether it can only be read."""
    package = __import__(model.__module__.rpartition(".")[0], fromlist=["_models"])
    # The models' modules import these for type checkers only.
    names = {"_models": package, "_enums": package}
    hints: dict[str, Any] = {}
    for base in reversed(model.__mro__):
        if base.__module__.startswith("azure.mgmt"):
            hints |= typing.get_type_hints(
                base, globalns={**vars(__import__(base.__module__, fromlist=["_"])), **names}
            )
    # What JSON calls a field is known to an object only, when the class has been set up.
    made: Any = model.__new__(model)  # type: ignore[call-overload]  # a class of the SDK, which takes no arguments here
    fields = made._attr_to_rest_field  # noqa: SLF001
    return {
        field._rest_name.lower(): (field._rest_name, hints[attribute], field._visibility == ["read"])  # noqa: SLF001
        for attribute, field in fields.items()
    }


def _unreadable(why: str) -> ApiError:
    message = f"The request content was invalid and could not be deserialized: '{why}'."
    return ApiError(400, "InvalidRequestContent", message)
