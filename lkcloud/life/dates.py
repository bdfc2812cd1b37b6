# SPDX-License-Identifier: Apache-2.0
"""What the dates of an image ask for, for clouds that only tell them."""

from dataclasses import replace
from datetime import datetime

from lkcloud.provider import Deprecation, Due, Image, Status

_ORDER = list(Status)
"""From the beginning of an image's life to its end."""


def due(image: Image, told: Deprecation, now: datetime, *, last: Status = Status.DELETED) -> Due | None:
    """Return what the dates of IMAGE that are before NOW ask for and nobody has done, None if nothing.

    TOLD is how it stands and what its dates are, LAST the last status that the cloud can say of it.
    """
    dates = (
        (Status.DEPRECATED, told.deprecated),
        (Status.OBSOLETE, told.obsolete),
        (Status.DELETED, told.deleted),
    )
    passed = [(status, date) for status, date in dates if date is not None and date <= now]
    if not passed:
        return None
    status, since = passed[-1]
    said = min(status, last, key=_ORDER.index)
    deprecation = replace(told, status=said) if _ORDER.index(told.status) < _ORDER.index(said) else None
    ends = status is Status.DELETED
    return Due(image, since, deprecation, ends) if deprecation is not None or ends else None
