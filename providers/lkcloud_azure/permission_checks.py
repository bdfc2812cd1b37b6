# SPDX-License-Identifier: Apache-2.0
"""What of the actions that a push needs Azure says that this identity is not allowed.

https://learn.microsoft.com/rest/api/authorization/permissions
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lkcloud.errors import NotFound, Refused
from lkcloud.provider import Finding
from lkcloud_azure import roles
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.session import Session


@dataclass(frozen=True, slots=True)
class Granted:
    """What the roles of this identity give on something: ACTIONS and DATA actions."""

    actions: tuple[roles.Grant, ...]
    data: tuple[roles.Grant, ...]

    def missing(self, actions: Iterable[str]) -> list[str]:
        """Return what of ACTIONS, of which some may be data actions, is not given."""
        wanted = list(actions)
        data = [action for action in wanted if action.startswith(roles.BLOB_DATA)]
        gap = {
            *roles.missing((one for one in wanted if one not in data), self.actions),
            *roles.missing(data, self.data),
        }
        return [action for action in wanted if action in gap]


def of_group(session: Session, group: str) -> Granted | None:
    """Return what is given in the resource GROUP; None if this identity may not ask, or there is no such group."""
    permissions = session.authorization.permissions
    return _asked(session, f"the resource group {group}", lambda: permissions.list_for_resource_group(group))


def of_resource(session: Session, place: ResourceId) -> Granted | None:
    """Return what is given on the resource PLACE; None if this identity may not ask, or there is no such resource."""
    (kind,), (name,) = place.kinds, place.names
    permissions = session.authorization.permissions
    return _asked(
        session,
        f"{name} ({kind})",
        lambda: permissions.list_for_resource(place.group, place.namespace, "", kind, name),
    )


def in_group(session: Session, group: str, actions: Iterable[str]) -> Iterator[Finding]:
    """Yield what of ACTIONS this identity is not allowed in the resource GROUP, which is there."""
    found = of_group(session, group)
    if found is not None:
        yield from _missing(f"the resource group {group}", found.missing(actions))


def on_resource(
    session: Session, place: ResourceId, actions: Iterable[str], data_actions: Iterable[str] = ()
) -> Iterator[Finding]:
    """Yield what of ACTIONS and DATA_ACTIONS this identity is not allowed on the resource PLACE, which is there."""
    found = of_resource(session, place)
    if found is not None:
        where = f"{place.names[0]} ({place.kinds[0]})"
        yield from _missing(where, found.missing([*actions, *data_actions]))


def _asked(session: Session, where: str, ask: Callable[[], Iterable[Any]]) -> Granted | None:
    try:
        found = session.call(f"asking what is allowed on {where}", lambda: list(ask()))
    except (Refused, NotFound):
        return None
    return Granted(
        tuple(roles.Grant(tuple(one.actions or ()), tuple(one.not_actions or ())) for one in found),
        tuple(roles.Grant(tuple(one.data_actions or ()), tuple(one.not_data_actions or ())) for one in found),
    )


def _missing(where: str, actions: list[str]) -> Iterator[Finding]:
    """Yield one finding for each role that would have what is missing."""
    for role in dict.fromkeys(map(roles.role_for, actions)):
        gap = [action for action in actions if roles.role_for(action) == role]
        yield Finding(
            f"on {where} this identity is not allowed {', '.join(gap)}",
            f"allow it: the role {role} has it, and docs/azure.md shows a smaller one",
        )
