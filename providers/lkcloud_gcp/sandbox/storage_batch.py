# SPDX-License-Identifier: Apache-2.0
"""Several requests in one: https://docs.cloud.google.com/storage/docs/batch."""

import secrets
from collections.abc import Callable
from email import policy
from email.message import Message
from email.parser import BytesParser, Parser
from http import HTTPStatus
from io import BytesIO
from urllib.parse import urlsplit

from lkcloud.sandbox.http import Body, Request, Response
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.storage_call import invalid

PATH = "/batch/storage/v1"

_MOST = 100
_LARGEST = 10 * 1000 * 1000
"""Calls and bytes of a batch."""


def serve(request: Request, answer: Callable[[Request], Response]) -> Response:
    """Make each request within REQUEST by ANSWER, in order, and return all responses. Raises ApiError."""
    payload = request.body.all()
    if len(payload) >= _LARGEST:
        raise ApiError(413, "uploadTooLarge", "The batch request is too large.")
    kind = request.header("Content-Type")
    # The default policy of the parser leaves line ends in the bodies alone.
    parsed = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + payload)
    if not kind.startswith("multipart/mixed") or not isinstance(parsed.get_payload(), list):
        raise invalid("A batch request must be multipart/mixed.")
    parts = [part for part in parsed.get_payload() if isinstance(part, Message)]
    if len(parts) > _MOST:
        raise invalid(f"The batch request has {len(parts)} calls, and must not have more than {_MOST}.")
    boundary = f"batch_{secrets.token_urlsafe(16)}"
    body = b""
    for part in parts:
        response = answer(_inner(request, part))
        head = f"--{boundary}\r\nContent-Type: application/http\r\n"
        if part.get("Content-ID"):
            head += f"Content-ID: {str(part['Content-ID']).replace('<', '<response-', 1)}\r\n"
        head += f"\r\nHTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        body += f"{head}Content-Length: {len(response.body)}\r\n\r\n".encode() + response.body + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return Response(200, {"Content-Type": f"multipart/mixed; boundary={boundary}"}, body)


def _inner(outer: Request, part: "Message[str, str]") -> Request:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    line, _, rest = content.replace(b"\r\n", b"\n").partition(b"\n")
    head, _, payload = rest.partition(b"\n\n")
    words = line.decode().split(" ")
    if part.get_content_type() != "application/http" or len(words) != 3:
        raise invalid("Each part of a batch request must be an HTTP request.")
    headers = Parser(policy=policy.compat32).parsestr(head.decode() + "\n\n", headersonly=True)
    for name, value in outer.headers.items():
        # "The HTTP headers for the outer batch request, except for Content- headers, apply to every inner request."
        if name not in headers and not name.lower().startswith(("content-", "transfer-")):
            headers[name] = value
    if "Content-Length" in headers:
        del headers["Content-Length"]
    headers["Content-Length"] = str(len(payload))
    url = urlsplit(words[1])
    target = url.path + (f"?{url.query}" if url.query else "")
    # "Cloud Storage does not support batch operations for uploading or downloading."
    if not target.startswith("/storage/v1/") or "alt=media" in url.query.split("&"):
        raise invalid(f"A batch request cannot have a request for {target}.")
    return Request(words[0], target, headers, Body(BytesIO(payload), length=len(payload), chunked=False))
