# SPDX-License-Identifier: Apache-2.0
"""Trying again: the one place that does, for parts and for control-plane calls alike."""

import time
from collections.abc import Callable
from enum import Enum, auto
from threading import Event
from typing import TypeVar

import tenacity

T = TypeVar("T")

_LONGEST = 20.0
"""Seconds: the longest pause of all."""


class Verdict(Enum):
    """What an error of an attempt means; a provider says it and does nothing else about it."""

    FATAL = auto()
    """Trying again cannot help."""
    TRANSIENT = auto()
    """The next attempt may well succeed."""
    THROTTLED = auto()
    """The cloud is asked too often."""


def retry(
    call: Callable[[], T],
    *,
    judge: Callable[[Exception], Verdict],
    attempts: int = 8,
    patience: float = 120.0,
    pause: float = 0.25,
    stopped: Event | None = None,
    clock: Callable[[], float] = time.monotonic,
    least: Callable[[Exception], float] = lambda _: 0.0,
) -> T:
    """Call CALL until it returns, and return that.

    JUDGE is asked once for each error, before the pause. Raises the last error when it is fatal, when ATTEMPTS calls
    have failed with transient ones, or when the next call would begin later than PATIENCE seconds by CLOCK after the
    first: being throttled ends in time only, not in attempts. Pauses are random and grow exponentially, the first being
    at most PAUSE seconds, so that those who fail together do not come back together
    (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).
    STOPPED, once set, ends the pause and everything after it. LEAST says what an error asks to wait, as in Retry-After:
    if that is longer than what is left of the patience, it is raised at once.
    """
    first = clock()
    try:
        return call()
    except Exception as error:
        pending = [error]
    failures = 0

    def attempt() -> T:
        # The first failure is passed on to tenacity, whose own work on a call that just succeeds would cost a part of
        # 512 KiB a tenth of its processor time.
        if pending:
            raise pending.pop()
        return call()

    def again(error: BaseException) -> bool:
        nonlocal failures
        verdict = judge(error) if isinstance(error, Exception) else Verdict.FATAL
        failures += verdict is Verdict.TRANSIENT
        return verdict is not Verdict.FATAL

    def enough(state: tenacity.RetryCallState) -> bool:
        if stopped is not None and stopped.is_set():
            return True
        elapsed = clock() - first
        if failures < attempts and elapsed + state.upcoming_sleep < patience:
            return False
        if state.outcome is not None and (error := state.outcome.exception()) is not None:
            error.add_note(f"given up after {state.attempt_number} attempts in {elapsed:.0f} seconds")
        return True

    grown = tenacity.wait_random_exponential(multiplier=pause, max=_LONGEST)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        return max(grown(state), least(error) if isinstance(error, Exception) else 0.0)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(again),
        wait=wait,
        stop=enough,
        sleep=tenacity.sleep if stopped is None else tenacity.sleep_using_event(stopped),
        reraise=True,
    )
    return retrying(attempt)
