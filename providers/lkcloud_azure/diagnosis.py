# SPDX-License-Identifier: Apache-2.0
"""What is found out about a subscription before a push; `remedies` has what mends it."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lkcloud.diagnosis import Diagnosis, Health, Purpose, Remedy, clock
from lkcloud.errors import LkcloudError, NotAuthenticated, NotFound, Refused, Unreachable, UsageError
from lkcloud.provider import Finding
from lkcloud_azure import checks, remedies, resource_group
from lkcloud_azure.diagnosis_gallery import gallery
from lkcloud_azure.diagnosis_permissions import Permissions
from lkcloud_azure.diagnosis_storage import account
from lkcloud_azure.naming import COMPUTE, NETWORK, STORAGE
from lkcloud_azure.options import AzureOptions, region_name
from lkcloud_azure.remedies import Holder
from lkcloud_azure.session import Session

if TYPE_CHECKING:
    from azure.mgmt.resource.resources import models

_SKEW = 300.0
"""Seconds. Entra ID allows five minutes of what a certificate or another provider has signed (AADSTS700024,
https://learn.microsoft.com/entra/identity-platform/reference-error-codes), and of tokens
(https://learn.microsoft.com/entra/identity-platform/access-tokens)."""

_SKEWED = "Entra ID takes no certificate and no token of another provider that is signed at another time than it is"

_ENDPOINTS = "2022-09-01"
"""The api-version of the document that is for anybody."""

_TIMEOUT = 10
"""Seconds for connecting to it, and between two reads."""

_MAKING = (Purpose.PUSH, Purpose.TEST)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, by the claims of the token: the HOLDER of roles, and TOLD for people."""

    holder: Holder | None
    told: Diagnosis


def diagnose(session: Session, options: AzureOptions, purposes: Sequence[Purpose]) -> Iterator[Diagnosis]:
    """Yield what was found; see `lkcloud.diagnosis.Diagnoses`."""
    try:
        with session.errors("signing in"):
            token = session.credential.get_token(*session.scopes).token
    except NotAuthenticated:
        time = _clock(session)
        if time.health is not Health.PROBLEM:
            raise
        yield time  # what a wrong clock has signed is refused: that is what has to be mended
        return
    who = identity(token)
    yield who.told
    usable = True
    for one in _subscription(session):
        usable = usable and not (one.about == "subscription" and one.health is Health.PROBLEM)
        yield one
    if not usable:
        return  # all that follows is within it
    yield from _Looking(session, options, tuple(purposes), who.holder).all()


def _clock(session: Session) -> Diagnosis:
    """Ask Azure Resource Manager what it tells anybody: where its services are."""
    from azure.core import PipelineClient
    from azure.core.rest import HttpRequest

    from lkcloud_azure.transport import transport

    request = HttpRequest("GET", f"{session.endpoint}/metadata/endpoints", params={"api-version": _ENDPOINTS})
    with PipelineClient[Any, Any](session.endpoint, retry_total=0, transport=transport(timeout=_TIMEOUT)) as client:

        def ask() -> str:
            return str(client.send_request(request).headers["Date"])

        try:
            date = session.call("asking for the time", ask)
        except KeyError:
            date = ""
    return clock(date, limit=_SKEW, why=_SKEWED)


def identity(token: str) -> Identity:
    """Return whom a TOKEN of Entra ID is of.

    https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference; nobody but Azure Resource Manager
    has to take it apart, so that it may be of another form.
    """
    claims = _claims(token)
    holder, tenant = str(claims.get("oid", "")), str(claims.get("tid", ""))
    if not holder:
        why = "what gives it permissions cannot be printed ready to apply"
        told = Diagnosis("identity", Health.NOTE, "its token does not tell who it is", why, Remedy("az account show"))
        return Identity(None, told)
    application = str(claims.get("appid") or claims.get("azp") or "")
    user = str(claims.get("upn") or claims.get("preferred_username") or claims.get("unique_name") or "")
    # An identity that is no user has either no scopes or says that it is an application.
    is_user = claims.get("idtyp") == "user" or bool(claims.get("scp"))
    name = (f"the user {user}".strip() if is_user else f"the application {application}").strip()
    what = f"{name}, with the object id {holder}, of the tenant {tenant}"
    return Identity(Holder(holder, "User" if is_user else "ServicePrincipal"), Diagnosis("identity", Health.GOOD, what))


def _claims(token: str) -> Mapping[str, Any]:
    """Return what a JWT says; nothing where it is none."""
    words = token.split(".")
    try:
        found = json.loads(base64.urlsafe_b64decode(words[1] + "=" * (-len(words[1]) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _subscription(session: Session) -> Iterator[Diagnosis]:
    """Look at the subscription; the answer tells the time, too."""
    why = "all that is made is made in it"
    try:
        shown = checks.subscription(session)
    except (NotFound, UsageError) as error:
        yield Diagnosis("subscription", Health.PROBLEM, error.message, why, Remedy(error.hint))
        return
    except Refused as error:
        answer = getattr(error.__cause__, "response", None)
        date = getattr(answer, "headers", {}).get("Date", "")
        what = f"{session.subscription}, which this identity may not look at"
        do = Remedy("allow Microsoft.Resources/subscriptions/read; all else works without it")
        yield Diagnosis("subscription", Health.UNKNOWN, what, "one that is disabled is seen in the push only", do)
    else:
        date = shown.date
        if shown.state and shown.state not in checks.USABLE:
            found = checks.disabled(session, shown.state)
            yield Diagnosis("subscription", Health.PROBLEM, found.problem, why, Remedy(found.hint))
        else:
            yield Diagnosis("subscription", Health.GOOD, f"{session.subscription}, {shown.state or 'there'}")
    yield clock(date, limit=_SKEW, why=_SKEWED)


@dataclass(frozen=True, slots=True)
class _Looking:
    """Looks at what is within the subscription."""

    session: Session
    options: AzureOptions
    purposes: tuple[Purpose, ...]
    holder: Holder | None

    def all(self) -> Iterator[Diagnosis]:
        """Yield what is found, from the outside in."""
        group = self._group_shown()
        shown = group if not isinstance(group, Diagnosis) else None
        region = self.options.location or (region_name(shown.location) if shown is not None else None)
        yield from self._providers(region)
        if not isinstance(group, Diagnosis):
            yield self._group(shown, region)
        elif self._makes():
            yield group
        permissions = Permissions(self.session, self.options, self.holder, group_there=group is not None)
        yield from permissions.diagnose(self.purposes)
        if self.options.storage_account and self._stores():
            yield from self._refusable("storage account", account(self.session, self.options, region))
        if self.options.gallery is not None:
            yield from self._refusable("gallery", gallery(self.session, self.options, region))
        if Purpose.PUSH in self.purposes and region is not None:
            yield from self._quota(region)

    def _makes(self) -> bool:
        """Tell whether what is wanted makes something in the resource group, or makes the group."""
        return any(one in _MAKING for one in self.purposes)

    def _stores(self) -> bool:
        """Tell whether the storage account has to do with what is wanted."""
        deletes = any(one in (Purpose.DELETE, Purpose.GC) for one in self.purposes)
        return deletes or (Purpose.PUSH in self.purposes and self.options.method == "blob")

    def _refusable(self, about: str, found: Iterator[Diagnosis]) -> Iterator[Diagnosis]:
        """Yield what is FOUND; who may not look is told so."""
        try:
            yield from found
        except (NotAuthenticated, Unreachable):
            raise
        except LkcloudError as error:
            yield Diagnosis(about, Health.UNKNOWN, error.message, "it is seen in the push only", Remedy(error.hint))

    def _providers(self, region: str | None) -> Iterator[Diagnosis]:
        """Look at the resource providers, and whether the regions have what is to be made."""
        wanted = {COMPUTE: "nothing can be made: disks, images and machines are its"}
        if Purpose.TEST in self.purposes:
            wanted[NETWORK] = "a machine that is booted needs a network interface"
        if self.options.method == "blob":
            wanted[STORAGE] = "the disk is sent to a storage account"
        for namespace, why in wanted.items():
            shown = checks.provider(self.session, namespace)
            yield self._registration(namespace, shown, why)
            if namespace == COMPUTE and Purpose.PUSH in self.purposes and shown is not None:
                yield from self._regions(shown, region)

    def _registration(self, namespace: str, shown: "models.Provider | None", why: str) -> Diagnosis:
        about, remedy = "resource provider", remedies.register(self.session.subscription, namespace)
        if shown is None:
            do = Remedy("allow Microsoft.Resources/subscriptions/providers/read")
            return Diagnosis(about, Health.UNKNOWN, f"whether {namespace} is registered", why, do)
        state = shown.registration_state or "unknown"
        if state == "Registered":
            return Diagnosis(about, Health.GOOD, f"{namespace} is registered")
        what = f"{namespace} is {state}"
        if state == "Registering":
            return Diagnosis(about, Health.NOTE, what, why, Remedy("wait some minutes"))
        return Diagnosis(about, Health.PROBLEM, what, why, remedy)

    def _regions(self, compute: "models.Provider", region: str | None) -> Iterator[Diagnosis]:
        kind = "images" if self.options.gallery is None else "galleries/images/versions"
        there = checks.regions(compute, kind)
        for name in dict.fromkeys([*([region] if region else []), *(one.name for one in self.options.target_regions)]):
            if not there or name in there:
                yield Diagnosis("region", Health.GOOD, name)
                continue
            found = checks.no_region(self.options, name, kind)
            yield Diagnosis("region", Health.PROBLEM, found.problem, "the image is to be there", Remedy(found.hint))

    def _group_shown(self) -> "models.ResourceGroup | Diagnosis | None":
        """Return the resource group, None where there is none, or that nothing is known of it."""
        name = self.options.resource_group
        try:
            return resource_group.find(self.session, name)
        except Refused as error:
            why = "whether it has to be made is not known"
            return Diagnosis("resource group", Health.UNKNOWN, error.message, why, Remedy(error.hint))

    def _group(self, shown: "models.ResourceGroup | None", region: str | None) -> Diagnosis:
        name, about = self.options.resource_group, "resource group"
        if shown is not None and shown.properties and shown.properties.provisioning_state == "Deleting":
            remedy = remedies.await_deletion(self.session.subscription, name)
            why = "nothing can be made in it, and what is in it goes"
            return Diagnosis(about, Health.PROBLEM, f"{name} is being deleted", why, remedy)
        if shown is not None:
            return Diagnosis(about, Health.GOOD, f"{name}, in {region_name(shown.location)}")
        what = f"there is no resource group {name}"
        if not self._makes():
            return Diagnosis(about, Health.NOTE, what, "there is nothing in it")
        if region is None:
            do = Remedy("give --location, or a --resource-group that is there")
            why = "the push does not know where to make it"
            return Diagnosis(about, Health.PROBLEM, f"{what}, and no region to make it in", why, do)
        remedy = remedies.make_group(self.session.subscription, name, region)
        why = "the push makes it, which needs resourceGroups/write on the subscription"
        return Diagnosis(about, Health.NOTE, what, why, remedy)

    def _quota(self, region: str) -> Iterator[Diagnosis]:
        try:
            usages = checks.usages(self.session, self.options, region)
        except (Refused, NotFound, UsageError) as error:
            what, why = f"cannot look at the quotas in {region}", "that there is no room is seen in the push only"
            yield Diagnosis("quota", Health.UNKNOWN, what, why, Remedy(error.hint))
            return
        for one in usages:
            if one.full:
                found: Finding = one.told(region)
                why = "no further image can be made"
                yield Diagnosis("quota", Health.PROBLEM, found.problem, why, Remedy(found.hint))
            else:
                yield Diagnosis("quota", Health.GOOD, f"{one.are:,} of {one.may:,}: {one.name} in {region}")
