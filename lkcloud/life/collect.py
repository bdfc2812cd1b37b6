# SPDX-License-Identifier: Apache-2.0
"""What dead runs have left in a cloud: found by its tags, and removed once it is old enough to be nobody's any more."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from lkcloud.errors import UsageError
from lkcloud.life import age
from lkcloud.life.doing import Outcome, each
from lkcloud.provider import Blob, Leaves, Provider

YOUNG = timedelta(hours=24)
"""What is younger may be of a run that still goes on."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that a push has left: whether it GOES, for a REASON that can follow its id."""

    blob: Blob
    goes: bool
    reason: str


class Place(Protocol):
    """Where something can have been left: a cloud, or this machine."""

    @property
    def name(self) -> str:
        """The word for it."""
        ...

    def leftovers(self, name: str) -> Iterator[Blob]:
        """Yield what is left of images called NAME ("" = of any name)."""
        ...

    def delete(self, resource: Blob) -> None:
        """Remove what was left; what is gone is no error."""
        ...


def plan(provider: Provider | Place, *, older_than: timedelta, undated: bool, now: datetime) -> tuple[Leftover, ...]:
    """Return what pushes of all names have left, removing nothing.

    What is at least OLDER_THAN goes, and what has no date if UNDATED says so; what was left on purpose stays. Raises
    UsageError for a cloud of which nothing can be said, and what the provider raises.
    """
    if not isinstance(provider, Leaves):
        raise UsageError(f"{provider.name} cannot tell what was left", hint="see lkcloud providers")
    return tuple(_judged(blob, older_than, now, undated=undated) for blob in provider.leftovers(""))


def carry_out(provider: Provider | Place, leftovers: Iterable[Leftover]) -> Iterator[Outcome[Leftover]]:
    """Remove those of LEFTOVERS that are to go, and yield what came of each."""
    yield from each((one for one in leftovers if one.goes), lambda one: provider.delete(one.blob))


def _judged(blob: Blob, older_than: timedelta, now: datetime, *, undated: bool) -> Leftover:
    if blob.kept:
        return Leftover(blob, goes=False, reason="was left on purpose")
    # However young something is, or ahead the cloud's clock, it is not younger than no time at all.
    everything = not older_than
    if blob.created is None:
        return Leftover(blob, everything or undated, "is of an age that the cloud does not tell")
    old = now - blob.created
    return Leftover(blob, everything or old >= older_than, f"is {age.words(old)} old")
