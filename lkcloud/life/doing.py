# SPDX-License-Identifier: Apache-2.0
"""Many small deeds, of which one that fails does not keep the others from being done."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from lkcloud.errors import LkcloudError, NotAuthenticated, Unreachable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What came of a deed: ERROR is None if it is done."""

    deed: T
    error: LkcloudError | None


def each(deeds: Iterable[T], do: Callable[[T], None]) -> Iterator[Outcome[T]]:
    """DO each of DEEDS, and yield what came of it.

    When the cloud cannot be reached any more, or no longer takes the credentials, the rest is not tried: it fails as
    that one did.
    """
    end: LkcloudError | None = None
    for deed in deeds:
        error = end
        if end is None:
            try:
                do(deed)
            except LkcloudError as caught:
                error = caught
                if isinstance(caught, Unreachable | NotAuthenticated):
                    end = caught
        yield Outcome(deed, error)
