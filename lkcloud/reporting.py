# SPDX-License-Identifier: Apache-2.0
"""What a run tells while it goes on: stages, progress, notes and console lines. Who shows them is not known here."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Meter(Protocol):
    """The progress of one stage."""

    def expect(self, total: int, done: int = 0) -> None:
        """Set the whole of the work in bytes, and what an earlier run has done of it."""
        ...

    def advance(self, amount: int) -> None:
        """Add AMOUNT bytes of work done; called from any thread."""
        ...

    def status(self, text: str) -> None:
        """Show the cloud's own word on the work, such as `converting, 40%`."""
        ...


class Reporter(Protocol):
    """Shows a run to somebody."""

    def stage(self, title: str) -> AbstractContextManager[Meter]:
        """Announce a stage, for as long as the context lasts."""
        ...

    def note(self, text: str) -> None:
        """Tell something worth knowing."""
        ...

    def warn(self, text: str) -> None:
        """Tell something that may need care."""
        ...

    def console(self, text: str) -> None:
        """Pass on one line that a test machine wrote to its serial console."""
        ...


class Tally:
    """Counts the bytes that a run has sent of a disk, as they travel: compressed where they are, all attempts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = 0

    @property
    def sent(self) -> int:
        """The bytes up to now."""
        return self._sent

    def add(self, amount: int) -> None:
        """Add AMOUNT bytes that are sent; called from any thread."""
        with self._lock:
            self._sent += amount


class _SilentMeter:
    def expect(self, total: int, done: int = 0) -> None:
        del total, done

    def advance(self, amount: int) -> None:
        del amount

    def status(self, text: str) -> None:
        del text


class Silent:
    """A reporter that says nothing: the default of the library."""

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        """Announce nothing."""
        del title
        yield _SilentMeter()

    def note(self, text: str) -> None:
        """Say nothing."""
        del text

    def warn(self, text: str) -> None:
        """Say nothing."""
        del text

    def console(self, text: str) -> None:
        """Say nothing."""
        del text
