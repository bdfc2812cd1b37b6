# SPDX-License-Identifier: Apache-2.0
import itertools
import threading
import time
from collections.abc import Callable

import pytest

from lkcloud.transfer.retry import Verdict, retry


class Wrong(Exception):
    def __init__(self, verdict: Verdict, number: int) -> None:
        super().__init__(f"wrong for the time number {number}")
        self.verdict = verdict


def judge(error: Exception) -> Verdict:
    assert isinstance(error, Wrong)
    return error.verdict


def failing(*verdicts: Verdict) -> tuple[Callable[[], str], list[float]]:
    """Return a call that fails as told and then returns "done", and the list of the times it was called."""
    times: list[float] = []

    def call() -> str:
        times.append(time.monotonic())
        if len(times) <= len(verdicts):
            raise Wrong(verdicts[len(times) - 1], len(times))
        return "done"

    return call, times


def test_what_works_is_called_once() -> None:
    call, times = failing()
    assert retry(call, judge=judge) == "done"
    assert len(times) == 1


def test_what_may_pass_is_tried_again() -> None:
    call, times = failing(Verdict.TRANSIENT, Verdict.THROTTLED, Verdict.TRANSIENT)
    assert retry(call, judge=judge, pause=0.001) == "done"
    assert len(times) == 4


def test_what_cannot_pass_is_raised_at_once() -> None:
    call, times = failing(Verdict.TRANSIENT, Verdict.FATAL)
    with pytest.raises(Wrong, match="number 2"):
        retry(call, judge=judge, pause=0.001)
    assert len(times) == 2


def test_the_last_error_is_raised_after_the_last_attempt() -> None:
    call, times = failing(*[Verdict.TRANSIENT] * 9)
    with pytest.raises(Wrong, match="number 3") as raised:
        retry(call, judge=judge, attempts=3, pause=0.001)
    assert len(times) == 3
    assert raised.value.__notes__ == ["given up after 3 attempts in 0 seconds"]


def test_being_throttled_does_not_use_up_attempts() -> None:
    call, times = failing(*[Verdict.THROTTLED] * 6, Verdict.TRANSIENT)
    assert retry(call, judge=judge, attempts=2, pause=0.0001) == "done"
    assert len(times) == 8


@pytest.mark.parametrize("verdict", [Verdict.TRANSIENT, Verdict.THROTTLED])
def test_patience_ends(verdict: Verdict) -> None:
    call, times = failing(*[verdict] * 10_000)
    began = time.monotonic()
    with pytest.raises(Wrong):
        retry(call, judge=judge, attempts=10_000, patience=0.3, pause=0.01)
    assert time.monotonic() - began < 0.6
    assert len(times) > 2


def test_a_time_that_the_clock_leaves_out_does_not_use_up_patience() -> None:
    call, _ = failing(*[Verdict.TRANSIENT] * 5)

    def slow_call() -> str:
        time.sleep(0.05)
        return call()

    assert retry(slow_call, judge=judge, patience=0.1, pause=0.0001, clock=lambda: 0.0) == "done"


def test_pauses_grow_and_are_random() -> None:
    def pauses() -> list[float]:
        call, times = failing(*[Verdict.TRANSIENT] * 6)
        retry(call, judge=judge, pause=0.005)
        return [later - sooner for sooner, later in itertools.pairwise(times)]

    many = [pauses() for _ in range(6)]
    for number in range(6):
        assert max(row[number] for row in many) <= 0.005 * 2**number + 0.2
    assert len({round(row[5], 4) for row in many}) > 1
    assert sum(row[5] for row in many) > sum(row[0] for row in many)


def test_an_error_can_ask_for_a_longer_pause() -> None:
    call, times = failing(Verdict.THROTTLED, Verdict.TRANSIENT)
    pauses = iter([0.05, 0.0])
    assert retry(call, judge=judge, pause=0.0001, least=lambda _: next(pauses)) == "done"
    assert times[1] - times[0] >= 0.05


def test_a_pause_that_is_longer_than_the_patience_is_not_begun() -> None:
    call, times = failing(Verdict.THROTTLED)
    began = time.monotonic()
    with pytest.raises(Wrong) as raised:
        retry(call, judge=judge, patience=5.0, least=lambda _: 60.0)
    assert time.monotonic() - began < 5
    assert len(times) == 1
    assert raised.value.__notes__ == ["given up after 1 attempts in 0 seconds"]


def test_a_stop_ends_the_pause() -> None:
    stopped = threading.Event()
    call, _ = failing(*[Verdict.TRANSIENT] * 100)
    threading.Timer(0.1, stopped.set).start()
    began = time.monotonic()
    with pytest.raises(Wrong):
        retry(call, judge=judge, attempts=100, pause=20.0, stopped=stopped)
    assert time.monotonic() - began < 2


def test_an_interrupt_is_not_an_error_to_judge() -> None:
    def call() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retry(call, judge=judge)
