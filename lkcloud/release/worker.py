# SPDX-License-Identifier: Apache-2.0
"""The side of the workers of a release on a Dask cluster: steps carried out there, and what they tell sent back.

What cannot be sent stays where it is: each worker has disks of its own, which the jobs of a release share, and signs in
to the clouds by its own environment. A job that is no longer wanted, because the release was interrupted, its command
has died or the worker is to end, stops as by Ctrl-C, so that what it has begun is taken back.
"""

import asyncio
import logging
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from distributed import Reschedule, Worker, WorkerPlugin, get_worker

from lkcloud.disk import Disk
from lkcloud.errors import LkcloudError, UnusableImage
from lkcloud.release.events import JobReporter, Listener, Stopped
from lkcloud.release.image_file import ImageFile
from lkcloud.release.steps import Bench, Disks, Failure

NAME = "lkcloud"
"""Of the plugin of the workers, and of the topic of what they tell."""

_PARTING = 60.0
"""Seconds that jobs have to stop in order when their worker ends."""

_log = logging.getLogger(__name__)


class Own(Enum):
    """What stands for something that is not sent, since each process has its own."""

    BENCH = auto()


@dataclass(frozen=True, slots=True)
class Order:
    """FUNCTION, one of `lkcloud.release.steps`, is to be called with ARGUMENTS for the release RUN.

    KEY is what the scheduler calls it; TARGET and IMAGE are those of what it tells.
    """

    run: str
    key: str
    target: str
    image: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Began:
    """WORKER, an address, has begun with the order KEY."""

    key: str
    target: str
    image: str
    worker: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an order came to: a value, or why there is none. No error is raised on a worker, since few can be sent.

    If it was STOPPED, the value is what it had made by then.
    """

    value: Any = None
    failure: Failure | None = None
    stopped: bool = False


def carry_out(order: Order) -> Outcome:
    """Carry out ORDER on the worker that calls this."""
    return _jobs(get_worker()).carry_out(order)


def stop(run: str, dask_worker: Worker) -> None:
    """Let the jobs of RUN on a worker stop as by Ctrl-C, and begin no further ones."""
    _jobs(dask_worker).stop(run)


def end(run: str, dask_worker: Worker) -> None:
    """Close what a worker has open for RUN."""
    _jobs(dask_worker).end(run)


def _jobs(worker: Worker) -> "Jobs":
    plugin = worker.plugins[NAME]
    assert isinstance(plugin, Jobs)
    return plugin


@dataclass(slots=True)
class _Run:
    """A release as a worker knows it; BENCHES are those of its jobs here that are going on, by the keys of orders."""

    disks: Disks = field(default_factory=Disks)
    benches: dict[str, Bench] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)
    ended: bool = False


class Jobs(WorkerPlugin):
    """All jobs of a worker; what Dask asks of a plugin comes in the thread of the event loop, jobs are in theirs."""

    name = NAME
    idempotent = True

    def setup(self, worker: Worker) -> None:
        """Begin; what is made here is not what was sent."""
        self._worker = worker
        self._runs: dict[str, _Run] = {}
        self._lock = threading.Lock()
        if sys.version_info < (3, 12):
            # Dask looks at the stacks of threads a hundred times a second, to show where time goes; on Python 3.11 that
            # can stop the process for ever: https://github.com/dask/distributed/issues/8616
            for name in ("profile", "profile-cycle"):
                if (callback := worker.periodic_callbacks.pop(name, None)) is not None:
                    callback.stop()

    def transition(self, key: object, start: str, finish: str, **more: object) -> None:
        """Stop a job whose result nobody waits for any more: whoever asked for it has gone."""
        del more
        if (start, finish) == ("executing", "released"):
            for bench in self._benches(key):
                bench.stop()

    async def teardown(self, worker: Worker) -> None:
        """Let all jobs stop, and wait until they have; the scheduler gives them to others."""
        del worker
        deadline = time.monotonic() + _PARTING
        for bench in self._benches():
            bench.stop()
        while self._benches() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)

    def carry_out(self, order: Order) -> Outcome:
        """Carry out ORDER in this thread; a job that shall stop while its release goes on is left to another worker."""
        with self._job(order) as (run, bench):
            if run.stopped.is_set():
                return Outcome(stopped=True)
            try:
                return Outcome(order.function(*(bench if one is Own.BENCH else one for one in order.arguments)))
            except Stopped as stopped:
                if run.stopped.is_set():
                    return Outcome(stopped.made, stopped=True)
                raise Reschedule from None
            except Exception as error:
                if not isinstance(error, LkcloudError):
                    _log.exception("%s failed", order.key)
                return Outcome(failure=Failure.of(error))

    def stop(self, run: str) -> None:
        """Let the jobs of RUN stop, also those that are yet to come."""
        with self._lock:
            known = self._runs.setdefault(run, _Run())
            known.stopped.set()
            benches = list(known.benches.values())
        for bench in benches:
            bench.stop()

    def end(self, run: str) -> None:
        """Close the disks of RUN, when its last job here has ended."""
        with self._lock:
            if run in self._runs:
                self._runs[run].ended = True
        self._close()

    @contextmanager
    def _job(self, order: Order) -> Iterator[tuple[_Run, Bench]]:
        """Yield the run of ORDER and a bench for it."""
        tell = self._listener(order.run)
        with self._lock:
            # A release whose command has died says no more that it has ended. One that was stopped is remembered.
            for other in self._runs.values():
                other.ended = other.ended or not (other.benches or other.stopped.is_set())
            run = self._runs.setdefault(order.run, _Run())
            run.ended = False
            bench = run.benches[order.key] = _WorkersBench(tell, run.disks, self._worker.address)
        self._close()
        try:
            tell(Began(order.key, order.target, order.image, self._worker.address))
            yield run, bench
        finally:
            with self._lock:
                del run.benches[order.key]
            self._close()

    def _close(self) -> None:
        with self._lock:
            over = [name for name, run in self._runs.items() if run.ended and not run.benches]
            closing = [self._runs.pop(name) for name in over]
        for run in closing:
            run.disks.close()

    def _benches(self, key: object = None) -> list[Bench]:
        """Return the benches of all jobs that are going on, or of the order KEY."""
        with self._lock:
            return [
                bench for run in self._runs.values() for own, bench in run.benches.items() if key is None or own == key
            ]

    def _listener(self, run: str) -> "Callable[[Any], None]":
        def tell(what: Any) -> None:
            # A worker that ends takes no more; its jobs have things to take back all the same.
            with suppress(RuntimeError):
                self._worker.log_event(NAME, {"run": run, "told": pickle.dumps(what)})

        return tell


class _WorkersBench(Bench):
    def __init__(self, listener: Listener, disks: Disks, worker: str) -> None:
        super().__init__(listener, disks)
        self._worker = worker

    def disk(self, file: ImageFile, reporter: JobReporter) -> Disk:
        try:
            return super().disk(file, reporter)
        except UnusableImage as error:
            missing = file.missing()
            if missing is None:
                raise
            raise UnusableImage(
                f"there is no file {missing} on the worker {self._worker}",
                hint="give a path that all workers share, or the URL of an object (docs/cluster.md)",
            ) from error
