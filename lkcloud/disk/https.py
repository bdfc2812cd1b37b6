# SPDX-License-Identifier: Apache-2.0
"""Images behind https, by the standard library: it follows redirects, and knows proxies and certificates by itself.

Plain http is for this machine alone: what comes over it could be anything, and is made a machine image of.
"""

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from lkcloud.disk.objects import State, shown
from lkcloud.errors import ImageChanged, LkcloudError, NotFound, Refused, Unreachable, UsageError
from lkcloud.transfer.retry import Verdict, retry

_TIMEOUT = 30.0
"""Seconds until an answer to the first question begins."""
_PATIENCE = 60.0
"""Seconds in which that is asked again."""
_READ = 1024 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LATER = (408, 429)
_SIZE = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")
"""Content-Range: https://www.rfc-editor.org/rfc/rfc9110#field.content-range"""


class _SafeRedirects(HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - as in the base class
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        try:
            _check(newurl)
        except UsageError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class HttpsObject:
    """What is behind an https URL. Each request asks for the bytes that have the entity tag seen first."""

    def __init__(self, url: str) -> None:
        _check(url)
        self._url = url
        self._opener = build_opener(_SafeRedirects)

    def state(self) -> State:
        """Ask for the first byte: a URL that is signed for GET is none for HEAD."""
        return retry(self._look, judge=_judge, attempts=4, patience=_PATIENCE)

    def _look(self) -> State:
        with self._errors():
            try:
                with self._get(_TIMEOUT, Range="bytes=0-0") as answer:
                    return self._state(answer.status, answer.headers)
            except HTTPError as error:
                if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # of no bytes at all
                    with error:
                        return self._state(error.code, error.headers)
                raise

    def _state(self, status: int, headers: Message) -> State:
        partial = status != http.HTTPStatus.OK
        found = _SIZE.fullmatch(headers.get("Content-Range", "")) if partial else None
        size = found[1] if found else "" if partial else headers.get("Content-Length", "")
        if not size.isdecimal():
            raise Refused(
                f"{shown(self._url)}: the server does not say how many bytes there are",
                hint="download it, and give the path of the file",
            )
        return State(int(size), _version(headers), ranges=partial and headers.get("ETag", "").startswith('"'))

    def pieces(self, state: State, offset: int, length: int, timeout: float) -> Iterator[bytes]:
        """Yield the bytes; where there are no ranges, OFFSET and LENGTH are those of the whole."""
        asked = {"Range": f"bytes={offset}-{offset + length - 1}", "If-Match": state.version} if state.ranges else {}
        with self._errors(), self._get(timeout, **asked) as answer:
            if asked and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                raise Refused(
                    f"{shown(self._url)}: the server gave parts of it, and does so no longer", hint="run it again"
                )
            if _version(answer.headers) != state.version:
                raise _changed(self._url)
            while piece := answer.read(_READ):
                yield piece

    def _get(self, timeout: float, **headers: str) -> Any:
        # identity: with another encoding ranges would be of what was encoded.
        request = Request(self._url, headers={"Accept-Encoding": "identity", "User-Agent": "lkcloud", **headers})  # noqa: S310 - _check has seen the scheme
        return self._opener.open(request, timeout=timeout)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except HTTPError as error:
            error.close()  # it is an answer as well
            raise _explained(self._url, error) from error
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            reason = getattr(error, "reason", None) or error
            raise Unreachable(
                f"{shown(self._url)}: {str(reason) or type(reason).__name__}", hint="check the URL, network and proxy"
            ) from error


def _version(headers: Message) -> str:
    """Return what tells that the bytes have changed, as well as the server can; "" if it cannot.

    Of two bodies with one weak tag the bytes may differ (RFC 9110, 8.8.1), so the time is better than that.
    """
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise UsageError(f"{shown(url)} is not protected on its way", hint="give an https:// URL")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{shown(url)} is no URL of an image", hint="give one like https://host/path")
    if "@" in parts.netloc:
        raise UsageError(
            f"{shown(url)} has a password in it", hint="give a signed URL, or an object of a cloud (s3://, gs://)"
        )


def _explained(url: str, error: HTTPError) -> LkcloudError:
    said = f"{shown(url)}: HTTP status {error.code} {error.reason}".rstrip()
    if error.code == http.HTTPStatus.PRECONDITION_FAILED:
        return _changed(url)
    if error.code in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE):
        return NotFound(said, hint="check the URL of the image")
    if error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR or error.code in _LATER:
        return Unreachable(said, hint="run the same command again later")
    return Refused(said, hint="check the URL of the image, and whether its signature has expired if it has one")


def _changed(url: str) -> ImageChanged:
    return ImageChanged(
        f"{shown(url)} changed while it was fetched", hint="wait until it is written, then run it again"
    )


def _judge(error: Exception) -> Verdict:
    return Verdict.TRANSIENT if isinstance(error, Unreachable) else Verdict.FATAL
