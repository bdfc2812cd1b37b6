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
from tests.faults.killing import Collected, Moment, Scene, own_cache, scene

needs_qemu = pytest.mark.skipif(
    bool(missing("x86_64", "uefi")), reason=f"needs the Debian packages {missing('x86_64', 'uefi')}"
)


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKCLOUD_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def collected(opened: Scene, *, times: int, seed: int) -> Iterator[Collected]:
    """Kill a push at TIMES random moments, every second one while it may boot its image, and collect what it left."""
    lengths = {testing: opened.seconds(testing=testing) for testing in (False, True)}
    source = random.Random(seed)
    for number in range(times):
        testing = bool(number % 2)
        yield opened.collect(Moment(seconds=source.uniform(0.01, lengths[testing])), testing=testing)


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("way", GROUNDS)
def test_nothing_is_left_of_a_killed_upload(way: str) -> None:
    """The short form: two moments of a push, and the one at which the cloud has got the first part."""
    with scene(way, blocks=GROUNDS[way].blocks) as opened:
        length = opened.seconds()
        first = opened.ground.data[0]
        for moment in (Moment(operation=first, phase="after"), *(Moment(seconds=part * length) for part in (0.5, 0.8))):
            outcome = opened.collect(moment)
            assert outcome.wrong == (), outcome.line()


@needs_qemu
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("way", ["aws-ebs", "gcp-resumable", "azure-disk", "azure-gallery"])
def test_nothing_is_left_of_a_test_machine(way: str) -> None:
    """The short form: one way to each kind of image."""
    with scene(way, blocks=GROUNDS[way].blocks) as opened:
        outcome = opened.collect(Moment(operation=opened.ground.launching, phase="after"), testing=True)
        assert outcome.killed
        assert outcome.before > 0
        assert outcome.wrong == (), outcome.line()


@needs_qemu
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("way", GROUNDS)
def test_nothing_is_left_of_pushes_that_are_killed_at_random(way: str) -> None:
    """The long form: 20 random moments, in every second push of one that boots its image."""
    with scene(way, blocks=GROUNDS[way].blocks) as opened:
        outcomes = list(collected(opened, times=20, seed=20))
    assert [outcome.line() for outcome in outcomes if outcome.wrong] == []
    assert sum(outcome.killed for outcome in outcomes) >= 10


def main() -> int:
    """Kill and collect as the arguments say; 1 if anything is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=list(GROUNDS), default="aws-ebs")
    parser.add_argument("--random", type=int, default=20, metavar="N", help="kill at N random moments")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    outcomes = []
    with own_cache(), scene(arguments.way, blocks=GROUNDS[arguments.way].blocks) as opened:
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
