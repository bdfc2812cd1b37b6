# SPDX-License-Identifier: Apache-2.0
"""The engine: sends parts with many workers at a pace that the cloud takes, and keeps a receipt of each."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import NamedTuple

from lkcloud.errors import LkcloudError
from lkcloud.reporting import Meter
from lkcloud.transfer.journal import Transfer
from lkcloud.transfer.pacing import Pacer, Stopped
from lkcloud.transfer.retry import Verdict, retry

_GROUP = 0.005
"""Seconds between two writes to the journal while much arrives: what arrives in them is one transaction."""
_MANY = 4
"""How many parts that arrived together are much; of fewer, each is written at once."""

_MOST_GROUPED = 1000
"""Parts in one such transaction."""


class Part(NamedTuple):
    """A piece of an upload: LENGTH bytes from OFFSET on, in the cloud's own numbering of pieces."""

    number: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard the engine tries."""

    workers: int = 16
    """The most parts in flight."""
    start: int = 4
    """How many of them at first."""
    attempts: int = 8
    """How often one part may fail with a transient error; throttles are not counted."""
    patience: float = 300.0
    """Seconds that one part may take in attempts and pauses, waiting for its turn not counted, for another attempt."""
    pause: float = 0.25
    """The most seconds before a part's second attempt; doubles with each further one."""
    attempt_timeout: float = 60.0
    """Seconds for one attempt at one part."""
    rate: float | None = None
    """The most attempts that start in a second."""
    grace: float = 3.0
    """Seconds that parts in flight are given when the engine stops early."""

    def __post_init__(self) -> None:
        if min(self.workers, self.start, self.attempts) < 1 or (self.rate is not None and self.rate <= 0):
            raise ValueError(f"limits below one make no transfer: {self}")


@dataclass(frozen=True, slots=True)
class Sent:
    """What `send` did."""

    receipts: Mapping[int, str]
    """The receipt of every part by its number, of earlier runs too."""
    sent: int
    """Parts that were sent now."""
    skipped: int
    """Parts that an earlier run had sent."""
    bytes_sent: int
    """Bytes of all attempts, failed ones too."""
    attempts: int
    throttled: int


def send(
    parts: Iterable[Part],
    put: Callable[[Part, float], str],
    *,
    judge: Callable[[Exception], Verdict],
    limits: Limits,
    meter: Meter,
    transfer: Transfer | None = None,
) -> Sent:
    """Send each of PARTS that TRANSFER has no receipt of, and return when all have arrived.

    PUT(part, timeout) reads a part, sends it within TIMEOUT seconds and returns the cloud's receipt for it; it is
    called in many threads and must not try again itself. PARTS may be endless and lazy: it is asked for a part when a
    worker is free. The METER gets the bytes of parts that have arrived or were skipped.

    The first fatal error stops everything and is raised, with a note that names the part. Then, as after Ctrl-C, parts
    in flight are given `limits.grace` seconds to arrive and be recorded; later ones are left to end by themselves.
    """
    return _Crew(parts=parts, put=put, judge=judge, limits=limits, meter=meter, transfer=transfer).run()


