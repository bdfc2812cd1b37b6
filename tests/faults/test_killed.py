# SPDX-License-Identifier: Apache-2.0
"""A push that was killed and done again leaves what one push leaves, and sends less than two."""

from collections.abc import Iterator

import pytest

from tests.faults.grounds import GROUNDS
from tests.faults.killing import Moment, Outcome, Phase, Scene, moments, scene, turning_points


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKCLOUD_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def check(opened: Scene, chosen: Iterator[Moment], scratch: int) -> list[Outcome]:
    """Kill at each of the moments and return the outcomes, all of which are right."""
    outcomes = []
    for moment in chosen:
        outcome = opened.kill(moment)
        assert outcome.wrong == (), outcome.line()
        assert outcome.second <= scratch - outcome.kept, f"{outcome.line()} of {scratch}"
        outcomes.append(outcome)
    # Two runs do not always ask equally often whether something is ready.
    assert sum(not outcome.killed for outcome in outcomes) <= 2
    return outcomes


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("way", GROUNDS)
def test_killed_at_every_kind_of_request(way: str) -> None:
    """The short form: after the requests that make a difference."""
    with scene(way, blocks=GROUNDS[way].blocks) as opened:
        scratch = opened.scratch()
        chosen = (Moment(number=number, phase="after") for number in turning_points(opened.requests()))
        check(opened, chosen, scratch)


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("way", GROUNDS)
def test_killed_at_random(way: str) -> None:
    """The short form: a few moments."""
    with scene(way, blocks=2 * GROUNDS[way].blocks) as opened:
        scratch = opened.scratch()
        check(opened, moments(opened, boundaries=False, phases=(), times=4, seed=20), scratch)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("way", GROUNDS)
def test_killed_everywhere(way: str) -> None:
    """The long form: before and after every request, and at 20 random moments."""
    phases: tuple[Phase, ...] = ("before", "after")
    with scene(way, blocks=GROUNDS[way].blocks) as opened:
        scratch = opened.scratch()
        check(opened, moments(opened, boundaries=True, phases=phases, times=20, seed=20), scratch)
