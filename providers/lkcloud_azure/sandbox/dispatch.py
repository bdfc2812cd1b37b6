# SPDX-License-Identifier: Apache-2.0
"""The way of a request: Entra ID, or who sent it, the seams, and Azure Resource Manager's routes."""

import traceback
from collections.abc import Callable
from dataclasses import replace
from re import Match, Pattern
from uuid import uuid4

from lkcloud.sandbox.http import DropConnection, Request, Response
from lkcloud.sandbox.traffic import Traffic
from lkcloud_azure.sandbox import arm_gate, arm_metadata, arm_registry, vm_console
from lkcloud_azure.sandbox.access import ARM
from lkcloud_azure.sandbox.arm_call import Answer, Call, Route, segments
from lkcloud_azure.sandbox.cloud import LOCATION, Cloud
from lkcloud_azure.sandbox.errors import ApiError


class Dispatcher:
    """Answers requests out of CLOUD."""

    def __init__(self, cloud: Cloud, traffic: Traffic) -> None:
        self._cloud = cloud
        self._traffic = traffic
        self._routes: list[tuple[Pattern[str], Route]] = []
        self.address = ""
        """The URL of the server."""

    def __call__(self, request: Request) -> Response:
        """Return the answer to REQUEST."""
        service, name, answer = self._find(request)
        with self._traffic.request(service, name, request.method, request.path, "") as seen:
            response = self._traffic.before(seen) or answer()
            for _ in request.body.pieces():
                pass
            return self._traffic.after(seen, response, request.body.received)

    def _find(self, request: Request) -> tuple[str, str, Callable[[], Response]]:
        """Return service and operation of REQUEST, and what answers it."""
        if vm_console.is_log(request):
            return "blob", vm_console.OPERATION, lambda: vm_console.read(self._cloud, request)
        if request.path == arm_metadata.PATH:
            return "arm", arm_metadata.OPERATION, lambda: arm_metadata.answer(request, self.address)
        tokens = self._cloud.tokens
        if entra := tokens.operation(request):
            return "entra", entra, lambda: tokens.answer(request, self.address)
        route, match = self._route(request)
        name = route.name if route else f"{request.method} {request.path}"
        return "arm", name, lambda: self._answer(request, route, match)

    def _route(self, request: Request) -> tuple[Route | None, Match[str] | None]:
        if not self._routes:
            self._routes = [(route.pattern(), route) for route in arm_registry.routes()]
        for pattern, route in self._routes:
            if route.method == request.method and (match := pattern.fullmatch(request.raw_path)):
                return route, match
        return None, None

    def _answer(self, request: Request, route: Route | None, match: Match[str] | None) -> Response:
        deferred: list[Callable[[], None]] = []
        try:
            self._cloud.tokens.require(request, ARM)
            if route is None or match is None:
                raise arm_gate.unknown(request, arm_registry.routes())
            call = Call(self._cloud, route, segments(match), request.query, request.body.all(), self.address, deferred)
            arm_gate.check(call)
            response = self._handled(call).response()
            for work in deferred:
                work()
        except ApiError as error:
            response = error.json()
        except DropConnection:
            raise
        except Exception as error:
            traceback.print_exc()
            message = f"The sandbox failed: {type(error).__name__}: {error}"
            response = ApiError(500, "InternalServerError", message).json()
        return replace(response, headers={**_headers(request), **response.headers})

    def _handled(self, call: Call) -> Answer:
        if call.route.unlocked:
            return call.route.handler(call)
        with self._cloud.lock:
            return call.route.handler(call)


def _headers(request: Request) -> dict[str, str]:
    """Return what every answer has: https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling."""
    kind = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}.get(request.method, "writes")
    unique = str(uuid4())
    return {
        "Cache-Control": "no-cache",
        "x-ms-request-id": unique,
        "x-ms-correlation-request-id": unique,
        "x-ms-routing-request-id": f"{LOCATION.upper()}:{unique}",
        f"x-ms-ratelimit-remaining-subscription-{kind}": "199" if kind != "reads" else "249",
    }
