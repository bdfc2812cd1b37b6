# SPDX-License-Identifier: Apache-2.0
"""A release on a terminal: a live line for each job, and above them what is worth keeping."""

import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from lkcloud.cli.release_progress import lines, plain
from lkcloud.cli.terminal import size
from lkcloud.release.events import Event, PhaseEnded, Said, StageBegan, StageEnded, StageMoved

State = Literal["waiting", "working", "ready", "held", "stopped", "failed", "done"]

_STYLES: dict[State, str] = {
    "waiting": "dim",
    "working": "",
    "ready": "green",
    "held": "yellow",
    "stopped": "yellow",
    "failed": "bold red",
    "done": "green",
}
_MOST_URGENT: tuple[State, ...] = ("failed", "stopped", "held", "working", "waiting", "ready", "done")
"""Which lines stay where there is no room for all."""

_REFRESHES = 5
"""A second: what moves faster than that nobody reads."""

_LONG_ID = re.compile(r"\S{20,}(?=/)")
"""Of the id of a resource all but its last part, which is enough in a line of its own."""

_BAR = 20
"""Characters of a bar."""


@dataclass(slots=True)
class _Row:
    """A job; DETAIL is the cloud's word, the id of an image or an error, CROPPED at its beginning if it is too long."""

    label: str
    state: State = "waiting"
    stage: str = ""
    since: float = field(default_factory=time.monotonic)
    done: int = 0
    total: int = 0
    detail: str = ""
    cropped: bool = False

    @property
    def word(self) -> str:
        """What is going on, or how it stands."""
        return self.stage if self.state == "working" else self.state

    def take(self, event: Event) -> None:
        """Note EVENT."""
        if isinstance(event, StageBegan):
            self._work(event.stage)
        elif isinstance(event, StageMoved):
            if (self.state, self.stage) != ("working", event.stage):  # an inner stage has ended, and this one goes on
                self._work(event.stage)
            self.done, self.total, self.detail = event.done, event.total, plain(event.status)
        elif isinstance(event, PhaseEnded):
            self._end(event)

    def stop(self) -> None:
        """Note that nothing more will be done, and what is not done by now is not."""
        if self.state == "working":
            self.state, self.total, self.detail = "stopped", 0, f"in {self.stage}"

    def _work(self, stage: str) -> None:
        self.state, self.stage, self.since = "working", stage, time.monotonic()
        self.done, self.total, self.detail, self.cropped = 0, 0, "", False

    def _end(self, event: PhaseEnded) -> None:
        self.total, self.cropped, self.detail = 0, True, event.id
        if event.outcome == "failed":
            self.state, self.cropped, self.detail = "failed", False, _LONG_ID.sub("...", plain(event.error))
        elif event.outcome == "held":
            self.state = "held"
        else:
            self.state = "done" if event.phase == "promote" else "ready"


class _Screen:
    """STREAM, as long as somebody has it open: a terminal that was closed must not keep jobs from cleaning up."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class Table:
    """A live line for each job: its stage, how far that is, and what the cloud says of it.

    Above them goes what is worth keeping: notes, warnings, errors, and what test machines write to their consoles.
    """

    def __init__(self, stream: TextIO, *, passing: bool = False) -> None:
        self._rows: dict[str, _Row] = {}
        self._lock = Lock()
        self._closing = False
        self._console = Console(file=cast("TextIO", _Screen(stream)), highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=_REFRESHES,
            redirect_stdout=False,
            transient=passing,
        )
        self._live.start()

    def __call__(self, event: Event) -> None:
        """Show EVENT."""
        with self._lock:
            row = self._rows.setdefault(event.label, _Row(event.label))
            row.take(event)
            if not event.target and isinstance(event, StageEnded):
                del self._rows[event.label]  # the disk was looked at, and now its jobs are what counts
            width = max(map(len, self._rows), default=0)
        if isinstance(event, Said) and event.kind == "console":
            self._above(Text(f"{event.label:{width}} | ", "dim") + Text(plain(event.text)))
        elif isinstance(event, Said) or (isinstance(event, PhaseEnded) and event.outcome == "failed"):
            style = "" if isinstance(event, Said) and event.kind == "note" else "yellow"
            for line in lines(event):
                self._above(Text(f"{event.label}: {line}", "bold red" if line.startswith("error: ") else style))

    def say(self, text: str) -> None:
        """Print TEXT above the lines."""
        self._above(Text(text, "yellow"))

    def close(self) -> None:
        """Leave the last state of all jobs on the screen."""
        with self._lock:
            self._closing = True
            for row in self._rows.values():
                row.stop()
        self._live.stop()

    def _above(self, text: Text) -> None:
        # A long line is broken by the terminal alone, so that it can be copied whole.
        self._console.print(text, soft_wrap=True)

    def _render(self) -> RenderableType:
        console = self._console
        with self._lock:
            rows = list(self._rows.values())
            shown = rows if self._closing else _most_urgent(rows, max(console.height - 3, 1))
            columns = _Columns.of(shown, console)
            found = [columns.line(row) for row in shown]
        if len(shown) < len(rows):
            labels = {row.label for row in shown}
            found.append(_rest([row for row in rows if row.label not in labels]))
        return Group(*found)


def _most_urgent(rows: list[_Row], room: int) -> list[_Row]:
    """Return as many of ROWS as there is ROOM for, in their order."""
    urgent = {row.label for row in sorted(rows, key=lambda row: _MOST_URGENT.index(row.state))[:room]}
    return [row for row in rows if row.label in urgent]


def _rest(rows: list[_Row]) -> Text:
    counts = Counter(row.state for row in rows)
    return _one_line(Text(f"and {len(rows)} more: " + ", ".join(f"{counts[one]} {one}" for one in counts), "dim"))


@dataclass(frozen=True, slots=True)
class _Columns:
    """How wide the parts of a line are, in characters, where one has WIDTH of them."""

    label: int
    word: int
    width: int
    ascii: bool

    @classmethod
    def of(cls, rows: list[_Row], console: Console) -> "_Columns":
        return cls(
            label=max((len(row.label) for row in rows), default=0),
            word=max((len(row.word) for row in rows), default=0),
            width=console.width,
            ascii=console.options.ascii_only,
        )

    def line(self, row: _Row) -> Text:
        """Return the line of ROW, which is never wider than the terminal."""
        seconds = int(time.monotonic() - row.since) if row.state == "working" else -1
        text = Text(f"{row.label:{self.label}}  ")
        text.append(f"{row.word:{self.word}}  ", _STYLES[row.state])
        text.append(f"{seconds // 60:>3}:{seconds % 60:02}  " if seconds >= 0 else " " * 8, "dim")
        if row.total:
            text.append(f"{self._bar(row.done / row.total)}  {row.done / row.total:4.0%} of {size(row.total)}  ")
        text.append(self._cropped(row, self.width - text.cell_len), _STYLES[row.state])
        return _one_line(text)

    def _bar(self, part: float) -> str:
        filled = min(int(part * _BAR), _BAR)
        return ("#" if self.ascii else "━") * filled + ("-" if self.ascii else "─") * (_BAR - filled)

    def _cropped(self, row: _Row, room: int) -> str:
        """Return the detail of ROW; of a long id the end tells it from others."""
        if not row.cropped or len(row.detail) <= room or room < 4:
            return row.detail
        return "..." + row.detail[3 - room :]


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
