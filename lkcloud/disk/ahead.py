# SPDX-License-Identifier: Apache-2.0
"""A disk's content found in a thread of its own, while a cloud is asked and its SDK is loaded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lkcloud.disk.content import Content
from lkcloud.disk.disk import Disk
from lkcloud.reporting import Meter


class _Stopped(Exception):
    """Nobody wants the content any more."""


class _Relay:
    """A meter whose reader comes later: what was counted before is told to it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = self._done = 0
        self._reader: Meter | None = None
        self.stopped = False

    def expect(self, total: int, done: int = 0) -> None:
        with self._lock:
            self._total, self._done = total, done
            if self._reader:
                self._reader.expect(total, done)

    def advance(self, amount: int) -> None:
        if self.stopped:
            raise _Stopped
        with self._lock:
            self._done += amount
            if self._reader:
                self._reader.advance(amount)

    def status(self, text: str) -> None:
        del text

    def attach(self, reader: Meter) -> None:
        with self._lock:
            if self._total:
                reader.expect(self._total)
                reader.advance(self._done)
            self._reader = reader


class Reading:
    """A reading that goes on."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._relay = _Relay()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._read, name="read ahead", daemon=True)
        self._thread.start()

    def content(self, meter: Meter) -> Content:
        """Wait for the content; METER shows how far the reading is. Raises what `Disk.content` raises."""
        self._relay.attach(meter)
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._disk.content()

    def stop(self) -> None:
        """End the reading, if it goes on, and wait for that."""
        self._relay.stopped = True
        self._thread.join()

    def _read(self) -> None:
        try:
            self._disk.content(self._relay)
        except _Stopped:
            pass
        except Exception as error:
            self._error = error  # it is told where the content is asked for


@contextmanager
def reading(disk: Disk) -> Iterator[Reading]:
    """Begin to read DISK; at the end of the `with` nothing reads it any more."""
    begun = Reading(disk)
    try:
        yield begun
    finally:
        begun.stop()
