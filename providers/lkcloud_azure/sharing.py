# SPDX-License-Identifier: Apache-2.0
"""Who may use an image: role assignments for those who are named, a community gallery for everybody.

https://learn.microsoft.com/azure/virtual-machines/share-gallery: who may read an image may make machines from it.
"""

import uuid
from functools import partial
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError, NotFound, Refused, UsageError
from lkcloud.polling import poll
from lkcloud.provider import Image, Run
from lkcloud_azure import gallery, gallery_version, images, operations
from lkcloud_azure.errors import code_of, status_of
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.options import AzureOptions, Principal, region_name
from lkcloud_azure.session import Session

if TYPE_CHECKING:
    from azure.mgmt.authorization.v2022_04_01 import models as authorization
    from azure.mgmt.compute import models

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
"""The built-in role Reader, the one that Microsoft's page on sharing names

(https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/general#reader)."""

_NAMESPACE = uuid.UUID("5d2c7ea7-5f0b-4a63-9f3e-1d5d8b1f3a54")
"""Ours, for the names of role assignments: one of the same scope, role and principal has the same name."""

_EXISTS = "RoleAssignmentExists"
"""The same principal has the same role there already, under another name."""

_HINTS = {
    "PrincipalNotFound": "give the object id, not that of an application; for a principal that was just made, its kind"
    " as well: servicePrincipal:OBJECT_ID",
    "UnmatchedPrincipalType": "give another kind, or leave it out",
}

_SEEN = 60.0
"""Seconds until what was changed is to be read."""


def share(session: Session, options: AzureOptions, image: Image, run: Run) -> None:
    """Let those whom the options name use IMAGE; who may already goes on to.

    A managed image is shared by itself. Of a version its definition is shared, with all versions that are in it and
    will be: Microsoft advises against sharing versions by themselves, and `latest` would not work. Nobody named:
    nothing is done. Raises UsageError for what can be seen to be impossible, and Refused for what Azure does not allow.
    """
    if not options.share_with and not options.public:
        return
    place = ResourceId.parse(image.id)
    if place is None or not (place.is_of(*images.IMAGE) or place.is_of(*images.VERSION)):
        raise UsageError(f"azure: {image.id!r} is no id of an image", hint="lkcloud list azure shows those there are")
    if options.public and not place.is_of(*images.VERSION):
        raise UsageError(
            "azure: a managed image cannot be public",
            hint="push it with --gallery, as a version in a community gallery",
        )
    with run.reporter.stage("share"):
        if options.share_with:
            scope = place.parent if place.is_of(*images.VERSION) else place
            added = [one for one in options.principals if _assign(session, scope, one)]
            if added:
                named = ", ".join(one.object_id for one in added)
                run.reporter.note(f"{scope} can now be used by {named}")
        if options.public:
            _publish(session, options, place, run)


def take_back(session: Session, scope: ResourceId) -> None:
    """Take the role Reader on SCOPE itself from whoever has it; what is given above it stays."""
    doing = f"taking back {scope.names[-1]}"
    assignments = session.authorization.role_assignments
    found: list[authorization.RoleAssignment] = session.call(
        doing, lambda: list(assignments.list_for_scope(str(scope), filter="atScope()"))
    )
    for one in found:
        own = (one.scope or "").lower() == str(scope).lower()
        if own and (one.role_definition_id or "").lower().endswith(READER):
            session.call(doing, partial(assignments.delete, str(scope), one.name or ""))


def _assign(session: Session, scope: ResourceId, principal: Principal) -> bool:
    """Give a principal the role Reader on SCOPE; return False if it has had it there, or above it."""
    if _is_assigned(session, scope, principal):
        return False
    from azure.mgmt.authorization.v2022_04_01 import models

    role = f"/subscriptions/{session.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    wanted = models.RoleAssignmentCreateParameters(
        role_definition_id=role,
        principal_id=principal.object_id,
        # The SDK takes User where nothing is said; Azure finds it out by itself where nothing is sent.
        principal_type=principal.kind,  # type: ignore[arg-type]  # None, which its type leaves out
    )
    name = str(uuid.uuid5(_NAMESPACE, f"{scope}|{READER}|{principal.object_id}".lower()))
    doing = f"sharing {scope.names[-1]} with {principal.object_id}"
    try:
        session.call(doing, lambda: session.authorization.role_assignments.create(str(scope), name, wanted))
    except LkcloudError as error:
        code = code_of(error.__cause__)
        if code == _EXISTS:
            return False
        if code in _HINTS:
            raise UsageError(error.message, hint=_HINTS[code]) from error.__cause__
        raise
    return True


