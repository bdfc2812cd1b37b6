# SPDX-License-Identifier: Apache-2.0
"""A release on a Dask cluster: an executor whose workers are elsewhere, and a bench that stands for theirs.

docs/cluster.md says what is needed for it. Each step is one task of the cluster; what it needs is sent, what it tells
comes back as it happens, and if its worker dies, the scheduler gives it to another.
"""

import asyncio
import itertools
import pickle
import re
import secrets
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from concurrent.futures import Future as LocalFuture
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

from distributed import Client, Future, KilledWorker, Security
from distributed.comm.addressing import get_address_host_port
from distributed.comm.core import connect
from distributed.versions import VersionMismatchWarning

from lkcloud.errors import LkcloudError, Unreachable, UsageError
from lkcloud.release import worker
from lkcloud.release.events import Listener, Said, Stopped
from lkcloud.release.job import Job
from lkcloud.release.steps import Bench, Disks
from lkcloud.release.worker import Began, Jobs, Order, Outcome, Own

P = ParamSpec("P")
T = TypeVar("T")

_CONNECTING = 7.0
"""Seconds for reaching the scheduler."""

_ASKING = 2.0
"""Seconds for finding out why it cannot be reached."""

_WAITING = 5.0
"""Seconds for a first worker to come, and for workers to be told that a release stops or has ended."""

_SAME = ("lkcloud", "distributed")
"""Packages whose version must be the same everywhere: what is sent are objects of theirs."""

_ADDRESS = re.compile(r"(?:tcp|tls)://[^/\s]+:\d+")
_AGAIN = "run the same command again: it does what is missing"


class Cluster(Executor):
    """Carries out steps on the workers of a cluster, at most JOBS at a time; LISTENER takes what they tell.

    Of a step's arguments the bench stands for that of the worker. A future is running from when its step was handed to
    the scheduler. Errors of steps are raised as LkcloudErrors that say the same.
    """

    def __init__(self, client: Client, *, jobs: int, listener: Listener) -> None:
        self.bench = _ClusterBench(self, listener)
        self._client = client
        self._listener = listener
        self._run = secrets.token_hex(8)
        self._number = itertools.count(1)
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="lkcloud-cluster")
        self._stopping = threading.Event()
        self._waiting: dict[str, Future[Outcome]] = {}
        """What was handed to the scheduler, by key."""
        self._begun: dict[str, str] = {}
        """Which worker is at it, by key."""
        self._lock = threading.Lock()
        client.subscribe_topic(worker.NAME, self._told)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> LocalFuture[T]:
        """Let FN, one of `lkcloud.release.steps`, be called on a worker, by place alone."""
        if kwargs:
            raise TypeError("steps take their arguments by place")
        job = next((one for one in args if isinstance(one, Job)), None)
        target, image = (job.target, job.image) if job else ("", str(args[0]))
        called = f"{fn.__name__}-{target}-{image}-{self._run}-{next(self._number)}"
        sent = tuple(Own.BENCH if one is self.bench else one for one in args)
        return self._threads.submit(self._carry_out, Order(self._run, called, target, image, fn, sent))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more, and wait until all that was begun has ended."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)

    def stop(self) -> None:
        """Let running steps stop in order, wherever they are, and no other one begin."""
        if not self._stopping.is_set():
            self._stopping.set()
            # Not here: a scheduler that does not answer must not keep the main thread.
            threading.Thread(target=self._stop_all, name="lkcloud-stop", daemon=True).start()

    def end(self) -> None:
        """Let the workers close what they have open for this release."""
        self._tell_workers(worker.end)

    def _carry_out(self, order: Order) -> Any:
        if self._stopping.is_set():
            raise Stopped
        future: Future[Outcome] | None = None
        try:
            future = self._client.submit(worker.carry_out, order, key=order.key, pure=False)
            with self._lock:
                self._waiting[order.key] = future
            outcome = future.result()
        except Exception as error:
            if self._stopping.is_set():
                raise Stopped from error
            raise self._explained(error) from error
        finally:
            with self._lock:
                self._waiting.pop(order.key, None)
            if future is not None:
                future.release()
        if outcome.stopped:
            raise Stopped(outcome.value)
        if outcome.failure is not None:
            raise outcome.failure.error()
        return outcome.value

    def _told(self, event: tuple[float, Any]) -> None:
        _, message = event
        if message["run"] != self._run:
            return
        what = pickle.loads(message["told"])  # noqa: S301 - from the scheduler, which is trusted with the results, too
        if isinstance(what, Began):
            self._note(what)
        else:
            self._listener(what)

    def _note(self, began: Began) -> None:
        with self._lock:
            before = self._begun.get(began.key)
            self._begun[began.key] = began.worker
        if before is not None:
            text = f"the worker {before} has gone: {began.worker} does its work again"
            self._listener(Said(target=began.target, image=began.image, kind="warning", text=text))

    def _stop_all(self) -> None:
        self._tell_workers(worker.stop)
        with self._lock:
            idle = [future for key, future in self._waiting.items() if key not in self._begun]
        with suppress(Exception):
            self._client.cancel(idle)

    def _tell_workers(self, function: Callable[..., None]) -> None:
        """Call FUNCTION on all workers, and wait for them a while; who cannot be reached notices by itself."""

        def tell() -> None:
            with suppress(Exception):
                self._client.run(function, self._run, on_error="ignore")

        telling = threading.Thread(target=tell, name="lkcloud-tell", daemon=True)
        telling.start()
        telling.join(_WAITING)

    def _explained(self, error: Exception) -> LkcloudError:
        if isinstance(error, KilledWorker):
            return LkcloudError(
                f"{error.allowed_failures + 1} workers died at it, the last was {error.last_worker.address}",
                hint=f"read their logs, and give them more memory if that is what they lacked; {_AGAIN}",
            )
        if isinstance(error, CancelledError | OSError) or self._client.status != "running":
            return Unreachable(
                "the scheduler of the cluster has gone", hint=f"see that it runs and can be reached; {_AGAIN}"
            )
        first = str(error).strip().partition("\n")[0]
        return LkcloudError(
            f"the cluster could not do it: {type(error).__name__}{first and ': '}{first}",
            hint="read the logs of its scheduler and workers",
        )


