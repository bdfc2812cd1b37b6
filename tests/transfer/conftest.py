# SPDX-License-Identifier: Apache-2.0
"""Real servers on loopback that do what the test says, byte by byte."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Call:
    """One connection to a server: NUMBER counts them from 0."""

    sock: socket.socket
    number: int

    def request(self) -> tuple[str, bytes]:
        """Read one request and return its head and its body; an empty head at the end of the connection."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.sock.recv(65536)
            if not piece:
                return "", b""
            head += piece
        text, _, body = head.partition(b"\r\n\r\n")
        lengths = [line for line in text.decode().lower().split("\r\n") if line.startswith("content-length:")]
        length = int(lengths[0].split(":")[1]) if lengths else 0
        while len(body) < length:
            piece = self.sock.recv(1 << 20)
            if not piece:
                break
            body += piece
        return text.decode(), body

    def answer(self, data: bytes) -> None:
        self.sock.sendall(data)


@dataclass
class Servers:
    """Starts servers and stops them at the end of the test."""

    tls: ssl.SSLContext
    certificate: Path
    _sockets: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, behave: Callable[[Call], None], *, tls: bool = False) -> str:
        """Start a server that calls BEHAVE for each connection in a thread of its own; return its origin."""
        listener = socket.create_server(("127.0.0.1", 0))
        self._sockets.append(listener)
        self._run(self._accept, listener, behave, tls)
        return f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"

    def stop(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        # Only now: a thread that selects must not find a socket of another's making under its number, or none.
        for sock in self._sockets:
            sock.close()

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, behave: Callable[[Call], None], tls: bool) -> None:
        number = 0
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            self._run(self._serve, sock, behave, tls, number)
            number += 1

    def _serve(self, plain: socket.socket, behave: Callable[[Call], None], tls: bool, number: int) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            sock = stack.enter_context(plain)
            if tls:
                sock = stack.enter_context(self.tls.wrap_socket(plain, server_side=True))
                self._sockets.append(sock)
            behave(Call(sock, number))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file, that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lkcloud test")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def servers(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    for variable in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    started = Servers(context, certificate)
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("lkcloud"):
            thread.join(5)
            assert not thread.is_alive(), f"{thread.name} is still running"
