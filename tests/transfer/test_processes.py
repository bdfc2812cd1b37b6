# SPDX-License-Identifier: Apache-2.0
"""Runs that are killed, interrupted or started twice, as processes of their own, and what the next run finds."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from lkcloud.errors import Conflict
from lkcloud.transfer.journal import Journal

if TYPE_CHECKING:
    from conftest import Call, Servers

PARTS = 3000

UPLOAD = """
import json, sys
from lkcloud.reporting import Silent
from lkcloud.transfer.engine import Limits, Part, send
from lkcloud.transfer.http import Pool, judge_transport
from lkcloud.transfer.journal import Journal

origin, count, grace = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with Journal.open() as journal, journal.transfer("image") as transfer, Pool(origin, connections=8) as pool:
    if transfer.handle is None:
        transfer.begin("upload-1")
    parts = (Part(number, number * 100, 100) for number in range(count))
    def put(part, timeout):
        return pool.put(f"/{part.number}", bytes(part.length), {}, timeout=timeout).headers["etag"]
    with Silent().stage("uploading") as meter:
        limits = Limits(workers=8, grace=grace)
        sent = send(parts, put, judge=judge_transport, limits=limits, meter=meter, transfer=transfer)
    print(json.dumps([transfer.handle, sent.sent, sent.skipped, len(sent.receipts)]))
"""

HOLD = """
import time
from lkcloud.transfer.journal import Journal
with Journal.open() as journal, journal.transfer("image") as transfer:
    print("held", flush=True)
    time.sleep(60)
"""


@dataclass
class Cloud:
    """Takes parts, and remembers when it answered each; never answers the one that is STUCK."""

    stuck: int = -1
    answered: dict[int, float] = field(default_factory=dict)
    repeated: int = 0

    def behave(self, call: "Call") -> None:
        while head := call.request()[0]:
            number = int(head.split()[1].strip("/"))
            if number == self.stuck:
                call.request()
                return
            time.sleep(0.002)
            call.answer(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "tag of %d"\r\n\r\n' % number)
            self.repeated += number in self.answered
            self.answered[number] = time.monotonic()

    def wait_for(self, count: int) -> None:
        end = time.monotonic() + 60
        while len(self.answered) < count:
            assert time.monotonic() < end
            time.sleep(0.001)


@contextlib.contextmanager
def running(script: str, *arguments: object) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


def recorded() -> dict[int, str]:
    with Journal.open() as journal, journal.transfer("image") as transfer:
        assert transfer.handle in ("upload-1", None)
        assert journal.note == ""
        return dict(transfer.receipts())


def check_killed(kill_after: list[int], servers: "Servers") -> None:
    """Kill a run after so many answers, again and again; then let one finish."""
    cloud = Cloud()
    origin = servers.start(cloud.behave)
    before = 0
    for count in kill_after:
        with running(UPLOAD, origin, PARTS, 3) as process:
            cloud.wait_for(before + count)
            process.kill()
            killed = time.monotonic()
            process.wait()
        receipts = recorded()
        # What was answered is recorded, but for what was answered at the very end; and nothing else is recorded.
        assert receipts == {number: f'"tag of {number}"' for number in receipts}
        assert set(receipts) <= set(cloud.answered)
        assert {number for number, at in cloud.answered.items() if at < killed - 0.25} <= set(receipts)
        before = len(cloud.answered)
    with running(UPLOAD, origin, PARTS, 3) as process:
        output, errors = process.communicate(timeout=60)
    assert errors == ""
    assert json.loads(output) == ["upload-1", PARTS - len(receipts), len(receipts), PARTS]
    assert set(cloud.answered) == set(range(PARTS))
    # A kill costs what was in flight, and what was answered in the few milliseconds between two writes.
    assert cloud.repeated <= 60 * len(kill_after)


def test_after_kill_9_the_next_run_sends_only_what_is_missing(servers: "Servers") -> None:
    check_killed([1, 400, 50], servers)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_after_kill_9_at_any_moment_the_next_run_sends_only_what_is_missing(seed: int, servers: "Servers") -> None:
    chance = random.Random(seed)
    check_killed([chance.randrange(1, 250) for _ in range(10)], servers)


def test_an_interrupt_ends_a_run_in_seconds_and_keeps_all_that_arrived(servers: "Servers") -> None:
    cloud = Cloud(stuck=20)
    with running(UPLOAD, servers.start(cloud.behave), 10**9, 1.0) as process:
        cloud.wait_for(200)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, errors = process.communicate(timeout=30)
        assert time.monotonic() - began < 4
    assert process.returncode == -signal.SIGINT
    assert errors.strip().endswith("KeyboardInterrupt")
    assert set(recorded()) == set(cloud.answered)


def test_a_second_interrupt_does_not_wait(servers: "Servers") -> None:
    cloud = Cloud(stuck=20)
    with running(UPLOAD, servers.start(cloud.behave), 10**9, 60.0) as process:
        cloud.wait_for(200)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=5)
    assert process.returncode == -signal.SIGINT


def test_another_process_with_the_same_upload_is_refused_until_this_one_dies() -> None:
    with Journal.open() as journal, running(HOLD) as holder:
        assert line(holder.stdout) == "held"
        with pytest.raises(Conflict, match=f"process {holder.pid}"), journal.transfer("image"):
            pass
        with running(HOLD) as second:
            assert "Conflict: another run is uploading this" in second.communicate(timeout=20)[1]
        holder.kill()
        holder.wait()
        with journal.transfer("image"):
            pass


def test_two_runs_of_different_uploads_share_the_journal(servers: "Servers") -> None:
    clouds = [Cloud(), Cloud()]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                running(UPLOAD.replace('"image"', f'"image {number}"'), servers.start(cloud.behave), 1000, 3)
            )
            for number, cloud in enumerate(clouds)
        ]
        for process in processes:
            output, errors = process.communicate(timeout=60)
            assert (json.loads(output), errors) == (["upload-1", 1000, 0, 1000], "")
    assert [cloud.repeated for cloud in clouds] == [0, 0]


def test_a_journal_outlives_a_run_that_is_killed_while_it_is_made() -> None:
    begin = "from lkcloud.transfer.journal import Journal; print('go', flush=True); Journal.open().transfer('image')"
    for milliseconds in range(0, 12, 2):
        with running(begin) as process:
            assert line(process.stdout) == "go"
            time.sleep(milliseconds / 1000)
            process.kill()
            process.wait()
        assert recorded() == {}
        for file in Path(os.environ["LKCLOUD_STATE_DIR"]).glob("journal.db*"):
            file.unlink()
