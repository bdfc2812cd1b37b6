# SPDX-License-Identifier: Apache-2.0
"""A child process that cannot outlive its parent, and whose output cannot fill the disk.

A small process of its own, the keeper, stands between the two. It holds one end of a pipe whose other end only the
parent has: whatever ends the parent, kill -9 too, closes the pipe, and the keeper ends the child. Linux's parent death
signal alone would not do: it fires when the thread that started the child ends, and servers start children from
threads that handle one request.

This file is both sides: `Kept` for the parent, and `main`, which Python runs as a bare script to start fast.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

GRACE = 2.0
"""Seconds that a child gets between SIGTERM and SIGKILL."""

PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>."""


class Kept:
    """A running COMMAND in HOME, with a process group of its own.

    Its stdout goes to the file OUTPUT, the first LIMIT bytes of it; its stderr goes to the file ERRORS.
    """

    def __init__(self, command: Sequence[str], *, home: Path, output: Path, errors: Path, limit: int) -> None:
        with errors.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(output), str(limit), *command],
                cwd=home,
                # Programs keep their temporary files where the rest of the bytes are; /tmp may be small or in memory.
                env={**os.environ, "TMPDIR": str(home)},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """Return None while it runs, then its exit status, or 128 + the signal that ended it."""
        return self._process.poll()

    def stop(self) -> None:
        """End it, and return when it has ended; again is no error."""
        lifeline = self._process.stdin
        if lifeline is not None:
            lifeline.close()
        try:
            self._process.wait(GRACE * 2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main(output: str, limit: int, command: Sequence[str]) -> int:
    """Run COMMAND until it ends or stdin, the pipe to the parent, is closed. Return its exit status."""
    signal.signal(signal.SIGTERM, _leave)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  this process has one thread, so the fork is safe
    )
    try:
        _copy(child, Path(output), limit)
    finally:
        child.terminate()
        try:
            status = child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
            status = child.wait()
    return status if status >= 0 else 128 - status


def _copy(child: subprocess.Popen[bytes], output: Path, limit: int) -> None:
    """Copy what CHILD prints until it stops printing or the pipe to the parent closes."""
    assert child.stdout is not None
    lifeline, source = sys.stdin.fileno(), child.stdout.fileno()
    with output.open("wb", buffering=0) as copy:
        while True:
            ready, _, _ = select.select([lifeline, source], [], [])
            if source in ready:
                chunk = os.read(source, 65536)
                if not chunk:
                    # It is ending; let it, for the exit status is its own then.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(GRACE)
                    return
                copy.write(chunk[:limit])
                limit -= min(limit, len(chunk))
            # Nobody ever writes to the lifeline: readable means closed.
            if lifeline in ready:
                return


def _die_with_parent() -> None:
    """Let the kernel end this process with the keeper. Elsewhere than on Linux only a keeper that lives can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _leave(signum: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
