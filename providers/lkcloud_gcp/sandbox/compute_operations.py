# SPDX-License-Identifier: Apache-2.0
"""Operations: what goes on after an answer has been given, and how it ended.

https://cloud.google.com/compute/docs/reference/rest/v1/globalOperations and
https://cloud.google.com/compute/docs/api/how-tos/api-requests-responses#handling_api_responses
"""

import json
import secrets
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any, Protocol

from lkcloud_gcp.sandbox.cloud import Cloud
from lkcloud_gcp.sandbox.compute_call import Call, Handler, Result, link, not_found
from lkcloud_gcp.sandbox.compute_lists import listed
from lkcloud_gcp.sandbox.engine import new_id
from lkcloud_gcp.sandbox.errors import ApiError

USER = "lkcloud@lkcloud-sandbox.iam.gserviceaccount.com"
_PHRASES = {400: "BAD REQUEST", 403: "FORBIDDEN", 404: "NOT FOUND", 409: "CONFLICT", 412: "PRECONDITION FAILED"}


@dataclass(eq=False)
class OperationFailed(Exception):
    """Raised by the work of an operation that ends in an error: CODE such as INVALID_IMAGE_TAR."""

    code: str
    message: str
    status: int = 400


Work = Callable[["Operation"], None]
"""What an operation does. It raises OperationFailed, and looks at `operation.engine_ended` where it takes long."""


