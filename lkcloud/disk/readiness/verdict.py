# SPDX-License-Identifier: Apache-2.0
"""What is found when a disk is held against what a cloud needs."""

from dataclasses import dataclass
from typing import Literal

Aspect = Literal["size", "firmware", "kernel", "disk", "network", "console", "agent"]
State = Literal["ok", "warning", "fault", "unknown"]
"""`fault` keeps a machine from booting; `warning` does not, but something is missing or will not be seen."""
Word = Literal["boots", "will not boot", "cannot tell"]

DECIDING: tuple[Aspect, ...] = ("size", "firmware", "kernel", "disk")
"""Without knowing these nobody can tell whether it boots."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: WHAT was found, and what to do about it, "" if nothing is to be done."""

    aspect: Aspect
    state: State
    what: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a disk boots on a cloud."""

    cloud: str
    title: str
    checks: tuple[Check, ...]

    @property
    def word(self) -> Word:
        """The verdict."""
        if any(check.state == "fault" for check in self.checks):
            return "will not boot"
        if any(check.state == "unknown" and check.aspect in DECIDING for check in self.checks):
            return "cannot tell"
        return "boots"
