# SPDX-License-Identifier: Apache-2.0
"""The pool of connections: what is sent, which answers are understood, and whom it trusts."""

import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lkcloud.errors import UsageError
from lkcloud.transfer.http import Pool, TransportError, Untrusted, judge_transport
from lkcloud.transfer.retry import Verdict
from tests.transfer.created import BLOCK, CREATED, create

if TYPE_CHECKING:
    from conftest import Call, Servers


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_body_arrives_as_it_was_with_the_headers_given(tls: bool, servers: "Servers") -> None:
    seen: list[tuple[str, bytes]] = []

    def behave(call: "Call") -> None:
        while (request := call.request())[0]:
            seen.append(request)
            call.answer(CREATED)

    origin = servers.start(behave, tls=tls)
    with Pool(origin, ca=str(servers.certificate)) as pool:
        for body in (BLOCK, memoryview(BLOCK)[7:-9], b""):
            response = pool.put("/snapshots/snap-1/blocks/7?token=a%2Fb", body, {"x-amz-Data-Length": "524288"})
            assert (response.status, response.body) == (201, b"{}")
            assert response.headers["etag"] == "abc"
    assert [body for _, body in seen] == [BLOCK, BLOCK[7:-9], b""]
    lines = seen[0][0].split("\r\n")
    assert lines[0] == "PUT /snapshots/snap-1/blocks/7?token=a%2Fb HTTP/1.1"
    assert set(lines[1:]) == {f"Host: {origin.split('//')[1]}", "Content-Length: 524288", "x-amz-Data-Length: 524288"}


def test_headers_that_were_signed_are_sent_once_and_as_given(servers: "Servers") -> None:
    heads: list[str] = []

    def behave(call: "Call") -> None:
        while (request := call.request())[0]:
            heads.append(request[0])
            call.answer(CREATED)

    with Pool(servers.start(behave)) as pool:
        pool.put("/", b"abc", {"HOST": "ebs.example.com", "content-length": "3"})
    assert heads == ["PUT / HTTP/1.1\r\nHOST: ebs.example.com\r\ncontent-length: 3"]


