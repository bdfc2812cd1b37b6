# SPDX-License-Identifier: Apache-2.0
"""Images that were withdrawn: nobody new is to come to use one without its being taken back first, and on purpose."""

from lkcloud.errors import Conflict
from lkcloud.provider import Image


def refuse(image: Image) -> None:
    """Raise Conflict if IMAGE is withdrawn: others must not be led to what is about to be deleted.

    An older release that is published once more would otherwise take it back day by day, and a prune withdraw it again.
    """
    if error := conflict(image):
        raise error


def conflict(image: Image) -> Conflict | None:
    """Return the error of whoever wants to use IMAGE although it is withdrawn, None if it is not."""
    if image.withdrawn is None:
        return None
    return Conflict(
        f"{image.cloud}: {image.id} was withdrawn on {image.withdrawn:%Y-%m-%d}, to be deleted",
        hint=f"take that back first: lkcloud deprecate {image.cloud} {image.id} --status active",
    )
