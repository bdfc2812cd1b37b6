# SPDX-License-Identifier: Apache-2.0
"""A Dask scheduler and its workers as processes of this machine, and `lkcloud publish` as another."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client

LOOPBACK = "127.0.0.1"
START = 60.0
"""Seconds for a process to come up on a busy machine."""


def plain(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process without settings of clouds and Dask, and with ENVIRONMENT."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "LKCLOUD_", "DASK_"))
    }
    return {**kept, **environment}


@dataclass
class Worker:
    """A worker process: no nanny starts it again. ADDRESS is what the scheduler calls it."""

    process: "subprocess.Popen[bytes]"
    address: str
    log: Path

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill it with no chance to do anything about it."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self) -> int:
        """Ask it to end, and return how it did."""
        self.process.terminate()
        return self.process.wait(START)


@dataclass
class Grid:
    """A scheduler with its WORKERS, all files in FOLDER; MORE are arguments and SETTINGS the environment of all."""

    folder: Path
    more: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    address: str = ""
    _scheduler: "subprocess.Popen[bytes] | None" = None
    _count: int = 0

    def start(self) -> None:
        """Start the scheduler, on a free port of the loopback address."""
        file = self.folder / "scheduler.json"
        arguments = ["--port", "0", "--scheduler-file", str(file)]
        self._scheduler = self._dask("scheduler", arguments, {}, self.folder / "scheduler.log")
        self.address = _await(lambda: json.loads(file.read_text())["address"])

    def add(self, environment: Mapping[str, str], *, threads: int = 2) -> Worker:
        """Start a worker with THREADS for jobs, and with folders of its own, as on a machine of its own."""
        assert self._scheduler is not None
        self._count += 1
        own = self.folder / f"worker-{self._count}"
        own.mkdir()
        folders = {
            "LKCLOUD_STATE_DIR": str(own / "state"),
            "LKCLOUD_CACHE_DIR": str(own / "cache"),
            "HOME": str(own),
        }
        arguments = [self.address, "--no-nanny", "--nthreads", str(threads), "--memory-limit", "0"]
        log = own / "log"
        process = self._dask("worker", [*arguments, "--local-directory", str(own)], {**folders, **environment}, log)
        worker = Worker(process, _await(lambda: _address(log), process, log), log)
        self.workers.append(worker)
        return worker

    def client(self) -> Client:
        """Return a client of our own, to look at the scheduler with."""
        return Client(self.address, set_as_default=False)

    def stop(self) -> None:
        """End all processes."""
        for worker in self.workers:
            if worker.alive:
                worker.kill()
        self.stop_scheduler()

    def stop_scheduler(self) -> None:
        """End the scheduler alone, at once."""
        if self._scheduler is not None:
            self._scheduler.kill()
            self._scheduler.wait(10)
            self._scheduler = None

    def _dask(
        self, kind: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host", LOOPBACK, "--no-dashboard"]
        with log.open("wb") as output:
            return subprocess.Popen(
                [*command, *self.more, *arguments],
                env=plain({**self.settings, **environment}),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


def _address(log: Path) -> str:
    """Return the address of a worker that has been registered. Raises ValueError if it has not yet."""
    said = log.read_text()
    said.index("Registered to:")
    return said.partition("Start worker at:")[2].split()[0]


def _await(look: Any, process: "subprocess.Popen[bytes] | None" = None, log: Path | None = None) -> Any:
    """Return what LOOK finds, as soon as it finds something."""
    deadline = time.monotonic() + START
    while True:
        with suppress(OSError, ValueError, KeyError, StopIteration):
            return look()
        assert process is None or process.poll() is None, log.read_text() if log else "it has ended"
        assert time.monotonic() < deadline, log.read_text() if log else "nothing came"
        time.sleep(0.05)


@dataclass
class Published:
    """How `lkcloud publish` ended."""

    code: int
    events: list[dict[str, Any]]
    error: str

    def ends(self) -> list[tuple[str, str, str]]:
        """Return (target/image, phase, outcome) of all phases that have ended, sorted."""
        return sorted(
            (f"{e['target']}/{e['image']}", e["phase"], e["outcome"]) for e in self.events if e["type"] == "phase-ended"
        )

    def said(self, kind: str) -> list[str]:
        """Return the texts of a kind."""
        return [event["text"] for event in self.events if event["type"] == "said" and event["kind"] == kind]


class Command:
    """`lkcloud publish FILE --scheduler ADDRESS --events` in a process that knows no cloud's credentials."""

    def __init__(self, file: Path, address: str, *more: str, settings: Mapping[str, str] | None = None) -> None:
        folders = {name: str(file.parent / name) for name in ("LKCLOUD_STATE_DIR", "LKCLOUD_CACHE_DIR", "HOME")}
        arguments = ["publish", str(file), "--scheduler", address, "--events", *more]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lkcloud", *arguments],
            env=plain({**folders, **(settings or {})}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill it, if it has not ended."""
        self._process.kill()
        self._process.communicate()

    def end(self) -> Published:
        """Wait until it has ended."""
        out, error = self._process.communicate(timeout=240)
        return Published(self._process.returncode, [json.loads(line) for line in out.splitlines()], error)
