# SPDX-License-Identifier: Apache-2.0
"""What is old enough to be nobody's any more."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from lkcloud.errors import LkcloudError, NotAuthenticated, Refused
from lkcloud.life import collect
from lkcloud.life.doing import each
from lkcloud.provider import Blob, Options

NOW = datetime(2026, 11, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Cloud:
    """A cloud of which nothing but what was left is asked."""

    left: tuple[Blob, ...]
    options: Options = field(default_factory=Options)
    name = "cloud"

    def leftovers(self, name: str) -> Iterator[Blob]:
        assert name == ""
        return iter(self.left)


def blob(number: int, hours: float | None, *, kept: bool = False) -> Blob:
    created = None if hours is None else NOW - hours * HOUR
    return Blob("cloud", "r", f"blob-{number}", "disk", created=created, kept=kept)


@pytest.mark.parametrize(
    ("hours", "undated", "goes"),
    [
        (24, False, [True, False, False, False, False]),
        (24, True, [True, False, True, False, False]),
        (0, False, [True, True, True, False, True]),
        (1000, True, [False, False, True, False, False]),
    ],
)
def test_what_goes(hours: float, undated: bool, goes: list[bool]) -> None:
    cloud = Cloud((blob(1, 24), blob(2, 23.9), blob(3, None), blob(4, 500, kept=True), blob(5, -0.1)))
    found = collect.plan(cloud, older_than=hours * HOUR, undated=undated, now=NOW)  # type: ignore[arg-type]  # no more is asked
    assert [one.goes for one in found] == goes
    assert [one.reason for one in found] == [
        "is 24 hours old",
        "is 23 hours old",
        "is of an age that the cloud does not tell",
        "was left on purpose",
        "is 0 seconds old",
    ]


def test_one_that_fails_keeps_no_other_from_it() -> None:
    tried: list[int] = []

    def do(number: int) -> None:
        tried.append(number)
        if number in (1, 3):
            error = Refused if number == 1 else NotAuthenticated
            raise error(f"number {number}", hint="do something")

    outcomes = [(one.deed, error_of(one.error)) for one in each(range(6), do)]
    # Without credentials there is nothing more to try.
    assert tried == [0, 1, 2, 3]
    assert outcomes == [(0, ""), (1, "number 1"), (2, ""), (3, "number 3"), (4, "number 3"), (5, "number 3")]


def error_of(error: LkcloudError | None) -> str:
    return error.message if error else ""
