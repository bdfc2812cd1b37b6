# SPDX-License-Identifier: Apache-2.0
"""The requests that came in, and the seams at which a test makes one fail."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal

from lkcloud.sandbox.http import Response

KEPT = 100_000
"""How many requests the log remembers."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request: `before` anything is done for it, or `after` all is done and only the answer is left to send."""

    phase: Literal["before", "after"]
    number: int
    """Counts requests from 1 on."""
    service: str
    operation: str
    method: str
    path: str
    region: str
    received: int = 0
    """Bytes of its body; 0 before."""
    status: int = 0
    """The HTTP status of the answer; 0 before."""


Hook = Callable[[Seen], Response | None]
"""Sees each request twice. What it returns is sent instead; it may also wait, or raise DropConnection."""


class Traffic:
    """The log of requests, the hooks, and when the last request came.

    THROTTLED makes the answer of the cloud to a request that comes too soon.
    """

    def __init__(self, throttled: Callable[[Seen], Response]) -> None:
        self._throttled = throttled
        self.hooks: list[Hook] = []
        self.log: deque[Seen] = deque(maxlen=KEPT)
        self.last = time.monotonic()
        self._count = 0
        self._open = 0
        self._lock = Lock()

    @contextmanager
    def request(self, service: str, operation: str, method: str, path: str, region: str) -> Iterator[Seen]:
        """Give the request a number and count it as going on for as long as the context lasts."""
        with self._lock:
            self._count += 1
            self._open += 1
            number = self._count
            self.last = time.monotonic()
        try:
            yield Seen("before", number, service, operation, method, path, region)
        finally:
            with self._lock:
                self._open -= 1
                self.last = time.monotonic()

    def before(self, seen: Seen) -> Response | None:
        """Show the request to the hooks; the first answer of one counts."""
        return self._ask(seen)

    def after(self, seen: Seen, response: Response, received: int) -> Response:
        """Log the request, show it to the hooks and return what is to be sent."""
        done = replace(seen, phase="after", received=received, status=response.status)
        self.log.append(done)
        return self._ask(done) or response

    def idle(self) -> float:
        """Return the seconds since the last request; 0 while one goes on."""
        with self._lock:
            return 0.0 if self._open else time.monotonic() - self.last

    def operations(self) -> list[str]:
        """Return the operations of all requests so far, in order."""
        return [seen.operation for seen in tuple(self.log)]

    def received(self, *operations: str) -> int:
        """Return the bytes of the bodies of all requests so far, or of these OPERATIONS."""
        return sum(seen.received for seen in tuple(self.log) if not operations or seen.operation in operations)

    def throttle(self, operation: str, times: int) -> None:
        """Refuse the next TIMES requests of OPERATION with the throttling error of its service."""
        left = times
        lock = Lock()

        def refuse(seen: Seen) -> Response | None:
            nonlocal left
            if seen.phase == "after" or seen.operation != operation:
                return None
            with lock:
                if left == 0:
                    return None
                left -= 1
            return self._throttled(seen)

        self.hooks.append(refuse)

    def clear(self) -> None:
        """Forget the log; the hooks stay."""
        self.log.clear()

    def _ask(self, seen: Seen) -> Response | None:
        for hook in tuple(self.hooks):
            answer = hook(seen)
            if answer is not None:
                return answer
        return None
