# SPDX-License-Identifier: Apache-2.0
"""The Azure Compute Gallery that versions go to: found, or made where the user asks for it.

https://learn.microsoft.com/azure/virtual-machines/create-gallery
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError, NotFound, UsageError
from lkcloud.provider import Finding, Run, Source
from lkcloud_azure import gallery_definition, gallery_version, operations, resource_group
from lkcloud_azure.errors import is_absent, status_of
from lkcloud_azure.naming import COMPUTE, ResourceId, word
from lkcloud_azure.options import AzureOptions, region_name
from lkcloud_azure.session import Session

if TYPE_CHECKING:
    from azure.mgmt.compute import models

COMMUNITY = "Community"
"""The permission of a gallery that can be published; one that was made with another cannot become one

(https://learn.microsoft.com/azure/virtual-machines/share-gallery-community#limitations-for-sharing-images-with-the-community).
"""


def place_of(session: Session, options: AzureOptions) -> ResourceId:
    """Return the id of the gallery of the options, which name one."""
    assert options.gallery is not None
    return ResourceId(session.subscription, options.gallery_group, COMPUTE, ("galleries",), (options.gallery,))


def find(session: Session, place: ResourceId) -> "models.Gallery | None":
    """Return the gallery with this id, None if there is none."""
    with session.errors(f"looking for the gallery {place.names[0]}"):
        try:
            return session.attempt(lambda: session.compute.galleries.get(place.group, place.names[0]))
        except Exception as error:
            if is_absent(error):
                return None
            raise


def permission(shown: "models.Gallery") -> str:
    """Return how a gallery is shared: `Private`, `Groups` or `Community`."""
    profile = shown.properties.sharing_profile if shown.properties else None
    return word(profile.permissions if profile else None) or "Private"


def check(session: Session, options: AzureOptions, source: Source) -> Iterator[Finding]:
    """Yield what stands in the way of a version of SOURCE, making nothing; nothing does where no gallery is named."""
    if options.gallery is None:
        return
    shown = find(session, place_of(session, options))
    yield from problems(options, shown)
    if shown is not None:
        yield from gallery_definition.check(session, options, source)
        yield from gallery_version.check(session, options, source)


def problems(options: AzureOptions, shown: "models.Gallery | None") -> Iterator[Finding]:
    """Yield what stands in the way of the gallery of the options as it is SHOWN, None where there is none."""
    if shown is None:
        if not options.create_gallery:
            yield _missing(options)
        elif options.public and not _publisher(options):
            yield Finding(
                "a gallery that is to be public needs to say whose it is when it is made",
                "give --community-prefix, --publisher-uri, --publisher-contact and --eula",
            )
    elif options.public and permission(shown) != COMMUNITY:
        yield Finding(
            f"the gallery {options.gallery} was not made for the community, and cannot become public",
            "leave out --public, or give the name of another --gallery with --create-gallery",
        )


def misplaced(options: AzureOptions, shown: "models.Gallery", region: str | None) -> Iterator[Finding]:
    """Yield that a public gallery does not show what is made in REGION.

    https://learn.microsoft.com/azure/virtual-machines/share-gallery-community
    """
    home = region_name(shown.location)
    if options.public and region is not None and region != home:
        yield Finding(
            f"the gallery {options.gallery} is in {home}, and shows the public nothing that is made in {region}",
            f"give --location {home}, or leave --public out",
        )


def ensure(session: Session, options: AzureOptions, source: Source, region: str, run: Run) -> str:
    """Make the gallery and the image definition in REGION where they are missing, if the options say that it may be.

    Returns the security type of the definition's images. Raises NotFound where something is missing and may not be
    made, and UsageError where the definition is for other images.
    """
    place = place_of(session, options)
    if _settled(session, place) is None:
        if not options.create_gallery:
            missing = _missing(options)
            raise NotFound(f"azure: {missing.problem}", hint=missing.hint)
        resource_group.ensure(session, place.group, region, options.tags)
        _make(session, options, region)
        run.reporter.note(f"made the gallery {options.gallery}")
    return gallery_definition.ensure(session, options, source, region, run)


def _make(session: Session, options: AzureOptions, region: str) -> None:
    """Make the gallery; one that another run makes at the same time will do."""
    from azure.mgmt.compute import models

    place = place_of(session, options)
    wanted = models.Gallery(
        location=region,
        tags=options.tags,
        properties=models.GalleryProperties(sharing_profile=_sharing(options)),
    )
    doing, galleries = f"making the gallery {options.gallery}", session.compute.galleries
    try:
        operation = operations.begin(
            session,
            doing,
            lambda **how: galleries.begin_create_or_update(place.group, place.names[0], wanted, **how),
        )
        operations.wait(session, operation, doing=doing)
    except LkcloudError as error:
        if status_of(error.__cause__) != 409 or _settled(session, place) is None:
            raise
    operations.shown(lambda: find(session, place), what=f"the gallery {options.gallery}")


def _settled(session: Session, place: ResourceId) -> "models.Gallery | None":
    """Return the gallery when nobody makes or deletes it any more, None if it is not there then."""
    return operations.settled(lambda: find(session, place), what=f"the gallery {place.names[0]}")


def _missing(options: AzureOptions) -> Finding:
    return Finding(
        f"there is no gallery {options.gallery} in the resource group {options.gallery_group}",
        "give --create-gallery to have it made, or check --gallery and --gallery-resource-group",
    )


def _publisher(options: AzureOptions) -> bool:
    """Tell whether the options say all that a community gallery says of its publisher."""
    return all((options.community_prefix, options.publisher_uri, options.publisher_contact, options.eula))


def _sharing(options: AzureOptions) -> "models.SharingProfile | None":
    """Return how a gallery that is made is to be shared; only one that is made for the community can become public."""
    from azure.mgmt.compute import models

    given = (options.community_prefix, options.publisher_uri, options.publisher_contact, options.eula)
    if not options.public and not any(given):
        return None
    if not all(given):
        raise UsageError(
            "azure: a gallery for the community needs to say whose it is when it is made",
            hint="give --community-prefix, --publisher-uri, --publisher-contact and --eula",
        )
    return models.SharingProfile(
        permissions=COMMUNITY,
        community_gallery_info=models.CommunityGalleryInfo(
            public_name_prefix=options.community_prefix,
            publisher_uri=options.publisher_uri,
            publisher_contact=options.publisher_contact,
            eula=options.eula,
        ),
    )
