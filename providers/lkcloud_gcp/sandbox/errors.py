# SPDX-License-Identifier: Apache-2.0
"""How the stand-in says no, in the words of Google's APIs.

JSON: https://cloud.google.com/storage/docs/json_api/v1/status-codes and
https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-api. XML:
https://cloud.google.com/storage/docs/xml-api/reference-status.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from lkcloud.sandbox.http import Response


@dataclass(eq=False)
class ApiError(Exception):
    """An answer that says no.

    REASON is JSON's, CODE that of the XML API; STATUS_NAME and LOCATION (of what is wrong, a header or a parameter) are
    left out where they are "". BRIEF is the message of the XML API where MESSAGE are its details. SERVICE is the API
    that is disabled, where that is why.
    """

    status: int
    reason: str
    message: str
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    status_name: str = ""
    location: str = ""
    brief: str = ""
    service: str = ""

    def json(self) -> Response:
        """Return it as the JSON APIs say it."""
        domain = "usageLimits" if self.service else "global"
        detail = {"message": self.message, "domain": domain, "reason": self.reason}
        if self.location:
            where = "header" if self.location[0].isupper() else "parameter"
            detail |= {"locationType": where, "location": self.location}
        error: dict[str, object] = {"code": self.status, "message": self.message, "errors": [detail]}
        if self.status_name:
            error["status"] = self.status_name
        if self.service:
            # google.rpc.ErrorInfo: https://cloud.google.com/apis/design/errors#error_info
            info = {"reason": "SERVICE_DISABLED", "domain": "googleapis.com", "metadata": {"service": self.service}}
            error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", **info}]
        document = {"error": error}
        headers = {"Content-Type": "application/json; charset=UTF-8", **self.headers}
        return Response(self.status, headers, json.dumps(document).encode())

    def xml(self) -> Response:
        """Return it as the XML API of Cloud Storage says it."""
        code = self.code or self.reason
        body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{escape(code)}</Code>"
        details = f"<Details>{escape(self.message)}</Details>" if self.brief else ""
        body += f"<Message>{escape(self.brief or self.message)}</Message>{details}</Error>"
        return Response(self.status, {"Content-Type": "application/xml; charset=UTF-8", **self.headers}, body.encode())


def throttled() -> ApiError:
    """Return what a client is told that asks too often."""
    return ApiError(429, "rateLimitExceeded", "The rate of requests exceeds the limit.", "TooManyRequests")
