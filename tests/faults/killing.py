# SPDX-License-Identifier: Apache-2.0
"""Kill a push, push again, and look at what is there: at every request, before and after the cloud acted, or at random.

    python -m tests.faults.killing --way aws-ebs --boundaries --random 20

prints a line for each moment: what the first run had sent when it was killed, what the second one sent, and what is
wrong with the outcome (nothing).
"""

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lkcloud.disk import BLOCK
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud.sandbox.traffic import Seen, Traffic
from tests.faults.grounds import GROUNDS, NAME, WORKERS, Ground
from tests.forks import Forks, starting

Phase = Literal["before", "after"]

_LOOK = re.compile(r"(Describe|Get|Head|List|.*\.([Gg]et|[Ll]ist|testIam)).*|token|openid-configuration")
"""The requests that change nothing, by how each cloud names its operations."""

QUIET = 0.2
"""Seconds without a request after which none is left of a killed push."""


@dataclass(frozen=True)
class Moment:
    """When to kill: at request NUMBER, or at the first of an OPERATION, in PHASE; or SECONDS after the start."""

    number: int = 0
    phase: Phase = "before"
    seconds: float = 0.0
    operation: str = ""

    def words(self) -> str:
        """Return it as it stands in a table."""
        if self.seconds:
            return f"{self.seconds:6.2f} s"
        return f"{self.operation or f'{self.number:3}'} {self.phase:6}"


@dataclass(frozen=True)
class Outcome:
    """What a killed push and the one after it came to."""

    moment: Moment
    operation: str
    """The request at which it was killed."""
    killed: bool
    first: int
    """Bytes of data that the cloud had got when the first run was killed."""
    kept: int
    """Bytes of them that the second run had to know of."""
    second: int
    """Bytes that the second run sent."""
    wrong: tuple[str, ...]

    def line(self) -> str:
        """Return it as a row of the table."""
        at = self.moment.words()
        verdict = "; ".join(self.wrong) or ("ok" if self.killed else "ok (had ended before)")
        return f"{at:12} {self.operation:28} {mib(self.first)} {mib(self.kept)} {mib(self.second)}  {verdict}"


@dataclass(frozen=True)
class Collected:
    """What a killed push and `lkcloud gc` after it came to."""

    moment: Moment
    operation: str
    """The request at which it was killed."""
    killed: bool
    before: int
    """How many things the cloud had that no image stands on, before."""
    wrong: tuple[str, ...]

    def line(self) -> str:
        """Return it as a row of a table."""
        verdict = "; ".join(self.wrong) or ("ok" if self.killed else "ok (had ended before)")
        return f"{self.moment.words():12} {self.operation:28} {self.before:6}  {verdict}"


@dataclass(frozen=True)
class Whole:
    """A push that nobody kills: its OPERATIONS, in order, the bytes of data that it SENT, and how long it took."""

    operations: tuple[str, ...]
    sent: int
    seconds: float


HEAD = f"{'killed at':12} {'request':28} {'sent 1st':>9} {'kept':>9} {'sent 2nd':>9}  outcome (MiB)"


def mib(amount: int) -> str:
    """Return bytes as MiB, 9 characters wide."""
    return f"{amount / 2**20:9.1f}"