def test_connections_are_kept_and_no_more_than_asked_for(servers: "Servers") -> None:
    numbers: list[int] = []

    def behave(call: "Call") -> None:
        while call.request()[0]:
            numbers.append(call.number)
            call.answer(CREATED)

    with Pool(servers.start(behave, tls=True), connections=3, ca=str(servers.certificate)) as pool:
        threads = [threading.Thread(target=lambda: [pool.put("/", BLOCK, {}) for _ in range(10)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(numbers) == 80
    assert set(numbers) <= {0, 1, 2}


def test_who_finds_no_free_connection_is_told_so_in_time(servers: "Servers") -> None:
    busy = threading.Event()

    def hang(call: "Call") -> None:
        call.request()
        busy.set()
        call.request()

    def wait() -> None:
        with pytest.raises(TransportError, match=r"in time|timed out"):
            pool.put("/", b"", {}, timeout=1)

    with Pool(servers.start(hang), connections=1) as pool:
        first = threading.Thread(target=wait)
        first.start()
        busy.wait()
        with pytest.raises(TransportError, match="no free connection"):
            pool.put("/", b"", {}, timeout=0.1)
        first.join()


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(servers: "Servers") -> None:
    closed = threading.Event()

    def once(call: "Call") -> None:
        call.request()
        call.answer(CREATED)
        call.sock.close()
        closed.set()

    with Pool(servers.start(once)) as pool:
        for _ in range(3):
            closed.clear()
            assert pool.put("/", BLOCK, {}).status == 201
            assert closed.wait(5)
            time.sleep(0.02)


def test_an_answer_that_closes_is_taken_and_the_connection_with_it(servers: "Servers") -> None:
    connections: list[int] = []

    def behave(call: "Call") -> None:
        connections.append(call.number)
        call.request()
        call.answer(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")

    with Pool(servers.start(behave)) as pool:
        assert [pool.put("/", b"", {}).body for _ in range(2)] == [b"all of it"] * 2
    assert connections == [0, 1]


def test_a_chunked_answer_and_one_after_100_are_understood(servers: "Servers") -> None:
    def behave(call: "Call") -> None:
        call.request()
        call.answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        call.answer(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        create(call)

    with Pool(servers.start(behave)) as pool:
        assert pool.put("/", b"", {}).body == b"abcde"
        assert pool.put("/", b"", {}).status == 201


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_an_answer_in_pieces_keeps_the_connection(servers: "Servers", size: int) -> None:
    answer = b"HTTP/1.1 201 Created\r\nETag: abc\r\nContent-Length: 5\r\n\r\nwhole"
    connections: set[int] = set()

    def behave(call: "Call") -> None:
        for _ in range(2):
            connections.add(call.number)
            call.request()
            for start in range(0, len(answer), size):
                call.answer(answer[start : start + size])
                time.sleep(0.001)

    with Pool(servers.start(behave)) as pool:
        for _ in range(2):
            response = pool.put("/", BLOCK, {})
            assert (response.status, response.headers["etag"], response.body) == (201, "abc", b"whole")
    assert connections == {0}


def test_more_than_the_answer_ends_the_connection(servers: "Servers") -> None:
    connections: list[int] = []

    def behave(call: "Call") -> None:
        connections.append(call.number)
        call.request()
        call.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n")

    with Pool(servers.start(behave)) as pool:
        assert [pool.put("/", b"", {}).body for _ in range(2)] == [b"ok"] * 2
    assert connections == [0, 1]


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb"])
def test_a_header_that_would_be_two_is_not_sent(servers: "Servers", value: str) -> None:
    with Pool(servers.start(create)) as pool, pytest.raises(ValueError, match="line break"):
        pool.put("/", b"", {"X": value})


def test_errors_of_the_service_and_redirects_are_answers(servers: "Servers") -> None:
    def behave(call: "Call") -> None:
        for status in (b"503 Slow Down", b"403 Forbidden", b"301 Moved\r\nLocation: http://example.com/"):
            call.request()
            call.answer(b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nbody")

    with Pool(servers.start(behave)) as pool:
        answers = [pool.put("/", BLOCK, {}) for _ in range(3)]
    assert [(answer.status, answer.body) for answer in answers] == [(503, b"body"), (403, b"body"), (301, b"body")]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_refusal_before_the_body_was_read_is_heard(tls: bool, servers: "Servers") -> None:
    """The server answers at the head and closes its end for writing, while 64 MiB are on their way."""

    def refuse(call: "Call") -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += call.sock.recv(1024)
        call.answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        while call.sock.recv(1 << 20):
            pass

    with Pool(servers.start(refuse, tls=tls), ca=str(servers.certificate)) as pool:
        assert pool.put("/", bytes(64 << 20), {}, timeout=20).status == 403


def test_nobody_listening_and_no_such_name_may_pass() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for origin in (f"http://127.0.0.1:{port}", "https://no-such-host.invalid"):
        with Pool(origin) as pool, pytest.raises(TransportError) as raised:
            pool.put("/", b"", {}, timeout=5)
        assert judge_transport(raised.value) is Verdict.TRANSIENT


def test_a_certificate_that_is_not_trusted_is_fatal_and_says_what_to_do(servers: "Servers") -> None:
    origin = servers.start(create, tls=True)
    with Pool(origin) as pool, pytest.raises(Untrusted, match="is not trusted") as raised:
        pool.put("/", BLOCK, {})
    assert judge_transport(raised.value) is Verdict.FATAL
    assert "CA bundle" in raised.value.hint
    with (
        Pool(origin.replace("127.0.0.1", "localhost"), ca=str(servers.certificate)) as pool,
        pytest.raises(Untrusted, match="is not trusted"),
    ):
        pool.put("/", BLOCK, {})


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_bundle_that_cannot_be_used_is_said_before_the_first_request(content: str | None, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(UsageError, match=r"ca\.pem"):
        Pool("https://127.0.0.1", ca=str(bundle))


@pytest.mark.parametrize("origin", ["", "ebs.example.com", "ftp://example.com", "https://"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match="is no http or https URL"):
        Pool(origin)


def test_closing_the_pool_ends_what_is_under_way(servers: "Servers") -> None:
    under_way = threading.Event()
    ended: list[float] = []

    def hang(call: "Call") -> None:
        call.request()
        under_way.set()
        call.request()

    def put() -> None:
        with pytest.raises(TransportError):
            pool.put("/", BLOCK, {}, timeout=60)
        ended.append(time.monotonic())

    pool = Pool(servers.start(hang))
    thread = threading.Thread(target=put)
    thread.start()
    assert under_way.wait(5)
    began = time.monotonic()
    pool.close()
    thread.join(5)
    assert ended[0] - began < 2
    pool.close()
