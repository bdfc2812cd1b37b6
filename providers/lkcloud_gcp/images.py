# SPDX-License-Identifier: Apache-2.0
"""Images: found by name, listed, deleted. A name is an image's only id here: it is unique in the project."""

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lkcloud.polling import poll
from lkcloud.provider import Image
from lkcloud_gcp import operations
from lkcloud_gcp.errors import fault
from lkcloud_gcp.naming import DIGEST, IMAGE_NAME, WITHDRAWN, digest_in, time_of
from lkcloud_gcp.session import Session

if TYPE_CHECKING:
    from google.cloud import compute_v1

REGION = "global"
"""Images are in no region; where their bytes are kept is another matter (storageLocations)."""

READY = "READY"
FAILED = "FAILED"
DELETING = "DELETING"

_OVER = ("OBSOLETE", "DELETED")
"""States of a deprecation in which nothing new can be made of an image."""

_BUSY = 600.0
"""Seconds to wait for an image at which another operation is at work."""


def find(session: Session, name: str) -> Image | None:
    """Return the image of the project that is called NAME, whoever made it."""
    shown = get(session, name)
    return image_of(shown) if shown is not None else None


def get(session: Session, name: str) -> "compute_v1.Image | None":
    """Return the image called NAME as Compute Engine shows it, None if there is none."""
    if not IMAGE_NAME.fullmatch(name):
        return None  # images.get would refuse it
    with session.errors(f"looking for the image {name}"):
        try:
            return session.attempt(lambda **how: session.images.get(project=session.project, image=name, **how))
        except Exception as error:
            if _is_gone(error):
                return None
            raise


def every(session: Session) -> list[Image]:
    """Return the images of the project that lkcloud made, oldest first, also those that are deprecated."""
    return [image_of(found) for found in ours(session)]


def ours(session: Session, condition: str = "") -> "list[compute_v1.Image]":
    """Return the images that lkcloud made and that CONDITION, a filter expression, holds for, oldest first."""
    from google.cloud import compute_v1

    # `:*` tests whether a label is there (images.list, filter).
    which = f"labels.{DIGEST}:*"
    request = compute_v1.ListImagesRequest(
        project=session.project, filter=f"({which}) ({condition})" if condition else which
    )
    found = session.call("looking for images", lambda **how: list(session.images.list(request=request, **how)))
    found = [one for one in found if digest_in(one.labels)]
    return sorted(found, key=lambda one: (time(one.creation_timestamp) or datetime.min.replace(tzinfo=UTC), one.name))


def delete(session: Session, image: Image) -> None:
    """Delete the image and wait until it is gone; what is gone is no error.

    One at which another operation is at work, such as its own import, is deleted when that has ended. Raises
    Unreachable if that takes too long.
    """
    from google.cloud import compute_v1

    doing = f"deleting the image {image.id}"

    def attempt() -> bool | None:
        request = compute_v1.DeleteImageRequest(project=session.project, image=image.id, request_id=str(uuid.uuid4()))
        with session.errors(doing):
            try:
                operation = session.attempt(lambda **how: session.images.delete_unary(request=request, **how))
                operations.wait(session, operation, doing=doing)
            except Exception as error:
                if _is_gone(error) or _is_gone(error.__cause__):
                    return True
                if _is_busy(error) or _is_busy(error.__cause__):
                    return None
                raise
        return True

    poll(
        attempt,
        what=f"gcp: what goes on with the image {image.id}",
        every=0.5,
        limit=_BUSY,
        hint="run the same command again later",
    )


def _project(link: str) -> str:
    """Return the project in the LINK of a resource, `.../projects/PROJECT/global/images/NAME`."""
    return link.partition("/projects/")[2].partition("/")[0]


def image_of(shown: "compute_v1.Image") -> Image:
    """Return an image as the house knows it."""
    return Image(
        cloud="gcp",
        region=REGION,
        id=shown.name,
        name=shown.name,
        kind="compute-image",
        account=_project(shown.self_link),
        family=shown.family,
        digest=digest_in(shown.labels),
        state=shown.status,
        ready=shown.status == READY,
        architecture=shown.architecture,
        created=time(shown.creation_timestamp),
        tags=tuple(sorted(shown.labels.items())),
        # Who has made it active by other means needs it, and has left the label.
        withdrawn=time_of(shown.labels.get(WITHDRAWN, "")) if shown.deprecated.state in _OVER else None,
    )


def _is_gone(error: BaseException | None) -> bool:
    answer = fault(error)
    return answer is not None and (answer.status == 404 or answer.reason == "RESOURCE_NOT_FOUND")


def _is_busy(error: BaseException | None) -> bool:
    """Tell whether another operation is at work there (googleapis/google-api-python-client#485)."""
    answer = fault(error)
    return answer is not None and answer.reason in ("resourceNotReady", "RESOURCE_NOT_READY")


def time(text: str) -> datetime | None:
    """Return an RFC 3339 time stamp, None if there is none."""
    return datetime.fromisoformat(text) if text else None