def _is_assigned(session: Session, scope: ResourceId, principal: Principal) -> bool:
    """Tell whether a principal has the role on SCOPE or above it; False if we may not look."""
    try:
        found: list[authorization.RoleAssignment] = session.call(
            f"looking who may use {scope.names[-1]}",
            lambda: list(
                session.authorization.role_assignments.list_for_scope(
                    str(scope), filter=f"principalId eq '{principal.object_id}'"
                )
            ),
        )
    except Refused as error:
        if status_of(error.__cause__) != 403:
            raise
        return False
    return any(
        (one.role_definition_id or "").lower().endswith(READER)
        and (one.principal_id or "").lower() == principal.object_id.lower()
        and _contains(one.scope or "", scope)
        for one in found
    )


def _contains(above: str, scope: ResourceId) -> bool:
    """Tell whether the scope ABOVE is SCOPE or has it within."""
    return f"{scope}/".lower().startswith(f"{above.rstrip('/')}/".lower())


def _publish(session: Session, options: AzureOptions, version: ResourceId, run: Run) -> None:
    """Publish the gallery of VERSION for everybody, with all that is in it, and say how it is called there."""
    from azure.mgmt.compute import models

    place = version.parent.parent
    shown = gallery.find(session, place)
    if shown is None:
        raise NotFound(f"azure: there is no gallery {place.names[0]}", hint="check --subscription and the image's id")
    _check_publishable(session, options, shown, version)
    if not _is_public(shown):
        doing = f"publishing the gallery {place.names[0]}"
        wanted = models.SharingUpdate(operation_type="EnableCommunity")
        operation = operations.begin(
            session,
            doing,
            lambda **how: session.compute.gallery_sharing_profile.begin_update(
                place.group, place.names[0], wanted, **how
            ),
        )
        operations.wait(session, operation, doing=doing)
        shown = _public(session, place)
    for name in _public_names(shown):
        _, definition, number = version.names
        run.reporter.note(f"everybody can use /CommunityGalleries/{name}/Images/{definition}/Versions/{number}")


def _check_publishable(session: Session, options: AzureOptions, shown: "models.Gallery", version: ResourceId) -> None:
    """Raise UsageError for what a community gallery cannot be or have.

    https://learn.microsoft.com/azure/virtual-machines/share-gallery-community#limitations-for-sharing-images-with-the-community
    """
    if options.cloud_environment != "AzureCloud":
        raise UsageError(
            f"azure: {options.cloud_environment} has no community galleries", hint="share it with --share-with"
        )
    if gallery.permission(shown) != gallery.COMMUNITY:
        raise UsageError(
            f"azure: the gallery {shown.name} was not made for the community, and cannot become public",
            hint="push to another --gallery with --create-gallery, --public and what says whose it is",
        )
    found = gallery_version.show(session, version)
    if found is None:
        raise NotFound(f"azure: there is no image {version}", hint="lkcloud list azure shows those there are")
    if region_name(found.location) != region_name(shown.location):
        raise UsageError(
            f"azure: {version.names[2]} was made in {region_name(found.location)}, and a public gallery shows only what"
            f" was made in its own region, {region_name(shown.location)}",
            hint=f"push it with --location {region_name(shown.location)}",
        )
    publishing = found.properties.publishing_profile if found.properties else None
    if any(region.encryption for region in (publishing.target_regions if publishing else None) or ()):
        raise UsageError(
            f"azure: {version.names[2]} is encrypted with a key of your own, and cannot be public",
            hint="push it without --disk-encryption-set",
        )


def _public(session: Session, place: ResourceId) -> "models.Gallery":
    """Return the gallery when it says that it is public."""

    def look() -> "models.Gallery | None":
        shown = gallery.find(session, place)
        return shown if shown is not None and _is_public(shown) else None

    return poll(
        look,
        what=f"azure: publishing the gallery {place.names[0]}",
        every=0.5,
        limit=_SEEN,
        hint="look at its sharing status in the portal, or run the same command again",
    )


def _info(shown: "models.Gallery") -> "models.CommunityGalleryInfo | None":
    profile = shown.properties.sharing_profile if shown.properties else None
    return profile.community_gallery_info if profile else None


def _is_public(shown: "models.Gallery") -> bool:
    info = _info(shown)
    return bool(info and info.community_gallery_enabled)


def _public_names(shown: "models.Gallery") -> list[str]:
    info = _info(shown)
    return list((info.public_names if info else None) or ())
