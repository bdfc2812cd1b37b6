# SPDX-License-Identifier: Apache-2.0
"""Servers of forked processes (forkserver.py), from the side of who orders them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]

FRESH = ("fresh", "aws", "gcp", "azure")
"""Processes that are as `python -m lkcloud` is, but for the time that it takes to import the SDKs."""


class Forks:
    """Servers by their arguments, each started when it is first needed: its imports take a while."""

    def __init__(self) -> None:
        self._servers: dict[tuple[str, ...], subprocess.Popen[str]] = {}

    def prepare(self, server: tuple[str, ...]) -> None:
        """Start a server, if there is none, and wait until its imports are done."""
        if server not in self._servers:
            command = [sys.executable, "-m", "tests.forkserver", *server]
            # It outlives the test that is the first to need it, and is to know nothing of what that one has set.
            environment = {name: value for name, value in os.environ.items() if not name.startswith("LKCLOUD_")}
            started = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
            )
            try:
                assert _pipe(started.stdout).readline() == "ready\n"
            except BaseException:
                started.kill()
                self._end(started)
                raise
            self._servers[server] = started

    def start(
        self, server: tuple[str, ...], arguments: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> int:
        """Start `lkcloud ARGUMENTS` in FOLDER, and return its process id; `wait` comes before the next.

        Its output is in files whose names are that of LOG with the suffixes .out and .err.
        """
        self.prepare(server)
        order = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": str(folder),
            "out": f"{log}.out",
            "err": f"{log}.err",
        }
        orders = _pipe(self._servers[server].stdin)
        orders.write(json.dumps(order) + "\n")
        orders.flush()
        return int(self._answer(server))

    def wait(self, server: tuple[str, ...]) -> int:
        """Return the exit status of what was started last, when it has ended; negative: the signal."""
        return int(self._answer(server))

    def run(self, arguments: Sequence[str], *, folder: Path, log: Path) -> "subprocess.CompletedProcess[str]":
        """Run `lkcloud ARGUMENTS` in FOLDER, in this process's environment, and return what came of it."""
        pid = self.start(FRESH, arguments, os.environ, folder, log)
        try:
            status = self.wait(FRESH)
        except BaseException:  # the test has had enough: what is still to come must not be the answer to another
            os.kill(pid, signal.SIGKILL)
            self._end(self._servers.pop(FRESH))
            raise
        out, err = (Path(f"{log}.{name}").read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(["lkcloud", *arguments], status, out, err)

    def close(self) -> None:
        """End the servers."""
        for server in self._servers.values():
            self._end(server)

    @staticmethod
    def _end(server: "subprocess.Popen[str]") -> None:
        _pipe(server.stdin).close()
        server.wait(10)
        _pipe(server.stdout).close()

    def _answer(self, server: tuple[str, ...]) -> str:
        return _pipe(self._servers[server].stdout).readline().strip()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextmanager
def starting() -> Iterator[Forks]:
    """Return servers that are ended with the context."""
    forks = Forks()
    try:
        yield forks
    finally:
        forks.close()