@dataclass(slots=True)
class Operation:
    """One operation; ZONE is "" for a global one, TARGET such as `global/images/NAME`."""

    kind: str
    """Google's operationType: `insert`, `delete`, `setLabels`."""
    zone: str
    target: str
    target_id: str
    request: str = ""
    """The requestId that it was asked for with."""
    fingerprint: str = ""
    """Tells whether another request with that requestId is the same one."""
    id: str = field(default_factory=new_id)
    name: str = field(default_factory=lambda: f"operation-{int(time.time() * 1000)}-{secrets.token_hex(11)}")
    status: str = "PENDING"
    progress: int = 0
    failure: OperationFailed | None = None
    inserted: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: datetime | None = None
    finished: datetime | None = None
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """Code and message of each."""
    done: Event = field(default_factory=Event)
    engine_ended: Event = field(default_factory=Event)
    """Set when the stand-in stops or is emptied."""
    _thread: Thread | None = None

    @property
    def place(self) -> str:
        """Where the operation is: `global/operations/NAME`, `zones/ZONE/operations/NAME`."""
        return f"{f'zones/{self.zone}' if self.zone else 'global'}/operations/{self.name}"

    def warn(self, code: str, message: str) -> None:
        """Say CODE and MESSAGE with the operation."""
        self.warnings.append((code, message))

    def begin(self, cloud: Cloud, seconds: float, work: Work) -> None:
        """Do WORK in a thread, SECONDS from now; it is called without the lock of CLOUD."""
        self._thread = Thread(target=self._run, args=(cloud, seconds, work), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until its thread has ended."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, cloud: Cloud, seconds: float, work: Work) -> None:
        with cloud.lock:
            self.status, self.started = "RUNNING", datetime.now(UTC)
        if self.engine_ended.wait(seconds):
            return
        try:
            work(self)
        except OperationFailed as failure:
            self.failure = failure
        except Exception as error:
            traceback.print_exc()
            self.failure = OperationFailed("INTERNAL_ERROR", f"The sandbox failed: {error!r}", 503)
        with cloud.lock:
            self.status, self.progress, self.finished = "DONE", 100, datetime.now(UTC)
        self.done.set()

    def described(self) -> dict[str, Any]:
        """Return the operation as the API shows it."""
        said: dict[str, Any] = {
            "kind": "compute#operation",
            "id": self.id,
            "name": self.name,
            "operationType": self.kind,
            "targetLink": link(self.target),
            "targetId": self.target_id,
            "status": self.status,
            "user": USER,
            "progress": self.progress,
            "insertTime": rfc3339(self.inserted),
            "selfLink": link(self.place),
        }
        if self.zone:
            said["zone"] = link(f"zones/{self.zone}")
        if self.request:
            said["clientOperationId"] = self.request
        if self.started:
            said["startTime"] = rfc3339(self.started)
        if self.finished:
            said["endTime"] = rfc3339(self.finished)
        if self.warnings:
            said["warnings"] = [{"code": code, "message": message} for code, message in self.warnings]
        if self.failure and self.status == "DONE":
            failure = self.failure
            said["error"] = {"errors": [{"code": failure.code, "message": failure.message}]}
            said["httpErrorStatusCode"] = failure.status
            said["httpErrorMessage"] = _PHRASES.get(failure.status, "SERVICE UNAVAILABLE")
        return said


def rfc3339(when: datetime) -> str:
    """Return WHEN as Compute Engine writes it, with milliseconds and an offset."""
    return when.isoformat(timespec="milliseconds")


def replayed(call: Call) -> Operation | None:
    """Return the operation that was asked for before with the requestId of CALL, failed or not, None if none was.

    Google says that the second request is ignored; for how long an id is remembered it does not say, so here it is
    for ever. It does not say what a request id does in another request either: that is refused here.
    """
    request, fingerprint = call.request_id, _fingerprint(call)
    for operation in call.engine.operations.values():
        if request and operation.request == request:
            if operation.fingerprint != fingerprint:
                raise ApiError(400, "invalid", f"The request id '{request}' was used before in another request")
            return operation
    return None


def _fingerprint(call: Call) -> str:
    return repr((call.method, call.zone, call.name, json.dumps(json.loads(call.payload or b"{}"), sort_keys=True)))


class Resource(Protocol):
    """What an operation is on."""

    @property
    def id(self) -> str:
        """Its number."""

    @property
    def place(self) -> str:
        """Where it is within its project: `global/images/NAME`."""


def started(call: Call, kind: str, target: Resource, work: Work, *, seconds: float | None = None) -> Result:
    """Begin an operation for CALL, which takes SECONDS or as long as any other, and return it as it is at first."""
    operation = Operation(kind, call.zone, target.place, target.id, call.request_id, _fingerprint(call))
    operation.engine_ended = call.engine.ended
    call.engine.operations[operation.name] = operation
    answer = operation.described()
    operation.begin(call.cloud, call.cloud.windows.operation if seconds is None else seconds, work)
    return answer


def find(call: Call) -> Operation:
    """Return the operation that CALL names, by its name or its number."""
    for operation in call.engine.operations.values():
        if call.name in (operation.name, operation.id) and operation.zone == call.zone:
            return operation
    where = f"zones/{call.zone}" if call.zone else "global"
    raise not_found(f"{where}/operations/{call.name}")


def _get(call: Call) -> Result:
    call.check_query()
    return find(call).described()


def wait(call: Call) -> Result:
    """Return the operation when it is done, or as it is after `windows.operation_wait`. To be called without the lock.

    globalOperations.wait: "waits for no more than the 2 minutes and then returns the current state of the operation".
    """
    call.check_query()
    with call.cloud.lock:
        operation = find(call)
    operation.done.wait(call.cloud.windows.operation_wait)
    with call.cloud.lock:
        return operation.described()


def _list(call: Call) -> Result:
    call.check_query("filter", "maxResults", "orderBy", "pageToken", "returnPartialSuccess")
    items = [one.described() for one in call.engine.operations.values() if one.zone == call.zone]
    return listed(call, "compute#operationList", f"{_place(call)}/operations", items)


def _delete(call: Call) -> Result:
    call.check_query()
    operation = find(call)
    if operation.status != "DONE":
        # By analogy with resources; no document says what an operation that runs answers.
        raise ApiError(400, "resourceNotReady", f"The resource '{operation.name}' is not ready")
    del call.engine.operations[operation.name]
    return {}


def _place(call: Call) -> str:
    return f"zones/{call.zone}" if call.zone else "global"


HANDLERS: dict[str, Handler] = {
    "globalOperations.get": _get,
    "globalOperations.list": _list,
    "globalOperations.delete": _delete,
    "zoneOperations.get": _get,
    "zoneOperations.list": _list,
    "zoneOperations.delete": _delete,
}
