# SPDX-License-Identifier: Apache-2.0
"""What a run shows on a terminal."""

import errno
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lkcloud.sandbox.tinydisk import write_tiny_disk
from tests.images import tiny_bios


def on_a_terminal(*arguments: str, folder: Path) -> tuple[int, str, str]:
    """Run lkcloud with a terminal as stderr; return its exit code, its stdout, and what the terminal got."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    running = subprocess.Popen(
        [sys.executable, "-m", "lkcloud", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux: nobody has the other end any more
                raise
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    out, _ = running.communicate(timeout=60)
    return running.returncode, out.decode(), shown.decode()


def screen(shown: str) -> list[str]:
    """Return the lines that a terminal shows in the end, as far as rich's movements go: up, erase, return."""
    lines, row, written = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", shown):
        if token == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif token == "\r":
            written = 0
        elif token.endswith("A"):
            row -= int(token[2:-1] or 1)
        elif token == "\x1b[2K":
            lines[row] = ""
        elif not token.startswith("\x1b"):
            lines[row] = token if not lines[row] or written == 0 else lines[row] + token
        written = 0 if token in ("\r", "\n") else 1
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.usefixtures("aws")
def test_stages_in_stages_share_the_display(tmp_path: Path) -> None:
    tiny_bios(tmp_path / "tiny.raw", message="terminal-boot-ok :warning: [bold]")
    code, out, shown = on_a_terminal("push", "aws", "tiny.raw", "--test", "--expect", "boot-ok", folder=tmp_path)
    assert (code, out[:4]) == (0, "ami-")
    assert "Traceback" not in shown
    assert "\x1b[?25l" in shown  # there were bars, and the cursor is back
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    left = screen(shown)
    assert [re.sub(r"[\d.]+ ", "N ", line) for line in left if line.startswith(("launch", "boot test"))] == [
        "launch: N s",
        "boot test: N s",
    ]
    assert "| terminal-boot-ok :warning: [bold] bios" in left
    assert left[-1] == "it booted: terminal-boot-ok :warning: [bold] bios"
    assert not any("━" in line for line in left)
    # Only what is counted in bytes has a count: a stage that waits for the cloud has none that nobody knows.
    assert "/?" not in shown


@pytest.mark.usefixtures("aws")
def test_a_stage_that_fails_says_so_on_a_terminal(tmp_path: Path) -> None:
    write_tiny_disk(tmp_path / "tiny.raw")
    code, out, shown = on_a_terminal(
        "push", "aws", "tiny.raw", "--test", "--expect", "never", "--timeout", "1", folder=tmp_path
    )
    assert (code, out) == (5, "")
    assert [line.partition(" after")[0] for line in screen(shown)][-3] == "boot test: failed"


def test_inspect_shows_its_progress(tmp_path: Path) -> None:
    write_tiny_disk(tmp_path / "tiny.raw")
    code, out, shown = on_a_terminal("inspect", "tiny.raw", folder=tmp_path)
    assert code == 0
    assert "digest" in out
    assert screen(shown)[-1].startswith("read: ")
