# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 server of kept-alive connections whose bodies are streams, on the loopback address."""

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from socketserver import TCPServer
from threading import Thread
from urllib.parse import parse_qsl, unquote, urlsplit

CHUNK = 1024 * 1024
LOOPBACK = "127.0.0.1"


class DropConnection(Exception):
    """Raised by a hook to end the connection without an answer."""


class Body:
    """The bytes of a request, read once, from the connection."""

    def __init__(self, source: BufferedIOBase, *, length: int, chunked: bool) -> None:
        self._source = source
        self._left = length
        self._chunked = chunked
        self._ended = not chunked and length == 0
        self.received = 0
        """Bytes of the body that have come in so far, without the framing of HTTP's own chunks."""

    def read(self, size: int) -> bytes:
        """Return SIZE bytes, fewer only at the end. Raises DropConnection if the client went away."""
        pieces: list[bytes] = []
        while size > 0 and not self._ended:
            if self._chunked and self._left == 0:
                self._next_chunk()
                continue
            piece = self._source.read(min(size, self._left))
            if not piece:
                raise DropConnection
            pieces.append(piece)
            size -= len(piece)
            self._left -= len(piece)
            self.received += len(piece)
            if self._left == 0:
                self._end_of_piece()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def all(self) -> bytes:
        """Return the whole of a small body."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """Yield what is left in pieces of at most a MiB."""
        while piece := self.read(CHUNK):
            yield piece

    def _end_of_piece(self) -> None:
        if self._chunked:
            self._source.readline()
        else:
            self._ended = True

    def _next_chunk(self) -> None:
        line = self._source.readline()
        if not line:
            raise DropConnection
        self._left = int(line.split(b";")[0], 16)
        if self._left == 0:
            while self._source.readline().strip():
                pass
            self._ended = True


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in; TARGET is its path and query, still percent-encoded."""

    method: str
    target: str
    headers: "Message[str, str]"
    body: Body

    @property
    def raw_path(self) -> str:
        """The path, percent-encoded."""
        return urlsplit(self.target).path if self.target.startswith("/") else "/"

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.raw_path)

    @property
    def raw_query(self) -> str:
        """What follows the question mark, percent-encoded."""
        return self.target.partition("?")[2]

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; one without a value is the empty string."""
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))

    def header(self, name: str) -> str:
        """Return the value of a header, "" if it was not sent."""
        return self.headers.get(name) or ""


@dataclass(frozen=True, slots=True)
class FileRange:
    """LENGTH bytes of a file from OFFSET on."""

    path: Path
    offset: int
    length: int

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes, at most a MiB at a time."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            left = self.length
            while left and (piece := file.read(min(left, CHUNK))):
                left -= len(piece)
                yield piece


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back: BODY, or the bytes of FILES."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    files: tuple[FileRange, ...] = ()

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return len(self.body) + sum(piece.length for piece in self.files)


Application = Callable[[Request], Response]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Server"

    def _serve(self) -> None:
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        length = 0 if chunked else int(self.headers.get("Content-Length") or 0)
        body = Body(self.rfile, length=length, chunked=chunked)
        try:
            response = self.server.application(Request(self.command, self.path, self.headers, body))
            # A kept-alive connection is in step only when the whole request has been taken off it.
            for _ in body.pieces():
                pass
            self._send(response)
        except DropConnection:
            # SO_LINGER of zero seconds makes the kernel send a reset, as a dying load balancer does.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

    def __getattr__(self, name: str) -> Callable[[], None]:
        # The base class looks for do_GET, do_PUT and so on.
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        # What HEAD is told about is an object whose bytes do not follow; its own Content-Length stands.
        if "Content-Length" not in response.headers and response.status != 204:
            self.send_header("Content-Length", str(response.length))
        self.end_headers()
        if self.command == "HEAD":
            return
        if response.body:
            self.wfile.write(response.body)
        for file in response.files:
            for piece in file.pieces():
                self.wfile.write(piece)

    def handle(self) -> None:
        """Serve the connection; a client that goes away, killed, tired of waiting or of no trust, is no error here."""
        try:
            super().handle()
        except (ConnectionError, TimeoutError, ssl.SSLError):
            self.close_connection = True

    def finish(self) -> None:
        """Close the connection."""
        try:
            super().finish()
        except (ConnectionError, TimeoutError, ssl.SSLError):
            self.close_connection = True

    def version_string(self) -> str:
        """Return the Server header."""
        return "lkcloud-sandbox"

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the Date header, by the clock that this server is said to have."""
        return super().date_time_string((time.time() if timestamp is None else timestamp) + self.server.clock_skew)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing on stderr: the request log is kept elsewhere."""


class Server(ThreadingHTTPServer):
    """Serves APPLICATION on a free port of the loopback address, a thread a connection; over TLS if it has CONTEXT."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, application: Application, context: ssl.SSLContext | None = None) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.application = application
        self.clock_skew = 0.0
        """Seconds by which its clock is before this machine's, as the Date of its answers has it."""
        self._context = context
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def server_bind(self) -> None:
        """Bind the port; unlike the base class, ask no name server for the name of this machine."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.socket.getsockname()[1]

    def get_request(self) -> tuple[socket.socket, object]:
        """Take a connection; the TLS handshake is left to the thread that reads it, and keeps no other waiting."""
        connection, address = super().get_request()
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    @property
    def address(self) -> str:
        """The URL of the server."""
        return f"{'https' if self._context else 'http'}://{LOOPBACK}:{self.server_port}"

    def start(self) -> None:
        """Serve from now on, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests."""
        self.shutdown()
        self.server_close()
        self._thread.join()
