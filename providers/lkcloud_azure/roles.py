# SPDX-License-Identifier: Apache-2.0
"""Azure's permissions: which actions a role's patterns allow, and which built-in role has an action.

https://learn.microsoft.com/azure/role-based-access-control/role-definitions,
https://learn.microsoft.com/azure/role-based-access-control/built-in-roles.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

BLOB_DATA = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/"
"""How the data actions on blobs begin."""

_ROLES = (
    ("microsoft.authorization/roleassignments/", "Role Based Access Control Administrator"),
    # Contributor has all of Microsoft.Compute but this.
    ("microsoft.compute/galleries/share/", "Compute Gallery Sharing Admin"),
    (BLOB_DATA.lower(), "Storage Blob Data Contributor"),
    ("microsoft.storage/storageaccounts/blobservices/containers/", "Storage Blob Data Contributor"),
    ("microsoft.storage/", "Storage Account Contributor"),
    ("", "Contributor"),
)
"""The smallest built-in role that has all that we ask of a kind, by how its actions begin."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one role gives: ACTIONS without NOT_ACTIONS; `*` stands for any characters, and case means nothing."""

    actions: tuple[str, ...]
    not_actions: tuple[str, ...]

    def allows(self, action: str) -> bool:
        """Tell whether the role has ACTION."""
        return _matches(self.actions, action) and not _matches(self.not_actions, action)


def missing(wanted: Iterable[str], grants: Iterable[Grant]) -> list[str]:
    """Return what of WANTED no one of the GRANTS allows; what one takes out, another may still give."""
    roles = tuple(grants)
    return [action for action in wanted if not any(role.allows(action) for role in roles)]


def role_for(action: str) -> str:
    """Return the built-in role that has ACTION, besides Owner."""
    return next(role for start, role in _ROLES if action.lower().startswith(start))


def _matches(patterns: Iterable[str], action: str) -> bool:
    return any(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), action, re.IGNORECASE) for pattern in patterns
    )
