# SPDX-License-Identifier: Apache-2.0
"""A kept process: its output is bounded, its status is its own, and it ends when it must."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from lkcloud.sandbox.keeper import Kept


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[list[Kept]]:
    made: list[Kept] = []
    yield made
    for one in made:
        one.stop()


def keep(kept: list[Kept], home: Path, script: str, limit: int = 1 << 20) -> Kept:
    command = [sys.executable, "-u", "-c", script]
    kept.append(Kept(command, home=home, output=home / "output", errors=home / "errors", limit=limit))
    return kept[-1]


def status(process: Kept) -> int:
    for _ in range(1000):
        code = process.poll()
        if code is not None:
            return code
        time.sleep(0.02)
    raise AssertionError("it did not end")


def wait_for(file: Path, content: bytes) -> None:
    for _ in range(1000):
        if file.exists() and content in file.read_bytes():
            return
        time.sleep(0.02)
    raise AssertionError(f"{file} never had {content!r}")


def test_it_runs_at_home_and_its_status_is_passed_on(kept: list[Kept], tmp_path: Path) -> None:
    script = "import os, sys; print(os.getcwd(), os.environ['TMPDIR']); print('oh', file=sys.stderr); sys.exit(7)"
    assert status(keep(kept, tmp_path, script)) == 7
    assert (tmp_path / "output").read_text() == f"{tmp_path} {tmp_path}\n"
    assert (tmp_path / "errors").read_text() == "oh\n"


def test_a_signal_is_told_as_a_shell_does(kept: list[Kept], tmp_path: Path) -> None:
    assert status(keep(kept, tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGABRT)")) == 128 + 6


@pytest.mark.parametrize("limit", [0, 1, 65536, 65537, 300_000])
def test_only_the_first_bytes_of_its_output_are_kept(kept: list[Kept], tmp_path: Path, limit: int) -> None:
    text = "".join(f"{number:07}\n" for number in range(25_000))
    script = "print(''.join(f'{number:07}\\n' for number in range(25_000)), end='')"
    assert status(keep(kept, tmp_path, script, limit)) == 0
    assert (tmp_path / "output").read_text() == text[:limit]


def test_a_process_that_ignores_sigterm_is_killed(kept: list[Kept], tmp_path: Path) -> None:
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(600)"
    process = keep(kept, tmp_path, script)
    wait_for(tmp_path / "output", b"deaf\n")
    process.stop()
    assert process.poll() == 128 + signal.SIGKILL


def test_a_process_that_closed_its_output_is_still_ended(kept: list[Kept], tmp_path: Path) -> None:
    script = "import os, sys, time; print(os.getpid(), flush=True); os.close(1); time.sleep(600)"
    process = keep(kept, tmp_path, script)
    assert status(process) == 128 + signal.SIGTERM


CHAIN = """
import sys, time
from pathlib import Path
from lkcloud.sandbox.keeper import Kept
home = Path(sys.argv[1])
child = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
Kept([sys.executable, "-c", child], home=home, output=home / "output", errors=home / "errors", limit=100)
print("kept", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_parent_whatever_ends_that(tmp_path: Path, way: signal.Signals) -> None:
    with Popen([sys.executable, "-W", "ignore", "-c", CHAIN, tmp_path], stdout=PIPE, stderr=PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"kept\n"
        wait_for(tmp_path / "output", b"\n")
        child = int((tmp_path / "output").read_text())
        os.kill(child, 0)
        parent.send_signal(way)
    for _ in range(500):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError("the child lives on")
