# SPDX-License-Identifier: Apache-2.0
"""Images that are taken from their users before they are deleted: private, obsolete, and labelled with the date.

`lkcloud_gcp.lifecycle.deprecate` takes that back. The image stays in its family, which leads past what is obsolete.
"""

from dataclasses import replace
from datetime import UTC, datetime

from lkcloud.provider import Image, Run, Status
from lkcloud_gcp import images, labels, lifecycle, naming, sharing
from lkcloud_gcp.session import Session


def withdraw(session: Session, image: Image, run: Run) -> None:
    """Let nobody use IMAGE by its own policy, nothing new be made of it by anybody, and label it.

    The label comes last: what has it is private. Members of the project's own policy see the image still. Dates and
    replacement stay as they are. Raises NotFound if there is no such image.
    """
    shown = lifecycle.shown(session, image)
    if images.image_of(shown).withdrawn is not None:
        run.reporter.note(f"{image.id} is withdrawn already")
        return
    with run.reporter.stage("withdraw") as meter:
        sharing.take_back(session, image)
        told = lifecycle.told(shown)
        if told.status in (Status.ACTIVE, Status.DEPRECATED):
            lifecycle.say(session, image, replace(told, status=Status.OBSOLETE), meter)
        labels.put(session, image.id, naming.WITHDRAWN, naming.time_label(datetime.now(UTC)))
    run.reporter.note(f"{image.id} is obsolete, and no longer shared with anybody")
