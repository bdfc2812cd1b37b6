# SPDX-License-Identifier: Apache-2.0
"""A release on stderr: one live line for each job on a terminal, plain lines elsewhere; and its events as JSON."""

import json
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from lkcloud.cli.terminal import size
from lkcloud.release.events import (
    EVENTS_VERSION,
    Event,
    PhaseEnded,
    Said,
    StageBegan,
    StageEnded,
    StageMoved,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


class Display(Protocol):
    """Takes the events of a release, from any thread, until it is closed."""

    def __call__(self, event: Event) -> None:
        """Take EVENT."""
        ...

    def close(self) -> None:
        """Show the last state, and nothing more."""
        ...


def display(*, quiet: bool, stream: TextIO | None = None) -> Display:
    """Return the display that suits STREAM, which is stderr if not given."""
    shown = stream or sys.stderr
    if quiet:
        return Nothing()
    return Table(shown) if shown.isatty() else Plain(shown)


class Nothing:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        """Take EVENT."""
        del event

    def close(self) -> None:
        """Do nothing."""


class Plain:
    """One line for each stage that ends and each word worth reading: for CI logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._statuses: dict[tuple[str, str, str], str] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Print EVENT if it is worth a line."""
        with self._lock:
            if isinstance(event, StageMoved):
                key = (event.target, event.image, event.stage)
                if not event.status or self._statuses.get(key) == event.status:
                    return
                self._statuses[key] = event.status
            line = _line(event)
            if line:
                print(f"{event.label}: {line}", file=self._stream, flush=True)

    def close(self) -> None:
        """Do nothing: every line is out."""


def _line(event: Event) -> str:
    """Return EVENT as a line of a log, "" if it is not worth one."""
    if isinstance(event, StageMoved):
        return f"{event.stage}: {event.status}"
    if isinstance(event, StageEnded):
        return f"{event.stage}: {_summary(event)}"
    if isinstance(event, Said):
        return {"note": "", "warning": "warning: ", "console": "| "}[event.kind] + event.text
    return _ending(event) if isinstance(event, PhaseEnded) else ""


def _summary(event: StageEnded) -> str:
    if event.failed:
        return f"failed after {event.seconds:.1f} s"
    if not event.bytes and not event.kept:
        return f"{event.seconds:.1f} s"
    kept = f", {size(event.kept)} were there" if event.kept else ""
    return f"{size(event.bytes)} in {event.seconds:.1f} s ({size(event.bytes / max(event.seconds, 0.001))}/s){kept}"


_ENDINGS = {
    ("make", "made"): "made {id}",
    ("make", "there"): "is there already as {id}",
    ("share", "done"): "",
    ("promote", "done"): "done: {id}",
}


def _ending(event: PhaseEnded) -> str:
    if event.outcome == "failed":
        return f"error: {event.error} (hint: {event.hint})"
    if event.outcome == "held":
        return f"{event.id} is there and not {_PAST[event.phase]}: it {event.error}"
    return _ENDINGS.get((event.phase, event.outcome), "").format(id=event.id)


_PAST = {"make": "made", "share": "shared", "promote": "promoted"}


@dataclass(slots=True)
class _Row:
    stage: str = "waiting"
    done: int = 0
    total: int = 0
    status: str = ""
    ending: str = ""
    failed: bool = False


class Table:
    """A live line for each job: its stage, how far that is, and what the cloud says of it."""

    def __init__(self, stream: TextIO) -> None:
        self._rows: dict[str, _Row] = {}
        self._lock = threading.Lock()
        self._live = self._started(stream)

    def __call__(self, event: Event) -> None:
        """Show EVENT in the line of its job; warnings and console lines go above the table."""
        label = event.label
        with self._lock:
            row = self._rows.setdefault(label, _Row())
            if isinstance(event, StageBegan):
                row.stage, row.done, row.total, row.status = event.stage, 0, 0, ""
            elif isinstance(event, StageMoved):
                row.stage, row.done, row.total, row.status = event.stage, event.done, event.total, event.status
            elif isinstance(event, PhaseEnded):
                row.stage, row.status = event.phase, ""
                row.ending, row.failed = _ending(event) or row.ending, event.outcome == "failed"
            elif isinstance(event, StageEnded) and not event.target:
                del self._rows[label]  # a disk is ready; its images have lines of their own
        if isinstance(event, Said) and event.kind != "note":
            self._above(f"{label}: {_line(event)}")

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._live.refresh()
        self._live.stop()

    def _above(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def _started(self, stream: TextIO) -> "Live":
        # rich takes 60 ms to import, so only a run on a terminal does.
        from rich.console import Console
        from rich.live import Live

        live = Live(
            console=Console(file=stream), get_renderable=self._render, refresh_per_second=8, redirect_stdout=False
        )
        live.start()
        return live

    def _render(self) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table as Grid
        from rich.text import Text

        grid = Grid.grid(padding=(0, 2))
        with self._lock:
            for label, row in sorted(self._rows.items()):
                counted = row.total > 0 and not row.ending
                grid.add_row(
                    Text(label),
                    Text("" if row.ending else row.stage),
                    ProgressBar(total=row.total, completed=row.done, width=20) if counted else Text(),
                    Text(row.ending or row.status, style="red" if row.failed else ""),
                )
        return grid


class JsonLines:
    """Every event as a line of JSON, the first of which says the version of their form."""

    def __init__(self, stream: TextIO) -> None:
        from importlib.metadata import version

        self._stream = stream
        self._lock = threading.Lock()
        self._write({"type": "version", "lkcloud": version("lkcloud"), "events": EVENTS_VERSION})

    def __call__(self, event: Event) -> None:
        """Write EVENT."""
        self._write(event.document())

    def close(self) -> None:
        """Do nothing: every line is out."""

    def _write(self, document: object) -> None:
        with self._lock:
            print(json.dumps(document), file=self._stream, flush=True)
