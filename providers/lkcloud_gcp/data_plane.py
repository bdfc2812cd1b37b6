# SPDX-License-Identifier: Apache-2.0
"""The bytes of objects: requests over a pool of kept connections, with the SDK's credentials.

Objects are written by the XML API, whose metadata are headers, so that the body is the bytes and nothing else:
https://cloud.google.com/storage/docs/xml-api/put-object-upload. Bytes of a resumable upload go to its session URL:
https://cloud.google.com/storage/docs/performing-resumable-uploads.
"""

import json
import re
import xml.etree.ElementTree as ET  # of Cloud Storage's own answers over TLS, and of at most a MiB
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

from lkcloud.errors import Corrupt
from lkcloud.transfer.http import Pool, Response
from lkcloud_gcp import crc32c
from lkcloud_gcp.errors import GcpFault
from lkcloud_gcp.objects import Stored, Target
from lkcloud_gcp.session import Session

CHUNK_UNIT = 256 * 1024
"""What the length of each request to a session but the last must be a multiple of."""

_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")


@dataclass(frozen=True, slots=True)
class Progress:
    """What a session says: PERSISTED bytes are there, or all are, and then they are the object STORED."""

    persisted: int
    stored: Stored | None = None


@dataclass(frozen=True)
class DataPlane:
    """Requests to one origin; close it after use."""

    session: Session
    pool: Pool

    @classmethod
    def open(cls, session: Session, connections: int, url: str = "") -> Self:
        """Return the way to Cloud Storage, or to the origin of URL."""
        parts = urlsplit(url or session.storage_url)
        return cls(session, Pool(f"{parts.scheme}://{parts.netloc}", connections=connections, ca=session.ca))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.close()

    def put_object(self, target: Target, data: bytes | memoryview, crc: int, timeout: float) -> Stored:
        """Make TARGET, which must not be there yet, of DATA with the CRC-32C CRC. Raises GcpFault, 412 if it is there.

        Headers: https://cloud.google.com/storage/docs/xml-api/reference-headers
        """
        headers = {
            "Content-Type": target.content_type,
            "x-goog-if-generation-match": "0",
            "x-goog-hash": f"crc32c={crc32c.encode(crc)}",
            **{f"x-goog-meta-{key}": value for key, value in target.metadata.items()},
        }
        if target.kms_key:
            headers["x-goog-encryption-kms-key-name"] = target.kms_key
        path = f"/{quote(target.bucket, safe='')}/{quote(target.name, safe='/~')}"
        response = self._send("PUT", path, data, headers, timeout)
        if response.status != 200:
            raise _fault("storage.objects.put", response)
        there = _crc_in(response.headers.get("x-goog-hash", ""))
        if there not in (crc, None):
            raise Corrupt(
                f"gcp: gs://{target.bucket}/{target.name} is not what was sent",
                hint="run the same command again; if it stays, check memory and network",
            )
        generation = int(response.headers["x-goog-generation"])
        kms_key = response.headers.get("x-goog-encryption-kms-key-name", "")
        return Stored(target.bucket, target.name, generation, len(data), crc, target.metadata, kms_key)

    def put_chunk(
        self, url: str, data: bytes | memoryview, start: int, *, total: int | None, crc: int | None, timeout: float
    ) -> Progress:
        """Send DATA, which begins at byte START of the object, to the session URL.

        TOTAL is the size of the object if DATA is the last of it, and CRC then the CRC-32C of all; both are None
        otherwise. What the session did not keep of DATA is to be sent again. Raises GcpFault: 404 or 410 if the session
        is gone, 412 if the object is there by now.
        """
        size = "*" if total is None else str(total)
        which = f"{start}-{start + len(data) - 1}" if len(data) else "*"
        headers = {"Content-Range": f"bytes {which}/{size}"}
        if crc is not None:
            # As the SDK does with the last request (google.cloud.storage._media._upload).
            headers["x-goog-hash"] = f"crc32c={crc32c.encode(crc)}"
        return self._session("storage.objects.insert", url, data, headers, timeout)

    def status(self, url: str, timeout: float) -> Progress:
        """Ask the session URL what it has. Raises GcpFault as `put_chunk` does."""
        return self._session("storage.objects.insert", url, b"", {"Content-Range": "bytes */*"}, timeout)

    def cancel(self, url: str, timeout: float) -> None:
        """Give up the session URL; one that is gone, or finished, is no error."""
        response = self._send("DELETE", _path(url), b"", {}, timeout)
        # 499 says that it is cancelled: https://cloud.google.com/storage/docs/performing-resumable-uploads
        if response.status >= 300 and response.status not in (400, 404, 410, 499):
            raise _fault("storage.objects.insert", response)

    def _session(
        self, operation: str, url: str, data: bytes | memoryview, headers: Mapping[str, str], timeout: float
    ) -> Progress:
        response = self._send("PUT", _path(url), data, headers, timeout)
        if response.status == 308:
            # Without the header nothing is kept yet.
            found = _RANGE.fullmatch(response.headers.get("range", ""))
            return Progress(int(found[1]) + 1 if found else 0)
        if response.status not in (200, 201):
            raise _fault(operation, response)
        stored = _object(response.body)
        return Progress(stored.size, stored)

    def _send(
        self, method: str, target: str, data: bytes | memoryview, headers: Mapping[str, str], timeout: float
    ) -> Response:
        authorization = self.session.authorization()
        response = self.pool.request(method, target, data, {**authorization, **headers}, timeout=timeout)
        if response.status == 401:
            # The token was taken back, or our clock is slow: once more with a new one, as the SDK does.
            renewed = self.session.authorization(refused=authorization)
            response = self.pool.request(method, target, data, {**renewed, **headers}, timeout=timeout)
        return response


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _object(body: bytes) -> Stored:
    """Return the object that the JSON API shows."""
    shown = json.loads(body)
    return Stored(
        bucket=shown["bucket"],
        name=shown["name"],
        generation=int(shown["generation"]),
        size=int(shown["size"]),
        crc32c=crc32c.decode(shown.get("crc32c")),
        metadata=shown.get("metadata") or {},
        kms_key=shown.get("kmsKeyName", ""),
    )


def _crc_in(header: str) -> int | None:
    """Return the CRC-32C that a header x-goog-hash names."""
    for entry in header.split(","):
        name, _, value = entry.strip().partition("=")
        if name == "crc32c":
            return crc32c.decode(value)
    return None


def _fault(operation: str, response: Response) -> GcpFault:
    """Return what the service said, in XML or JSON."""
    reason, message = _xml_error(response.body) or _json_error(response.body) or ("", "")
    return GcpFault(operation, response.status, reason, message)


def _xml_error(body: bytes) -> tuple[str, str] | None:
    """https://cloud.google.com/storage/docs/xml-api/reference-status: what is wrong may stand in Details only."""
    try:
        root = ET.fromstring(body)  # noqa: S314  # see the import
    except ET.ParseError:
        return None
    message, details = root.findtext("Message") or "", root.findtext("Details") or ""
    return root.findtext("Code") or "", details or message


def _json_error(body: bytes) -> tuple[str, str] | None:
    """https://cloud.google.com/storage/docs/json_api/v1/status-codes; a session may also answer in plain words."""
    try:
        error = json.loads(body)["error"]
        first = (error.get("errors") or [{}])[0]
        return str(first.get("reason") or error.get("status") or ""), str(first.get("message") or error["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        text = body.decode(errors="replace").strip().splitlines()
        return ("", text[0][:200]) if text and not text[0].startswith("<") else None
