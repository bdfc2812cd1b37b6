# SPDX-License-Identifier: Apache-2.0
"""Ends requests that take too long as a whole.

A socket's own timeout starts anew with each record that TLS moves, so a peer that takes or gives a few bytes at a time
could hold a worker for hours. Shutting the socket down from outside ends whatever is going on in it, and costs those
that are in time nothing.
"""

import contextlib
import math
import socket
import threading
import time


class Watchdog:
    """Watches the sockets of requests; one thread, from the first request until `close`."""

    def __init__(self) -> None:
        self._deadlines: dict[socket.socket, float] = {}
        self._change = threading.Condition(threading.Lock())
        self._wake = math.inf
        self._thread: threading.Thread | None = None
        self._closed = False

    def watch(self, sock: socket.socket, deadline: float) -> None:
        """Shut SOCK down at DEADLINE (of `time.monotonic`), unless `release` comes first."""
        with self._change:
            if self._closed:
                _shut_down(sock)
                return
            self._deadlines[sock] = deadline
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lkcloud-watchdog", daemon=True)
                self._thread.start()
            elif deadline < self._wake:
                self._change.notify()

    def release(self, sock: socket.socket) -> bool:
        """Watch SOCK no more; return whether it was in time."""
        with self._change:
            return self._deadlines.pop(sock, None) is not None

    def close(self) -> None:
        """Shut down every socket that is watched, and end the thread."""
        with self._change:
            self._closed = True
            self._shut_down_until(math.inf)
            self._change.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        with self._change:
            while not self._closed:
                self._shut_down_until(time.monotonic())
                self._wake = min(self._deadlines.values(), default=math.inf)
                self._change.wait(None if self._wake == math.inf else max(0.0, self._wake - time.monotonic()))

    def _shut_down_until(self, now: float) -> None:
        # Under the lock: a socket that was released in time must never be touched again, it may carry the next request.
        for sock in [sock for sock, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[sock]
            _shut_down(sock)


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the peer was quicker
        # Not `SSLSocket.shutdown`: that takes the encryption off first, and what another thread is just sending would
        # go out in the clear.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
