# SPDX-License-Identifier: Apache-2.0
"""Images that are taken from their users before they are deleted, as far as Azure can do that, and marked by a tag.

A version is passed over by `latest`. Who may use it is said of its definition, for all versions alike, and cannot be
said of one: by its number it can be used until it is deleted. `lkcloud_azure.lifecycle.deprecate` takes the mark away.
"""

from datetime import UTC, datetime

from lkcloud.errors import NotFound
from lkcloud.provider import Image, Run
from lkcloud_azure import images, lifecycle, managed_image, sharing
from lkcloud_azure.lifecycle import Change
from lkcloud_azure.naming import WITHDRAWN, ResourceId
from lkcloud_azure.session import Session


def withdraw(session: Session, image: Image, run: Run) -> None:
    """Let `latest` pass over a version; take the roles that were given on a managed image. Then mark it.

    Raises NotFound if there is no such image.
    """
    shown, place = images.get(session, image.id), ResourceId.parse(image.id)
    if shown is None or place is None:
        raise NotFound(f"azure: there is no image {image.id}", hint="lkcloud list azure shows those there are")
    if shown.withdrawn is not None:
        run.reporter.note(f"{image.id} is withdrawn already")
        return
    mark = datetime.now(UTC).isoformat(timespec="seconds")
    if place.is_of(*images.VERSION):
        # Both at once: a version has one publishing profile for all regions, and its tags go with it.
        lifecycle.change(session, place, Change(excluded=True, withdrawn=mark), run, "withdraw")
        _, definition, number = place.names
        run.reporter.note(
            f"`latest` of {definition} passes over {number}; who may use {definition} can take it by its number still"
        )
        return
    with run.reporter.stage("withdraw"):
        sharing.take_back(session, place)
        managed_image.put_tag(session, place, WITHDRAWN, mark)
    run.reporter.note(f"{place.names[0]} is no longer shared with anybody")
