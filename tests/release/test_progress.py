# SPDX-License-Identifier: Apache-2.0
"""What a release shows: live lines on a terminal, plain ones elsewhere, JSON for programs."""

import errno
import io
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from rich.cells import cell_len

from lkcloud.cli.release_progress import Display, JsonLines, Nothing, Plain, display
from lkcloud.cli.release_table import Table
from lkcloud.release.events import Event, JobKnown, PhaseEnded, Said, StageBegan, StageEnded, StageMoved
from tests.cli.test_terminal import screen

MIB = 1 << 20
AMI = "ami-0123456789abcdef0"
VERSION = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/myos/galleries/myos/versions/1"


def job(target: str, image: str = "x86") -> JobKnown:
    return JobKnown(target=target, image=image, cloud="aws", name="os", required=True)


def began(target: str, stage: str, image: str = "x86") -> StageBegan:
    return StageBegan(target=target, image=image, stage=stage)


def moved(target: str, stage: str, done: int = 0, total: int = 0, status: str = "") -> StageMoved:
    return StageMoved(target=target, image="x86", stage=stage, done=done, total=total, status=status)


def stage_ended(target: str, stage: str, *, failed: bool = False, kept: int = 0, sent: int = 0) -> StageEnded:
    return StageEnded(target=target, image="x86", stage=stage, seconds=2.0, failed=failed, bytes=sent, kept=kept)


def said(target: str, text: str, kind: Literal["note", "warning", "console"] = "console") -> Said:
    return Said(target=target, image="x86", kind=kind, text=text)


def ended(
    target: str,
    phase: Literal["make", "share", "promote"],
    outcome: Literal["made", "there", "done", "failed", "held"],
    image_id: str = "",
    error: str = "",
) -> PhaseEnded:
    hint = "do something" if outcome == "failed" else ""
    return PhaseEnded(target=target, image="x86", phase=phase, outcome=outcome, id=image_id, error=error, hint=hint)


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    closed_by_user = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if self.closed_by_user:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)

    def lines(self) -> list[str]:
        """Return what it shows."""
        return screen(self.getvalue())


OnTerminal = Callable[..., tuple[Table, Terminal]]


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[OnTerminal]:
    """Open a table on a terminal of this many columns and rows."""
    opened: list[Table] = []

    def open_table(columns: int = 80, rows: int = 24, *, passing: bool = False) -> tuple[Table, Terminal]:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(rows))
        terminal = Terminal()
        table = display(quiet=False, passing=passing, stream=terminal)
        assert isinstance(table, Table)
        opened.append(table)
        return table, terminal

    yield open_table
    for table in opened:
        table.close()


def until_shown(terminal: Terminal, *lines: str) -> None:
    """Wait until the terminal shows LINES, in which 0:00 stands for any time."""
    deadline = time.monotonic() + 10
    while not set(lines) <= {re.sub(r"\d+:\d\d", "0:00", line) for line in terminal.lines()}:
        assert time.monotonic() < deadline, terminal.lines()
        time.sleep(0.02)


def test_a_line_for_each_job_from_the_beginning(on_terminal: OnTerminal) -> None:
    table, terminal = on_terminal()
    table(job("aws"))
    table(job("azure"))
    until_shown(terminal, "aws/x86    waiting", "azure/x86  waiting")
    table(began("aws", "upload"))
    table(moved("aws", "upload", 10 * MIB, 40 * MIB))
    until_shown(
        terminal,
        "aws/x86    upload     0:00  ━━━━━───────────────   25% of 40.0 MiB",
        "azure/x86  waiting",
    )
    table(began("aws", "boot test"))
    table(moved("aws", "boot test", status="running"))
    until_shown(terminal, "aws/x86    boot test    0:00  running", "azure/x86  waiting")


