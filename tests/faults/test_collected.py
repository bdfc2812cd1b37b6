# SPDX-License-Identifier: Apache-2.0
"""What killed pushes have left, `lkcloud gc` removes: afterwards the cloud lists images that are ready, and no more.

    python -m tests.faults.test_collected --way aws-ebs --random 20

prints a line for each moment: the request at which the push was killed, how much was left then, and what is left after.
"""

import argparse
import random
import sys
from collections.abc import Iterator

import pytest

from lkcloud.sandbox.qemu import missing
from tests.faults.grounds import GROUNDS
from tests.faults.killing import Collected, Moment, Phase, Scene, own_cache, scene
from tests.forks import Forks, starting

PHASES: tuple[Phase, ...] = ("before", "after")

needs_qemu = pytest.mark.skipif(
    bool(missing("x86_64", "uefi")), reason=f"needs the Debian packages {missing('x86_64', 'uefi')}"
)


def collected(opened: Scene, *, times: int, seed: int) -> Iterator[Collected]:
    """Kill pushes at random until TIMES were killed, and collect what each has left.

    By turns at a moment in time, and before or after a request of a push that boots its image: how long that takes
    depends on what else the machine does, and a push that has ended before its moment was not killed.
    """
    length, requests = opened.whole().seconds, len(opened.whole(testing=True).operations)
    source, killed, tried = random.Random(seed), 0, 0
    while killed < times and tried < 4 * times:
        testing, tried = bool(tried % 2), tried + 1
        phase = source.choice(PHASES)
        moment = (
            Moment(number=source.randint(1, requests), phase=phase)
            if testing
            else Moment(seconds=source.uniform(0.01, length))
        )
        outcome = opened.collect(moment, testing=testing)
        killed += outcome.killed
        yield outcome


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "way", ["gcp-composite", *(pytest.param(way, marks=pytest.mark.long) for way in ("aws-import", "azure-blob"))]
)
def test_nothing_is_left_of_a_killed_upload(way: str, forks: Forks) -> None:
    """The cloud has got the first part; the ways are those whose test machines are not looked at below."""
    with scene(forks, way, blocks=GROUNDS[way].blocks) as opened:
        first = next(one for one in opened.whole().operations if one in opened.ground.data)
        outcome = opened.collect(Moment(operation=first, phase="after"))
        assert outcome.killed
        assert outcome.wrong == (), outcome.line()


@needs_qemu
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "way",
    [
        "aws-ebs",
        "azure-disk",
        *(pytest.param(way, marks=pytest.mark.long) for way in ("gcp-resumable", "azure-gallery")),
    ],
)
def test_nothing_is_left_of_a_test_machine(way: str, forks: Forks) -> None:
    """The short form: where machines leave other things behind; with the others one way to each kind of image."""
    with scene(forks, way, blocks=GROUNDS[way].blocks) as opened:
        outcome = opened.collect(Moment(operation=opened.ground.launching, phase="after"), testing=True)
        assert outcome.killed
        assert outcome.before > 0
        assert outcome.wrong == (), outcome.line()


@needs_qemu
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", GROUNDS)
def test_nothing_is_left_of_pushes_that_are_killed_at_random(way: str, forks: Forks) -> None:
    """The long form: 20 random moments, half of them in pushes that boot their image."""
    with scene(forks, way, blocks=GROUNDS[way].blocks) as opened:
        outcomes = list(collected(opened, times=20, seed=20))
    assert [outcome.line() for outcome in outcomes if outcome.wrong] == []
    assert sum(outcome.killed for outcome in outcomes) == 20


def main() -> int:
    """Kill and collect as the arguments say; 1 if anything is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=list(GROUNDS), default="aws-ebs")
    parser.add_argument("--random", type=int, default=20, metavar="N", help="kill at N random moments")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    outcomes = []
    blocks = GROUNDS[arguments.way].blocks
    with own_cache(), starting() as forks, scene(forks, arguments.way, blocks=blocks) as opened:
        print(f"{arguments.way}, seed {arguments.seed}\n{'killed at':12} {'request':28} {'before':>6}  after")
        for outcome in collected(opened, times=arguments.random, seed=arguments.seed):
            outcomes.append(outcome)
            print(outcome.line(), flush=True)
    wrong = sum(bool(one.wrong) for one in outcomes)
    print(
        f"{sum(one.killed for one in outcomes)} killed of {len(outcomes)}, "
        f"{sum(one.before for one in outcomes)} things left, {wrong} times some after gc"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
