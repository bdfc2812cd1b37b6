# SPDX-License-Identifier: Apache-2.0
"""The process that a sandbox lives in: `python -m lkcloud.sandbox.daemon CLOUD` goes to the background by itself.

SIGTERM ends it and SIGHUP empties it; it ends by itself when nobody has used it for LKCLOUD_SANDBOX_IDLE seconds.
"""

import math
import os
import select
import signal
import sys
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lkcloud.errors import LkcloudError, UsageError
from lkcloud.sandbox.place import Place, Record, place_of
from lkcloud.sandbox.standin import StandIn, stand_in

TAKEN = 75
"""Exit status if another daemon holds the place: EX_TEMPFAIL of <sysexits.h>."""

_TICK = 5.0
"""Seconds between two looks at the clock."""


def idle_limit() -> float:
    """Return the seconds without use after which a sandbox ends. Raises UsageError if LKCLOUD_SANDBOX_IDLE is none."""
    text = os.environ.get("LKCLOUD_SANDBOX_IDLE") or "3600"
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not limit > 0:
        raise UsageError(f"LKCLOUD_SANDBOX_IDLE is {text!r}", hint="set it to a number of seconds, or unset it")
    return limit


def main(cloud: str) -> int:
    """Go to the background and be the sandbox of CLOUD. The first process returns as soon as the place is taken."""
    place = place_of(cloud)
    lock = place.claim()
    if lock is None:
        return TAKEN
    if os.fork():
        # The caller need not wait for a child of its own, and no zombie is left of the daemon.
        os._exit(0)
    os.ftruncate(sys.stderr.fileno(), 0)
    os.chdir("/")
    os.umask(0o077)
    try:
        Daemon(place, idle_limit()).run()
    except Exception:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        # A thread of the stand-in that hangs must not keep the process, and with it the place.
        os._exit(0)


def _pipe_of_signals() -> int:
    """Return the end of a pipe from which each signal is read as a byte, its number.

    A handler in Python runs too late if the signal comes just before the thread goes to sleep.
    """
    arrivals, departures = os.pipe()
    os.set_blocking(departures, False)
    signal.set_wakeup_fd(departures)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Any handler will do: with none there would be no byte, and the process would end.
        signal.signal(number, lambda *_: None)
    return arrivals


@dataclass
class Daemon:
    """Runs one stand-in at PLACE, until a signal or LIMIT seconds without use."""

    place: Place
    limit: float
    _signals: int = field(default_factory=_pipe_of_signals)

    def run(self) -> None:
        """Start, serve, and clear up."""
        record = Record(pid=os.getpid(), started=datetime.now(UTC))
        self.place.write(record)
        # What a daemon left that was killed.
        self.place.remove_bytes()
        self.place.data.mkdir()
        self.place.scratch.mkdir()
        os.environ["TMPDIR"] = str(self.place.scratch)
        running: StandIn | None = None
        try:
            running = self._load()
            running.start()
            record = record.model_copy(update={"stage": "ready", "environment": tuple(running.environment().items())})
            self.place.write(record)
            self._serve(running, record)
        except Exception as problem:
            # This is the last place that can tell it, whatever a stand-in raises.
            traceback.print_exc()
            self.place.write(record.model_copy(update={"stage": "failed", **self._explained(problem)}))
        finally:
            self._end(running)

    def _load(self) -> StandIn:
        kind = stand_in(self.place.cloud).load()
        made: StandIn = kind(self.place.data)
        return made

    def _serve(self, running: StandIn, record: Record) -> None:
        tick = min(_TICK, self.limit / 4)
        while True:
            ready, _, _ = select.select([self._signals], [], [], tick)
            came = os.read(self._signals, 64) if ready else b""
            if signal.SIGTERM in came:
                self.place.retire(record, 0)
                return
            if signal.SIGHUP in came:
                record = self._reset(running, record)
            elif running.idle() >= self.limit and self.place.retire(record, self.limit):
                return

    def _reset(self, running: StandIn, record: Record) -> Record:
        outcome = {"problem": "", "hint": ""}
        try:
            running.reset()
        except Exception as problem:
            # Whoever asked is told; the sandbox itself goes on.
            traceback.print_exc()
            outcome = self._explained(problem)
        record = record.model_copy(update={"resets": record.resets + 1, **outcome})
        self.place.write(record)
        return record

    def _explained(self, problem: Exception) -> dict[str, str]:
        """Return the fields of a record that tell of PROBLEM."""
        cloud = self.place.cloud
        if isinstance(problem, LkcloudError):
            return {"problem": problem.message, "hint": problem.hint}
        if isinstance(problem, ModuleNotFoundError):
            package = stand_in(cloud).dist
            name = package.name if package else "lkcloud"
            return {
                "problem": f"the sandbox of {cloud} needs {problem.name}, which is not installed",
                "hint": f"pip install '{name}[sandbox]'",
            }
        return {
            "problem": f"the sandbox of {cloud} failed: {type(problem).__name__}: {problem}",
            "hint": f"read {self.place.log}",
        }

    def _end(self, running: StandIn | None) -> None:
        try:
            if running is not None:
                running.stop()
        finally:
            self.place.remove_bytes()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
