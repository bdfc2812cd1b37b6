# SPDX-License-Identifier: Apache-2.0
"""Requests made by hand."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c
import urllib3
from urllib3.response import BaseHTTPResponse

BUCKET = "lkcloud-disks"


@dataclass(frozen=True)
class Raw:
    """Sends what it is told to ADDRESS with TOKEN."""

    pool: urllib3.PoolManager
    address: str
    token: str

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, token: str = ""
    ) -> BaseHTTPResponse:
        """Return the answer to a request; a BODY that is a dictionary is sent as JSON."""
        sent = {"Authorization": f"Bearer {token or self.token}", **(headers or {})}
        if isinstance(body, dict):
            body, sent = json.dumps(body), {"Content-Type": "application/json", **sent}
        url = path if path.startswith("http") else f"{self.address}{path}"
        return self.pool.request(method, url, body=body, headers=sent, redirect=False)

    def refused(self, status: int, reason: str, *request: Any, **more: Any) -> str:
        """Make a request that must be refused; return the message."""
        answer = self(*request, **more)
        assert answer.status == status, answer.data
        if answer.data.startswith(b"<"):
            assert f"<Code>{reason}</Code>" in answer.data.decode(), answer.data
            return answer.data.decode()
        error = json.loads(answer.data)["error"]
        assert (error["code"], error["errors"][0]["reason"]) == (status, reason), error
        return str(error["message"])

    def start(self, name: str, parameters: str = "", document: Mapping[str, Any] | None = None) -> str:
        """Start a resumable upload; return its URL."""
        path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name={name}{parameters}"
        answer = self("POST", path, dict(document or {}), {"X-Upload-Content-Type": "application/gzip"})
        assert answer.status == 200, answer.data
        return answer.headers["Location"]

    def chunk(self, url: str, span: str, data: bytes = b"", **headers: str) -> BaseHTTPResponse:
        """PUT bytes, or a question, to a resumable upload."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self("PUT", url, data, {"Content-Range": f"bytes {span}", **more})


def crc(data: bytes) -> str:
    """Return the CRC32C of DATA as it is sent."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def md5(data: bytes) -> str:
    """Return the MD5 of DATA as it is sent."""
    return base64.b64encode(hashlib.md5(data).digest()).decode()