@dataclass
class Executioner:
    """A hook of the stand-in that kills a process at a moment."""

    moment: Moment
    data: tuple[str, ...] = ()
    """The operations that carry the bytes of the disk."""
    at: float = 0.0
    operation: str = ""
    answered: list[int] = field(default_factory=list)
    _process: int | None = None
    """A pidfd: it is never another process, even when the number is used again."""
    _count: int = 0
    _chosen: int = 0
    """The stand-in's number of the request to kill at."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _aiming: threading.Lock = field(default_factory=threading.Lock)
    _ready: threading.Event = field(default_factory=threading.Event)

    @property
    def reached(self) -> bool:
        """Whether the run had the request at which to kill."""
        return self._chosen > 0

    def aim(self, pid: int) -> None:
        """Say which process it is."""
        assert pid > 1, pid
        self._process = os.pidfd_open(pid)
        self._ready.set()

    def lower(self) -> None:
        """Kill nothing any more."""
        with self._aiming:
            self._ready.set()
            if self._process is not None:
                os.close(self._process)
            self._process = None

    def kill(self, operation: str) -> None:
        """Kill it now, if it has not ended."""
        assert self._ready.wait(10), "nobody said which process to kill"
        with self._aiming:
            if self._process is None:
                return
            self.at, self.operation = time.monotonic(), operation
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def __call__(self, seen: Seen) -> None:
        """Count the requests of the run; kill at the one that was chosen."""
        with self._lock:
            if self.at:
                return
            if seen.phase == "before":
                self._count += 1
                if self._chosen == 0 and (self._count == self.moment.number or seen.operation == self.moment.operation):
                    self._chosen = seen.number
            elif seen.operation in self.data and seen.status < 400:
                self.answered.append(seen.received)
            # By its own number: others come and go between its beginning and its end.
            if seen.number == self._chosen and seen.phase == self.moment.phase:
                self.kill(seen.operation)


class Scene:
    """A stand-in, a disk with RANDOM data in BLOCKS blocks, and pushes that FORKS starts."""

    def __init__(self, folder: Path, way: str, *, blocks: int, forks: Forks) -> None:
        self.folder = folder
        self.disk = folder / "killed.raw"
        write_tiny_disk(self.disk, size=max(64, blocks) << 20, message=NAME)
        source = random.Random(7)
        with self.disk.open("r+b") as file:
            for index in range(blocks):
                file.seek((4 << 20) + index * 2 * BLOCK)
                file.write(source.randbytes(BLOCK))
        (folder / "cloud").mkdir()
        self.ground: Ground = GROUNDS[way](folder / "cloud")
        self.ground.cloud.start()
        self._forks, self._server = forks, ("ready", way.partition("-")[0])
        forks.prepare(self._server)  # how long a push takes does not count this
        self._runs = 0

    @property
    def traffic(self) -> Traffic:
        """The requests that the stand-in has seen."""
        return self.ground.cloud.traffic

    def close(self) -> None:
        """End the stand-in."""
        self.ground.cloud.stop()

    def whole(self, *, testing: bool = False) -> Whole:
        """Return what is to be known of a push that nobody kills; one that is TESTING boots its image."""
        self._fresh()
        self.traffic.clear()
        started = time.monotonic()
        self._push(Executioner(Moment(number=-1)), testing=testing)
        seconds = time.monotonic() - started
        return Whole(tuple(self.traffic.operations()), self.traffic.received(*self.ground.data), seconds)

    def kill(self, moment: Moment) -> Outcome:
        """Push in an empty cloud, kill that at MOMENT, push again and look at the outcome."""
        self._fresh()
        self.traffic.clear()
        executioner = Executioner(moment, self.ground.data)
        status = self._push(executioner)
        self._quiet()
        first = self.traffic.received(*self.ground.data)
        answered = executioner.answered
        kept = sum(answered[: max(0, len(answered) - self.ground.unknown)])
        self.traffic.clear()
        again = self._push(Executioner(Moment(number=-1)))
        second = self.traffic.received(*self.ground.data)
        killed = status == -signal.SIGKILL
        wrong = (
            list(self.ground.wrong(self.disk))
            if again == 0
            else [f"the second run ended with {again}: {self._last_words()}"]
        )
        if not killed and executioner.reached:
            wrong.append(f"nothing was killed: the run ended with {status}")
        return Outcome(moment, executioner.operation, killed, first, kept, second, tuple(wrong))

    def _quiet(self) -> None:
        """Wait until the stand-in has served what a killed push left in the sockets: that is not of the next one."""
        while self.traffic.idle() < QUIET:
            time.sleep(QUIET / 4)

    def collect(self, moment: Moment, *, testing: bool = False) -> Collected:
        """Push in an empty cloud, kill that at MOMENT, and look what is left when `lkcloud gc` has been there.

        If it is TESTING, the push boots its image.
        """
        self._fresh()
        self.traffic.clear()
        executioner = Executioner(moment)
        status = self._push(executioner, testing=testing)
        self._quiet()
        before = len(list(self.ground.left()))
        ended = self._run(["gc", *self.ground.place(), "--older-than", "0s", "--yes"], Executioner(Moment(number=-1)))
        wrong = [*([f"gc ended with {ended}: {self._last_words()}"] if ended else []), *self.ground.left()]
        if status != -signal.SIGKILL and executioner.reached:
            wrong.append(f"nothing was killed: the run ended with {status}")
        return Collected(moment, executioner.operation, status == -signal.SIGKILL, before, tuple(wrong))

    def _push(self, executioner: Executioner, *, testing: bool = False) -> int:
        test = ["--test", "--expect", NAME] if testing else []
        arguments = [*self.ground.arguments(self.disk), "--name", NAME, "--workers", str(WORKERS), *test]
        return self._run(["push", *arguments], executioner)

    def _run(self, arguments: list[str], executioner: Executioner) -> int:
        self._runs += 1
        environment = {**os.environ, **self.ground.cloud.environment(), "LKCLOUD_STATE_DIR": str(self._state)}
        log = self.folder / f"run-{self._runs}"
        self.traffic.hooks.append(executioner)
        try:
            executioner.aim(self._forks.start(self._server, arguments, environment, self.folder, log))
            if executioner.moment.seconds:
                timer = threading.Timer(executioner.moment.seconds, executioner.kill, ["(a moment in time)"])
                timer.start()
            status = self._forks.wait(self._server)
            if executioner.moment.seconds:
                timer.cancel()
                timer.join()
            return status
        finally:
            self.traffic.hooks.remove(executioner)
            executioner.lower()

    def _fresh(self) -> None:
        """Empty the cloud, and begin a new journal."""
        self.ground.cloud.reset()
        self.ground.prepare()
        self._state = self.folder / f"state-{self._runs}"

    def _last_words(self) -> str:
        return (self.folder / f"run-{self._runs}.err").read_text()[-300:]


@contextmanager
def scene(forks: Forks, way: str, *, blocks: int) -> Iterator[Scene]:
    """Open a scene in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        opened = Scene(Path(folder), way, blocks=blocks, forks=forks)
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def own_cache() -> Iterator[None]:
    """Let what is started from here on use a cache folder of its own."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["LKCLOUD_CACHE_DIR"] = cache
        yield


def moments(whole: Whole, *, boundaries: bool, phases: tuple[Phase, ...], times: int, seed: int) -> Iterator[Moment]:
    """Yield every boundary of a push, in PHASES, and TIMES random moments of it."""
    if boundaries:
        for number in range(1, len(whole.operations) + 1):
            yield from (Moment(number=number, phase=phase) for phase in phases)
    source = random.Random(seed)
    yield from (Moment(seconds=source.uniform(0.01, whole.seconds)) for _ in range(times))


def turning_points(requests: Sequence[str]) -> Iterator[int]:
    """Yield the numbers of the REQUESTS of a push after which the cloud, or what the push knows of it, is another.

    Of a request that comes many times in a row, the first and the last; of looks one after the other, the first.
    """
    for number, operation in enumerate(requests):
        before, after = requests[number - 1] if number else "", requests[number + 1 : number + 2]
        looking = _LOOK.fullmatch(operation) and _LOOK.fullmatch(before)
        if not looking and [before, *after] != [operation, operation]:
            yield number + 1


def main() -> int:
    """Kill as the arguments say; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=list(GROUNDS), default="aws-ebs")
    parser.add_argument("--blocks", type=int, help="blocks of 512 KiB with data")
    parser.add_argument("--boundaries", action="store_true", help="kill before and after every request")
    parser.add_argument("--random", type=int, default=20, metavar="N", help="kill at N random moments")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    wrong = killed = every = 0
    blocks = arguments.blocks or GROUNDS[arguments.way].blocks
    with own_cache(), starting() as forks, scene(forks, arguments.way, blocks=blocks) as opened:
        whole = opened.whole()
        print(f"{arguments.way}, seed {arguments.seed}, from scratch:{mib(whole.sent)} MiB\n{HEAD}")
        for moment in moments(
            whole,
            boundaries=arguments.boundaries,
            phases=("before", "after"),
            times=arguments.random,
            seed=arguments.seed,
        ):
            outcome = opened.kill(moment)
            every += 1
            killed += outcome.killed
            wrong += bool(outcome.wrong)
            print(outcome.line(), flush=True)
    print(f"{killed} killed of {every}, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
