# SPDX-License-Identifier: Apache-2.0
"""The verdict on a boot, from what a serial console says."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lkcloud.boot import Expectation, Transcript, judge, watch
from lkcloud.errors import BootFailed, UsageError
from lkcloud.reporting import Silent


@dataclass
class ScriptedMachine:
    """A cloud's machine that shows SCREENS one after the other, and then stays with the last; then it is in END."""

    screens: list[str]
    end: str = "running"
    id: str = "i-scripted"
    looks: int = field(default=0)

    def console(self) -> str:
        screen = self.screens[min(self.looks, len(self.screens) - 1)]
        self.looks += 1
        return screen

    def state(self) -> str:
        return self.end if self.looks >= len(self.screens) else "running"

    def terminate(self) -> None:
        pass


class OwnMachine(ScriptedMachine):
    """The same, of this computer."""

    def kept(self) -> str:
        return "nothing"

    def advice(self) -> str:
        return "see its log"


class Listener(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def console(self, text: str) -> None:
        self.lines.append(text)


def look(machine: ScriptedMachine, *patterns: str, timeout: float = 5.0, settle: float = 0.0) -> tuple[str, list[str]]:
    listener = Listener()
    with listener.stage("boot test") as meter:
        expectation = Expectation(patterns, timeout=timeout, every=0.01, settle=settle)
        return watch(machine, expectation, reporter=listener, meter=meter), listener.lines


@pytest.mark.parametrize(
    "line",
    [
        "Debian GNU/Linux 12 localhost ttyS0\n\nlocalhost login: ",
        "[  \x1b[0;32mOK\x1b[0m  ] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m - Multi-User System.\r\n",
        "[    3.141592] systemd[1]: Startup finished in 1.2s (kernel) + 2.1s (userspace) = 3.3s.\n",
        "[   12.5] cloud-init[612]: Cloud-init v. 24.4 finished at Mon, 01 Jan 2024 00:00:00 +0000.\n",
    ],
)
def test_what_a_system_that_is_up_says_passes(line: str) -> None:
    assert judge(f"SeaBIOS\n{line}", ()) is not None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[    1.0] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", "panicked"),
        ("[    9.9] Oops: 0000 [#1] PREEMPT SMP NOPTI: x", "oops"),
        ("[    2.0] BUG: unable to handle page fault for address: 0000000000001234", "bug"),
        ('You are in emergency mode. After logging in, type "journalctl -xb"', "emergency mode"),
        ("ALERT!  UUID=1234 does not exist.  Dropping to a shell!", "emergency shell"),
        ("(initramfs) ", "emergency shell"),
        ("[  190.1] dracut-initqueue[301]: Warning: dracut-initqueue: timeout, still waiting", "dracut"),
        ("systemd[1]: Freezing execution.", "systemd stopped"),
        ("Booting from Hard Disk...\rBoot failed: not a bootable disk", "nothing to boot"),
        ("No bootable device.", "nothing to boot"),
        ("BdsDxe: No bootable option or device was found.", "nothing to boot"),
        ("error: no such device: 1234-5678.", "GRUB"),
        ("grub rescue> ", "GRUB"),
    ],
)
def test_what_a_system_that_failed_says_fails(line: str, reason: str) -> None:
    with pytest.raises(BootFailed, match=reason):
        judge(f"first\n{line}\nlast", ("first",))


def test_all_expected_patterns_are_needed() -> None:
    assert judge("ready one\n", ("one", "two")) is None
    assert judge("ready one\nready two\n", ("one", "two")) == "ready two"
    assert judge("both one and two\n", ("two", "one")) == "both one and two"


def test_with_patterns_the_usual_words_do_not_pass() -> None:
    assert judge("localhost login: ", ("my-service is up",)) is None


def test_watch_returns_the_line_and_passes_the_console_on() -> None:
    line, heard = look(ScriptedMachine(["", "a\nb", "a\nb\nREADY 1\n"]), "READY")
    assert line == "READY 1"
    assert heard == ["a", "b", "READY 1"]


