# SPDX-License-Identifier: Apache-2.0
"""The folder of one sandbox: who holds it, what it says of itself, and its bytes.

    sandbox/aws/lock     held by the daemon for its life: what tells a sandbox that runs from the rest of one that died
    sandbox/aws/door     held by whoever looks or changes something, for a moment
    sandbox/aws/state.json, log, data/, tmp/

A process id in a file would not do: after a kill -9 or a reboot it may be another process's.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lkcloud.paths import state_dir


class Record(BaseModel):
    """What a daemon says of itself."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: datetime
    stage: Literal["starting", "ready", "ending", "failed"] = "starting"
    environment: tuple[tuple[str, str], ...] = ()
    resets: int = 0
    """How many resets have been done, or have failed."""
    problem: str = ""
    """Why the start or the last reset failed."""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look found: whether a daemon holds the place, and the record, of that daemon or of one that died."""

    held: bool
    record: Record | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the sandbox of one cloud is."""

    cloud: str
    home: Path

    @property
    def data(self) -> Path:
        """The folder with the bytes of the stand-in."""
        return self.home / "data"

    @property
    def scratch(self) -> Path:
        """The folder of temporary files."""
        return self.home / "tmp"

    @property
    def log(self) -> Path:
        """What the daemon printed."""
        return self.home / "log"

    @property
    def _record_file(self) -> Path:
        return self.home / "state.json"

    @contextmanager
    def alone(self, name: Literal["door", "reset"] = "door") -> Iterator[None]:
        """Wait until nobody else is at the door, or asks for a reset, and keep others out while the context lasts."""
        with (self.home / name).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def claim(self) -> int | None:
        """Take the place for the life of this process; return the lock, or None if a daemon holds it.

        The lock is a file descriptor: children inherit it only by fork without exec.
        """
        with self.alone():
            lock = self._try()
            if lock is not None:
                self._record_file.unlink(missing_ok=True)
            return lock

    def look(self) -> Sight:
        """Return who is here; at the door, so that a record is never one that the holder has not written."""
        with self.alone():
            return self._look()

    def use(self) -> Sight:
        """Look, and if the sandbox is ready, put off its end for want of use."""
        with self.alone():
            sight = self._look()
            if sight.held and sight.record and sight.record.stage == "ready":
                os.utime(self._record_file)
            return sight

    def write(self, record: Record) -> None:
        """Replace the record; readable by the owner alone, for it may hold keys."""
        new = self.home / "state.new"
        new.touch(mode=0o600)
        new.write_text(record.model_dump_json())
        new.replace(self._record_file)

    def retire(self, record: Record, limit: float) -> bool:
        """Write that the sandbox ends, so that nobody finds it any more; not if used in the last LIMIT seconds."""
        with self.alone():
            if time.time() - self._record_file.stat().st_mtime < limit:
                return False
            self.write(record.model_copy(update={"stage": "ending"}))
            return True

    def signal(self, number: int) -> Record | None:
        """Send a signal to the daemon and return its record; None if there is no daemon, or no record of it yet."""
        with self.alone():
            sight = self._look()
            if not sight.held or sight.record is None:
                return None
            # Somebody holds the lock, and only the holder writes a record: the process id is that of a live daemon.
            with suppress(ProcessLookupError):
                os.kill(sight.record.pid, number)
            return sight.record

    def clear(self) -> None:
        """Remove the record and the bytes if nobody holds the place."""
        with self.alone():
            lock = self._try()
            if lock is not None:
                self._record_file.unlink(missing_ok=True)
                self.remove_bytes()
                os.close(lock)

    def remove_bytes(self) -> None:
        """Remove all that the stand-in kept."""
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _look(self) -> Sight:
        lock = self._try()
        if lock is not None:
            os.close(lock)
        try:
            record = Record.model_validate_json(self._record_file.read_bytes())
        except (FileNotFoundError, ValidationError):
            # Not written yet, or not wholly on the disk when the power went.
            record = None
        return Sight(held=lock is None, record=record)

    def _try(self) -> int | None:
        lock = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return lock


def place_of(cloud: str) -> Place:
    """Return the place of the sandbox of CLOUD, made if it was not there."""
    home = state_dir() / "sandbox" / cloud
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Place(cloud, home)


def places() -> list[Place]:
    """Return the places of all sandboxes that run or once ran."""
    return [Place(home.name, home) for home in sorted((state_dir() / "sandbox").glob("*/"))]
