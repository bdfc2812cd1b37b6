# SPDX-License-Identifier: Apache-2.0
"""What is found out about an account before a push: who we are there, what we may, and what stands in the way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Protocol, runtime_checkable

_SLOW = 60.0
"""Seconds that no cloud minds, and that an answer can take."""

SET_CLOCK = "timedatectl set-ntp true"
"""What has systemd keep the clock right."""


class Health(Enum):
    """How something stands; the values are the words of the command line."""

    GOOD = "ok"
    NOTE = "note"
    """It stands in the way of nothing that was asked for, and is good to know."""
    UNKNOWN = "unknown"
    """This identity may not look, or the cloud has no way to ask without making something."""
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What mends a problem: something to DO, in words, and where there are such, COMMANDS of the cloud's own program.

    TERRAFORM are whole blocks, ready to apply beside the configuration of the cloud's provider.
    """

    do: str = ""
    commands: tuple[str, ...] = ()
    terraform: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Something that was looked at: ABOUT is what (`identity`, `bucket`), WHAT is how it stands, WHY why it matters."""

    about: str
    health: Health
    what: str
    why: str = ""
    remedy: Remedy = Remedy()


class Purpose(Enum):
    """What an account is to be used for; the values are commands."""

    PUSH = "push"
    TEST = "test"
    COPY = "copy"
    SHARE = "share"
    PROMOTE = "promote"
    PROTECT = "protect"
    DEPRECATE = "deprecate"
    LIST = "list"
    DELETE = "delete"
    PRUNE = "prune"
    SWEEP = "sweep"
    GC = "gc"


@runtime_checkable
class Diagnoses(Protocol):
    """The account can be looked at, making nothing in it, to tell what of it is not ready."""

    def diagnose(self, purposes: Sequence[Purpose]) -> Iterator[Diagnosis]:
        """Yield what was found, as it is found: what stands well too; the options say which way a push goes.

        A purpose that the cloud does not know asks for nothing. Raises NotAuthenticated and Unreachable: without these
        nothing can be told.
        """
        ...


def clock(date: str, *, limit: float, why: str) -> Diagnosis:
    """Compare this machine's clock with DATE, the header of an answer that came just now.

    LIMIT is the seconds that the cloud allows, and WHY what happens beyond them. Nothing is known without a date.
    """
    try:
        away = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError):
        return Diagnosis("clock", Health.UNKNOWN, "the cloud did not tell its time")
    if abs(away) < _SLOW:
        return Diagnosis("clock", Health.GOOD, "as the cloud's, to the minute")
    what = f"this machine's clock is {abs(away):.0f} s {'before' if away > 0 else 'behind'} the cloud's"
    return Diagnosis(
        "clock", Health.NOTE if abs(away) < limit else Health.PROBLEM, what, why, Remedy(commands=(SET_CLOCK,))
    )
