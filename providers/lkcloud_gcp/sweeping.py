# SPDX-License-Identifier: Apache-2.0
"""The dates of images, which Google tells and does nothing about: deprecated, obsolete, deleted."""

from collections.abc import Iterator
from datetime import datetime

from lkcloud.life import dates
from lkcloud.provider import Due
from lkcloud_gcp import images, lifecycle
from lkcloud_gcp.session import Session


def due(session: Session, now: datetime) -> Iterator[Due]:
    """Yield which of our images are to be marked, or may be deleted, by their dates."""
    for shown in images.ours(session):
        if shown.status == images.READY and (found := dates.due(images.image_of(shown), lifecycle.told(shown), now)):
            yield found