def test_a_line_is_judged_only_when_it_has_ended() -> None:
    line, heard = look(ScriptedMachine(["", "READY", "READY: no\n", "READY: no\nREADY: yes\n"]), "READY(?!:)|yes$")
    assert line == "READY: yes"
    assert heard == ["READY: no", "READY: yes"]


def test_half_a_line_of_bad_words_is_not_a_failure_yet() -> None:
    screens = ["", "error: no such device", "error: no such devices are needed\nlocalhost login: "]
    line, _ = look(ScriptedMachine(["", "(initramfs)", "(initramfs) is what we unpack\nlocalhost login: "]))
    assert line == "localhost login:"
    with pytest.raises(BootFailed, match="GRUB"):
        look(ScriptedMachine(screens[:2]))


def test_a_prompt_that_stays_passes_and_is_passed_on() -> None:
    line, heard = look(ScriptedMachine(["Debian\nlocalhost login: "]))
    assert line == "localhost login:"
    assert heard == ["Debian", "localhost login: "]


def test_the_last_words_are_passed_on_when_it_fails() -> None:
    listener = Listener()
    with listener.stage("boot test") as meter, pytest.raises(BootFailed):
        watch(
            ScriptedMachine(["one\ntwo"]),
            Expectation(("never",), timeout=0.05, every=0.01),
            reporter=listener,
            meter=meter,
        )
    assert listener.lines == ["one", "two"]


def test_watch_waits_for_the_last_words_of_a_machine_that_stopped() -> None:
    line, _ = look(ScriptedMachine(["", "", "", "done\n"], end="stopped"), "done", settle=5.0)
    assert line == "done"


def test_watch_waits_for_no_machine_of_this_computer_that_stopped() -> None:
    assert look(OwnMachine(["", "done"], end="stopped"), "done", settle=1000.0)[0] == "done"
    with pytest.raises(BootFailed, match="stopped before it showed"):
        look(OwnMachine(["half\n"], end="stopped"), "done", settle=1000.0)
    with pytest.raises(BootFailed) as caught:
        look(OwnMachine([""], end="failed: no memory"))
    assert caught.value.hint == "see its log"


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (ScriptedMachine(["half\n"], end="stopped"), "stopped before it showed that it booted; .* ends with: half"),
        (ScriptedMachine([""], end="failed: Server.InternalError"), "failed: Server.InternalError"),
        (ScriptedMachine(["hello\n"]), "did not show within 0 seconds"),
        (ScriptedMachine([""]), "the console is empty"),
    ],
)
def test_watch_says_why_it_failed(machine: ScriptedMachine, words: str) -> None:
    with pytest.raises(BootFailed, match=words) as caught:
        look(machine, "never", timeout=0.1)
    assert caught.value.exit_code == 5
    assert caught.value.hint


@pytest.mark.parametrize(
    ("pattern", "message"), [("(", "not a regular expression"), ("", "fits all"), (" ", "fits all")]
)
def test_a_pattern_that_is_none_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Expectation(("up", pattern))


@given(st.text(alphabet="ab\n", max_size=400), st.lists(st.integers(0, 400), max_size=6), st.integers(100, 200))
def test_transcript_joins_looks_that_show_only_the_end(text: str, cuts: list[int], kept: int) -> None:
    # Each line is numbered, so that no two places of the text look alike, as with the time stamps of a real console.
    text = "".join(f"{number:04}{line}\n" for number, line in enumerate(text.split("\n")))
    transcript = Transcript()
    position = 0
    for cut in [*sorted(cuts), len(text)]:
        # No more than half of what is kept arrives between two looks: otherwise the cloud itself has lost lines.
        while position < cut:
            position = min(position + kept // 3, cut, len(text))
            transcript.add(text[max(0, position - kept) : position])
            if position == len(text):
                break
    assert transcript.text == text


def test_transcript_goes_on_after_lost_lines() -> None:
    transcript = Transcript()
    transcript.add("one\n" * 3)
    assert transcript.add("something else altogether\n") == "something else altogether\n"