class _ClusterBench(Bench):
    """Stands for the benches of the workers, which have the disks."""

    def __init__(self, cluster: Cluster, listener: Listener) -> None:
        super().__init__(listener, Disks())
        self._cluster = cluster

    def stop(self) -> None:
        super().stop()
        self._cluster.stop()


@contextmanager
def connected(address: str, *, jobs: int, listener: Listener) -> Iterator[Cluster]:
    """Yield the cluster whose scheduler is at ADDRESS, with at least one worker.

    Raises UsageError for an address that is none and for other versions there than here, Unreachable for a scheduler
    that does not answer or has no worker.
    """
    _check_address(address)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)  # what matters is an error, below
        with _client(address) as client:
            _check_workers(client, address)
            _check_versions(client)
            client.register_plugin(Jobs())
            cluster = Cluster(client, jobs=jobs, listener=listener)
            try:
                yield cluster
            except BaseException:
                cluster.stop()
                raise
            finally:
                cluster.shutdown()
                cluster.end()


def _check_address(address: str) -> None:
    # Dask's own client looks at it late, and what it has begun by then takes long to end.
    if not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"--scheduler {address} is no address", hint="give one like tcp://host:8786 or tls://host:8786"
        )
    if address.startswith("tls:") and not Security().get_connection_args("client").get("ssl_context"):
        raise UsageError(
            f"--scheduler {address}: Dask knows no certificates",
            hint="set DASK_DISTRIBUTED__COMM__TLS__CA_FILE and its kin (docs/cluster.md)",
        )


@contextmanager
def _client(address: str) -> Iterator[Client]:
    try:
        _reach(address)
        client = Client(address, timeout=_CONNECTING, set_as_default=False, name="lkcloud")
    except OSError as error:
        raise Unreachable(
            f"the scheduler {address} does not answer: {_reason(address, error)}",
            hint="see that it runs (dask scheduler) and that this machine can reach it (docs/cluster.md)",
        ) from error
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=_WAITING)


def _reach(address: str) -> None:
    """Find out whether a scheduler is at ADDRESS: a client waits for ever for one who takes connections and is silent.

    Raises OSError if nobody answers, and UsageError if who answers is no scheduler.
    """

    async def greet() -> None:
        comm = await connect(address, timeout=_CONNECTING, **Security().get_connection_args("client"))
        await comm.close()

    try:
        asyncio.run(asyncio.wait_for(greet(), _CONNECTING + _ASKING))
    except OSError:
        raise
    except Exception as error:  # of any kind, down to MemoryError: Dask believes what it reads
        raise UsageError(
            f"what answers at {address} is no Dask scheduler",
            hint="give the address that dask scheduler says it is at, not that of its dashboard",
        ) from error


def _reason(address: str, error: OSError) -> str:
    """Return why there is no connection to ADDRESS, of which Dask says ERROR.

    Dask tries again and again and knows how its last try ended. One that began when the time was nearly over has found
    nothing out, and the refusals before it are forgotten: then one more is made here.
    """
    # Dask says first which of its objects has found it.
    if known := re.sub(r"^in <[^>]*>: ", "", str(error.__cause__ or "")):
        return known
    try:
        socket.create_connection(get_address_host_port(address), timeout=_ASKING).close()
    except OSError as refusal:
        return f"{type(refusal).__name__}: {refusal}"
    return "it takes connections and says nothing"


def _check_workers(client: Client, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_WAITING)
    except TimeoutError:
        raise Unreachable(f"the scheduler {address} has no workers", hint=f"start one: dask worker {address}") from None


def _check_versions(client: Client) -> None:
    """Raise UsageError if what is sent might not be understood."""
    found: Any = client.get_versions(packages=["lkcloud"])
    here = found["client"]["packages"]
    there = {
        "the scheduler": found["scheduler"],
        **{f"the worker {one}": what for one, what in found["workers"].items()},
    }
    for place, what in there.items():
        for package in _SAME:
            version = what["packages"].get(package)
            if version != here[package]:
                said = f"has {package} {version}" if version else f"has no {package}"
                raise UsageError(
                    f"{place} {said}, and this is {here[package]}",
                    hint=f"install {package} {here[package]} there, or the version from there here",
                )