def test_how_each_job_ended(on_terminal: OnTerminal) -> None:
    table, terminal = on_terminal(100)
    for target in ("done", "failed", "held", "cut", "new"):
        table(job(target))
        table(began(target, "upload"))
    table(ended("done", "make", "made", AMI))
    table(ended("done", "promote", "done", AMI))
    table(ended("held", "make", "there", VERSION))
    table(ended("held", "share", "held", VERSION, "waits"))
    table(ended("failed", "make", "failed", AMI, "no room in eu-central-1"))
    table(ended("new", "make", "made", AMI))
    table.close()
    assert terminal.lines() == [
        "failed/x86: error: no room in eu-central-1",
        "failed/x86: hint: do something",
        f"failed/x86: there is {AMI} all the same",
        f"done/x86    done             {AMI}",
        "failed/x86  failed           no room in eu-central-1",
        f"held/x86    held             ...{VERSION[-68:]}",
        "cut/x86     stopped          in upload",
        f"new/x86     ready            {AMI}",
    ]
    assert "\x1b[1;31m" in terminal.getvalue()  # failures are red, and say so in words


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_no_line_is_wider_than_the_terminal(on_terminal: OnTerminal, columns: int) -> None:
    table, terminal = on_terminal(columns)
    table(job("aws"))
    table(began("aws", "a stage with quite a long name, as clouds have"))
    table(moved("aws", "a stage with quite a long name, as clouds have", 1, 3, "the cloud's own word, 全角文字 " * 9))
    table(job("a-target-with-a-name-of-many-letters"))
    table(ended("azure", "make", "made", VERSION))
    table(began("gcp", "x"))
    time.sleep(0.5)  # it is drawn some times
    table.close()
    assert len(terminal.lines()) == 4
    assert all(cell_len(line) <= columns for line in terminal.lines())


def test_where_there_is_no_room_for_all_the_urgent_stay(on_terminal: OnTerminal) -> None:
    table, terminal = on_terminal(80, 8)
    for number in range(20):
        table(job(f"t{number:02}"))
    for number in range(10, 14):
        table(ended(f"t{number}", "make", "made", AMI))
    table(ended("t19", "make", "failed", error="broken"))
    table(began("t15", "upload"))
    until_shown(
        terminal,
        "t00/x86  waiting",
        "t15/x86  upload     0:00",
        "t19/x86  failed           broken",
        "and 15 more: 11 waiting, 4 ready",
    )
    assert len(terminal.lines()) <= 8
    table.close()
    assert len([line for line in terminal.lines() if line.startswith("t") and "error" not in line]) >= 20


def test_consoles_of_several_machines_can_be_told_apart_and_do_no_harm(on_terminal: OnTerminal) -> None:
    table, terminal = on_terminal()
    table(job("aws"))
    table(job("azure"))
    table(said("aws", "\x1b[2J\x1b]0;title\x07[bold] :warning: \x1bcmyos\x08 login:\r"))
    table(said("azure", "Linux version 6.1"))
    table(said("aws", "a note", "note"))
    table(said("azure", "mind the gap", "warning"))
    table.close()
    assert terminal.lines()[:4] == [
        "aws/x86   | [bold] :warning: myos login:",
        "azure/x86 | Linux version 6.1",
        "aws/x86: a note",
        "azure/x86: warning: mind the gap",
    ]


