# SPDX-License-Identifier: Apache-2.0
"""What a release tells while it goes on, as values that can be shown, written as JSON, or sent from another machine."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lkcloud.release.hints import in_file
from lkcloud.reporting import Meter

if TYPE_CHECKING:
    from lkcloud.release.job import Job
    from lkcloud.release.steps import Made

EVENTS_VERSION = "1.0"
"""Of the JSON form: a larger minor number means additions, which readers must ignore."""

_PACE = 0.2
"""Seconds between two events of the progress of one stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a job at TIME; TARGET and IMAGE are those of the release file.

    TARGET is "" for what is done to a disk before it goes anywhere.
    """

    type: ClassVar[str]

    target: str
    image: str
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def label(self) -> str:
        """What it happened to, in words: `aws-eu/x86`, or `x86`."""
        return f"{self.target}/{self.image}".lstrip("/")

    def document(self) -> dict[str, Any]:
        """Return it as a JSON-ready document."""
        return {"type": self.type, **asdict(self), "time": self.time.isoformat(timespec="milliseconds")}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKnown(Event):
    """A job of the release, told before the first one begins: an image called NAME is wanted on CLOUD."""

    type: ClassVar[str] = "job"

    cloud: str
    name: str
    required: bool

    @classmethod
    def of(cls, job: "Job") -> "JobKnown":
        """Return the event of JOB."""
        return cls(target=job.target, image=job.image, cloud=job.cloud, name=job.name, required=job.required)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageBegan(Event):
    """A stage, such as `upload`, has begun."""

    type: ClassVar[str] = "stage-began"

    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMoved(Event):
    """A stage has got on: DONE of TOTAL bytes (0 if it is not counted in bytes), STATUS is the cloud's own word."""

    type: ClassVar[str] = "stage-moved"

    stage: str
    done: int
    total: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEnded(Event):
    """A stage has ended after SECONDS; BYTES were done now, and KEPT by an earlier run."""

    type: ClassVar[str] = "stage-ended"

    stage: str
    seconds: float
    failed: bool
    bytes: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Event):
    """TEXT is worth knowing, may need care, or was written by a test machine to its serial console."""

    type: ClassVar[str] = "said"

    kind: Literal["note", "warning", "console"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnded(Event):
    """A job has got through a phase of the release, or not: then ERROR and HINT say why."""

    type: ClassVar[str] = "phase-ended"

    phase: Literal["make", "share", "promote"]
    outcome: Literal["made", "there", "done", "failed", "held"]
    """`there`: the image was there already; `held`: nothing was done, because of what went wrong elsewhere."""
    id: str = ""
    error: str = ""
    hint: str = ""


Listener = Callable[[Event], None]
"""What takes events; it is called from many threads."""


class Stopped(KeyboardInterrupt):
    """The release was interrupted, and this job with it; MADE is what it had made by then, None if that is nothing."""

    def __init__(self, made: "Made | None" = None) -> None:
        super().__init__()
        self.made = made


class JobReporter:
    """A `lkcloud.reporting.Reporter` that makes events of what it is told, for LISTENER.

    Once STOPPING is set, the job ends as by Ctrl-C, when next it begins a stage or tells how far one is. That is in the
    thread that made this reporter alone: workers of a transfer are ended by the transfer. Warnings about the target, if
    its CLOUD is given, name keys of the release file.
    """

    def __init__(
        self,
        target: str,
        image: str,
        listener: Listener,
        stopping: threading.Event | None = None,
        *,
        cloud: str = "",
    ) -> None:
        self._target, self._image, self._listener = target, image, listener
        self._stopping = stopping
        self._cloud = cloud
        self._thread = threading.current_thread()

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        """Tell of a stage, for as long as the context lasts."""
        self._go_on()
        self._listener(StageBegan(target=self._target, image=self._image, stage=title))
        meter, started, failed = _JobMeter(self._moved(title)), time.monotonic(), True
        try:
            yield meter
            failed = False
        finally:
            self._listener(
                StageEnded(
                    target=self._target,
                    image=self._image,
                    stage=title,
                    seconds=round(time.monotonic() - started, 3),
                    failed=failed,
                    bytes=meter.done - meter.kept,
                    kept=meter.kept,
                )
            )

    def note(self, text: str) -> None:
        """Tell something worth knowing."""
        self._say("note", text)

    def warn(self, text: str) -> None:
        """Tell something that may need care."""
        self._say("warning", in_file(text, self._cloud))

    def console(self, text: str) -> None:
        """Pass on a line of a serial console."""
        self._say("console", text)

    def _say(self, kind: Literal["note", "warning", "console"], text: str) -> None:
        self._listener(Said(target=self._target, image=self._image, kind=kind, text=text))

    def _go_on(self) -> None:
        """Raise Stopped if the job shall stop."""
        if self._stopping is not None and self._stopping.is_set() and threading.current_thread() is self._thread:
            raise Stopped

    def _moved(self, stage: str) -> Callable[[int, int, str], None]:
        def tell(done: int, total: int, status: str) -> None:
            self._go_on()
            self._listener(
                StageMoved(target=self._target, image=self._image, stage=stage, done=done, total=total, status=status)
            )

        return tell


class _JobMeter:
    def __init__(self, tell: Callable[[int, int, str], None]) -> None:
        self.done = self.kept = 0
        self._total = 0
        self._status = ""
        self._tell = tell
        self._told = 0.0
        self._lock = threading.Lock()

    def expect(self, total: int, done: int = 0) -> None:
        self._total, self.done, self.kept = total, done, done
        self._tell(done, total, self._status)

    def advance(self, amount: int) -> None:
        with self._lock:
            self.done += amount
            now = time.monotonic()
            if now - self._told < _PACE and self.done != self._total:
                return
            self._told = now
        self._tell(self.done, self._total, self._status)

    def status(self, text: str) -> None:
        # Told again even if it is the same: a stage that waits for a cloud notices here that it shall stop.
        self._status = text
        self._tell(self.done, self._total, text)
