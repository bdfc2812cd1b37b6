# SPDX-License-Identifier: Apache-2.0
"""What is found out about the gallery that images are to go to."""

from collections.abc import Iterator

from lkcloud.diagnosis import Diagnosis, Health, Remedy
from lkcloud_azure import gallery as galleries
from lkcloud_azure import remedies
from lkcloud_azure.options import AzureOptions, region_name
from lkcloud_azure.session import Session

_ABOUT = "gallery"
_WHY = "the image cannot be made in it after the disk was sent, or not be published"


def gallery(session: Session, options: AzureOptions, region: str | None) -> Iterator[Diagnosis]:
    """Yield how the gallery of the options stands, for an image in REGION. Raises Refused for who may not look."""
    place = galleries.place_of(session, options)
    shown = galleries.find(session, place)
    found = list(galleries.problems(options, shown))
    if shown is None:
        for one in found:
            making = remedies.make_gallery(session.subscription, options, region) if region else Remedy(one.hint)
            remedy = Remedy(one.hint) if options.create_gallery else making
            yield Diagnosis(_ABOUT, Health.PROBLEM, one.problem, _WHY, remedy)
        if not found:
            what = f"there is no gallery {options.gallery}"
            yield Diagnosis(_ABOUT, Health.NOTE, what, "the push makes it (--create-gallery)")
        return
    found += galleries.misplaced(options, shown, region)
    for one in found:
        yield Diagnosis(_ABOUT, Health.PROBLEM, one.problem, _WHY, Remedy(one.hint))
    if not found:
        what = f"{options.gallery}, in {region_name(shown.location)}, {galleries.permission(shown)}"
        yield Diagnosis(_ABOUT, Health.GOOD, what)
    policy = shown.properties.soft_delete_policy if shown.properties else None
    if policy and policy.is_soft_delete_enabled:
        # https://learn.microsoft.com/azure/virtual-machines/soft-delete-gallery
        what = f"the gallery {options.gallery} keeps versions for a while that were deleted"
        why = "they cost what they did, and their numbers are taken for that time"
        yield Diagnosis(_ABOUT, Health.NOTE, what, why, remedies.keep_nothing(place))
