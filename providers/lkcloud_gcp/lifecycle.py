# SPDX-License-Identifier: Apache-2.0
"""The moving name of an image, its family, and how it is marked when it is no longer to be used."""

import uuid
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError, NotFound, UsageError
from lkcloud.provider import Deprecation, Image, Run, Status
from lkcloud.reporting import Meter
from lkcloud_gcp import images, labels, naming, operations
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session

if TYPE_CHECKING:
    from google.cloud import compute_v1


def promote(session: Session, options: GcpOptions, image: Image, run: Run) -> None:
    """Put IMAGE into the family of the options, if they name one; one that is there already is left alone.

    A family leads to the newest of its images that is not deprecated
    (https://cloud.google.com/compute/docs/images/image-families-best-practices), and nothing makes it lead to an older
    one: the user is warned if it leads elsewhere. An image is in one family; it leaves the one that it was in.
    """
    family = options.family
    if family is None:
        return
    before = shown(session, image).family
    if before == family:
        run.reporter.note(f"{image.id} is in the family {family} already")
    else:
        _join(session, image, family, run)
        left = f", no longer in {before}" if before else ""
        run.reporter.note(f"{image.id} is in the family {family}{left}")
    head = _head(session, family)
    if head and head != image.id:
        run.reporter.warn(f"the family {family} still leads to {head}: deprecate that if {image.id} is to be taken")


def _join(session: Session, image: Image, family: str, run: Run) -> None:
    from google.cloud import compute_v1

    with run.reporter.stage("promote") as meter:
        doing = f"putting {image.id} into the family {family}"
        request = compute_v1.PatchImageRequest(
            project=session.project,
            image=image.id,
            image_resource=compute_v1.Image(family=family),
            request_id=str(uuid.uuid4()),
        )
        operation = session.call(doing, lambda **how: session.images.patch_unary(request=request, **how))
        operations.wait(session, operation, doing=doing, meter=meter)


def _head(session: Session, family: str) -> str:
    """Return the name of the image that FAMILY leads to, "" if it leads to none or we may not ask."""
    try:
        return session.call(
            f"looking at the family {family}",
            lambda **how: session.images.get_from_family(project=session.project, family=family, **how),
        ).name
    except LkcloudError:
        return ""  # the image is in its family; this only tells more of it


def deprecate(session: Session, image: Image, deprecation: Deprecation, run: Run) -> None:
    """Mark IMAGE as DEPRECATION says; ACTIVE takes earlier marks away.

    The dates tell users what is planned and do nothing: "the status will not change unless the client explicitly
    changes it" (compute_v1.DeprecationStatus). The replacement is the name of an image of the project, or a URL or
    `projects/...` path of any image. The mark of an image that was withdrawn goes with ACTIVE and DEPRECATED, before
    the image can be used again: what has it will be deleted.

    Raises UsageError for what cannot be said, NotFound if image or replacement does not exist.
    """
    _check(image, deprecation)
    with run.reporter.stage("deprecate") as meter:
        if deprecation.status in (Status.ACTIVE, Status.DEPRECATED):
            labels.put(session, image.id, naming.WITHDRAWN, "")
        say(session, image, deprecation, meter)


def told(shown: "compute_v1.Image") -> Deprecation:
    """Return what is said of an image."""
    status = shown.deprecated
    return Deprecation(
        Status[status.state or Status.ACTIVE.name],
        status.replacement,
        images.time(status.deprecated),
        images.time(status.obsolete),
        images.time(status.deleted),
    )


def say(session: Session, image: Image, deprecation: Deprecation, meter: Meter) -> None:
    """Set the deprecation status of IMAGE."""
    from google.cloud import compute_v1

    status = compute_v1.DeprecationStatus(state=deprecation.status.name)
    if deprecation.replacement:
        status.replacement = _url(session, deprecation.replacement)
    for field, when in _dates(deprecation):
        setattr(status, field, when.isoformat(timespec="seconds"))
    doing = f"marking {image.id} as {deprecation.status.value}"
    request = compute_v1.DeprecateImageRequest(
        project=session.project,
        image=image.id,
        deprecation_status_resource=status,
        request_id=str(uuid.uuid4()),
    )
    operation = session.call(doing, lambda **how: session.images.deprecate_unary(request=request, **how))
    operations.wait(session, operation, doing=doing, meter=meter)


def _check(image: Image, deprecation: Deprecation) -> None:
    if deprecation.replacement == image.id:
        raise UsageError(f"gcp: {image.id} cannot replace itself", hint="name another image as the replacement")
    if deprecation.replacement and deprecation.status is Status.ACTIVE:
        raise UsageError(
            "gcp: an image that is active has no replacement", hint="leave the replacement out, or deprecate the image"
        )
    dates = _dates(deprecation)
    for field, when in dates:
        if when.tzinfo is None:
            raise UsageError(f"gcp: the date of {field} has no time zone: {when}", hint="end it with Z or +00:00")
    for (one, early), (other, late) in pairwise(dates):
        if late < early:
            raise UsageError(f"gcp: {other} ({late}) comes before {one} ({early})", hint="order the dates")


def _dates(deprecation: Deprecation) -> list[tuple[str, datetime]]:
    """Return the dates that are given, by the name of the API's field, in the order in which they should come."""
    given = (
        ("deprecated", deprecation.deprecated),
        ("obsolete", deprecation.obsolete),
        ("deleted", deprecation.deleted),
    )
    return [(field, when) for field, when in given if when is not None]


def _url(session: Session, replacement: str) -> str:
    """Return a replacement as the URL that the API asks for."""
    if replacement.startswith("https://"):
        return replacement
    if replacement.startswith("projects/"):
        return f"https://www.{session.universe}/compute/v1/{replacement}"
    return shown(session, replacement).self_link


def shown(session: Session, image: Image | str) -> "compute_v1.Image":
    """Return an image as Compute Engine shows it. Raises NotFound."""
    name = image if isinstance(image, str) else image.id
    found = images.get(session, name)
    if found is None:
        raise NotFound(f"gcp: there is no image {name}", hint="check the name and --project (`lkcloud list gcp`)")
    return found
