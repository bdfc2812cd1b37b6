# SPDX-License-Identifier: Apache-2.0
"""Asynchronous operations: what goes on after an answer has been given, and how it ended.

https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations and
https://github.com/cloud-and-ai-microsoft/resource-provider-contract/blob/master/v1.0/async-api-reference.md
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any
from uuid import uuid4

from lkcloud_azure.sandbox.arm_call import ALL, Answer, Body, Call, Route
from lkcloud_azure.sandbox.arm_versions import COMPUTE, DISKS, GALLERIES, NETWORK, RESOURCES, STORAGE, Versions
from lkcloud_azure.sandbox.cloud import SUBSCRIPTION, Cloud
from lkcloud_azure.sandbox.errors import ApiError


@dataclass(eq=False)
class OperationFailed(Exception):
    """Raised by the work of an operation that ends badly."""

    code: str
    message: str
    target: str = ""
    status: str = "Failed"
    """`Canceled` where another operation has taken its place."""

    def described(self) -> dict[str, Any]:
        """Return it as it is within a JSON document."""
        return {"code": self.code, "message": self.message} | ({"target": self.target} if self.target else {})


Work = Callable[["Operation"], None]
"""What an operation does, without the lock. It raises OperationFailed, and looks at `operation.ended` where it takes
long."""


@dataclass(slots=True)
class Operation:
    """One operation. OUTPUT is what a GET of its Location answers in the end; None for nothing."""

    id: str = field(default_factory=lambda: str(uuid4()))
    status: str = "InProgress"
    failure: OperationFailed | None = None
    output: Body | None = None
    progress: float | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished: datetime | None = None
    ended: Event = field(default_factory=Event)
    """Set when the stand-in stops or is emptied."""
    hurried: Event = field(default_factory=Event)
    """Set when it is not to wait any longer."""
    thread: Thread | None = None

    def described(self) -> dict[str, Any]:
        """Return it as its status URL shows it."""
        said: dict[str, Any] = {"startTime": self.started.isoformat(), "status": self.status, "name": self.id}
        if self.finished is not None:
            said["endTime"] = self.finished.isoformat()
        if self.progress is not None:
            said["percentComplete"] = self.progress
        if self.failure is not None:
            said["error"] = self.failure.described()
        if self.output is not None:
            said["properties"] = {"output": self.output}
        return said

    def hurry(self) -> None:
        """Let it come to its end now, and return when it has."""
        self.hurried.set()
        if self.thread is not None:
            self.thread.join()

    def begin(self, cloud: Cloud, seconds: float, work: Work) -> None:
        """Do WORK, SECONDS from now in a thread of its own, or at once if that is none."""
        if seconds > 0:
            self.thread = Thread(target=self.run, args=(cloud, seconds, work), daemon=True)
            self.thread.start()
        else:
            self.run(cloud, 0, work)

    def run(self, cloud: Cloud, seconds: float, work: Work) -> None:
        """Do WORK, SECONDS from now, and say how it ended."""
        if seconds > 0:
            self.hurried.wait(seconds)
        if self.ended.is_set():
            return
        failure = None
        try:
            work(self)
        except OperationFailed as error:
            failure = error
        except Exception as error:
            traceback.print_exc()
            failure = OperationFailed("InternalExecutionError", f"The sandbox failed: {error!r}")
        with cloud.lock:
            self.failure, self.finished = failure, datetime.now(UTC)
            self.status = failure.status if failure else "Succeeded"


def started(call: Call, work: Work, *, seconds: float, result: bool = False) -> dict[str, str]:
    """Begin an operation that does WORK in SECONDS, and return the headers of the answer that lead to it.

    Those are Azure-AsyncOperation and Retry-After, and Location too where the operation has no resource that is its
    RESULT. With no seconds at all it has ended when the answer is sent, which only looks at it can tell.
    """
    cloud = call.cloud
    operation = Operation()
    operation.ended = cloud.ended
    cloud.operations[operation.id] = operation
    call.deferred.append(lambda: operation.begin(cloud, seconds, work))
    url = f"{call.address}/subscriptions/{SUBSCRIPTION}{_place(call)}/{operation.id}?api-version={call.version}"
    headers = _pause(cloud)
    if call.route.namespace:
        headers["Azure-AsyncOperation"] = url
    if result or not call.route.namespace:
        headers["Location"] = f"{url}&monitor=true"
    return headers


def _pause(cloud: Cloud) -> dict[str, str]:
    """Return the headers that say when to look again.

    Milliseconds are what the SDK's pollers know too (azure-core, get_retry_after); without a word they wait for 30
    seconds.
    """
    seconds = cloud.windows.retry_after
    return {"Retry-After": str(seconds)} if seconds else {"x-ms-retry-after-ms": "100"}


def _place(call: Call) -> str:
    """Return where the operations of the call's resource type are; each resource provider has a place of its own."""
    namespace, kind = call.route.namespace, call.route.kind
    if not namespace:
        return "/operationresults"
    folder = {
        "Microsoft.Compute/disks": "DiskOperations",
        "Microsoft.Compute/galleries": "capsOperations",
        "Microsoft.Storage/storageAccounts": "asyncoperations",
    }.get("/".join(kind.split("/")[:2]), "operations")
    group = call.cloud.groups.get(call.segments.get("group", "").lower())
    return f"/providers/{namespace}/locations/{group.location if group else 'westeurope'}/{folder}"


def _find(call: Call) -> Operation:
    operation = call.cloud.operations.get(call.segments["operation"])
    if operation is None:
        raise ApiError(404, "ResourceNotFound", f"The operation '{call.segments['operation']}' was not found.")
    return operation


def _get(call: Call) -> Answer:
    operation = _find(call)
    pause = _pause(call.cloud)
    if "monitor" not in call.query:
        return Answer(operation.described(), 200, {} if operation.finished else pause)
    if operation.finished is None:
        return Answer(
            None, 202, {**pause, "Location": f"{call.address}{call.path}?api-version={call.version}&monitor=true"}
        )
    if operation.failure is not None:
        raise ApiError(409, operation.failure.code, operation.failure.message)
    return Answer(operation.output, 200 if operation.output is not None or not call.route.namespace else 204)


def _routes() -> "tuple[Route, ...]":
    def route(place: str, name: str, versions: Versions, action: str) -> Route:
        return Route("GET", f"{ALL}{place}/{{operation}}", name, versions, _get, action)

    compute, network, storage = (
        f"/providers/Microsoft.{name}/locations/{{location}}" for name in ("Compute", "Network", "Storage")
    )
    read = "Microsoft.Compute/locations/operations/read"
    return (
        route(f"{compute}/operations", "Operations.Get", COMPUTE, read),
        route(f"{compute}/DiskOperations", "Operations.Get", DISKS, "Microsoft.Compute/locations/diskoperations/read"),
        route(
            f"{compute}/capsOperations", "Operations.Get", GALLERIES, "Microsoft.Compute/locations/capsOperations/read"
        ),
        route(f"{network}/operations", "Operations.Get", NETWORK, "Microsoft.Network/locations/operations/read"),
        route(
            f"{storage}/asyncoperations", "Operations.Get", STORAGE, "Microsoft.Storage/locations/asyncoperations/read"
        ),
        route(
            "/operationresults", "Operations.Get", RESOURCES, "Microsoft.Resources/subscriptions/operationresults/read"
        ),
    )


ROUTES = _routes()
