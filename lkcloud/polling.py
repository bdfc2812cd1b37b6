# SPDX-License-Identifier: Apache-2.0
"""Waiting for a cloud: the one place that looks again and again, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

from lkcloud.errors import Unreachable

T = TypeVar("T")


def poll(
    look: Callable[[], T | None],
    *,
    what: str,
    every: float,
    limit: float,
    hint: str,
    least: Callable[[], float] = lambda: 0.0,
) -> T:
    """Call LOOK until it returns something else than None, and return that.

    EVERY seconds at first, growing by half to six times that, and never less than LEAST says then: a cloud may name the
    pause that it wants, as in Retry-After. Raises Unreachable with HINT after LIMIT seconds;
    whatever LOOK raises goes through.
    """
    deadline = time.monotonic() + limit
    pause = every
    while True:
        found = look()
        if found is not None:
            return found
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unreachable(f"{what} is not done after {limit:.0f} seconds", hint=hint)
        time.sleep(min(max(pause, least()), left))
        pause = min(pause * 1.5, every * 6)
