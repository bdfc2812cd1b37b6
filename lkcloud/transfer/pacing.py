# SPDX-License-Identifier: Apache-2.0
"""How many parts travel at once, and how many start in a second: both found out while sending.

The number of parts in flight grows as a TCP window does (RFC 5681): by one for each part that arrived until something
goes wrong, then by one a round trip; a throttle halves it, at most once a round trip. A service that limits requests a
second throttles even one worker with a short round trip, so a throttle also sets a ceiling on the rate: what has been
getting through, which is the limit itself if there is one, and little less than before if the throttle was a whim.
"""

import math
import threading
import time

from lkcloud.transfer.retry import Verdict

_WINDOW = 0.5
"""Seconds over which the rate that gets through is measured, and between two cuts of the ceiling."""
_RISE = 0.1
"""What one part that arrived adds to the ceiling: in a second it then rises by this share of itself."""
_BURST = 0.02
"""Seconds that the pace may be behind and catch up: sleeping is not exact."""


class Stopped(Exception):
    """Nothing more is to be started."""


class Pacer:
    """Lets attempts start; shared by all workers.

    MOST attempts run at once, and START of them at first; RATE is the most that start in a second, None for no limit.
    An attempt that takes about TIMEOUT seconds and fails says that the line is too narrow for so many.
    """

    def __init__(self, *, start: int, most: int, timeout: float, rate: float | None = None) -> None:
        self._most = most
        self._timeout = timeout
        self._fastest = math.inf if rate is None else rate
        self._ceiling = self._fastest
        self._allowed = float(min(start, most))
        self._doubling = True
        self._running = 0
        self._next = 0.0
        self._cut = self._ceiling_cut = -math.inf
        self._arrived, self._since = 0, time.monotonic()
        self._through = 0.0
        self._free = threading.Condition(threading.Lock())
        self._stopped = threading.Event()

    @property
    def allowed(self) -> int:
        """How many attempts may run at once now."""
        return int(self._allowed)

    @property
    def ceiling(self) -> float:
        """How many attempts may start in a second now; infinite without a limit."""
        return self._ceiling

    def enter(self) -> float:
        """Wait until an attempt may start, and return the time; `leave` must follow. Raises Stopped."""
        with self._free:
            while self._running >= int(self._allowed) and not self._stopped.is_set():
                self._free.wait()
            if self._stopped.is_set():
                raise Stopped
            self._running += 1
            now = time.monotonic()
            if self._ceiling == math.inf:
                return now
            at = max(self._next, now - _BURST)
            self._next = at + 1 / self._ceiling
        if at > now and self._stopped.wait(at - now):
            raise Stopped
        return time.monotonic()

    def leave(self, began: float, verdict: Verdict | None) -> None:
        """End the attempt that BEGAN then; VERDICT is None if it succeeded."""
        with self._free:
            now = time.monotonic()
            self._running -= 1
            if verdict is None:
                self._arrive(now, now - began)
            elif verdict is Verdict.THROTTLED:
                self._slow_down(began, now)
                self._lower_ceiling(now)
            elif now - began >= 0.9 * self._timeout:
                self._slow_down(began, now)
            self._free.notify(2)

    def stop(self) -> None:
        """Let nothing start any more, and wake whoever waits."""
        self._stopped.set()
        with self._free:
            self._free.notify_all()

    def _arrive(self, now: float, took: float) -> None:
        self._arrived += 1
        if now - self._since >= _WINDOW:
            self._through = self._arrived / (now - self._since)
            self._arrived, self._since = 0, now
        if self._ceiling < self._fastest:
            self._ceiling = min(self._ceiling + _RISE, self._fastest)
        # Parts that take long already would take too long if there were more of them on a narrow line.
        if took < self._timeout / 2:
            self._allowed = min(self._allowed + (1.0 if self._doubling else 1 / self._allowed), float(self._most))

    def _slow_down(self, began: float, now: float) -> None:
        if began > self._cut:
            self._cut = now
            self._doubling = False
            self._allowed = max(1.0, self._allowed / 2)

    def _lower_ceiling(self, now: float) -> None:
        if now - self._ceiling_cut < _WINDOW:
            return
        elapsed = now - self._since
        through = self._arrived / elapsed if elapsed >= _WINDOW / 2 else self._through
        if through > 0:
            self._ceiling_cut = now
            # One in four seconds and worker is slow enough: below that, the pauses before further attempts pace it.
            self._ceiling = min(max(through, self._most / 4), self._fastest)
            self._arrived, self._since = 0, now
