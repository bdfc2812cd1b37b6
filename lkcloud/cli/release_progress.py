# SPDX-License-Identifier: Apache-2.0
"""A release on stderr: one live line for each job on a terminal, plain lines elsewhere; and its events as JSON."""

import contextlib
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TextIO

from lkcloud.cli.terminal import size
from lkcloud.release.events import EVENTS_VERSION, Event, PhaseEnded, Said, StageEnded, StageMoved

_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # a control sequence
    r"|\x1b[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # a control string, such as the title of a window
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)
"""What a terminal acts on (ECMA-48), except tabs; a test machine's console may hold anything."""


class Display(Protocol):
    """Takes the events of a release, from any thread, until it is closed."""

    def __call__(self, event: Event) -> None:
        """Take EVENT."""
        ...

    def say(self, text: str) -> None:
        """Tell something that is about no job alone."""
        ...

    def close(self) -> None:
        """Show the last state, and nothing more."""
        ...


def display(*, quiet: bool, passing: bool = False, stream: TextIO | None = None) -> Display:
    """Return the display that suits STREAM, which is stderr if not given.

    PASSING is for what leaves nothing behind: it is shown on a terminal alone, as long as it goes on.
    """
    shown = stream or sys.stderr
    if quiet:
        return Nothing()
    if shown.isatty() and os.environ.get("TERM") != "dumb":
        # rich takes 60 ms to import, so only a run on a terminal does.
        from lkcloud.cli.release_table import Table

        return Table(shown, passing=passing)
    return Nothing() if passing else Plain(shown)


class Nothing:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        """Take EVENT."""
        del event

    def say(self, text: str) -> None:
        """Say nothing."""
        del text

    def close(self) -> None:
        """Do nothing."""


class Plain:
    """A line for each stage that ends and each word worth reading: for CI logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._statuses: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Print EVENT if it is worth a line."""
        with self._lock:
            if isinstance(event, StageMoved):
                key = (event.label, event.stage)
                if not event.status or self._statuses.get(key) == event.status:
                    return
                self._statuses[key] = event.status
            for line in lines(event):
                self._print(f"{event.label}: {line}")

    def say(self, text: str) -> None:
        """Print TEXT."""
        with self._lock:
            self._print(text)

    def close(self) -> None:
        """Do nothing: every line is out."""

    def _print(self, line: str) -> None:
        _print(line, self._stream)


def lines(event: Event) -> Iterator[str]:
    """Yield what a log says of EVENT."""
    if isinstance(event, StageMoved):
        yield plain(f"{event.stage}: {event.status}")
    elif isinstance(event, StageEnded):
        yield f"{event.stage}: {_summary(event)}"
    elif isinstance(event, Said):
        yield {"note": "", "warning": "warning: ", "console": "| "}[event.kind] + plain(event.text)
    elif isinstance(event, PhaseEnded):
        yield from _ending(event)


def plain(text: str) -> str:
    """Return TEXT without what a terminal would act on."""
    return _CONTROL.sub("", text)


def _summary(event: StageEnded) -> str:
    if event.failed:
        return f"failed after {event.seconds:.1f} s"
    if not event.bytes and not event.kept:
        return f"{event.seconds:.1f} s"
    kept = f", {size(event.kept)} were there" if event.kept else ""
    return f"{size(event.bytes)} in {event.seconds:.1f} s ({size(event.bytes / max(event.seconds, 0.001))}/s){kept}"


def _ending(event: PhaseEnded) -> Iterator[str]:
    if event.outcome == "failed":
        yield plain(f"error: {event.error}")
        yield plain(f"hint: {event.hint}")
        if event.id:
            yield f"there is {event.id} all the same"
    elif event.outcome == "held":
        yield f"held: {event.id} {event.error}"
    elif event.phase == "make":
        yield f"ready: {event.id}"
    elif event.phase == "promote":
        yield f"done: {event.id}"


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

    def say(self, text: str) -> None:
        """Say nothing: it is no event."""
        del text

    def close(self) -> None:
        """Do nothing: every line is out."""

    def _write(self, document: object) -> None:
        with self._lock:
            _print(json.dumps(document), self._stream)


def _print(line: str, stream: TextIO) -> None:
    """Print LINE. A reader that has gone must not keep a run from going on, and from cleaning up behind itself."""
    try:
        print(line, file=stream, flush=True)
    except OSError:
        # What is left in the stream must go somewhere, or the process ends with an error:
        # https://docs.python.org/3/library/signal.html#note-on-sigpipe
        with contextlib.suppress(OSError), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
