# SPDX-License-Identifier: Apache-2.0
"""The end of life of versions, which Azure tells and does nothing about. Managed images have no such date."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from lkcloud.life import dates
from lkcloud.provider import Deprecation, Due, Status
from lkcloud_azure import gallery, gallery_version, lifecycle
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.session import Session


def due(session: Session, options: AzureOptions, now: datetime) -> Iterator[Due]:
    """Yield which versions of ours in the gallery of the options `latest` is to pass over, and which may be deleted.

    Without a gallery there is nothing. The date is told already, and cannot be told again once it has passed.
    """
    if options.gallery is None:
        return
    place = gallery.place_of(session, options)
    found = []
    for shown, machine in gallery_version.ours(session, place, options.definition):
        status = Status.OBSOLETE if gallery_version.excluded(shown) else Status.ACTIVE
        told = Deprecation(status, deleted=lifecycle.end_of_life(shown))
        one = dates.due(gallery_version.image_of(shown, machine), told, now, last=Status.OBSOLETE)
        if one is not None:
            said = None if one.deprecation is None else Deprecation(one.deprecation.status)
            found.append(replace(one, deprecation=said))
    yield from sorted(found, key=lambda one: (one.image.created or now, one.image.id))
