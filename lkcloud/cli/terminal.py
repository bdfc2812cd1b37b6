# SPDX-License-Identifier: Apache-2.0
"""A run on stderr: live bars on a terminal, one plain line a stage elsewhere."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lkcloud.reporting import Meter, Reporter, Silent

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID


def reporter(*, quiet: bool) -> Reporter:
    """Return the reporter that suits stderr."""
    if quiet:
        return Silent()
    return Bars() if sys.stderr.isatty() else Lines()


def size(amount: float) -> str:
    """Return bytes for people: 615.0 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


class _Count:
    """The work of a stage, as a plain line tells it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.total = self.before = self.done = 0

    def expect(self, total: int, done: int = 0) -> None:
        self.total, self.before, self.done = total, done, done

    def advance(self, amount: int) -> None:
        with self._lock:
            self.done += amount

    def summary(self, seconds: float) -> str:
        if not self.total:
            return f"{seconds:.1f} s"
        fresh = self.done - self.before
        kept = f", {size(self.before)} were there" if self.before else ""
        return f"{size(fresh)} in {seconds:.1f} s ({size(fresh / max(seconds, 0.001))}/s){kept}"


class Lines:
    """One line when a stage ends, and one for each new word of the cloud: for CI logs."""

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        """Print TITLE with what it did and how long it took, or that it failed."""
        meter, started = _LineMeter(title), time.monotonic()
        try:
            yield meter
        except BaseException:
            _say(f"{title}: failed after {time.monotonic() - started:.1f} s")
            raise
        _say(f"{title}: {meter.summary(time.monotonic() - started)}")

    def note(self, text: str) -> None:
        """Print TEXT."""
        _say(text)

    def warn(self, text: str) -> None:
        """Print TEXT as a warning."""
        _say(f"warning: {text}")

    def console(self, text: str) -> None:
        """Print a console line, marked so that it is not taken for ours."""
        _say(f"| {text}")


class _LineMeter(_Count):
    def __init__(self, title: str) -> None:
        super().__init__()
        self._title, self._status = title, ""

    def status(self, text: str) -> None:
        if text != self._status:
            self._status = text
            _say(f"{self._title}: {text}")


class Bars:
    """Live progress bars by rich: one display for the run, and a bar in it for each stage that is open."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        """Show a bar for TITLE, and leave one line behind."""
        outermost = self._progress is None
        self._progress = progress = self._progress or _progress()
        progress.start()
        started = time.monotonic()
        meter = _BarMeter(progress, progress.add_task(title, total=None, status=""))
        try:
            yield meter
        except BaseException:
            line = f"{title}: failed after {time.monotonic() - started:.1f} s"
            raise
        else:
            line = f"{title}: {meter.summary(time.monotonic() - started)}"
        finally:
            meter.hide()
            if outermost:
                self._progress = None
                progress.stop()
            self._print(line)

    def note(self, text: str) -> None:
        """Print TEXT above the bar."""
        self._print(text)

    def warn(self, text: str) -> None:
        """Print TEXT as a warning above the bar."""
        self._print(f"warning: {text}")

    def console(self, text: str) -> None:
        """Print a console line above the bar."""
        self._print(f"| {text}")

    def _print(self, text: str) -> None:
        if self._progress:
            # A console line is shown as it is: no markup, no emoji, and broken by the terminal alone.
            self._progress.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
        else:
            _say(text)


def _progress() -> "Progress":
    # rich takes 60 ms to import, so only a run that shows bars does.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.text import Text

    class Counted(ProgressColumn):
        """A column that only a stage has whose work is counted in bytes."""

        def __init__(self, column: ProgressColumn) -> None:
            super().__init__()
            self._column = column

        def render(self, task: Task) -> "RenderableType":
            """Return the column, or nothing for a stage that waits for the cloud."""
            return Text() if task.total is None else self._column.render(task)

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        Counted(DownloadColumn(binary_units=True)),
        Counted(TransferSpeedColumn()),
        Counted(TimeRemainingColumn()),
        TextColumn("{task.fields[status]}", markup=False),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)


class _BarMeter(_Count):
    def __init__(self, progress: "Progress", task: "TaskID") -> None:
        super().__init__()
        self._progress, self._task = progress, task

    def expect(self, total: int, done: int = 0) -> None:
        super().expect(total, done)
        self._progress.update(self._task, total=total, completed=done)

    def advance(self, amount: int) -> None:
        super().advance(amount)
        self._progress.advance(self._task, amount)

    def status(self, text: str) -> None:
        self._progress.update(self._task, status=text)

    def hide(self) -> None:
        """Take the bar away; a worker that is late may still advance it."""
        self._progress.update(self._task, visible=False)


def _say(text: str) -> None:
    # A terminal that was closed takes no words, and must not keep a run from cleaning up behind itself.
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201
