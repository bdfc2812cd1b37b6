# SPDX-License-Identifier: Apache-2.0
"""Does an image boot? Watch a test machine's serial console for the words that say yes or no."""

import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lkcloud.errors import BootFailed, UsageError
from lkcloud.provider import Image, Launches, Machine, Run
from lkcloud.reporting import Meter, Reporter

GOOD: tuple[str, ...] = (
    r"login: *$",
    r"Reached target .*(Multi-User|multi-user\.target|Graphical|graphical\.target)",
    r"Startup finished in ",
    r"Cloud-init v\..* finished at ",
)
"""What passes where nothing is expected by name: a getty, systemd, cloud-init."""

BAD: tuple[tuple[str, str], ...] = (
    (r"Kernel panic - not syncing", "the kernel panicked"),
    (r"\b(Oops|general protection fault)\b.*: ", "the kernel stumbled (oops)"),
    (r"BUG: (unable to handle|kernel NULL pointer|soft lockup)", "the kernel stumbled (bug)"),
    (r"You are in emergency mode|Entering emergency mode|Reached target .*[Ee]mergency", "it fell into emergency mode"),
    (r"Dropping to (a|an emergency) shell|\(initramfs\) *$|dracut:/# ", "it fell into an emergency shell"),
    (r"dracut-initqueue.*timeout|dracut: FATAL|dracut Warning: Could not boot", "dracut failed"),
    (r"systemd\[1\]: Freezing execution", "systemd stopped"),
    (r"VFS: (Cannot open root device|Unable to mount root fs)", "the kernel found no root file system"),
    (r"No bootable (device|option)|Boot failed: not a bootable disk", "the firmware found nothing to boot"),
    (r"grub rescue>|error: no such (device|partition)", "GRUB did not find its files"),
)
"""What fails, whatever is expected, and how to say so."""

_PROBE = 64
"""Characters that two looks must share to be taken for a continuation."""

_ESCAPES = re.compile(r"\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>])")


@dataclass(frozen=True, slots=True)
class Expectation:
    """How to tell that a machine booted.

    Every one of PATTERNS (regular expressions, searched line by line) must appear; without any, one of GOOD. TIMEOUT
    and EVERY, the time between two looks, are seconds. SETTLE is how many seconds a machine that has stopped may take
    to give out its last words: EC2 posts the console after a stop (GetConsoleOutput in the EC2 API reference).
    """

    patterns: tuple[str, ...] = ()
    timeout: float = 300.0
    every: float = 2.0
    settle: float = 30.0

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            if not pattern.strip():
                raise UsageError(
                    f"--expect {pattern!r} fits all that a machine can say",
                    hint="give words that the image prints when it is up, or leave --expect out",
                )
            try:
                re.compile(pattern)
            except re.error as error:
                raise UsageError(
                    f"--expect {pattern!r} is not a regular expression: {error}", hint="escape the special characters"
                ) from None


@runtime_checkable
class Own(Protocol):
    """A machine of this computer: no cloud can be asked about it, it costs nothing, and it ends with this process."""

    def kept(self) -> str:
        """Return what stays of it when it is not removed, and for how long: words that follow `kept `."""
        ...

    def advice(self) -> str:
        """Return what to do when it has failed: the hint of an error."""
        ...


@dataclass(frozen=True, slots=True)
class Boot:
    """A boot that passed: the machine, the line that said so, and seconds from the launch to it."""

    machine: str
    line: str
    seconds: float


class Transcript:
    """What a console has said, from looks that each show only its last part."""

    def __init__(self) -> None:
        self.text = ""
        self._look = ""

    def add(self, look: str) -> str:
        """Add a look at the console and return what is new in it."""
        new = look[self._overlap(look) :]
        self._look = look
        self.text += new
        return new

    def _overlap(self, look: str) -> int:
        """Return how many characters at the start of LOOK the last look ended with.

        A cloud keeps only the end of a long console (EC2: 64 KiB), so a look may start in the middle of the last one.
        """
        probe = look[: min(_PROBE, len(self._look))]
        position = self._look.find(probe)
        while position >= 0:
            length = len(self._look) - position
            if self._look[position:] == look[:length]:
                return length
            position = self._look.find(probe, position + 1)
        return 0


