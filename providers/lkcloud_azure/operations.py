# SPDX-License-Identifier: Apache-2.0
"""Long operations of Azure Resource Manager: begun, waited for, and what they say when they have failed.

https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations. The SDK's own pollers wait for
ever and show nothing; these tell what goes on, and a process that comes later can wait for an operation of an earlier
one.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from azure.core.exceptions import HttpResponseError, ODataV4Format
from azure.core.rest import HttpRequest

from lkcloud.polling import poll
from lkcloud.reporting import Meter
from lkcloud_azure.errors import pause_in
from lkcloud_azure.plain import origin
from lkcloud_azure.session import Session

T = TypeVar("T")

LIMIT = 600.0
"""Seconds to wait for an operation that moves no bytes."""

HINT = "it goes on at Azure: run the same command again to wait for it"

SUCCEEDED = "Succeeded"
FAILED = "Failed"
CANCELED = "Canceled"
"""provisioningState of a resource, and status of an operation, that has ended:
https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations#provisioningstate-values"""

_EVERY = 0.1
"""Seconds between two looks at first, where Azure names no other pause."""
_ENDED = {SUCCEEDED.lower(), FAILED.lower(), CANCELED.lower()}


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that may still go on: where Azure tells its status, and where its result will be."""

    status_url: str = ""
    """From Azure-AsyncOperation; "" where it has ended already."""
    result_url: str = ""
    """From Location."""
    pause: float = 0.0
    """Seconds from Retry-After."""
    body: Mapping[str, Any] | None = None
    """What the first answer said."""

    def to_text(self) -> str:
        """Return it as a handle for the journal."""
        return json.dumps({**asdict(self), "body": None})

    @classmethod
    def from_text(cls, text: str) -> "Operation | None":
        """Return the operation of a handle, None if it is none."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None


def begin(session: Session, doing: str, request: Callable[..., Any]) -> Operation:
    """Make REQUEST(polling=False, raw_response_hook=) of a `begin_` method of the SDK, and return its operation."""
    seen: list[Any] = []

    def note(response: Any) -> None:
        seen.append(response.http_response)

    session.call(doing, lambda: request(polling=False, raw_response_hook=note))
    response = seen[-1]
    headers = response.headers
    status_url, result_url = headers.get("Azure-AsyncOperation", ""), headers.get("Location", "")
    if response.status_code in (202, 201, 200) and (status_url or (response.status_code == 202 and result_url)):
        return Operation(status_url, result_url, pause_in(headers), _json(response))
    return Operation(body=_json(response))


def wait(
    session: Session,
    operation: Operation,
    *,
    doing: str,
    limit: float = LIMIT,
    hint: str = HINT,
    meter: Meter | None = None,
) -> Mapping[str, Any]:
    """Wait until OPERATION has ended, and return its result: that of its status, or what is at its Location.

    METER shows how far it is. If it ended badly, raises what `Session.errors` makes of Azure's own error; after LIMIT
    seconds raises Unreachable with HINT.
    """
    if not operation.status_url and not operation.result_url:
        return operation.body or {}

    pause = operation.pause

    def look() -> Mapping[str, Any] | None:
        nonlocal pause
        response = session.call(doing, lambda: _get(session, operation.status_url or operation.result_url))
        pause = pause_in(response.headers)
        shown = _json(response)
        if not operation.status_url:
            # Only a Location: 202 until it is done.
            return None if response.status_code == 202 else shown
        status = str(shown.get("status", ""))
        if meter is not None:
            done = shown.get("percentComplete")
            meter.status(status if done is None else f"{status}, {float(done):.0f}%")
        return shown if status.lower() in _ENDED else None

    ended = poll(look, what=f"azure: {doing}", every=_EVERY, limit=limit, hint=hint, least=lambda: pause)
    if operation.status_url and str(ended["status"]).lower() != SUCCEEDED.lower():
        with session.errors(doing):
            raise failure(ended)
    return ended


def settled(look: Callable[[], T | None], *, what: str) -> T | None:
    """Return the resource that LOOK finds when it is neither being made nor deleted, None if it is not there then.

    WHAT names it. Raises Unreachable after `LIMIT` seconds.
    """

    def rest() -> tuple[T | None] | None:
        found: Any = look()
        state = found.properties.provisioning_state if found is not None and found.properties else None
        return None if state in ("Creating", "Deleting") else (found,)

    hint = "run the same command again later"
    return poll(rest, what=f"azure: what goes on with {what}", every=_EVERY, limit=LIMIT, hint=hint)[0]


def shown(look: Callable[[], T | None], *, what: str) -> T:
    """Return the resource that LOOK finds when it was made well, which Azure may not show at once.

    WHAT names it. Raises Unreachable after `LIMIT` seconds.
    """

    def made() -> T | None:
        found: Any = look()
        return found if found is not None and found.properties.provisioning_state == SUCCEEDED else None

    hint = "run the same command again later"
    return poll(made, what=f"azure: looking at {what} that was made", every=_EVERY, limit=LIMIT, hint=hint)


def result(session: Session, operation: Operation, *, doing: str) -> Mapping[str, Any]:
    """Return what is at the Location of an OPERATION that has ended well."""
    return _json(session.call(doing, lambda: _get(session, operation.result_url)))


def failure(status: Mapping[str, Any]) -> HttpResponseError:
    """Return the error of an operation that has ended badly, as the SDK would raise it."""
    told = status.get("error") or {}
    ended = str(status.get("status"))
    message = told.get("message") or f"it ended as {ended}, and Azure gives no reason"
    error = HttpResponseError(message)
    error.error = ODataV4Format({**told, "code": told.get("code") or ended, "message": message})
    return error


def _get(session: Session, url: str) -> Any:
    # A status URL that would lead the token elsewhere is not asked.
    if origin(url) != origin(session.endpoint):
        raise HttpResponseError(f"an operation is at {urlsplit(url).netloc}, and not at {session.endpoint}")
    response = session.compute.send_request(HttpRequest("GET", url))
    response.raise_for_status()
    return response


def _json(response: Any) -> Mapping[str, Any]:
    text = response.text()
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}
