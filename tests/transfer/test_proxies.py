# SPDX-License-Identifier: Apache-2.0
"""The proxies that the environment names, and what goes around them."""

import select
import socket
from typing import TYPE_CHECKING

import pytest

from lkcloud.errors import UsageError
from lkcloud.transfer.http import Pool, TransportError, Untrusted
from tests.transfer.created import BLOCK, CREATED, create

if TYPE_CHECKING:
    from conftest import Call, Servers


def proxy(call: "Call", seen: list[str]) -> None:
    """A proxy that knows CONNECT, and hands everything else to `create`."""
    head, _ = call.request()
    seen.append(head)
    if not head.startswith("CONNECT"):
        call.answer(CREATED)
        return
    host, port = head.split()[1].split(":")
    assert host == "cloud.invalid"
    with socket.create_connection(("127.0.0.1", int(port))) as onward:
        call.answer(b"HTTP/1.1 200 Connection established\r\n\r\n")
        while True:
            for sock in select.select([call.sock, onward], [], [], 5)[0]:
                piece = sock.recv(65536)
                if not piece:
                    return
                (onward if sock is call.sock else call.sock).sendall(piece)


def test_a_proxy_of_the_environment_carries_https_and_never_sees_inside(
    servers: "Servers", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name exists for the proxy only, and the certificate, which is for 127.0.0.1, is refused behind it."""
    seen: list[str] = []
    port = servers.start(create, tls=True).rpartition(":")[2]
    through = servers.start(lambda call: proxy(call, seen))
    monkeypatch.setenv("HTTPS_PROXY", through.replace("//", "//user:p%40ss@"))
    with Pool(f"https://cloud.invalid:{port}", ca=str(servers.certificate)) as pool, pytest.raises(Untrusted):
        pool.put("/secret", BLOCK, {"Authorization": "secret"})
    assert seen[0].startswith(f"CONNECT cloud.invalid:{port} HTTP/1.")
    assert "proxy-authorization: Basic dXNlcjpwQHNz" in seen[0]
    assert "secret" not in seen[0]


def test_a_proxy_of_the_environment_forwards_http(servers: "Servers", monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setenv("HTTP_PROXY", servers.start(lambda call: proxy(call, seen)))
    with Pool("http://cloud.invalid") as pool:
        assert pool.put("/a?b=c", BLOCK, {}).status == 201
    assert seen[0].startswith("PUT http://cloud.invalid/a?b=c HTTP/1.1\r\nHost: cloud.invalid\r\n")


def test_no_proxy_and_this_machine_itself_go_around_the_proxy(
    servers: "Servers", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Pool(servers.start(create)) as pool:
        assert pool.put("/", b"", {}).status == 201
    monkeypatch.setenv("NO_PROXY", ".invalid")
    with Pool("http://cloud.invalid") as pool, pytest.raises(TransportError, match="resolve"):
        pool.put("/", b"", {})


def test_a_proxy_that_cannot_be_used_is_said_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:secret@127.0.0.1:1080")
    with pytest.raises(UsageError, match="HTTPS_PROXY") as raised:
        Pool("https://cloud.invalid")
    assert "secret" not in raised.value.message + raised.value.hint