def boot_test(
    provider: Launches, image: Image, *, run: Run, expectation: Expectation | None = None, keep: bool = False
) -> Boot:
    """Boot IMAGE on a test machine and watch its console; the machine is always removed, unless KEEP.

    Raises BootFailed with the reason.
    """
    with run.reporter.stage("boot test") as meter:
        started = time.monotonic()
        machine = provider.launch(image, run)
        try:
            line = watch(machine, expectation or Expectation(), reporter=run.reporter, meter=meter)
            return Boot(machine.id, line, time.monotonic() - started)
        finally:
            if keep:
                stays = f"{machine.id}; it costs money until it is terminated"
                run.reporter.note(f"kept {machine.kept() if isinstance(machine, Own) else stays}")
            else:
                with _undisturbed():
                    machine.terminate()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore what ends a process for as long as a machine is removed: a second Ctrl-C must not leave it running."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Signals are handled in the main thread only.
        return
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            # None is a handler that was not set from Python, and cannot be set again from it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def watch(machine: Machine, expectation: Expectation, *, reporter: Reporter, meter: Meter) -> str:
    """Watch the console until the machine has shown that it booted, and return the line that said so.

    Raises BootFailed for a bad word, a machine that failed or stopped too early, and the time limit.
    """
    console = _Console(machine, reporter)
    try:
        return _watch(machine, console, expectation, meter)
    finally:
        console.close()


class _Console:
    """A machine's console: passed on line by line, and judged only where nothing more can be added to a line."""

    def __init__(self, machine: Machine, reporter: Reporter) -> None:
        self._machine = machine
        self._reporter = reporter
        self._transcript = Transcript()
        self._unfinished = ""

    def look(self) -> str:
        """Return the complete lines so far.

        A last line without an end is among them when this look is as the one before: a login prompt has no end either.
        """
        new = self._transcript.add(self._machine.console())
        *lines, self._unfinished = (self._unfinished + new).split("\n")
        for line in lines:
            self._reporter.console(_plain(line))
        text = self._transcript.text
        return text[: len(text) - len(self._unfinished)] if new else text

    def last(self) -> str:
        """Return what the console ends with, for a message."""
        return _last(self._transcript.text)

    def close(self) -> None:
        """Pass on the last line that has no end."""
        if self._unfinished:
            self._reporter.console(_plain(self._unfinished))


def _watch(machine: Machine, console: _Console, expectation: Expectation, meter: Meter) -> str:
    deadline = time.monotonic() + expectation.timeout
    stopped_at: float | None = None
    # What a machine of this computer has said is there when it stops, and is looked at once more.
    settle = min(expectation.settle, expectation.every) if isinstance(machine, Own) else expectation.settle
    while True:
        state = machine.state()
        verdict = judge(console.look(), expectation.patterns)
        if verdict is not None:
            return verdict
        now = time.monotonic()
        meter.status(state)
        if state.startswith("failed"):
            of_cloud = "see what the cloud says of this instance type and image"
            raise BootFailed(f"{machine.id} {state}", hint=machine.advice() if isinstance(machine, Own) else of_cloud)
        if state == "stopped":
            stopped_at = stopped_at or now
            if now - stopped_at >= settle:
                raise BootFailed(
                    f"{machine.id} stopped before it showed that it booted{console.last()}", hint=_hint(expectation)
                )
        if now >= deadline:
            late = f"{machine.id} did not show within {expectation.timeout:.0f} seconds that it booted"
            raise BootFailed(f"{late}{console.last()}", hint=_hint(expectation))
        time.sleep(min(expectation.every, max(deadline - now, 0.01)))


def judge(text: str, patterns: Sequence[str]) -> str | None:
    """Return the line that shows that the machine booted, or None if nothing shows it yet.

    All of PATTERNS must match a line, or one of GOOD if there are none. Raises BootFailed for a line out of BAD.
    """
    lines = [_plain(line) for line in text.splitlines()]
    for line in lines:
        for pattern, meaning in BAD:
            if re.search(pattern, line):
                raise BootFailed(
                    f"{meaning}: {line.strip()}", hint="read the console above; the image was not made public"
                )
    missing = list(patterns)
    for line in lines:
        if not patterns and any(re.search(pattern, line) for pattern in GOOD):
            return line.strip()
        met = [pattern for pattern in missing if re.search(pattern, line)]
        missing = [pattern for pattern in missing if pattern not in met]
        if met and not missing:
            return line.strip()
    return None


def _plain(line: str) -> str:
    return _ESCAPES.sub("", line).replace("\r", "")


def _last(text: str) -> str:
    lines = [line for line in (_plain(line).strip() for line in text.splitlines()) if line]
    return f"; the console ends with: {lines[-1]}" if lines else "; the console is empty"


def _hint(expectation: Expectation) -> str:
    if expectation.patterns:
        return "does the image write to its first serial port (console=ttyS0)? a longer --timeout may help"
    return "say with --expect REGEX what the image prints on its first serial port (console=ttyS0) when it is up"
