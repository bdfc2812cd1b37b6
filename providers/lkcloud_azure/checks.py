# SPDX-License-Identifier: Apache-2.0
"""What Azure says before anything is made: who we are, the subscription, its providers and regions, permissions."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lkcloud.errors import LkcloudError, NotAuthenticated, NotFound, Refused, Unreachable, UsageError
from lkcloud.provider import Finding, Source
from lkcloud_azure import checks_storage, gallery, images, permission_checks, permissions, resource_group
from lkcloud_azure.naming import COMPUTE, NETWORK, STORAGE
from lkcloud_azure.options import AzureOptions, region_name
from lkcloud_azure.session import SUBSCRIPTIONS, Session

if TYPE_CHECKING:
    from azure.mgmt.resource.resources import models

USABLE = ("Enabled", "Warned", "PastDue")
"""https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-states."""

_DISK_QUOTA = "StandardDiskCount"
_VERSION_QUOTA = "GalleryImageVersion"
"""Names of what is counted (`az vm list-usage`)."""

Ask = Callable[[], list[Finding]]


def check(session: Session, options: AzureOptions, source: Source) -> Iterator[Finding]:
    """Yield what Azure knows to stand in the way; nothing is asked that the options do not need.

    Raises NotAuthenticated without valid credentials, UsageError where several subscriptions could be meant.
    """
    findings = _subscription(session)
    yield from findings
    if any(finding.obstacle for finding in findings):
        return  # all that follows is within it
    group = resource_group.find(session, options.resource_group)
    region = options.location or (region_name(group.location) if group is not None else None)
    questions: list[Ask] = [
        lambda: list(_providers(session, options, region)),
        lambda: list(_group(session, options, group)),
        lambda: list(gallery.check(session, options, source)),
        lambda: list(_gallery(session, options, region)),
    ]
    if options.method == "blob":
        questions.append(lambda: list(checks_storage.check(session, options, region)))
    if region is not None:
        questions.append(lambda: list(_quota(session, options, source, region)))
    # Clients are made here: two threads would make two.
    _ = session.compute, session.resources, session.authorization, session.storage
    with ThreadPoolExecutor(len(questions)) as threads:
        for found in threads.map(_told, questions):
            yield from found


def _told(ask: Ask) -> list[Finding]:
    """Return the findings of ASK; what it is refused stands in the way itself."""
    try:
        return ask()
    except (NotAuthenticated, Unreachable):
        raise  # nothing is known then
    except LkcloudError as error:
        return [Finding(error.message, error.hint)]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription's STATE, "" if Azure does not tell, and the DATE of that answer as its header has it."""

    state: str
    date: str


def subscription(session: Session) -> Subscription:
    """Look at the subscription. Raises NotFound and UsageError without one, Refused for who may not look."""
    from azure.core.rest import HttpRequest

    name = session.subscription
    url = f"{session.endpoint}/subscriptions/{name}?api-version={SUBSCRIPTIONS}"

    def ask() -> Any:
        answer = session.resources.send_request(HttpRequest("GET", url))
        answer.raise_for_status()
        return answer

    answer = session.call(f"looking at the subscription {name}", ask)
    return Subscription(str(answer.json().get("state", "")), answer.headers.get("Date", ""))


def _subscription(session: Session) -> list[Finding]:
    """Look at the subscription: that it is there for this identity, and that things can be made in it."""
    try:
        state = subscription(session).state
    except (NotFound, UsageError) as error:
        return [Finding(error.message, error.hint)]
    except Refused:
        return []  # whose role is for a resource group need not see it
    return [] if not state or state in USABLE else [disabled(session, state)]


def disabled(session: Session, state: str) -> Finding:
    """Return what to tell of a subscription in a STATE in which nothing can be made."""
    what = f"the subscription {session.subscription} is {state}"
    return Finding(what, "have it enabled again, or give another --subscription")


def _providers(session: Session, options: AzureOptions, region: str | None) -> Iterator[Finding]:
    """Look whether the resource providers are registered, and whether they have what we make in the regions."""
    compute = provider(session, COMPUTE)
    yield from _registration(session, COMPUTE, compute)
    if options.method == "blob":
        yield from _registration(session, STORAGE, provider(session, STORAGE))
    if options.latest or options.public or options.share_with or options.subnet or options.vm_size:
        # A push with one of these boots a machine first, unless it is told not to.
        for finding in _registration(session, NETWORK, provider(session, NETWORK)):
            yield Finding(finding.problem, finding.hint, obstacle=False)
    if compute is None:
        return
    kind = "images" if options.gallery is None else "galleries/images/versions"
    there = regions(compute, kind)
    for name in dict.fromkeys([*([region] if region else []), *(one.name for one in options.target_regions)]):
        if there and name not in there:
            yield no_region(options, name, kind)


