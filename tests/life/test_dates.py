# SPDX-License-Identifier: Apache-2.0
"""Which date of an image is due."""

from datetime import UTC, datetime

import pytest

from lkcloud.life.dates import due
from lkcloud.provider import Deprecation, Due, Image, Status

IMAGE = Image("cloud", "r", "image-1", "image")
ONE, TWO, THREE = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
DATES = (ONE, TWO, THREE)


@pytest.mark.parametrize(
    ("now", "status", "said", "since", "ends"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), Status.ACTIVE, Status.DEPRECATED, ONE, False),
        (datetime(2026, 2, 15, tzinfo=UTC), Status.ACTIVE, Status.OBSOLETE, TWO, False),
        (datetime(2026, 2, 15, tzinfo=UTC), Status.DEPRECATED, Status.OBSOLETE, TWO, False),
        (datetime(2026, 3, 15, tzinfo=UTC), Status.ACTIVE, Status.DELETED, THREE, True),
        (datetime(2026, 3, 15, tzinfo=UTC), Status.DELETED, None, THREE, True),
    ],
)
def test_the_latest_date_that_has_passed_counts(
    now: datetime, status: Status, said: Status | None, since: datetime, ends: bool
) -> None:
    wanted = Deprecation(said, "image-2", *DATES) if said else None
    assert due(IMAGE, Deprecation(status, "image-2", *DATES), now) == Due(IMAGE, since, wanted, ends)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (datetime(2025, 12, 31, tzinfo=UTC), Deprecation(Status.ACTIVE, "", *DATES)),
        (datetime(2026, 1, 15, tzinfo=UTC), Deprecation(Status.OBSOLETE, "", *DATES)),
        (datetime(2027, 1, 1, tzinfo=UTC), Deprecation(Status.ACTIVE)),
        (datetime(2027, 1, 1, tzinfo=UTC), Deprecation(Status.DELETED)),
    ],
)
def test_what_is_done_or_has_no_date_is_not_due(now: datetime, told: Deprecation) -> None:
    assert due(IMAGE, told, now) is None


def test_a_cloud_says_no_more_than_it_can() -> None:
    told = Deprecation(Status.ACTIVE, deleted=THREE)
    found = due(IMAGE, told, THREE, last=Status.OBSOLETE)
    assert found == Due(IMAGE, THREE, Deprecation(Status.OBSOLETE, deleted=THREE), ends=True)
    again = due(IMAGE, Deprecation(Status.OBSOLETE, deleted=THREE), THREE, last=Status.OBSOLETE)
    assert again == Due(IMAGE, THREE, None, ends=True)
