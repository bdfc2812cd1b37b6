# SPDX-License-Identifier: Apache-2.0
"""What this identity must be allowed, by what the options ask for, and what of it Azure says that it is not.

The lists follow from the calls that are made; `docs/azure.md` has them as a table and as a role.
https://learn.microsoft.com/rest/api/authorization/permissions
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lkcloud.errors import NotFound, Refused
from lkcloud.provider import Finding
from lkcloud_azure import roles
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.session import Session

_DISKS = "Microsoft.Compute/disks"
_IMAGES = "Microsoft.Compute/images"
_GALLERY = "Microsoft.Compute/galleries"
_ACCOUNT = "Microsoft.Storage/storageAccounts"
_SHARING = ("Microsoft.Authorization/roleAssignments/read", "Microsoft.Authorization/roleAssignments/write")


def of_group(options: AzureOptions) -> list[str]:
    """Return the actions that a push needs in the resource group."""
    actions = []
    if options.method == "disk":
        actions += [
            f"{_DISKS}/{verb}" for verb in ("read", "write", "delete", "beginGetAccess/action", "endGetAccess/action")
        ]
        if options.keep_upload:
            actions.remove(f"{_DISKS}/delete")
    if options.gallery is None:
        actions += [f"{_IMAGES}/{verb}" for verb in ("read", "write")]
    elif options.method == "disk" and options.security_type.endswith("Supported"):
        # A managed image is made in between, and deleted again.
        actions += [f"{_IMAGES}/{verb}" for verb in ("read", "write", "delete")]
    if options.gallery is None and options.share_with:
        actions += _SHARING
    return actions


def of_gallery(options: AzureOptions) -> list[str]:
    """Return the actions that a push needs on the gallery, or on its resource group if it is not there yet."""
    if options.gallery is None:
        return []
    actions = [f"{_GALLERY}/read", f"{_GALLERY}/images/read"]
    actions += [f"{_GALLERY}/images/versions/read", f"{_GALLERY}/images/versions/write"]
    if options.create_gallery:
        actions += [f"{_GALLERY}/write", f"{_GALLERY}/images/write"]
    if options.public:
        actions.append(f"{_GALLERY}/share/action")
    if options.share_with:
        actions += _SHARING
    return actions


def of_account(options: AzureOptions) -> tuple[list[str], list[str]]:
    """Return the actions and the data actions that a push needs on the storage account."""
    actions = [f"{_ACCOUNT}/read", f"{_ACCOUNT}/blobServices/containers/write"]
    if options.gallery is not None:
        # https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries: of who makes a version of a VHD
        actions.append(f"{_ACCOUNT}/listKeys/action")
    data = [f"{roles.BLOB_DATA}{verb}" for verb in ("read", "write", "delete")]
    if options.keep_upload:
        data.remove(f"{roles.BLOB_DATA}delete")
    return actions, data


def in_group(session: Session, group: str, actions: Iterable[str]) -> Iterator[Finding]:
    """Yield what of ACTIONS this identity is not allowed in the resource GROUP, which is there."""
    found = _asked(
        session, f"the resource group {group}", lambda: session.authorization.permissions.list_for_resource_group(group)
    )
    if found is not None:
        yield from _missing(f"the resource group {group}", roles.missing(actions, found[0]))


def on_resource(
    session: Session, place: ResourceId, actions: Iterable[str], data_actions: Iterable[str] = ()
) -> Iterator[Finding]:
    """Yield what of ACTIONS and DATA_ACTIONS this identity is not allowed on the resource PLACE, which is there."""
    (kind,), (name,) = place.kinds, place.names
    where = f"{name} ({kind})"
    found = _asked(
        session,
        where,
        lambda: session.authorization.permissions.list_for_resource(place.group, place.namespace, "", kind, name),
    )
    if found is not None:
        gap = [*roles.missing(actions, found[0]), *roles.missing(data_actions, found[1])]
        yield from _missing(where, gap)


def _asked(
    session: Session, where: str, ask: Callable[[], Iterable[Any]]
) -> tuple[list[roles.Grant], list[roles.Grant]] | None:
    """Return what the roles of this identity give, as actions and as data actions; None if it may not ask."""
    try:
        found = session.call(f"asking what is allowed on {where}", lambda: list(ask()))
    except (Refused, NotFound):
        return None
    return (
        [roles.Grant(tuple(one.actions or ()), tuple(one.not_actions or ())) for one in found],
        [roles.Grant(tuple(one.data_actions or ()), tuple(one.not_data_actions or ())) for one in found],
    )


def _missing(where: str, actions: list[str]) -> Iterator[Finding]:
    """Yield one finding for each role that would have what is missing."""
    for role in dict.fromkeys(map(roles.role_for, actions)):
        gap = [action for action in actions if roles.role_for(action) == role]
        yield Finding(
            f"on {where} this identity is not allowed {', '.join(gap)}",
            f"allow it: the role {role} has it, and docs/azure.md shows a smaller one",
        )
