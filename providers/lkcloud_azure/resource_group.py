# SPDX-License-Identifier: Apache-2.0
"""The resource group of what is made: found, or made where it is missing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lkcloud.errors import UsageError
from lkcloud.polling import poll
from lkcloud_azure.errors import is_absent
from lkcloud_azure.options import AzureOptions, region_name
from lkcloud_azure.session import Session

if TYPE_CHECKING:
    from azure.mgmt.resource.resources import models

_SEEN = 60.0
"""Seconds until a resource group that was made is to be seen."""


def find(session: Session, name: str) -> "models.ResourceGroup | None":
    """Return the resource group called NAME, None if there is none."""
    with session.errors(f"looking for the resource group {name}"):
        try:
            return session.attempt(lambda: session.resources.resource_groups.get(name))
        except Exception as error:
            if is_absent(error):
                return None
            raise


def location(session: Session, options: AzureOptions) -> str:
    """Return the region of what is made: that of the options, else that of the resource group.

    Raises UsageError if neither says it.
    """
    if options.location is not None:
        return options.location
    shown = find(session, options.resource_group)
    if shown is None:
        raise _no_location(options.resource_group)
    return region_name(shown.location)


def ensure(session: Session, name: str, region: str | None, tags: Mapping[str, str]) -> None:
    """Make the resource group NAME with TAGS in REGION if it is missing; one that is there stays as it is.

    Raises UsageError if it is missing and no region is given.
    """
    from azure.mgmt.resource.resources import models

    if find(session, name) is not None:
        return
    if region is None:
        raise _no_location(name)
    # Of two runs that make it at once, the second changes nothing but the tags.
    doing, wanted = f"making the resource group {name}", models.ResourceGroup(location=region, tags=dict(tags))
    session.call(doing, lambda: session.resources.resource_groups.create_or_update(name, wanted))
    # It may not be to be seen for some seconds (hashicorp/terraform-provider-azurerm#25758).
    poll(
        lambda: find(session, name),
        what=f"azure: {doing}",
        every=0.5,
        limit=_SEEN,
        hint="run the same command again later",
    )


def _no_location(name: str) -> UsageError:
    return UsageError(
        f"azure: there is no resource group {name}, and no region to make it in",
        hint="give --location, or a --resource-group that is there",
    )
