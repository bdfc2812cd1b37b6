# SPDX-License-Identifier: Apache-2.0
"""What doctor finds on Azure: each thing is broken, found, and mended by what was printed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest

from lkcloud.diagnosis import Health, Purpose
from lkcloud.errors import NotAuthenticated
from lkcloud_azure import Azure, diagnosis
from lkcloud_azure.naming import COMPUTE, NETWORK, STORAGE
from lkcloud_azure.sandbox import ACCOUNT, AzureStandIn
from lkcloud_azure.sandbox.access import CLIENT, PRINCIPAL, TENANT
from lkcloud_azure.sandbox.cloud import LOCATION, SUBSCRIPTION, Group
from lkcloud_azure.session import Session
from tests.azure.diagnosing import Doctor
from tests.azure.imaging import GROUP, hold_version, put_disk
from tests.azure.pushing import options_of, others
from tests.azure.scenes import WHOSE
from tests.doctor.az import Mender
from tests.doctor.printed import differences, rows

PUSH, TEST, SHARE, LIST, DELETE = Purpose.PUSH, Purpose.TEST, Purpose.SHARE, Purpose.LIST, Purpose.DELETE
BLOB = {"method": "blob"}
GALLERY = {"gallery": "gal"}
COMMUNITY = {**GALLERY, "public": True, **WHOSE}


def unregistered(namespace: str) -> Callable[[AzureStandIn, Session], None]:
    def act(azure: AzureStandIn, session: Session) -> None:
        azure.windows.unregistered = (namespace,)

    return act


def denied(action: str) -> Callable[[AzureStandIn, Session], None]:
    def act(azure: AzureStandIn, session: Session) -> None:
        azure.windows.denied_actions = (action,)

    return act


def no_group(azure: AzureStandIn, session: Session) -> None:
    for resource in list(azure.holdings.below(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"))[::-1]:
        azure.holdings.forget(resource)
    del azure.holdings.groups[GROUP]


def no_gallery(azure: AzureStandIn, session: Session) -> None:
    no_group(azure, session)
    azure.holdings.groups[GROUP] = Group(GROUP, LOCATION, {})


def soft_delete(azure: AzureStandIn, session: Session) -> None:
    shown = session.compute.galleries.get(GROUP, "gal")
    assert shown.properties is not None
    body: Any = shown.as_dict()
    body["properties"]["softDeletePolicy"] = {"isSoftDeleteEnabled": True}
    session.compute.galleries.begin_create_or_update(GROUP, "gal", body).result()


def changed_account(**properties: Any) -> Callable[[AzureStandIn, Session], None]:
    def act(azure: AzureStandIn, session: Session) -> None:
        change: Any = {"properties": properties}
        session.storage.storage_accounts.update("lkcloud-sandbox", ACCOUNT, change)

    return act


def no_account(azure: AzureStandIn, session: Session) -> None:
    session.storage.storage_accounts.delete("lkcloud-sandbox", ACCOUNT)


@dataclass(frozen=True)
class Broken:
    """A thing that can be wrong: how it is broken in a healthy subscription, what doctor says, and what mends it."""

    about: str
    says: str
    break_it: Callable[[AzureStandIn, Session], object]
    ways: tuple[str, ...] = ("commands",)
    purposes: tuple[Purpose, ...] = (PUSH,)
    options: Mapping[str, Any] = field(default_factory=dict)
    health: Health = Health.PROBLEM
    with_it: tuple[str, ...] = ()
    """What else is told then: what follows from it."""


BOTH = ("commands", "terraform")
BREAKS = {
    "Compute is not registered": Broken(
        "resource provider", f"{COMPUTE} is NotRegistered", unregistered(COMPUTE), BOTH
    ),
    "Network is not registered": Broken(
        "resource provider", f"{NETWORK} is NotRegistered", unregistered(NETWORK), BOTH, (TEST,)
    ),
    "Storage is not registered": Broken(
        "resource provider", f"{STORAGE} is NotRegistered", unregistered(STORAGE), BOTH, options=BLOB
    ),
    "there is no group": Broken(
        "resource group", "there is no resource group", no_group, BOTH, health=Health.NOTE, with_it=("permissions",)
    ),
    "there is no gallery": Broken("gallery", "there is no gallery", no_gallery, BOTH, options=GALLERY),
    "there is no community gallery": Broken("gallery", "there is no gallery", no_gallery, BOTH, options=COMMUNITY),
    "a gallery keeps what is deleted": Broken(
        "gallery", "keeps versions", soft_delete, options=GALLERY, health=Health.NOTE
    ),
    "there is no account": Broken("storage account", "no storage account", no_account, BOTH, options=BLOB),
    "the account is closed": Broken(
        "storage account", "closed to the Internet", changed_account(publicNetworkAccess="Disabled"),
        options=BLOB, health=Health.NOTE,
    ),
    "the account knows some networks": Broken(
        "storage account", "chosen networks", changed_account(networkAcls={"defaultAction": "Deny"}),
        options=BLOB, health=Health.NOTE,
    ),
    "the account can be read anonymously": Broken(
        "storage account", "opened to everybody", changed_account(allowBlobPublicAccess=True),
        options=BLOB, health=Health.NOTE,
    ),
    "a clock that is late": Broken(
        "clock", "behind the cloud's", lambda azure, session: azure.set_clock(120), health=Health.NOTE
    ),
    "a clock that is early": Broken("clock", "before the cloud's", lambda azure, session: azure.set_clock(-1200)),
    "the subscription is not to be seen": Broken(
        "subscription", "may not look at", denied("Microsoft.Resources/subscriptions/read"), ("do",),
        health=Health.UNKNOWN,
    ),
    "providers are not to be seen": Broken(
        "resource provider", "whether", denied("Microsoft.Resources/subscriptions/providers/read"), ("do",),
        health=Health.UNKNOWN,
    ),
    "permissions are not to be seen": Broken(
        "permissions", "nothing is known of", denied("Microsoft.Authorization/permissions/read"), ("do",),
        health=Health.UNKNOWN,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("what", "way"), [(what, way) for what, case in BREAKS.items() for way in case.ways])
def test_it_is_found_and_mended(
    healthy: AzureStandIn, session: Session, doctor: Doctor, mender: Mender, what: str, way: str
) -> None:
    case = BREAKS[what]
    before = doctor(*case.purposes, **case.options)
    assert {one.health for one in before} == {Health.GOOD}, rows(before)
    with others(healthy):
        case.break_it(healthy, session)
    broken = differences(before, doctor(*case.purposes, **case.options))
    found = [one for one in broken if case.says in one.what]
    assert [(one.about, one.health) for one in found] == [(case.about, case.health)], broken
    assert {one.about for one in broken} - set(case.with_it) == {case.about}
    assert found[0].why
    mender.mend(found[0].remedy, way)
    again = doctor(*case.purposes, **case.options)
    assert {one.health for one in again} == {Health.GOOD}, rows(again)


def test_a_healthy_subscription_is_told_of(healthy: AzureStandIn, doctor: Doctor) -> None:
    healthy.traffic.clear()
    found = doctor(PUSH, TEST, LIST, **GALLERY, **BLOB)
    assert [(one.about, one.what) for one in found] == [
        ("identity", f"the application {CLIENT}, with the object id {PRINCIPAL}, of the tenant {TENANT}"),
        ("subscription", f"{SUBSCRIPTION}, Enabled"),
        ("clock", "as the cloud's, to the minute"),
        ("resource provider", f"{COMPUTE} is registered"),
        ("region", LOCATION),
        ("resource provider", f"{NETWORK} is registered"),
        ("resource provider", f"{STORAGE} is registered"),
        ("resource group", f"{GROUP}, in {LOCATION}"),
        ("permissions", "push: all 12 are allowed"),
        ("permissions", "test: all 18 are allowed"),
        ("permissions", "list: all 2 are allowed"),
        ("storage account", f"{ACCOUNT}, in {LOCATION}"),
        ("gallery", f"gal, in {LOCATION}, Community"),
        ("quota", f"0 of 10,000: Gallery Image Version in {LOCATION}"),
    ]  # fmt: skip
    assert {seen.method for seen in healthy.traffic.log if seen.service == "arm"} == {"GET"}
    assert [seen for seen in healthy.traffic.log if seen.service == "blob"] == []


def test_a_group_that_is_to_be_made_needs_more(healthy: AzureStandIn, session: Session, doctor: Doctor) -> None:
    no_group(healthy, session)
    found = {one.about: one for one in doctor(PUSH) if one.health is not Health.GOOD}
    assert {about: one.health for about, one in found.items()} == {
        "resource group": Health.NOTE,
        "permissions": Health.UNKNOWN,
    }
    assert "Microsoft.Resources/subscriptions/resourceGroups/write" in found["permissions"].what
    assert "there is no resource group lkcloud yet" in found["permissions"].why


def test_a_group_and_no_region_to_make_it_in(healthy: AzureStandIn, session: Session, doctor: Doctor) -> None:
    no_group(healthy, session)
    [found] = [one for one in doctor(PUSH, location=None) if one.health is Health.PROBLEM]
    assert (found.about, found.what.endswith("no region to make it in")) == ("resource group", True)
    assert found.remedy.do.startswith("give --location")
    assert not [one for one in doctor(PUSH, location=LOCATION) if one.health is Health.PROBLEM]
    assert [one.health for one in doctor(LIST, location=None) if one.about == "resource group"] == [Health.NOTE]


def test_a_group_that_is_being_deleted(healthy: AzureStandIn, session: Session, doctor: Doctor, mender: Mender) -> None:
    before = doctor(PUSH)
    healthy.windows.operation = 60.0
    with others(healthy):
        session.resources.resource_groups.begin_delete(GROUP, polling=False)
    [found] = differences(before, doctor(PUSH))
    assert (found.about, found.health, found.what) == ("resource group", Health.PROBLEM, "lkcloud is being deleted")
    mender.mend(found.remedy, "commands")
    assert not [one for one in doctor(PUSH) if one.health is Health.PROBLEM]


def test_a_group_that_is_not_to_be_seen(healthy: AzureStandIn, doctor: Doctor, mender: Mender) -> None:
    healthy.windows.denied_actions = ("Microsoft.Resources/subscriptions/resourceGroups/read",)
    found = [one for one in doctor(PUSH) if one.health is not Health.GOOD]
    assert rows(found) == [("resource group", "unknown"), ("permissions", "problem")]
    assert "resourceGroups/read" in found[0].what


def test_a_registration_that_goes_on(healthy: AzureStandIn, session: Session, doctor: Doctor) -> None:
    before = doctor(PUSH)
    healthy.windows.unregistered = (COMPUTE,)
    healthy.windows.operation = 60.0
    with others(healthy):
        session.resources.providers.register(COMPUTE)
    [found] = differences(before, doctor(PUSH))
    assert (found.health, found.what, found.remedy.do) == (
        Health.NOTE, f"{COMPUTE} is Registering", "wait some minutes"
    )  # fmt: skip


def test_a_subscription_that_is_disabled(healthy: AzureStandIn, doctor: Doctor) -> None:
    healthy.windows.subscription_state = "Disabled"
    found = doctor(PUSH)
    assert rows(found) == [("identity", "ok"), ("subscription", "problem"), ("clock", "ok")]
    assert "have it enabled again" in found[1].remedy.do
    healthy.windows.subscription_state = "Enabled"
    assert {one.health for one in doctor(PUSH)} == {Health.GOOD}


def test_a_subscription_that_is_not_there(healthy: AzureStandIn) -> None:
    manager = healthy.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"]
    other = "11111111-2222-3333-4444-555555555555"
    found = list(Azure(options_of(resource_manager=manager, subscription=other)).diagnose([PUSH]))
    assert rows(found) == [("identity", "ok"), ("subscription", "problem")]
    assert "--subscription" in found[1].remedy.do
    assert not [
        one for one in Azure(options_of(resource_manager=manager)).diagnose([PUSH]) if one.health is not Health.GOOD
    ]


def test_regions_that_are_not_offered(healthy: AzureStandIn, doctor: Doctor) -> None:
    options = {**GALLERY, "target_region": ("marsnorth", "eastus")}
    [found] = [one for one in doctor(PUSH, **options) if one.health is Health.PROBLEM]
    assert (found.about, found.what) == (
        "region", f"the subscription has no region marsnorth for {COMPUTE}/galleries/images/versions"
    )  # fmt: skip
    assert "give another --target-region" in found.remedy.do
    assert {one.health for one in doctor(PUSH, **GALLERY, target_region=("eastus",))} == {Health.GOOD}
    home = [one for one in doctor(PUSH, location="marsnorth") if one.about == "region"]
    assert [(one.health, one.remedy.do.partition(" (")[0]) for one in home] == [
        (Health.PROBLEM, "give another --location")
    ]


def test_a_gallery_that_cannot_be_public(healthy: AzureStandIn, session: Session, doctor: Doctor) -> None:
    healthy.windows.allowed_actions = healthy.windows.allowed_data_actions = None
    body: Any = {"location": LOCATION}
    session.compute.galleries.begin_create_or_update(GROUP, "private", body).result()
    options = {**COMMUNITY, "gallery": "private"}
    [found] = [one for one in doctor(PUSH, **options) if one.health is not Health.GOOD]
    assert (found.about, "was not made for the community" in found.what) == ("gallery", True)
    assert "another --gallery" in found.remedy.do
    [found] = [one for one in doctor(PUSH, **COMMUNITY, location="eastus") if one.health is not Health.GOOD]
    assert "shows the public nothing that is made in eastus" in found.what
    assert f"give --location {LOCATION}" in found.remedy.do
    assert {one.health for one in doctor(PUSH, **COMMUNITY)} == {Health.GOOD}


def test_a_gallery_that_the_push_makes(healthy: AzureStandIn, doctor: Doctor) -> None:
    [found] = [one for one in doctor(PUSH, gallery="new", create_gallery=True) if one.health is not Health.GOOD]
    assert (found.health, found.what) == (Health.NOTE, "there is no gallery new")


def test_a_gallery_that_is_not_to_be_seen(healthy: AzureStandIn, doctor: Doctor) -> None:
    healthy.windows.denied_actions = (f"{COMPUTE}/galleries/read",)
    found = [one for one in doctor(PUSH, **GALLERY) if one.health is not Health.GOOD]
    assert rows(found) == [("permissions", "problem"), ("gallery", "unknown")]
    assert f"{COMPUTE}/galleries/read" in found[1].what


@pytest.mark.parametrize(
    ("kind", "properties", "says"),
    [
        ("BlobStorage", {"accessTier": "Hot"}, "without page blobs"),
        ("StorageV2", {"isHnsEnabled": True}, "hierarchical"),
    ],
)
def test_an_account_without_page_blobs(
    healthy: AzureStandIn, session: Session, doctor: Doctor, kind: str, properties: dict[str, Any], says: str
) -> None:
    body: Any = {"location": LOCATION, "kind": kind, "sku": {"name": "Standard_LRS"}, "properties": properties}
    with others(healthy):
        session.storage.storage_accounts.begin_create(GROUP, "another", body).result()
    [found] = [one for one in doctor(PUSH, **BLOB, storage_account="another") if one.health is not Health.GOOD]
    assert (found.about, found.health, says in found.what) == ("storage account", Health.PROBLEM, True)
    assert "give" in found.remedy.do
    assert {one.health for one in doctor(PUSH, **BLOB)} == {Health.GOOD}


def test_an_account_elsewhere(healthy: AzureStandIn, doctor: Doctor) -> None:
    [found] = [one for one in doctor(PUSH, **BLOB, location="eastus") if one.health is not Health.GOOD]
    assert (found.about, "and the image would be in eastus" in found.what) == ("storage account", True)
    assert f"give --location {LOCATION}" in found.remedy.do


def test_an_account_that_is_not_to_be_seen(healthy: AzureStandIn, doctor: Doctor) -> None:
    healthy.windows.denied_actions = (f"{STORAGE}/storageAccounts/read",)
    found = [one for one in doctor(PUSH, **BLOB) if one.health is not Health.GOOD]
    assert rows(found) == [("permissions", "problem"), ("storage account", "unknown")]


def test_no_room(healthy: AzureStandIn, doctor: Doctor) -> None:
    before = doctor(PUSH, **GALLERY)
    put_disk(healthy)
    hold_version(healthy, "1.0.0")
    healthy.windows.quotas = (("StandardDiskCount", 1), ("GalleryImageVersion", 1))
    found = differences(before, doctor(PUSH, **GALLERY))
    assert rows(found) == [("quota", "problem")] * 2
    assert all("ask for a higher quota" in one.remedy.do for one in found)
    healthy.windows.quotas = (("StandardDiskCount", 2), ("GalleryImageVersion", 2))
    assert {one.health for one in doctor(PUSH, **GALLERY)} == {Health.GOOD}


def test_quotas_that_are_not_to_be_seen(healthy: AzureStandIn, doctor: Doctor) -> None:
    healthy.windows.denied_actions = (f"{COMPUTE}/locations/usages/read",)
    [found] = [one for one in doctor(PUSH) if one.health is not Health.GOOD]
    assert (found.about, found.health) == ("quota", Health.UNKNOWN)


def test_nobody(healthy: AzureStandIn) -> None:
    healthy.expire_credentials()
    manager = healthy.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"]
    with pytest.raises(NotAuthenticated):
        list(Azure(options_of(resource_manager=manager)).diagnose([PUSH]))
    # Where the clock is wrong, that may be why.
    healthy.set_clock(1200)
    [found] = Azure(options_of(resource_manager=manager)).diagnose([PUSH])
    assert (found.about, found.health) == ("clock", Health.PROBLEM)


@pytest.mark.parametrize(
    ("claims", "says", "kind"),
    [
        ({"idtyp": "app", "appid": "an-app"}, "the application an-app, with the object id o", "ServicePrincipal"),
        ({"scp": "user_impersonation", "upn": "jane@example.com"}, "the user jane@example.com, with", "User"),
        ({"idtyp": "user", "preferred_username": "joe@example.com"}, "the user joe@example.com, with", "User"),
    ],
)
def test_whose_a_token_is(claims: dict[str, str], says: str, kind: str) -> None:
    found = diagnosis.identity(jwt.encode({"oid": "o", "tid": "t", **claims}, "x" * 32, "HS256"))
    assert found.holder is not None
    assert (found.holder.object_id, found.holder.kind) == ("o", kind)
    assert found.told.health is Health.GOOD
    assert found.told.what.startswith(says)


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "", "x.W10.x"])  # the last one has a list in it
def test_a_token_that_tells_nothing(token: str) -> None:
    found = diagnosis.identity(token)
    assert (found.holder, found.told.health) == (None, Health.NOTE)
