# SPDX-License-Identifier: Apache-2.0
"""The bytes of parts over HTTP/1.1: connections to one origin that are kept alive.

Connecting (TLS, proxies, name resolution) is urllib3's. A request is written in one piece, and an answer that comes in
one piece is taken apart here; any other answer is read by the standard library's `http.client`. Through the objects of
urllib3 and `http.client` a part of 512 KiB costs a third more processor time, most of it for the headers of answers.
"""

import http.client
import io
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from urllib3.exceptions import HTTPError
from urllib3.util import Url, make_headers, parse_url

from lkcloud.errors import LkcloudError, Unreachable, UsageError
from lkcloud.transfer.retry import Verdict
from lkcloud.transfer.watchdog import Watchdog

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

_MOST_BODY = 1024 * 1024
"""Bytes of an answer; that of a part is a few hundred."""
_BUFFER = 64 * 1024
"""Bytes that are received at once."""
_END = b"\r\n\r\n"
"""What ends the head of an answer."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class TransportError(Unreachable):
    """The request or its answer did not get through; whether the cloud has done it is not known."""


class Untrusted(LkcloudError):
    """The server's certificate was not verified."""


def judge_transport(error: Exception) -> Verdict:
    """Say what an error of `Pool` means: what did not get through may do so the next time, all else is fatal."""
    return Verdict.TRANSIENT if isinstance(error, TransportError) else Verdict.FATAL


class _Request(NamedTuple):
    method: str
    target: str
    body: bytes | memoryview
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """What the server answered, whatever the status."""

    status: int
    headers: Mapping[str, str]
    """By name, in lower case."""
    body: bytes


