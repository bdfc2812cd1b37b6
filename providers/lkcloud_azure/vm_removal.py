# SPDX-License-Identifier: Apache-2.0
"""How a test machine goes, with all that was made with it, and how one is found that somebody left behind.

What belongs to a machine has its name: the machine itself, its network interface, its disk and its virtual network.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from lkcloud.errors import LkcloudError, NotFound, UsageError
from lkcloud.polling import poll
from lkcloud.provider import Blob
from lkcloud_azure import naming, operations
from lkcloud_azure.errors import code_of, is_busy, status_of
from lkcloud_azure.naming import COMPUTE, ResourceId
from lkcloud_azure.options import AzureOptions, region_name
from lkcloud_azure.session import Session

KIND = "test-machine"
"""A test machine, or what is left of one; the id is that of the virtual machine, even if that is gone already."""

PREFIX = "lkcloud-test-"

LIMIT = 900.0
"""Seconds: an interface is kept for 180 of them for a machine that was refused."""

_NAME = re.compile(rf"{PREFIX}[0-9a-f]{{16}}")

_LOCKED = "ScopeLocked"
_SUPERSEDED = ("Canceled", "CanceledAndSupersededDueToAnotherOperation")
"""Codes of an operation that another one has taken the place of."""

_HINT = "it is still being removed: look for the tag lkcloud-image with `az resource list --tag lkcloud-image`"


def remove(
    session: Session, group: str, name: str, *, limit: float = LIMIT, waiting: Callable[[str], None] | None = None
) -> None:
    """Remove the machine called NAME, its interface, its disk and its network, and wait until they are gone.

    What is gone already is no error. Something that is still in use is tried again, beginning with the machine: one
    whose making was asked for without an answer may have come to be in the meantime, and holds its interface. WAITING
    is told once if that is so.
    """
    told = False
    compute, network = session.compute, session.network
    deletes: tuple[tuple[str, Callable[..., Any]], ...] = (
        # A guest that does not know how to shut down is not waited for.
        ("the test machine", partial(compute.virtual_machines.begin_delete, group, name, force_deletion=True)),
        ("the test machine's network interface", partial(network.network_interfaces.begin_delete, group, name)),
        ("the test machine's disk", partial(compute.disks.begin_delete, group, name)),
        ("the test network", partial(network.virtual_networks.begin_delete, group, name)),
    )

    def look() -> bool | None:
        nonlocal told
        for what, request in deletes:
            if not _delete(session, what, request):
                if waiting is not None and not told:
                    waiting(f"{what} is still in use; Azure lets go of it within some three minutes")
                    told = True
                return None
        return True

    poll(look, what=f"azure: removing {name}", every=0.5, limit=limit, hint=_HINT)


def _delete(session: Session, what: str, request: Callable[..., Any]) -> bool:
    """Delete something and return True when it is gone, False where something else still uses it."""
    doing = f"removing {what}"
    try:
        operations.wait(session, operations.begin(session, doing, request), doing=doing, hint=_HINT)
    except NotFound:
        return True
    except LkcloudError as error:
        if _is_for_now(error.__cause__):
            return False
        raise
    return True


def _is_for_now(error: BaseException | None) -> bool:
    """Tell whether ERROR means that what is to go is in use: by what goes first, or by what Azure still does with it.

    An interface is kept for 180 seconds for a machine that was refused (NicReservedForAnotherVm, with status 400:
    rancher/machine#359), and a subnet is in use for a while after its last interface has gone.
    """
    code = code_of(error)
    return is_busy(error) or code in _SUPERSEDED or (status_of(error) == 409 and code != _LOCKED)


def machines(session: Session, options: AzureOptions, name: str) -> Iterator[Blob]:
    """Yield the test machines of images called NAME ("" = of any name), and what is left of such."""
    group = options.resource_group
    compute, network = session.compute, session.network
    lists: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("test machines", lambda: list(compute.virtual_machines.list(group))),
        ("disks", lambda: list(compute.disks.list_by_resource_group(group))),
        ("network interfaces", lambda: list(network.network_interfaces.list(group))),
        ("virtual networks", lambda: list(network.virtual_networks.list(group))),
    )
    found: dict[str, Blob] = {}
    for what, request in lists:
        try:
            shown = session.call(f"looking for {what}", request)
        except NotFound:
            return  # There is no such resource group.
        for one in shown:
            image, stem = naming.tag(one.tags, naming.NAME), str(one.name or "").lower()
            if not naming.tag(one.tags, naming.IMAGE) or not _NAME.fullmatch(stem) or name not in ("", image):
                continue
            state = str(one.properties.provisioning_state) if one.properties else ""
            found.setdefault(
                stem,
                Blob(
                    "azure",
                    region_name(one.location or ""),
                    str(machine_id(session, group, stem)),
                    KIND,
                    image,
                    state=state,
                    created=naming.time_of(naming.tag(one.tags, naming.CREATED))
                    or getattr(one.properties, "time_created", None),
                ),
            )
    yield from found.values()


def delete(session: Session, blob: Blob) -> None:
    """Remove what `machines` has found; what is gone is no error. Raises UsageError for an id of something else."""
    place = ResourceId.parse(blob.id)
    if (
        place is None
        or not place.is_of("virtualMachines")
        or not _NAME.fullmatch(place.names[0].lower())
        or place.subscription.lower() != session.subscription.lower()
    ):
        raise UsageError(
            f"azure: {blob.id!r} is no test machine of the subscription {session.subscription}",
            hint="remove it with `az vm delete`, or give its --subscription",
        )
    remove(session, place.group, place.names[0])


def machine_id(session: Session, group: str, name: str) -> ResourceId:
    """Return the id of the virtual machine NAME."""
    return ResourceId(session.subscription, group, COMPUTE, ("virtualMachines",), (name,))
