# SPDX-License-Identifier: Apache-2.0
"""EC2's query protocol, both ways, by botocore's model of the API: form fields in, XML out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.core.parse import EC2QueryParser
from moto.core.serialize import EC2Serializer, SerializationContext, TimestampSerializer
from moto.core.utils import get_service_model
from werkzeug.datastructures import Headers, MultiDict

from lkcloud.sandbox.http import Response
from lkcloud_aws.sandbox.errors import XML, ApiError, invalid, missing_parameter

if TYPE_CHECKING:
    from lkcloud_aws.sandbox.cloud import Cloud, Region

Result = Mapping[str, Any]
"""A result in the shape that botocore's model gives it: the wire format, known to the model alone."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of EC2: PARAMETERS are in the shape that botocore's model gives them."""

    cloud: "Cloud"
    region: "Region"
    operation: str
    parameters: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a string, "" if it was not given."""
        value = self.parameters.get(name)
        return "" if value is None else str(value)

    def needed(self, name: str) -> str:
        """Return a string. Raises ApiError if it was not given."""
        value = self.text(name)
        if not value:
            raise missing_parameter(name)
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean, False if it was not given."""
        return bool(self.parameters.get(name))

    def number(self, name: str, default: int) -> int:
        """Return an integer."""
        value = self.parameters.get(name)
        return default if value is None else int(value)

    def items(self, name: str) -> list[Any]:
        """Return a list, empty if it was not given."""
        return list(self.parameters.get(name) or [])

    def structure(self, name: str) -> Mapping[str, Any]:
        """Return a structure, empty if it was not given."""
        return self.parameters.get(name) or {}

    def tags(self, *resource_types: str) -> dict[str, dict[str, str]]:
        """Return TagSpecifications by resource type. Raises ApiError for a type that the call cannot tag."""
        found: dict[str, dict[str, str]] = {kind: {} for kind in resource_types}
        for specification in self.items("TagSpecifications"):
            kind = specification.get("ResourceType")
            if kind not in found:
                raise invalid(f"'{kind}' is not a valid taggable resource type for this operation.")
            found[kind] |= check_tags(specification.get("Tags") or [])
        return found

    def stop_if_dry_run(self) -> None:
        """Raise DryRunOperation if that is all that was asked."""
        if self.flag("DryRun"):
            raise ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)


Handler = Callable[[Call], Result]


def check_tags(tags: list[Mapping[str, str]]) -> dict[str, str]:
    """Return TAGS as a mapping. Raises ApiError as EC2 does.

    Key at most 127, value at most 255 characters, 50 tags, nothing that begins with `aws:`:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions
    """
    found: dict[str, str] = {}
    for tag in tags:
        key, value = str(tag.get("Key") or ""), str(tag.get("Value") or "")
        if not key or len(key) > 127 or len(value) > 255 or key.lower().startswith("aws:"):
            raise invalid(f"Tag key or value is not valid: {key!r}")
        if key in found:
            raise invalid(f"Duplicate tag key '{key}' specified.")
        found[key] = value
    if len(found) > 50:
        raise ApiError("TagLimitExceeded", "More than 50 tags specified")
    return found


def parse(operation: str, fields: list[tuple[str, str]]) -> Mapping[str, Any]:
    """Return the parameters in FIELDS. Raises ApiError for a parameter or a value that the model does not know."""
    model = get_service_model("ec2").operation_model(operation)
    parsed: Mapping[str, Any] = EC2QueryParser(model).parse(
        {
            "values": MultiDict(fields),
            "body": "",
            "headers": Headers(),
            "method": "POST",
            "url_params": {},
            "url_path": "/",
        }
    )
    _check_enums(model.input_shape, parsed)
    return parsed


def _check_enums(shape: Any, value: Any) -> None:
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if name in value:
                _check_enums(member, value[name])
    elif shape.type_name == "list":
        for item in value:
            _check_enums(shape.member, item)
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        raise invalid(f"Value ({value}) for parameter {shape.name} is invalid.")


class _Serializer(EC2Serializer):
    # EC2 gives parts of a second; moto cuts them off.
    DEFAULT_TIMESTAMP_FORMAT = TimestampSerializer.TIMESTAMP_FORMAT_ISO8601


def serialize(operation: str, result: Result, request_id: str) -> Response:
    """Return RESULT as EC2 writes it."""
    model = get_service_model("ec2").operation_model(operation)
    body = _Serializer(model, SerializationContext(request_id)).serialize(result)["body"]
    text = body if isinstance(body, bytes) else str(body).encode()
    return Response(200, {"Content-Type": XML, "x-amzn-RequestId": request_id}, text)
