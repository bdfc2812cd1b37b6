# SPDX-License-Identifier: Apache-2.0
"""What a cloud must allow whom: one list a cloud, from which documents, roles, checks and Terraform modules come.

A provider that has such a list keeps it in its module `permissions`, as PERMISSIONS and USES.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Permission:
    """An action, in the cloud's words, and what of lkcloud needs it.

    ON is the narrowest that a role can give it on, one of the words that the provider's list explains. USES fail
    without it; HELPS are those that do without it and then tell or find less. CONDITION is a word of the provider's
    for what narrows it further, "" for nothing.
    """

    action: str
    on: str
    uses: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()
    condition: str = ""

    def serves(self, uses: Iterable[str], *, helps: bool = True) -> bool:
        """Tell whether one of USES needs this, or, with HELPS, has something of it."""
        return not {*self.uses, *(self.helps if helps else ())}.isdisjoint(uses)


def needed(permissions: Iterable[Permission], uses: Iterable[str], *, helps: bool = True) -> list[Permission]:
    """Return those of PERMISSIONS that USES need, and with HELPS those that they have something of, by action."""
    wanted = frozenset(uses)
    return sorted(
        (one for one in permissions if one.serves(wanted, helps=helps)),
        key=lambda one: (one.action, one.on, one.condition),
    )


def actions(permissions: Iterable[Permission], uses: Iterable[str], *, helps: bool = True) -> list[str]:
    """Return the actions of `needed`, each once."""
    return list(dict.fromkeys(one.action for one in needed(permissions, uses, helps=helps)))


def rows(permissions: Iterable[Permission], uses: Mapping[str, str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield a row for each of USES, which are words with their meanings: meaning, what it needs, what helps it."""
    every = tuple(permissions)
    for use, meaning in uses.items():
        must = actions(every, [use], helps=False)
        yield meaning, must, [action for action in actions(every, [use]) if action not in must]