class Pool:
    """Connections to ORIGIN (`https://host[:port]`), at most CONNECTIONS of them; for any number of threads.

    CA is a file or a folder of certificates to trust, None for those of the system. Proxies are those of the
    environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), except to this machine itself. Redirects are not followed, and
    nothing is tried again.
    """

    def __init__(
        self, origin: str, *, connections: int = 16, ca: str | None = None, connect_timeout: float = 10.0
    ) -> None:
        url = parse_url(origin)
        if url.scheme not in ("http", "https") or url.host is None:
            raise UsageError(f"the endpoint {origin!r} is no http or https URL", hint="give one like https://host:port")
        self._scheme, self._host = url.scheme, url.host.strip("[]")
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._netloc = url.netloc or url.host
        self._connect_timeout = connect_timeout
        self._proxy = _proxy(url)
        self._context = _tls_context(ca) if "https" in (url.scheme, self._proxy and self._proxy.scheme) else None
        self._slots = threading.Semaphore(connections)
        self._idle: deque[HTTPConnection] = deque()
        self._watchdog = Watchdog()

    def close(self) -> None:
        """Close all connections; requests that are under way fail."""
        self._watchdog.close()
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def put(
        self, target: str, body: bytes | memoryview, headers: Mapping[str, str], *, timeout: float = 60.0
    ) -> Response:
        """Make the `request` PUT, which is what nearly all of them are."""
        return self.request("PUT", target, body, headers, timeout=timeout)

    def request(
        self, method: str, target: str, body: bytes | memoryview, headers: Mapping[str, str], *, timeout: float = 60.0
    ) -> Response:
        """Send BODY to TARGET (path and query, encoded) with METHOD, not HEAD, and return the answer.

        All of it, from connecting to the last byte of the answer, takes at most about TIMEOUT seconds. `Host` and
        `Content-Length` are added unless given. Raises TransportError, or Untrusted.
        """
        deadline = time.monotonic() + timeout
        if not self._slots.acquire(timeout=timeout):
            raise self._failed(TimeoutError(f"no free connection within {timeout:.0f} seconds"))
        try:
            connection = self._connection(deadline)
            try:
                response = self._exchange(connection, _Request(method, target, body, headers), deadline)
            except BaseException:
                connection.close()
                raise
            if connection.sock is not None:
                self._idle.append(connection)
            return response
        except ssl.SSLCertVerificationError as error:
            raise Untrusted(
                f"the certificate of {self._netloc} is not trusted: {error.verify_message}",
                hint="if a proxy of your organisation answers here, name its CA bundle (AWS_CA_BUNDLE for AWS)",
            ) from error
        except (OSError, http.client.HTTPException, HTTPError) as error:
            raise self._failed(error) from error
        finally:
            self._slots.release()

    def _connection(self, deadline: float) -> HTTPConnection:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was quicker
                break
            if connection.is_connected:
                return connection
            connection.close()
        connection = self._new(max(0.001, min(self._connect_timeout, deadline - time.monotonic())))
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def _new(self, timeout: float) -> HTTPConnection:
        proxy = self._proxy
        host, port = (proxy.host, proxy.port) if proxy else (self._host, self._port)
        assert host is not None  # _proxy and __init__ have seen to it
        if self._scheme == "http":
            return HTTPConnection(host, port, timeout=timeout, proxy=proxy)
        config = ProxyConfig(self._context, False, None, None) if proxy else None
        connection = HTTPSConnection(
            host, port, timeout=timeout, proxy=proxy, proxy_config=config, ssl_context=self._context
        )
        if proxy:
            connection.set_tunnel(self._host, self._port, _credentials(proxy), scheme=proxy.scheme or "http")
        return connection

    def _exchange(self, connection: HTTPConnection, request: _Request, deadline: float) -> Response:
        # The watchdog is the only time limit: with one of the socket's own, Python polls before each 16 KiB record.
        connection.sock.settimeout(None)
        # Behind a proxy that speaks TLS itself, urllib3 has TLS in TLS, and the socket inside that.
        sock: socket.socket = (
            connection.sock if self._scheme == "http" else getattr(connection.sock, "socket", connection.sock)
        )
        self._watchdog.watch(sock, deadline)
        try:
            return self._talk(connection, request)
        finally:
            # Whatever came of it: a socket that is shut down reads as the end of an answer, too.
            if not self._watchdog.release(sock):
                raise TimeoutError("no answer in time")

    def _talk(self, connection: HTTPConnection, request: _Request) -> Response:
        connection.sock.sendall(self._head(request))
        try:
            connection.sock.sendall(request.body)
        except (BrokenPipeError, ConnectionResetError) as error:
            # A server that says no need not read the body first; what it said may have arrived.
            try:
                response, _ = _answer(connection)
            except (OSError, http.client.HTTPException):
                raise error from None
            connection.close()
            return response
        response, lasts = _answer(connection)
        if not lasts:
            connection.close()
        return response

    def _head(self, request: _Request) -> bytes:
        """Return the request up to the body. Raises ValueError for what would be more than a header."""
        method, target, body, headers = request
        forwarded = self._proxy is not None and self._scheme == "http"
        given = {name.lower() for name in headers}
        own = {"Host": self._netloc, "Content-Length": str(memoryview(body).nbytes)}
        every = {**{name: value for name, value in own.items() if name.lower() not in given}, **headers}
        if forwarded and self._proxy:
            every.update(_credentials(self._proxy))
            target = f"http://{self._netloc}{target}"
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in every.items())]
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or " " in target:
            raise ValueError("a line break or a blank where there must be none in an HTTP request")
        return f"{head}\r\n\r\n".encode("latin-1")

    def _failed(self, error: Exception) -> TransportError:
        return TransportError(
            f"{self._netloc}: {error or type(error).__name__}".rstrip("."),
            hint="check the network and run the same command again: it goes on where it stopped",
        )


def _answer(connection: HTTPConnection) -> tuple[Response, bool]:
    """Return the answer, and whether the connection can be used again."""
    sock = connection.sock
    received = bytearray()
    if not _receive(sock, received):
        raise http.client.RemoteDisconnected("the server closed the connection without an answer")
    end = received.find(_END)
    while end < 0 and len(received) < _BUFFER and _receive(sock, received):
        end = received.find(_END)
    simple = _simple(bytes(received[:end])) if end >= 0 else None
    if simple is None:
        return _any(bytes(received), sock)
    status, headers, length = simple
    body = end + len(_END)
    while len(received) < body + length and _receive(sock, received):
        pass
    if len(received) < body + length:
        return _any(bytes(received), sock)  # which says what is wrong with it
    lasts = headers.get("connection", "keep-alive").lower() == "keep-alive" and len(received) == body + length
    return Response(status, headers, bytes(received[body : body + length])), lasts


