# SPDX-License-Identifier: Apache-2.0
"""The way of a request: Entra ID, or who sent it, the seams, and Azure Resource Manager."""

import traceback
from dataclasses import replace
from uuid import uuid4

from lkcloud.sandbox.http import DropConnection, Request, Response
from lkcloud.sandbox.traffic import Traffic
from lkcloud_azure.sandbox.access import ARM
from lkcloud_azure.sandbox.cloud import LOCATION, Cloud
from lkcloud_azure.sandbox.errors import ApiError


class Dispatcher:
    """Answers requests out of CLOUD."""

    def __init__(self, cloud: Cloud, traffic: Traffic) -> None:
        self._cloud = cloud
        self._traffic = traffic
        self.address = ""
        """The URL of the server."""

    def __call__(self, request: Request) -> Response:
        """Return the answer to REQUEST."""
        entra = self._cloud.tokens.operation(request)
        name = entra or self._name(request)
        with self._traffic.request("entra" if entra else "arm", name, request.method, request.path, "") as seen:
            response = self._traffic.before(seen) or self._answer(request, entra)
            for _ in request.body.pieces():
                pass
            return self._traffic.after(seen, response, request.body.received)

    def _name(self, request: Request) -> str:
        return f"{request.method} {request.path}"

    def _answer(self, request: Request, entra: str) -> Response:
        if entra:
            return self._cloud.tokens.answer(request, self.address)
        try:
            response = self._arm(request)
        except ApiError as error:
            response = error.json()
        except DropConnection:
            raise
        except Exception as error:
            traceback.print_exc()
            message = f"The sandbox failed: {type(error).__name__}: {error}"
            response = ApiError(500, "InternalServerError", message).json()
        ids = {"x-ms-request-id": str(uuid4()), "x-ms-correlation-request-id": str(uuid4())}
        routed = {"x-ms-routing-request-id": f"{LOCATION.upper()}:{uuid4()}"}
        return replace(response, headers={**ids, **routed, **response.headers})

    def _arm(self, request: Request) -> Response:
        self._cloud.tokens.require(request, ARM)
        raise ApiError(404, "InvalidResourceType", "nothing is here yet")