def test_what_many_threads_tell_is_all_there(on_terminal: OnTerminal) -> None:
    table, terminal = on_terminal(60)
    threads = [
        threading.Thread(target=lambda target=target: [table(said(target, f"line {n}")) for n in range(50)])
        for target in ("a", "b", "c", "d")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table.close()
    shown = terminal.lines()
    for target in ("a", "b", "c", "d"):
        assert [line for line in shown if line.startswith(f"{target}/x86 | ")] == [
            f"{target}/x86 | line {n}" for n in range(50)
        ]


def test_what_is_done_to_a_disk_before_it_goes_anywhere_leaves_no_line(on_terminal: OnTerminal) -> None:
    table, terminal = on_terminal()
    table(began("", "unpack"))
    until_shown(terminal, "x86  unpack    0:00")
    table(stage_ended("", "unpack"))
    table(job("aws"))
    table.close()
    assert terminal.lines() == ["aws/x86  waiting"]


def test_a_dry_run_leaves_nothing_on_the_terminal(on_terminal: OnTerminal) -> None:
    table, terminal = on_terminal(passing=True)
    table(began("aws", "read"))
    until_shown(terminal, "aws/x86  read    0:00")
    table.close()
    assert terminal.lines() == []


def test_plain_lines() -> None:
    stream = io.StringIO()
    shown = Plain(stream)
    for event in (
        job("aws"),
        began("aws", "upload"),
        moved("aws", "upload", MIB, 2 * MIB),
        stage_ended("aws", "upload", sent=30 * MIB, kept=10 * MIB),
        moved("aws", "register", status="pending"),
        moved("aws", "register", status="pending"),
        moved("aws", "register", status="available"),
        stage_ended("aws", "register"),
        said("aws", "\x1b[31mlogin:"),
        said("aws", "mind the gap", "warning"),
        said("aws", "by the way", "note"),
        ended("aws", "make", "made", AMI),
        ended("aws", "share", "done", AMI),
        ended("aws", "promote", "done", AMI),
        stage_ended("gcp", "check", failed=True),
        ended("gcp", "make", "failed", error="no room"),
        ended("azure", "make", "failed", VERSION, "it did not boot"),
        ended("aws", "share", "held", AMI, "waits until all required images are there"),
    ):
        shown(event)
    shown.say("interrupted")
    shown.close()
    assert stream.getvalue().splitlines() == [
        "aws/x86: upload: 30.0 MiB in 2.0 s (15.0 MiB/s), 10.0 MiB were there",
        "aws/x86: register: pending",
        "aws/x86: register: available",
        "aws/x86: register: 2.0 s",
        "aws/x86: | login:",
        "aws/x86: warning: mind the gap",
        "aws/x86: by the way",
        f"aws/x86: ready: {AMI}",
        f"aws/x86: done: {AMI}",
        "gcp/x86: check: failed after 2.0 s",
        "gcp/x86: error: no room",
        "gcp/x86: hint: do something",
        "azure/x86: error: it did not boot",
        "azure/x86: hint: do something",
        f"azure/x86: there is {VERSION} all the same",
        f"aws/x86: held: {AMI} waits until all required images are there",
        "interrupted",
    ]


def test_lines_of_json() -> None:
    stream = io.StringIO()
    shown = JsonLines(stream)
    events: list[Event] = [
        job("aws"),
        began("aws", "upload"),
        moved("aws", "upload", 1, 2, "going"),
        stage_ended("aws", "upload", sent=2, kept=1),
        said("aws", "\x1b[31mlogin:"),
        ended("aws", "make", "failed", AMI, "no"),
    ]
    for event in events:
        shown(event)
    shown.say("interrupted")
    first, *others = map(json.loads, stream.getvalue().splitlines())
    assert (first["type"], first["events"]) == ("version", "1.0")
    assert others == [event.document() for event in events]
    assert [one["type"] for one in others] == [
        "job", "stage-began", "stage-moved", "stage-ended", "said", "phase-ended",
    ]  # fmt: skip
    assert {key: value for key, value in others[-1].items() if key != "time"} == {
        "type": "phase-ended",
        "target": "aws",
        "image": "x86",
        "phase": "make",
        "outcome": "failed",
        "id": AMI,
        "error": "no",
        "hint": "do something",
    }


@pytest.mark.parametrize("kind", [Plain, JsonLines])
def test_a_reader_that_has_gone_breaks_no_job(kind: Callable[[io.TextIOWrapper], Display]) -> None:
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "w") as stream:
        shown = kind(stream)
        os.close(ours)
        for _ in range(3):
            shown(ended("aws", "make", "made", AMI))
        shown.close()


def test_a_terminal_that_was_closed_breaks_no_job(on_terminal: OnTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    table, terminal = on_terminal()
    table(job("aws"))
    terminal.closed_by_user = True
    table(said("aws", "login:"))
    table(ended("aws", "make", "failed", error="no"))
    table.say("interrupted")
    time.sleep(0.5)  # it would be drawn some times
    table.close()


@pytest.mark.parametrize("passing", [False, True])
def test_the_display_suits_the_stream(monkeypatch: pytest.MonkeyPatch, passing: bool) -> None:
    assert isinstance(display(quiet=True, passing=passing, stream=Terminal()), Nothing)
    assert isinstance(display(quiet=False, passing=passing, stream=io.StringIO()), Nothing if passing else Plain)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display(quiet=False, passing=passing, stream=Terminal()), Nothing if passing else Plain)
