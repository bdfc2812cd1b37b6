# SPDX-License-Identifier: Apache-2.0
"""One request to Compute Engine, taken apart.

https://cloud.google.com/compute/docs/reference/rest/v1
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseError

from lkcloud.sandbox.http import Response
from lkcloud_gcp import compute_sdk
from lkcloud_gcp.sandbox.cloud import PROJECT, Cloud
from lkcloud_gcp.sandbox.engine import Engine
from lkcloud_gcp.sandbox.errors import ApiError

ROOT = "https://www.googleapis.com/compute/v1/"
"""What every selfLink begins with, whatever address the API is reached at."""

Result = Mapping[str, Any]
"""A JSON document as it is sent."""

_SYSTEM_PARAMETERS = {"alt", "$alt", "fields", "key", "prettyPrint", "quotaUser", "userIp", "$.xgafv", "callback"}
"""https://cloud.google.com/apis/docs/system-parameters"""


@dataclass(frozen=True, slots=True)
class Call:
    """A request: METHOD is the id of the API's method, ZONE "" for a global one, NAME that of the resource."""

    cloud: Cloud
    method: str
    zone: str
    name: str
    query: Mapping[str, str]
    payload: bytes

    @property
    def engine(self) -> Engine:
        """What Compute Engine holds."""
        return self.cloud.engine

    def body(self, message: str) -> Mapping[str, Any]:
        """Return the body, which must be a MESSAGE of the API's model, such as `Image`; {} for an empty body.

        Unknown fields and values of the wrong type are refused as Google refuses them.
        """
        # The model is a second's work to import, so that it waits for the first request that has a body.
        compute_sdk.prepare()
        from google.cloud import compute_v1

        try:
            document = json.loads(self.payload or b"{}")
            if not isinstance(document, dict):
                raise ValueError("the root must be an object")
            getattr(compute_v1, message).from_json(json.dumps(document), ignore_unknown_fields=False)
        except (ValueError, ParseError) as error:
            raise ApiError(400, "badRequest", f"Invalid JSON payload received. {error}") from None
        return document

    def document(self) -> Mapping[str, Any]:
        """Return the body as it was sent, {} for one that is no JSON object."""
        try:
            document = json.loads(self.payload or b"{}")
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    def check_query(self, *known: str) -> None:
        """Raise ApiError for a query parameter that is not one of KNOWN."""
        for name in self.query:
            if name not in known and name not in _SYSTEM_PARAMETERS:
                message = f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
                raise ApiError(400, "badRequest", message)

    @property
    def request_id(self) -> str:
        """The requestId, "" if there is none. Raises ApiError if it is no UUID, or the one of zeros."""
        text = self.query.get("requestId", "")
        if not text:
            return ""
        try:
            parsed = uuid.UUID(text)
        except ValueError:
            parsed = uuid.UUID(int=0)
        # SDK, InsertImageRequest.request_id: "a valid UUID with the exception that zero UUID is not supported".
        if str(parsed) != text.lower() or parsed.int == 0:
            raise invalid("requestId", text, "Must be a valid UUID.")
        return text.lower()

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Return a query parameter as a number of LOW to HIGH. Raises ApiError."""
        text = self.query.get(name, "")
        try:
            value = int(text) if text else default
        except ValueError:
            raise invalid(name, text, "Must be a number.") from None
        if not low <= value <= high:
            raise invalid(name, text, f"Must be between {low} and {high}, inclusive")
        return value


Handler = Callable[[Call], Result]


def link(path: str) -> str:
    """Return the URL of a resource of the project, such as `global/images/NAME`."""
    return f"{ROOT}projects/{PROJECT}/{path}"


def answer(result: Result) -> Response:
    """Return RESULT as a response."""
    return Response(200, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(result).encode())


def invalid(name: str, value: str, why: str) -> ApiError:
    """Return what Compute Engine says of a value that it does not take."""
    return ApiError(400, "invalid", f"Invalid value for field '{name}': '{value}'. {why}")


def required(name: str) -> ApiError:
    """Return what Compute Engine says if a field is missing."""
    return ApiError(400, "required", f"Required field '{name}' not specified")


def not_found(path: str) -> ApiError:
    """Return what Compute Engine says of a resource of the project that does not exist."""
    return ApiError(404, "notFound", f"The resource 'projects/{PROJECT}/{path}' was not found")


def not_ready(path: str) -> ApiError:
    """Return what Compute Engine says while another operation makes or deletes the resource.

    The words: ZcashFoundation/zebra#5044; the status 400: googleapis/google-api-python-client#485.
    """
    return ApiError(400, "resourceNotReady", f"The resource 'projects/{PROJECT}/{path}' is not ready")


def exists(path: str) -> ApiError:
    """Return what Compute Engine says of a name that is taken."""
    return ApiError(409, "alreadyExists", f"The resource 'projects/{PROJECT}/{path}' already exists")
