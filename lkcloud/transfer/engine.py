# SPDX-License-Identifier: Apache-2.0
"""The engine: sends parts with many workers at a pace that the cloud takes, and keeps a receipt of each."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import NamedTuple

from lkcloud.reporting import Meter
from lkcloud.transfer.journal import Transfer
from lkcloud.transfer.pacing import Pacer, Stopped
from lkcloud.transfer.retry import Verdict, retry

_GLANCE = 0.1
"""Seconds between two looks of the calling thread at what has arrived, for the meter."""


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
    least: Callable[[Exception], float] = lambda _: 0.0,
) -> Sent:
    """Send each of PARTS that TRANSFER has no receipt of, and return when all have arrived.

    PUT(part, timeout) reads a part, sends it within TIMEOUT seconds and returns the cloud's receipt for it; it is
    called in many threads and must not try again itself. PARTS may be endless and lazy: it is asked for a part when a
    worker is free. The METER gets the bytes of parts that have arrived or were skipped. LEAST says how many seconds an
    error asks to wait.

    The first fatal error stops everything and is raised, with a note that names the part. Then, as after Ctrl-C, parts
    in flight are given `limits.grace` seconds to arrive and be recorded; later ones are left to end by themselves.
    """
    return _Crew(parts=parts, put=put, judge=judge, limits=limits, meter=meter, transfer=transfer, least=least).run()


class _Crew:
    """The workers of one call of `send`, and the calling thread, which alone touches the meter."""

    def __init__(
        self,
        *,
        parts: Iterable[Part],
        put: Callable[[Part, float], str],
        judge: Callable[[Exception], Verdict],
        limits: Limits,
        meter: Meter,
        transfer: Transfer | None,
        least: Callable[[Exception], float],
    ) -> None:
        self.put = put
        self.judge = judge
        self.least = least
        self.limits = limits
        self.pacer = Pacer(start=limits.start, most=limits.workers, timeout=limits.attempt_timeout, rate=limits.rate)
        self.stopped = threading.Event()
        self.endings: SimpleQueue[BaseException | None] = SimpleQueue()
        """An entry for each worker that has ended, and before it one for its error, if that is why."""
        self.ledger = _Ledger(transfer)
        self._parts = iter(parts)
        self._pull = threading.Lock()
        self._meter = meter
        self._workers = [_Worker(self) for _ in range(limits.workers)]
        self._at_work = 0
        self._skipped = self._skipped_bytes = self._metered = 0

    def run(self) -> Sent:
        try:
            for worker in self._workers:
                worker.start()
                self._at_work += 1
            while self._at_work:
                with suppress(Empty):
                    self._await(_GLANCE)
                self._show()
        except BaseException as error:
            self._wind_up(error)
            raise
        return Sent(
            receipts=self.ledger.close(),
            sent=self.ledger.entered,
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
                if part.number not in self.ledger:
                    return part
                self._skipped += 1
                self._skipped_bytes += part.length
        return None

    def _await(self, timeout: float) -> None:
        """Wait until a worker has ended. Raises its error, or Empty."""
        error = self.endings.get(timeout=timeout)
        if error is not None:
            raise error
        self._at_work -= 1

    def _show(self) -> None:
        done = self.ledger.entered_bytes + self._skipped_bytes
        if done > self._metered:
            self._meter.advance(done - self._metered)
            self._metered = done

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
        self.ledger.close()
        self._show()


class _Ledger:
    """The receipts of the parts that have arrived; each is in the journal before its worker takes another part.

    So kill -9 costs at most the part that each worker was at. Receipts that come while one is being written are then
    written together, by the first of their workers.
    """

    def __init__(self, transfer: Transfer | None) -> None:
        self.entered = self.entered_bytes = 0
        """Parts, and their bytes, that have been entered here."""
        self._transfer = transfer
        self._receipts = dict(transfer.receipts()) if transfer else {}
        self._waiting: deque[tuple[Part, str]] = deque()
        self._writing = threading.Lock()
        self._closed = False

    def __contains__(self, number: int) -> bool:
        return number in self._receipts

    def enter(self, part: Part, receipt: str) -> None:
        """Take the RECEIPT of a PART. Raises LkcloudError if the journal cannot be written."""
        self._waiting.append((part, receipt))
        with self._writing:
            self._write()

    def close(self) -> Mapping[int, str]:
        """Take nothing more, and return all receipts.

        A part that arrives after the end of a transfer that was stopped must not become a receipt of the next one.
        """
        with self._writing:
            self._closed = True
        return self._receipts

    def _write(self) -> None:
        arrived = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if self._closed or not arrived:
            return
        receipts = {part.number: receipt for part, receipt in arrived}
        if self._transfer:
            self._transfer.record_all(receipts)
        self._receipts.update(receipts)
        self.entered += len(arrived)
        self.entered_bytes += sum(part.length for part, _ in arrived)


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
                    least=crew.least,
                )
                crew.ledger.enter(part, receipt)
        except Stopped:
            pass
        except BaseException as error:
            # Whatever ends a worker ends the transfer, in the caller's thread.
            error.add_note(f"in part {self._part.number}, at byte {self._part.offset}")
            crew.endings.put(error)
        finally:
            crew.endings.put(None)

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
