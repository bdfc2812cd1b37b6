# SPDX-License-Identifier: Apache-2.0
"""A push that was killed and done again leaves what one push leaves, and sends less than two."""

import random
from collections.abc import Iterable

import pytest

from tests.faults.grounds import GROUNDS
from tests.faults.killing import Moment, Outcome, Phase, Scene, moments, scene, turning_points
from tests.forks import Forks


def check(opened: Scene, moment: Moment, scratch: int) -> Outcome:
    """Kill at MOMENT and return the outcome, which is right."""
    outcome = opened.kill(moment)
    assert outcome.wrong == (), outcome.line()
    assert outcome.second <= scratch - outcome.kept, f"{outcome.line()} of {scratch}"
    return outcome


def check_all(opened: Scene, chosen: Iterable[Moment], scratch: int) -> None:
    """Kill at each of the moments; all come to what is right."""
    outcomes = [check(opened, moment, scratch) for moment in chosen]
    # Two runs do not always ask equally often whether something is ready.
    assert sum(not outcome.killed for outcome in outcomes) <= 2


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "way", ["azure-gallery", *(pytest.param(way, marks=pytest.mark.long) for way in ("aws-import", "gcp-resumable"))]
)
def test_killed_at_every_kind_of_request(way: str, forks: Forks) -> None:
    """After some of the requests that make a difference; the short form has one way."""
    with scene(forks, way, blocks=GROUNDS[way].blocks) as opened:
        whole = opened.whole()
        turning = list(turning_points(whole.operations))
        chosen = sorted(random.Random(way).sample(turning, min(2, len(turning))))
        check_all(opened, (Moment(number=number, phase="after") for number in chosen), whole.sent)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "way", ["aws-ebs", *(pytest.param(way, marks=pytest.mark.long) for way in ("gcp-composite", "azure-disk"))]
)
def test_killed_at_random(way: str, forks: Forks) -> None:
    """The short form: until it was killed once.

    How long a push takes depends on what else the machine does; one that has ended before its moment was not killed.
    """
    with scene(forks, way, blocks=2 * GROUNDS[way].blocks) as opened:
        whole = opened.whole()
        chosen = moments(whole, boundaries=False, phases=(), times=20, seed=20)
        killed = (outcome for moment in chosen if (outcome := check(opened, moment, whole.sent)).killed)
        assert next(killed).killed


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", GROUNDS)
def test_killed_everywhere(way: str, forks: Forks) -> None:
    """The long form: before and after every request, and at 20 random moments."""
    phases: tuple[Phase, ...] = ("before", "after")
    with scene(forks, way, blocks=GROUNDS[way].blocks) as opened:
        whole = opened.whole()
        check_all(opened, moments(whole, boundaries=True, phases=phases, times=0, seed=20), whole.sent)
        for moment in moments(whole, boundaries=False, phases=(), times=20, seed=20):
            check(opened, moment, whole.sent)
