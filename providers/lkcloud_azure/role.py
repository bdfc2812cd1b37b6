# SPDX-License-Identifier: Apache-2.0
"""A role that allows what lkcloud does in a resource group, and nothing else.

https://learn.microsoft.com/azure/role-based-access-control/role-definitions
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lkcloud.permissions import actions
from lkcloud_azure.permissions import PERMISSIONS, USES
from lkcloud_azure.roles import BLOB_DATA

Document = Mapping[str, Any]
"""A role as `az role definition create` takes it: for Azure and for readers, and for nobody here to take apart."""

_PLACES = ("group", "gallery", "account", "encryption set")
"""What is in the resource group, so that a role on it serves for all."""


def in_group(uses: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the actions and the data actions that USES need, or have something of, in the resource group."""
    return parted(actions((one for one in PERMISSIONS if one.on in _PLACES), uses))


def everywhere(uses: Iterable[str], *, helps: bool = True) -> tuple[list[str], list[str]]:
    """Return the actions and the data actions that USES need, or with HELPS have something of, wherever that is."""
    return parted(actions(PERMISSIONS, uses, helps=helps))


def parted(every: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the actions and the data actions among EVERY."""
    data = [action for action in every if action.startswith(BLOB_DATA)]
    return [action for action in every if action not in data], data


def shown() -> Document:
    """Return the role that the documents show: all but sharing, on a resource group that is there."""
    allowed, data = in_group(use for use in USES if use not in ("share", "public"))
    return {
        "Name": "lkcloud",
        "Description": "Make images with lkcloud, boot and delete them",
        "AssignableScopes": ["/subscriptions/SUBSCRIPTION/resourceGroups/lkcloud"],
        "Actions": allowed,
        "DataActions": data,
    }
