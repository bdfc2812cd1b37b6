# SPDX-License-Identifier: Apache-2.0
"""Starting, finding and ending sandboxes."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lkcloud.errors import LkcloudError, NotFound, Unreachable
from lkcloud.polling import poll
from lkcloud.reporting import Reporter, Silent
from lkcloud.sandbox.daemon import TAKEN, idle_limit
from lkcloud.sandbox.place import Place, Record, Sight, place_of, places
from lkcloud.sandbox.standin import stand_in

START_LIMIT = 60.0
"""Seconds that a sandbox gets to answer."""

END_LIMIT = 15.0
"""Seconds that a sandbox gets to stop its machines and remove its data before it is killed."""

RESET_LIMIT = 60.0
"""Seconds that a sandbox gets to empty itself."""

_QUICK = 0.02
"""Seconds between the first looks."""


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox that answers. ENVIRONMENT leads a client to it."""

    cloud: str
    pid: int
    started: datetime
    environment: tuple[tuple[str, str], ...]
    home: Path


def up(cloud: str, *, reporter: Reporter | None = None) -> Running:
    """Return the sandbox of CLOUD that runs, or start one in the background and return it when it answers.

    Raises UsageError if no installed package has a stand-in for CLOUD, LkcloudError if it does not start.
    """
    stand_in(cloud)
    idle_limit()
    place = place_of(cloud)
    found = _ready(place, place.use())
    if found:
        return found
    with (reporter or Silent()).stage(f"starting the sandbox of {cloud}"):
        return poll(
            _starter(place),
            what=f"the start of the sandbox of {cloud}",
            every=_QUICK,
            limit=START_LIMIT,
            hint=f"read {place.log}",
        )


def find(cloud: str) -> Running | None:
    """Return the sandbox of CLOUD if it runs."""
    return next((sandbox for sandbox in running() if sandbox.cloud == cloud), None)


def running() -> list[Running]:
    """Return the sandboxes that run, sorted by cloud."""
    found = [_ready(place, place.look()) for place in places()]
    return [sandbox for sandbox in found if sandbox]


def down(cloud: str | None = None, *, limit: float = END_LIMIT) -> list[str]:
    """End the sandbox of CLOUD, or all, and remove their data. Return the clouds whose sandbox ran.

    One that has not ended by itself after LIMIT seconds is killed.
    """
    return [place.cloud for place in places() if cloud in {None, place.cloud} and _end(place, limit)]


def reset(cloud: str) -> None:
    """Empty the sandbox of CLOUD; its address stays. Raises NotFound if none runs, LkcloudError if it fails."""
    if find(cloud) is None:
        raise _none_runs(cloud)
    place = place_of(cloud)
    with place.alone("reset"):
        before = place.signal(signal.SIGHUP)
        if before is None:
            raise _none_runs(cloud)
        after = poll(
            lambda: _another(place, before.resets),
            what=f"the reset of the sandbox of {cloud}",
            every=_QUICK,
            limit=RESET_LIMIT,
            hint=f"lkcloud sandbox down {cloud}",
        )
    if after.problem:
        raise LkcloudError(after.problem, hint=after.hint)


def _none_runs(cloud: str) -> NotFound:
    return NotFound(f"no sandbox of {cloud} runs", hint=f"lkcloud sandbox up {cloud}")


def _ready(place: Place, sight: Sight) -> Running | None:
    record = sight.record
    if not sight.held or record is None or record.stage != "ready":
        return None
    return Running(place.cloud, record.pid, record.started, record.environment, place.home)


def _starter(place: Place) -> Callable[[], Running | None]:
    """Return a look that starts the sandbox where none runs, and then waits for it."""
    started = False

    def look() -> Running | None:
        nonlocal started
        sight = place.use()
        if started and sight.record and sight.record.stage == "failed":
            raise LkcloudError(sight.record.problem, hint=sight.record.hint)
        if not sight.held:
            if started:
                raise _died(place)
            # Not if another daemon has the place: one that starts too, or one that is about to end.
            started = _spawn(place)
        return _ready(place, sight)

    return look


def _spawn(place: Place) -> bool:
    """Start a daemon and return whether it got the place."""
    with place.log.open("ab") as log:
        # -P: a file in the current folder must not be taken for a module of the same name.
        launch = subprocess.run(
            [sys.executable, "-P", "-m", "lkcloud.sandbox.daemon", place.cloud],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        )
    if launch.returncode not in {0, TAKEN}:
        raise _died(place)
    return launch.returncode == 0


def _died(place: Place) -> LkcloudError:
    lines = place.log.read_text(errors="replace").strip().splitlines()
    last = " | ".join(lines[-3:]) or "it left no word"
    return LkcloudError(f"the sandbox of {place.cloud} ended while it started: {last}", hint=f"read {place.log}")


def _another(place: Place, resets: int) -> Record | None:
    sight = place.look()
    if not sight.held:
        raise _none_runs(place.cloud)
    return sight.record if sight.record and sight.record.resets > resets else None


def _end(place: Place, limit: float) -> bool:
    """End the sandbox at PLACE and remove what is left of it. Return whether one ran."""
    ran = place.look().held
    what, hint = f"the end of the sandbox of {place.cloud}", f"read {place.log}"
    try:
        poll(_ender(place, signal.SIGTERM), what=what, every=_QUICK, limit=limit, hint=hint)
    except Unreachable:
        poll(_ender(place, signal.SIGKILL), what=what, every=_QUICK, limit=limit, hint=hint)
    place.clear()
    return ran


def _ender(place: Place, number: signal.Signals) -> Callable[[], bool | None]:
    """Return a look that sends the signal as soon as there is a process to send it to, and then waits for its end."""
    sent = False

    def look() -> bool | None:
        nonlocal sent
        sent = sent or place.signal(number) is not None
        return None if place.look().held else True

    return look