class _Crew:
    """The workers of one call of `send`, and the calling thread, which alone touches the journal and the meter."""

    def __init__(
        self,
        *,
        parts: Iterable[Part],
        put: Callable[[Part, float], str],
        judge: Callable[[Exception], Verdict],
        limits: Limits,
        meter: Meter,
        transfer: Transfer | None,
    ) -> None:
        self.put = put
        self.judge = judge
        self.limits = limits
        self.pacer = Pacer(start=limits.start, most=limits.workers, timeout=limits.attempt_timeout, rate=limits.rate)
        self.stopped = threading.Event()
        self.events: SimpleQueue[_Arrived | _Failed | _Ended] = SimpleQueue()
        self._parts = iter(parts)
        self._pull = threading.Lock()
        self._meter = meter
        self._transfer = transfer
        self._receipts = dict(transfer.receipts()) if transfer else {}
        self._arrived: list[_Arrived] = []
        self._workers = [_Worker(self) for _ in range(limits.workers)]
        self._at_work = 0
        self._skipped = self._skipped_bytes = self._metered_skips = self._sent = 0

    def run(self) -> Sent:
        try:
            for worker in self._workers:
                worker.start()
                self._at_work += 1
            while self._at_work:
                self._await(None)
                many = len(self._arrived) >= _MANY
                self._settle()
                if self._at_work and many:
                    time.sleep(_GROUP)
        except BaseException as error:
            self._wind_up(error)
            raise
        return Sent(
            receipts=self._receipts,
            sent=self._sent,
            skipped=self._skipped,
            bytes_sent=sum(worker.bytes_sent for worker in self._workers),
            attempts=sum(worker.attempts for worker in self._workers),
            throttled=sum(worker.throttled for worker in self._workers),
        )

    def next_part(self) -> Part | None:
        """Return the next part that has no receipt; called by the workers."""
        with self._pull:
            for part in self._parts:
                if self.stopped.is_set():
                    return None
                if part.number not in self._receipts:
                    return part
                self._skipped += 1
                self._skipped_bytes += part.length
        return None

    def _await(self, timeout: float | None) -> None:
        """Take in what the workers have to tell, waiting for the first of it. Raises a worker's error, or Empty."""
        event = self.events.get(timeout=timeout)
        while True:
            match event:
                case _Arrived():
                    self._arrived.append(event)
                case _Ended():
                    self._at_work -= 1
                case _Failed():
                    raise event.error
            if len(self._arrived) >= _MOST_GROUPED:
                return
            try:
                event = self.events.get_nowait()
            except Empty:
                return

    def _settle(self) -> None:
        """Enter what has arrived into the journal, and then only count it."""
        arrived = self._arrived
        if arrived:
            receipts = {part.number: receipt for part, receipt in arrived}
            if self._transfer:
                self._transfer.record_all(receipts)
            self._receipts.update(receipts)
            self._sent += len(receipts)
            self._arrived = []
        skipped = self._skipped_bytes
        if amount := sum(part.length for part, _ in arrived) + skipped - self._metered_skips:
            self._metered_skips = skipped
            self._meter.advance(amount)

    def _wind_up(self, error: BaseException) -> None:
        """Stop, and save what still arrives."""
        self.stopped.set()
        self.pacer.stop()
        deadline = time.monotonic() + self.limits.grace
        while self._at_work and (left := deadline - time.monotonic()) > 0:
            try:
                self._await(left)
            except Empty:
                break
            except Exception as other:
                # The first error is the one that is raised.
                if other is not error:
                    error.add_note(f"then also: {other}")
        try:
            self._settle()
        except LkcloudError as other:
            error.add_note(f"then also: {other}")


class _Arrived(NamedTuple):
    part: Part
    receipt: str


class _Failed(NamedTuple):
    error: BaseException


class _Ended(NamedTuple):
    pass


class _Worker:
    """Sends one part after the other, in a thread of its own."""

    def __init__(self, crew: _Crew) -> None:
        self.bytes_sent = self.attempts = self.throttled = 0
        self._crew = crew
        self._part = Part(0, 0, 0)
        self._began = 0.0
        self._waited = 0.0

    def start(self) -> None:
        # A daemon: a second Ctrl-C must not wait for a part that does not end.
        threading.Thread(target=self._work, name="lkcloud-transfer", daemon=True).start()

    def _work(self) -> None:
        crew, limits = self._crew, self._crew.limits
        try:
            while (part := crew.next_part()) is not None:
                self._part = part
                receipt = retry(
                    self._attempt,
                    judge=self._judge,
                    attempts=limits.attempts,
                    patience=limits.patience,
                    pause=limits.pause,
                    stopped=crew.stopped,
                    clock=self._busy,
                )
                crew.events.put(_Arrived(part, receipt))
        except Stopped:
            pass
        except BaseException as error:
            # Whatever ends a worker ends the transfer, in the caller's thread.
            error.add_note(f"in part {self._part.number}, at byte {self._part.offset}")
            crew.events.put(_Failed(error))
        finally:
            crew.events.put(_Ended())

    def _attempt(self) -> str:
        came = time.monotonic()
        self._began = self._crew.pacer.enter()
        self._waited += self._began - came
        self.attempts += 1
        self.bytes_sent += self._part.length
        receipt = self._crew.put(self._part, self._crew.limits.attempt_timeout)
        self._crew.pacer.leave(self._began, None)
        return receipt

    def _busy(self) -> float:
        """Return a time that stands still while the worker waits for its turn, which can be long on a narrow line."""
        return time.monotonic() - self._waited

    def _judge(self, error: Exception) -> Verdict:
        if isinstance(error, Stopped):
            return Verdict.FATAL
        verdict = self._crew.judge(error)
        self._crew.pacer.leave(self._began, verdict)
        self.throttled += verdict is Verdict.THROTTLED
        return verdict
