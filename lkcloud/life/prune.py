# SPDX-License-Identifier: Apache-2.0
"""Images of which there are too many: found, and taken away."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from lkcloud.errors import UsageError
from lkcloud.life.choice import Act, Policy, Selection, Verdict, choose
from lkcloud.life.doing import Outcome, each
from lkcloud.provider import Holds, Lists, Provider, Run, Withdraws


def plan(provider: Provider, policy: Policy, selection: Selection, *, now: datetime) -> tuple[Verdict, ...]:
    """Return what is to be done with each image of SELECTION, oldest first, doing nothing.

    What uses, protects or leads to an image is asked for only of those that would go. Raises UsageError for what the
    cloud cannot do, and what the provider raises.
    """
    if not isinstance(provider, Lists):
        raise UsageError(f"{provider.name} cannot list images", hint="see lkcloud providers")
    if policy.withdraw_for is not None and not isinstance(provider, Withdraws):
        raise UsageError(f"{provider.name} cannot withdraw images", hint="delete them at once, without --withdraw-for")
    images = selection.chosen(provider.images(), now)
    together = selection.name is not None
    verdicts = choose(images, policy, now=now, together=together)
    going = [one.image for one in verdicts if one.act is not Act.KEEP]
    if going and isinstance(provider, Holds):
        verdicts = choose(images, policy, now=now, holds=tuple(provider.holds(going)), together=together)
    return verdicts


def carry_out(provider: Provider, verdicts: Iterable[Verdict], run: Run) -> Iterator[Outcome[Verdict]]:
    """Withdraw and delete as VERDICTS say, and yield what came of each that is not to be kept."""

    def do(verdict: Verdict) -> None:
        if verdict.act is Act.DELETE:
            provider.delete(verdict.image)
        elif isinstance(provider, Withdraws):
            provider.withdraw(verdict.image, run)

    yield from each((one for one in verdicts if one.act is not Act.KEEP), do)