def _receive(sock: socket.socket, received: bytearray) -> bool:
    """Append to RECEIVED what comes next; return False at the end."""
    piece = sock.recv(_BUFFER)
    received += piece
    return bool(piece)


def _simple(head: bytes) -> tuple[int, Mapping[str, str], int] | None:
    """Return status, headers and length of the body if the HEAD of an answer is as plain as those to parts are.

    That is: final, with a stated and small length, each header once and on a line of its own. Else return None.
    """
    if not head.startswith(b"HTTP/1.1 ") or b"\r\n " in head or b"\r\n\t" in head:
        return None
    line, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for header in lines:
        name, colon, value = header.partition(":")
        if not colon or name.lower() in headers:
            return None
        headers[name.lower()] = value.strip()
    code, length = line[9:12], headers.get("content-length", "")
    plain = code.isdecimal() and code >= "200" and length.isdecimal() and "transfer-encoding" not in headers
    return (int(code), headers, int(length)) if plain and int(length) <= _MOST_BODY else None


def _any(begun: bytes, sock: socket.socket) -> tuple[Response, bool]:
    """Read an answer that BEGUN is the beginning of."""
    with http.client.HTTPResponse(_Replay(begun, sock), method="PUT") as answer:  # type: ignore[arg-type]  # all it calls is makefile
        answer.begin()
        if answer.length is None:
            body = answer.read(_MOST_BODY + 1)
        elif answer.length <= _MOST_BODY:
            body = answer.read()  # without an amount, as only then a missing end is an error
        else:
            raise http.client.HTTPException(f"an answer of {answer.length} bytes")
        if len(body) > _MOST_BODY:
            raise http.client.HTTPException(f"an answer of more than {_MOST_BODY} bytes")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, headers, body), not answer.will_close


class _Replay(io.RawIOBase):
    """What was received already, and then what the socket brings."""

    def __init__(self, begun: bytes, sock: socket.socket) -> None:
        self._begun = memoryview(begun)
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return this as the file that `http.client` asks a socket for."""
        del mode
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: "Buffer") -> int:
        """Fill BUFFER as far as there is something."""
        view = memoryview(buffer).cast("B")
        if not self._begun:
            return self._sock.recv_into(view)
        count = min(len(view), len(self._begun))
        view[:count] = self._begun[:count]
        self._begun = self._begun[count:]
        return count


def _tls_context(ca: str | None) -> ssl.SSLContext:
    try:
        if ca is not None and Path(ca).is_dir():
            return ssl.create_default_context(capath=ca)
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(
            f"the CA bundle {ca} cannot be used: {error}", hint="name a file of PEM certificates"
        ) from error


def _proxy(origin: Url) -> Url | None:
    """Return the proxy that the environment names for ORIGIN."""
    host = (origin.host or "").strip("[]")
    named = urllib.request.getproxies().get(origin.scheme or "")
    if not named or host in _LOOPBACK or urllib.request.proxy_bypass(host):
        return None
    proxy = parse_url(named if "://" in named else f"http://{named}")
    variable = f"{origin.scheme}_proxy".upper()
    if proxy.scheme not in ("http", origin.scheme) or proxy.host is None:  # its URL may hold a password: not shown
        raise UsageError(f"the proxy in {variable} cannot be used", hint=f"set {variable} to http://host:port")
    return proxy._replace(port=proxy.port or (443 if proxy.scheme == "https" else 80))


def _credentials(proxy: Url) -> dict[str, str]:
    return dict(make_headers(proxy_basic_auth=urllib.parse.unquote(proxy.auth))) if proxy.auth else {}
