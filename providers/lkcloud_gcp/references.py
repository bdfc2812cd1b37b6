# SPDX-License-Identifier: Apache-2.0
"""What in the project leads to an image or makes machines from it: families and instance templates.

A machine or a disk that was made needs its image no more (https://cloud.google.com/compute/docs/images/create-custom).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lkcloud.errors import NotFound
from lkcloud.provider import Hold, Image
from lkcloud_gcp.session import Session

if TYPE_CHECKING:
    from google.cloud import compute_v1

_IMAGE = re.compile(r"(?:https://[^/]+/compute/v1/)?(?:projects/(?P<project>[^/]+)/)?global/images/(?P<name>[^/]+)")


def holds(session: Session, wanted: Sequence[Image]) -> Iterator[Hold]:
    """Yield why images among WANTED have to stay. What other projects make of an image is not seen."""
    if not wanted:
        return
    for family in sorted({image.family for image in wanted if image.family}):
        head = _head(session, family)
        for image in wanted:
            if image.id == head:
                yield Hold(image.id, f"is what the family {family} leads to", leads=True)
    templates = _templates(session)
    for image in wanted:
        names = sorted(templates.get(image.id, ()))
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield Hold(image.id, f"is used by the instance template {', '.join(names[:3])}{more}")


def _head(session: Session, family: str) -> str:
    """Return the name of the image that FAMILY leads to, "" if it leads to none."""
    try:
        return session.call(
            f"looking at the family {family}",
            lambda **how: session.images.get_from_family(project=session.project, family=family, **how),
        ).name
    except NotFound:
        return ""


def _templates(session: Session) -> dict[str, set[str]]:
    """Return the names of the instance templates, global and of regions, by the image of the project that they name.

    One that names a family takes what that leads to.
    """
    from google.cloud import compute_v1

    request = compute_v1.AggregatedListInstanceTemplatesRequest(project=session.project)

    def ask(*, timeout: float, retry: None) -> "list[compute_v1.InstanceTemplate]":
        scopes = session.instance_templates.aggregated_list(request=request, timeout=timeout, retry=retry)
        return [template for _, scope in scopes for template in scope.instance_templates]

    found: dict[str, set[str]] = defaultdict(set)
    for template in session.call("looking for instance templates", ask):
        for disk in template.properties.disks:
            match = _IMAGE.fullmatch(disk.initialize_params.source_image)
            if match and match["project"] in (None, session.project):
                found[match["name"]].add(template.name)
    return found
