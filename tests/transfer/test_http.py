# SPDX-License-Identifier: Apache-2.0
import itertools
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lkcloud.errors import UsageError
from lkcloud.transfer.engine import Limits, Part, send
from lkcloud.transfer.http import Pool, Response, TransportError, Untrusted, judge_transport
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


def drop(call: "Call") -> None:
    call.request()


def drop_inside_the_body(call: "Call") -> None:
    call.sock.recv(10_000)


def reset(call: "Call") -> None:
    call.sock.recv(10_000)
    call.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    call.sock.close()


def garbage(call: "Call") -> None:
    call.request()
    call.answer(b"\x16\x03\x01 what is this\r\n\r\n")


def endless_headers(call: "Call") -> None:
    call.request()
    call.answer(b"HTTP/1.1 200 OK\r\n")
    for number in itertools.count():
        call.answer(b"X-%d: y\r\n" % number)


def half_an_answer(call: "Call") -> None:
    call.request()
    call.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")


def half_a_chunk(call: "Call") -> None:
    call.request()
    call.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly this")


def bad_chunk(call: "Call") -> None:
    call.request()
    call.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\nthis")


def huge_answer(call: "Call") -> None:
    call.request()
    call.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx")


def endless_answer(call: "Call") -> None:
    call.request()
    call.answer(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        call.answer(bytes(65536))


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(
    "behave",
    [
        drop,
        drop_inside_the_body,
        reset,
        garbage,
        endless_headers,
        half_an_answer,
        half_a_chunk,
        bad_chunk,
        huge_answer,
        endless_answer,
    ],
)
def test_what_is_no_answer_is_an_error_that_may_pass(behave: object, tls: bool, servers: "Servers") -> None:
    assert callable(behave)

    def first_badly(call: "Call") -> None:
        behave(call) if call.number == 0 else create(call)

    with Pool(servers.start(first_badly, tls=tls), ca=str(servers.certificate)) as pool:
        with pytest.raises(TransportError) as raised:
            pool.put("/", BLOCK, {}, timeout=10)
        assert judge_transport(raised.value) is Verdict.TRANSIENT
        assert raised.value.message.startswith("127.0.0.1:")
        assert "run the same command again" in raised.value.hint
        assert pool.put("/", BLOCK, {}, timeout=10).status == 201


def silent(call: "Call") -> None:
    call.request()
    call.request()


def reads_nothing(call: "Call") -> None:
    time.sleep(1)


def takes_a_little_at_a_time(call: "Call") -> None:
    call.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    while call.sock.recv(2048):
        time.sleep(0.02)


def answers_a_byte_at_a_time(call: "Call") -> None:
    call.request()
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000:
        call.answer(bytes([byte]))
        time.sleep(0.05)


def sends_a_body_without_end_slowly(call: "Call") -> None:
    call.request()
    call.answer(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        call.answer(b"x")
        time.sleep(0.05)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(
    "behave",
    [silent, reads_nothing, takes_a_little_at_a_time, answers_a_byte_at_a_time, sends_a_body_without_end_slowly],
)
def test_a_request_ends_in_time_whatever_the_server_does(behave: object, tls: bool, servers: "Servers") -> None:
    assert callable(behave)
    with Pool(servers.start(behave, tls=tls), ca=str(servers.certificate)) as pool:
        began = time.monotonic()
        with pytest.raises(TransportError, match=r"in time|timed out") as raised:
            pool.put("/", bytes(16 << 20), {}, timeout=0.5)
        assert 0.45 < time.monotonic() - began < 2
        assert judge_transport(raised.value) is Verdict.TRANSIENT


def test_a_server_that_accepts_and_never_speaks_tls_ends_in_the_connect_time(servers: "Servers") -> None:
    origin = servers.start(lambda call: time.sleep(0.8)).replace("http:", "https:")
    with Pool(origin, ca=str(servers.certificate), connect_timeout=0.2) as pool:
        began = time.monotonic()
        with pytest.raises(TransportError):
            pool.put("/", b"", {}, timeout=30)
        assert time.monotonic() - began < 0.75


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


class _Silent:
    def expect(self, total: int, done: int = 0) -> None: ...
    def advance(self, amount: int) -> None: ...
    def status(self, text: str) -> None: ...


class Throttled(Exception):
    """The service said 503."""


def test_parts_get_through_a_service_that_drops_throttles_and_stalls(servers: "Servers") -> None:
    """Of every twenty requests one is throttled, one is dropped half way, one is reset and one is never answered."""
    counter = itertools.count()
    bodies: dict[str, bytes] = {}

    def behave(call: "Call") -> None:
        while True:
            number = next(counter) % 20
            if number == 1:
                return drop_inside_the_body(call)
            if number == 3:
                return reset(call)
            head, body = call.request()
            if not head:
                return None
            if number == 5:
                call.answer(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")
            elif number == 7:
                call.request()
                return None
            else:
                bodies[head.split()[1]] = body
                call.answer(CREATED)

    def put(part: Part, timeout: float) -> str:
        response: Response = pool.put(f"/{part.number}", bytes([part.number]) * part.length, {}, timeout=timeout)
        if response.status == 503:
            raise Throttled
        return str(response.headers["etag"])

    def judge(error: Exception) -> Verdict:
        return Verdict.THROTTLED if isinstance(error, Throttled) else judge_transport(error)

    parts = [Part(number, number * 100_000, 100_000) for number in range(80)]
    limits = Limits(workers=8, attempts=20, pause=0.01, attempt_timeout=0.5)
    with Pool(servers.start(behave, tls=True), connections=8, ca=str(servers.certificate)) as pool:
        sent = send(parts, put, judge=judge, limits=limits, meter=_Silent())
    assert sent.receipts == dict.fromkeys(range(80), "abc")
    assert bodies == {f"/{number}": bytes([number]) * 100_000 for number in range(80)}
    assert sent.throttled > 0
    assert sent.attempts > 84
