# SPDX-License-Identifier: Apache-2.0
"""The dates that are tags of our images, since AWS has no place for them. That of its deprecation AWS carries out."""

from collections.abc import Iterator
from datetime import datetime

from lkcloud.life import dates
from lkcloud.provider import Deprecation, Due, Status
from lkcloud_aws import images
from lkcloud_aws.naming import DELETED, OBSOLETE, REPLACEMENT, time_of
from lkcloud_aws.session import Session


def due(session: Session, now: datetime) -> Iterator[Due]:
    """Yield which of our images are to be disabled, or may be deleted, by their tags."""
    for image in images.every(session):
        tags = dict(image.tags)
        told = Deprecation(
            Status.OBSOLETE if image.state == "disabled" else Status.ACTIVE,
            tags.get(REPLACEMENT, ""),
            obsolete=time_of(tags.get(OBSOLETE, "")),
            deleted=time_of(tags.get(DELETED, "")),
        )
        if found := dates.due(image, told, now, last=Status.OBSOLETE):
            yield found
