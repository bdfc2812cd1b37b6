# SPDX-License-Identifier: Apache-2.0
"""The dates of images that clouds only tell: carried out when they have passed."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from lkcloud.errors import UsageError
from lkcloud.life.doing import Outcome, each
from lkcloud.provider import Deprecates, Due, Hold, Holds, Provider, Run, Sweeps


class Step(Enum):
    """What is to be done about a date that has passed; the values are the words that are shown."""

    KEEP = "keep"
    MARK = "mark"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Sweeping:
    """What is to be done about DUE, for a REASON that can follow the image's name."""

    due: Due
    step: Step
    reason: str


def plan(provider: Provider, *, now: datetime, deleting: bool) -> tuple[Sweeping, ...]:
    """Return what is to be done about each date that is before NOW, doing nothing.

    An image whose last date has passed is deleted if that is wanted (DELETING) and nothing holds it. One that a moving
    name leads to is not even marked: those who follow the name would find nothing, or an older image. Raises UsageError
    for a cloud without such dates, and what the provider raises.
    """
    if not isinstance(provider, Sweeps):
        raise UsageError(f"{provider.name} has no dates to carry out", hint="see lkcloud providers")
    dues = tuple(provider.due(now))
    holds: dict[str, list[Hold]] = defaultdict(list)
    if dues and isinstance(provider, Holds):
        for hold in provider.holds([due.image for due in dues]):
            holds[hold.image].append(hold)
    return tuple(_sweeping(due, holds[due.image.id], deleting=deleting) for due in dues)


def carry_out(provider: Provider, sweepings: Iterable[Sweeping], run: Run) -> Iterator[Outcome[Sweeping]]:
    """Mark and delete as SWEEPINGS say, and yield what came of each that is not to be kept."""

    def do(sweeping: Sweeping) -> None:
        if sweeping.step is Step.DELETE:
            provider.delete(sweeping.due.image)
        elif isinstance(provider, Deprecates) and sweeping.due.deprecation is not None:
            provider.deprecate(sweeping.due.image, sweeping.due.deprecation, run)

    yield from each((one for one in sweepings if one.step is not Step.KEEP), do)


def _sweeping(due: Due, holds: list[Hold], *, deleting: bool) -> Sweeping:
    leading = [hold for hold in holds if hold.leads]
    if deleting and due.ends and not holds:
        return Sweeping(due, Step.DELETE, f"ended on {due.since:%Y-%m-%d}")
    if due.deprecation is not None and not leading:
        return Sweeping(due, Step.MARK, f"is {due.deprecation.status.value} since {due.since:%Y-%m-%d}")
    if leading or (deleting and holds):
        return Sweeping(due, Step.KEEP, " and ".join(hold.reason for hold in leading or holds))
    return Sweeping(due, Step.KEEP, f"ended on {due.since:%Y-%m-%d}, and is not deleted unless that is asked for")
