# SPDX-License-Identifier: Apache-2.0
"""Who may use an image or a snapshot, and what a request may change of that."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lkcloud_aws.sandbox.errors import ApiError, invalid

if TYPE_CHECKING:
    from lkcloud_aws.sandbox.ec2_protocol import Call

EVERYBODY = "all"

_KINDS = {
    "UserId": ("userId", re.compile(r"[0-9]{12}")),
    "Group": ("UserGroup", re.compile(EVERYBODY)),
    "OrganizationArn": (
        "organizationArn",
        re.compile(r"arn:aws[^:]*:organizations::[0-9]{12}:organization/o-[a-z0-9]{10,32}"),
    ),
    "OrganizationalUnitArn": (
        "organizationalUnitArn",
        re.compile(r"arn:aws[^:]*:organizations::[0-9]{12}:ou/o-[a-z0-9]{10,32}/ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}"),
    ),
}
"""The members of a permission: EC2's word for each, and what its value must look like

(https://docs.aws.amazon.com/imagebuilder/latest/APIReference/API_LaunchPermissionConfiguration.html).
"""
_LISTS = {
    "UserIds": "UserId",
    "OrganizationArns": "OrganizationArn",
    "OrganizationalUnitArns": "OrganizationalUnitArn",
}
"""The older form of the parameters, beside the groups, whose name differs."""


@dataclass(slots=True)
class Permissions:
    """NAMES are accounts, ARNs of organizations and their units, and `all`; a change is not shown at once."""

    names: frozenset[str] = frozenset()
    _before: frozenset[str] = frozenset()
    _unseen: int = 0

    def change(self, added: frozenset[str], removed: frozenset[str], *, unseen: int) -> None:
        """Add and remove names; the next UNSEEN looks show what was before."""
        if not self._unseen:
            self._before = self.names
        self.names, self._unseen = (self.names | added) - removed, unseen

    def described(self) -> list[dict[str, str]]:
        """Return them as EC2 shows them."""
        shown = self._before if self._unseen else self.names
        self._unseen = max(0, self._unseen - 1)
        return [_described(name) for name in sorted(shown)]


def _described(name: str) -> dict[str, str]:
    return {next(kind for kind, (_, form) in _KINDS.items() if form.fullmatch(name)): name}


@dataclass(frozen=True, slots=True)
class Changes:
    """What a request changes."""

    added: frozenset[str] = field(default_factory=frozenset)
    removed: frozenset[str] = field(default_factory=frozenset)

    @property
    def names(self) -> frozenset[str]:
        """All that is named."""
        return self.added | self.removed


def changes(call: "Call", structure: str, groups: str) -> Changes:
    """Return what CALL changes, in either form of the parameters: a STRUCTURE, or lists, of which one is of GROUPS.

    Raises ApiError for nonsense.
    """
    said = call.structure(structure)
    added, removed = (_named(said.get(word) or []) for word in ("Add", "Remove"))
    listed = _named([{kind: value} for name, kind in {**_LISTS, groups: "Group"}.items() for value in call.items(name)])
    if listed and call.text("OperationType") not in ("add", "remove"):
        raise ApiError("MissingParameter", "The request must contain the parameter OperationType")
    if call.text("OperationType") == "remove":
        return Changes(added, removed | listed)
    return Changes(added | listed, removed)


def _named(permissions: list[Mapping[str, str]]) -> frozenset[str]:
    for permission in permissions:
        if len(permission) != 1:
            raise invalid("A permission names one account, group, organization or unit")
        [(kind, value)] = permission.items()
        word, form = _KINDS[kind]
        if not form.fullmatch(value):
            raise ApiError(
                "InvalidAMIAttributeItemValue", f'Invalid attribute item value "{value}" for {word} item type.'
            )
    return frozenset(value for permission in permissions for value in permission.values())
