# SPDX-License-Identifier: Apache-2.0
"""How the stand-in says no, in the words of Azure.

Azure Resource Manager: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
and https://github.com/microsoft/api-guidelines (ODataV4 errors). Storage:
https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from lkcloud.sandbox.http import Response


@dataclass(eq=False)
class ApiError(Exception):
    """An answer that says no; TARGET is the name of what is wrong, "" if none is told."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    more: Mapping[str, str] = field(default_factory=dict)
    """Further elements of storage's answer, such as `QueryParameterName`."""

    def described(self) -> dict[str, Any]:
        """Return it as it is within a JSON document."""
        return {"code": self.code, "message": self.message} | ({"target": self.target} if self.target else {})

    def json(self) -> Response:
        """Return it as Azure Resource Manager says it."""
        headers = {"Content-Type": "application/json; charset=utf-8", "x-ms-failure-cause": "gateway", **self.headers}
        return Response(self.status, headers, json.dumps({"error": self.described()}).encode())

    def xml(self) -> Response:
        """Return it as storage says it; to a HEAD request only the headers come through."""
        request = secrets.token_hex(16)
        more = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in self.more.items())
        body = (
            f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{escape(self.code)}</Code>'
            f"<Message>{escape(self.message)}\nRequestId:{request}</Message>{more}</Error>"
        )
        headers = {
            "Content-Type": "application/xml",
            "x-ms-error-code": self.code,
            "x-ms-request-id": request,
            **self.headers,
        }
        return Response(self.status, headers, b"" if self.status == 304 else body.encode())


def throttled() -> ApiError:
    """Return what a client is told that asks too often of Azure Resource Manager.

    The words are those of Microsoft.Compute (Azure/aks-engine#2295). Seconds in Retry-After are few, for tests.
    """
    message = "The server rejected the request because too many requests have been received for this subscription."
    return ApiError(429, "OperationNotAllowed", message, {"Retry-After": "0"})


def busy() -> ApiError:
    """Return what a client is told that asks too often of storage."""
    return ApiError(503, "ServerBusy", "The server is busy.")
