# SPDX-License-Identifier: Apache-2.0
"""The pages of one page blob, or of a managed disk by its URL: requests over a pool of kept connections.

Through the SDK's client a request takes three times the processor time. Nothing is signed here: who may write is in the
URL (a shared access signature that Azure made) or is a token of the SDK's credential.
"""

import base64
import xml.etree.ElementTree as ET  # of Azure's own answers over TLS, and of at most a MiB
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from threading import Event, Lock
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import SplitResult, urlsplit

import anycrc

from lkcloud.disk.extent import Extent, Extents
from lkcloud.transfer.http import Pool, Response
from lkcloud_azure.errors import AzureFault
from lkcloud_azure.pages import merged

VERSION = "2020-10-02"
"""x-ms-version: the first in which Get Page Ranges answers in pieces, and so the oldest that will do."""

_CRC64 = anycrc.Model("CRC64-NVME")

_RANGES = 5_000
"""Ranges in one answer: with the longest of numbers they are half a MiB."""

_NO_CHECKSUM = ("UnsupportedHeader", "InvalidHeaderValue")
"""Codes by which a request may be refused for its checksum."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows: the blob's URL, with a shared access signature if that gives access, and HEADERS."""

    url: str
    headers: Mapping[str, str]


class Access(Protocol):
    """Who may read and write the pages; for any thread.

    Both methods raise an error of the SDK, or of lkcloud, if asking for credentials fails.
    """

    def credentials(self) -> Credentials:
        """Return what to show."""
        ...

    def renew(self, refused: Credentials) -> bool:
        """See to it that `credentials` are not those that were REFUSED; return False if there are no others."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """The pages that a blob holds: written ones, zeros or not. ETAG is of the blob as it was then."""

    extents: Extents
    etag: str


@dataclass
class SharedAccess:
    """Access by a URL, which ISSUE returns; it is asked for another one when the URL is no longer taken."""

    issue: Callable[[], str]
    _lock: Lock = field(default_factory=Lock)
    _url: str = ""

    def credentials(self) -> Credentials:
        """Return the URL with its signature."""
        with self._lock:
            self._url = self._url or self.issue()
            return Credentials(self._url, {})

    def renew(self, refused: Credentials) -> bool:
        """Ask for another URL, unless another thread has done so since."""
        with self._lock:
            if self._url == refused.url:
                self._url = self.issue()
            return self._url != refused.url


@dataclass
class DataPlane:
    """Requests for the pages behind ACCESS; close it after use. CA is as for Pool.

    CONDITIONS are headers of every write. Errors are AzureFault, and those of Pool.
    """

    access: Access
    connections: int
    ca: str | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)
    unchecked: Event = field(default_factory=Event)
    """Set when the service was found to take no checksums."""
    _lock: Lock = field(default_factory=Lock)
    _pools: dict[str, Pool] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            for pool in self._pools.values():
                pool.close()

    def write(self, offset: int, data: memoryview, timeout: float) -> None:
        """Write DATA, at most 4 MiB of whole pages, at OFFSET; the service compares its CRC64.

        https://learn.microsoft.com/rest/api/storageservices/put-page. The polynomial of x-ms-content-crc64 is that of
        NVM Express, and the value is sent little-endian, as by StorageCrc64HashAlgorithm of Azure/azure-sdk-for-net;
        it takes a tenth of the time of an MD5. That the hosts of managed disks compare it too is not documented;
        one that refuses the header gets no more of them, and TLS alone protects the bytes.
        """
        headers = {**self._page_range(offset, len(data)), "x-ms-page-write": "update"}
        if self.unchecked.is_set():
            _require(self._send("PUT", "comp=page", data, headers, timeout))
            return
        crc = _CRC64.calc(data).to_bytes(8, "little")
        checked = {**headers, "x-ms-content-crc64": base64.b64encode(crc).decode()}
        response = self._send("PUT", "comp=page", data, checked, timeout)
        fault = _fault(response)
        if fault is not None and fault.status == 400 and fault.code in _NO_CHECKSUM:
            _require(self._send("PUT", "comp=page", data, headers, timeout))
            self.unchecked.set()
        elif fault is not None:
            raise fault

    def clear(self, extent: Extent, timeout: float) -> None:
        """Let EXTENT, whole pages, be zeros that the blob does not hold."""
        headers = {**self._page_range(extent.offset, extent.length), "x-ms-page-write": "clear"}
        _require(self._send("PUT", "comp=page", b"", headers, timeout))

    def held(self, timeout: float) -> Held:
        """Return what the blob holds, each request within TIMEOUT seconds.

        https://learn.microsoft.com/rest/api/storageservices/get-page-ranges. Neighbours may come apart and as one.
        """
        etags: set[str] = set()
        extents = merged(self._listed(timeout, etags))
        # A blob that was written to meanwhile has an ETag that nothing has.
        return Held(extents, etags.pop() if len(etags) == 1 else "")

    def _listed(self, timeout: float, etags: set[str]) -> Iterator[Extent]:
        marker = ""
        while True:
            query = f"comp=pagelist&maxresults={_RANGES}" + (f"&marker={marker}" if marker else "")
            response = self._send("GET", query, b"", {}, timeout)
            _require(response)
            etags.add(response.headers.get("etag", ""))
            root = ET.fromstring(response.body)  # noqa: S314  # see the import
            for found in root.iter("PageRange"):
                start, last = int(found.findtext("Start") or 0), int(found.findtext("End") or 0)
                yield Extent(start, last + 1 - start)
            marker = root.findtext("NextMarker") or ""
            if not marker:
                return

    def _page_range(self, offset: int, length: int) -> dict[str, str]:
        return {**self.conditions, "x-ms-range": f"bytes={offset}-{offset + length - 1}"}

    def _send(
        self, method: str, query: str, body: bytes | memoryview, headers: Mapping[str, str], timeout: float
    ) -> Response:
        """Make a request, and once more with other credentials if these were refused."""

        def attempt(shown: Credentials) -> Response:
            parts = urlsplit(shown.url)
            target = f"{parts.path}?{query}" + (f"&{parts.query}" if parts.query else "")
            own = {"x-ms-version": VERSION, "x-ms-date": formatdate(usegmt=True), **shown.headers}
            return self._pool(parts).request(method, target, body, {**own, **headers}, timeout=timeout)

        shown = self.access.credentials()
        response = attempt(shown)
        if _is_about_credentials(response) and self.access.renew(shown):
            response = attempt(self.access.credentials())
        return response

    def _pool(self, parts: SplitResult) -> Pool:
        origin = f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            pool = self._pools.get(origin)
            if pool is None:
                pool = self._pools[origin] = Pool(origin, connections=self.connections, ca=self.ca)
            return pool


def _is_about_credentials(response: Response) -> bool:
    """Tell whether other credentials may help.

    https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes: 401 for a token, 403 with this
    code for a signature that has ended, or whose policy was taken back.
    """
    return response.status == 401 or (
        response.status == 403 and (fault := _fault(response)) is not None and fault.code == "AuthenticationFailed"
    )


def _require(response: Response) -> None:
    """Raise the AzureFault that an answer is."""
    fault = _fault(response)
    if fault is not None:
        raise fault


def _fault(response: Response) -> AzureFault | None:
    """Return what the service refused and why, None if it did not.

    https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2
    """
    if response.status < 300:
        return None
    code, message = response.headers.get("x-ms-error-code", ""), ""
    try:
        root = ET.fromstring(response.body)  # noqa: S314  # see the import
        code, message = root.findtext("Code") or code, root.findtext("Message") or ""
    except ET.ParseError:
        pass  # a page of a proxy, or no body
    pause = response.headers.get("retry-after", "")
    # What follows in lines of their own is for Microsoft's support.
    return AzureFault(response.status, code, message.partition("\n")[0], float(pause) if pause.isdecimal() else 0.0)
