# SPDX-License-Identifier: Apache-2.0
import threading
import time

import pytest

from lkcloud.transfer.pacing import Pacer, Stopped
from lkcloud.transfer.retry import Verdict


def round_trip(pacer: Pacer, verdict: Verdict | None) -> None:
    """Start all attempts that may run, and end them all with VERDICT."""
    for began in [pacer.enter() for _ in range(pacer.allowed)]:
        pacer.leave(began, verdict)


def test_it_doubles_each_round_trip_up_to_the_most() -> None:
    pacer = Pacer(start=2, most=16, timeout=60)
    seen = []
    for _ in range(5):
        seen.append(pacer.allowed)
        round_trip(pacer, None)
    assert seen == [2, 4, 8, 16, 16]


def test_a_round_trip_of_throttles_halves_it_once() -> None:
    pacer = Pacer(start=16, most=16, timeout=60)
    round_trip(pacer, Verdict.THROTTLED)
    assert pacer.allowed == 8
    round_trip(pacer, Verdict.THROTTLED)
    assert pacer.allowed == 4


def test_one_always_remains_and_it_recovers_one_a_round_trip() -> None:
    pacer = Pacer(start=16, most=16, timeout=60)
    for _ in range(20):
        round_trip(pacer, Verdict.THROTTLED)
    assert pacer.allowed == 1
    for expected in range(1, 16):
        assert 0.7 * expected - 1 <= pacer.allowed <= expected
        round_trip(pacer, None)
    for _ in range(10):
        round_trip(pacer, None)
    assert pacer.allowed == 16


@pytest.mark.parametrize("verdict", [Verdict.TRANSIENT, Verdict.FATAL])
def test_other_errors_do_not_slow_it_down(verdict: Verdict) -> None:
    pacer = Pacer(start=8, most=16, timeout=60)
    round_trip(pacer, verdict)
    assert pacer.allowed == 8


def test_attempts_that_run_out_of_time_halve_it() -> None:
    pacer = Pacer(start=8, most=16, timeout=0.05)
    began = [pacer.enter() for _ in range(8)]
    time.sleep(0.06)
    for each in began:
        pacer.leave(each, Verdict.TRANSIENT)
    assert pacer.allowed == 4


def test_it_does_not_grow_when_attempts_take_long() -> None:
    pacer = Pacer(start=4, most=16, timeout=0.1)
    began = [pacer.enter() for _ in range(4)]
    time.sleep(0.06)
    for each in began:
        pacer.leave(each, None)
    assert pacer.allowed == 4


def test_no_more_than_allowed_run_at_once() -> None:
    pacer = Pacer(start=3, most=3, timeout=60)
    running: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(50):
            began = pacer.enter()
            running.append(1)
            most.append(len(running))
            time.sleep(0.0005)
            running.pop()
            pacer.leave(began, None)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 3


def test_a_rate_is_kept_to_from_the_first_second() -> None:
    pacer = Pacer(start=8, most=8, timeout=60, rate=200)
    began = time.monotonic()
    for _ in range(100):
        pacer.leave(pacer.enter(), None)
    took = time.monotonic() - began
    assert 0.47 <= took < 2


def test_a_throttle_sets_a_ceiling_at_what_got_through_and_it_rises() -> None:
    pacer = Pacer(start=4, most=4, timeout=60)
    end = time.monotonic() + 0.6
    through = 0
    while time.monotonic() < end:
        pacer.leave(pacer.enter(), None)
        through += 1
        time.sleep(0.005)
    pacer.leave(pacer.enter(), Verdict.THROTTLED)
    ceiling = pacer.ceiling
    assert 0.5 * through / 0.6 < ceiling < 1.1 * through / 0.6
    for _ in range(20):
        pacer.leave(pacer.enter(), None)
    assert pacer.ceiling == pytest.approx(ceiling + 2.0)


def test_it_never_exceeds_the_rate_that_was_asked_for() -> None:
    pacer = Pacer(start=4, most=4, timeout=60, rate=300)
    for _ in range(200):
        pacer.leave(pacer.enter(), None)
    pacer.leave(pacer.enter(), Verdict.THROTTLED)
    for _ in range(100):
        pacer.leave(pacer.enter(), None)
    assert pacer.ceiling <= 300


@pytest.mark.parametrize("rate", [None, 0.1])
def test_a_stop_wakes_whoever_waits(rate: float | None) -> None:
    pacer = Pacer(start=1, most=1, timeout=60, rate=rate)
    pacer.enter()
    raised = threading.Event()

    def wait() -> None:
        with pytest.raises(Stopped):
            pacer.enter()
        raised.set()

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    assert not raised.is_set()
    pacer.stop()
    thread.join(5)
    assert raised.is_set()
