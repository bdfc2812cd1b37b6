# SPDX-License-Identifier: Apache-2.0
"""Requests to servers that give no answer, or none in time: an error that may pass, and it comes in time."""

import itertools
import socket
import time
from typing import TYPE_CHECKING

import pytest

from lkcloud.transfer.engine import Limits, Part, send
from lkcloud.transfer.http import Pool, Response, TransportError, judge_transport
from lkcloud.transfer.retry import Verdict
from tests.transfer.created import BLOCK, CREATED, create

if TYPE_CHECKING:
    from conftest import Call, Servers


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
