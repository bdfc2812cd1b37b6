# SPDX-License-Identifier: Apache-2.0
"""What of the actions that a push needs Azure says that this identity is not allowed.

https://learn.microsoft.com/rest/api/authorization/permissions
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lkcloud.errors import NotFound, Refused
from lkcloud.provider import Finding
from lkcloud_azure import roles
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.session import Session


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