def no_region(options: AzureOptions, name: str, kind: str) -> Finding:
    """Return what to tell of a region NAME that has no resources of KIND."""
    option = "--location" if name == options.location else "--target-region"
    what = f"the subscription has no region {name} for {COMPUTE}/{kind}"
    return Finding(what, f"give another {option} (az account list-locations)")


def provider(session: Session, namespace: str) -> "models.Provider | None":
    """Return a resource provider as the subscription has it; None for those who may not look."""
    try:
        return session.call(f"looking at {namespace}", lambda: session.resources.providers.get(namespace))
    except Refused:
        return None


def _registration(session: Session, namespace: str, shown: "models.Provider | None") -> Iterator[Finding]:
    state = shown.registration_state if shown is not None else None
    if state in (None, "Registered"):
        return
    yield Finding(
        f"the subscription is not registered for {namespace}: it is {state}",
        f"az provider register --namespace {namespace} --subscription {session.subscription} --wait",
        obstacle=state != "Registering",
    )


def regions(shown: "models.Provider", kind: str) -> set[str]:
    """Return the regions of a resource type; none if nothing is told of it."""
    for one in shown.resource_types or ():
        if (one.resource_type or "").lower() == kind.lower():
            return {region_name(name) for name in one.locations or ()}
    return set()


def _group(session: Session, options: AzureOptions, shown: "models.ResourceGroup | None") -> Iterator[Finding]:
    """Look at the resource group: that it is there or can be made, and what may be done in it."""
    name = options.resource_group
    if shown is None:
        if options.location is None:
            yield Finding(
                f"there is no resource group {name}, and no region to make it in",
                "give --location, or a --resource-group that is there",
            )
        return
    if shown.properties is not None and shown.properties.provisioning_state == "Deleting":
        yield Finding(
            f"the resource group {name} is being deleted", "wait until it is gone, or give another --resource-group"
        )
        return
    yield from permission_checks.in_group(session, name, permissions.of_group(options))


def _gallery(session: Session, options: AzureOptions, region: str | None) -> Iterator[Finding]:
    """Look at the region of a public gallery, and ask what may be done with the gallery of the options.

    Where it is not there, its resource group tells what may be made in it.
    """
    if options.gallery is None:
        return
    place = gallery.place_of(session, options)
    shown = gallery.find(session, place)
    if shown is not None:
        yield from gallery.misplaced(options, shown, region)
        yield from permission_checks.on_resource(session, place, permissions.of_gallery(options))
    elif resource_group.find(session, options.gallery_group) is not None:
        yield from permission_checks.in_group(session, options.gallery_group, permissions.of_gallery(options))


def _quota(session: Session, options: AzureOptions, source: Source, region: str) -> Iterator[Finding]:
    """Look whether there is room for one more, unless the image is there: who may not look is told nothing."""
    try:
        full = [one for one in usages(session, options, region) if one.full]
    except (Refused, NotFound, UsageError):
        return  # what is wrong with the region is told elsewhere
    if full and images.find(session, options, source.name) is None:
        for one in full:
            yield one.told(region)


@dataclass(frozen=True, slots=True)
class Usage:
    """How many of NAME there ARE in a region, and how many there MAY be."""

    name: str
    are: int
    may: int

    @property
    def full(self) -> bool:
        """Whether there is no room for another one."""
        return self.are >= self.may

    def told(self, region: str) -> Finding:
        """Return what to tell of one that is full."""
        return Finding(
            f"of {self.name} there are {self.are} in {region}, and there may be {self.may}",
            "delete what is not needed (lkcloud list azure), or ask for a higher quota in the portal",
        )


def usages(session: Session, options: AzureOptions, region: str) -> list[Usage]:
    """Return what a push makes one more of, and how many there are. Raises Refused for who may not look."""
    wanted = [_DISK_QUOTA] if options.method == "disk" else []
    if options.gallery is not None:
        wanted.append(_VERSION_QUOTA)
    if not wanted:
        return []
    found = session.call(f"looking at the quotas in {region}", lambda: list(session.compute.usage.list(region)))
    return [
        Usage(one.name.localized_value or one.name.value, one.current_value, one.limit)
        for one in found
        if one.name and one.name.value in wanted
    ]
