# SPDX-License-Identifier: Apache-2.0
"""What stands in the way is told before a byte travels, and nothing is made to find out."""

import json
from collections.abc import Callable

import pytest

from lkcloud.disk import Disk
from lkcloud.errors import NotAuthenticated, Unreachable
from lkcloud.provider import Finding, Run
from lkcloud.sandbox.http import Response
from lkcloud_azure.checks import check
from lkcloud_azure.naming import COMPUTE, NETWORK, STORAGE, ResourceId
from lkcloud_azure.roles import Grant, missing, role_for
from lkcloud_azure.sandbox import ACCOUNT, AzureStandIn, Seen
from lkcloud_azure.sandbox.cloud import LOCATION, SUBSCRIPTION, Group
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.storage_account import StorageAccount
from lkcloud_azure.session import Session
from tests.azure.pushing import counted, options_of, others, refuse, source_of, upload

Look = Callable[..., list[Finding]]

GALLERY = {"gallery": "images", "create_gallery": True}
BLOB = {"method": "blob"}


@pytest.fixture
def look(session: Session, disk: Disk) -> Look:
    def ask(**options: object) -> list[Finding]:
        return list(check(session, options_of(**options), source_of(disk)))

    return ask


@pytest.fixture
def group(azure: AzureStandIn) -> Group:
    """Return the resource group of what is made, which is there already."""
    made = azure.holdings.groups["lkcloud"] = Group("lkcloud", LOCATION, {})
    return made


def make_gallery(session: Session, **more: object) -> None:
    session.compute.galleries.begin_create_or_update("lkcloud", "images", {"location": LOCATION, **more}).result()


def instead(azure: AzureStandIn, operation: str, document: object) -> None:
    """Let DOCUMENT answer all requests of OPERATION."""

    def hook(seen: Seen) -> Response | None:
        if seen.phase == "before" and seen.operation == operation:
            return Response(200, {"Content-Type": "application/json"}, json.dumps(document).encode())
        return None

    azure.traffic.hooks.append(hook)


def account(azure: AzureStandIn) -> StorageAccount:
    place = ResourceId(SUBSCRIPTION, "lkcloud-sandbox", STORAGE, ("storageAccounts",), (ACCOUNT,))
    found = azure.holdings.get(StorageAccount, place)
    assert found is not None
    return found


def change_account(session: Session, **properties: object) -> None:
    changed = {"properties": properties}
    session.storage.storage_accounts.update("lkcloud-sandbox", ACCOUNT, changed)  # type: ignore[arg-type]  # as JSON


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("options", [{}, BLOB, GALLERY, {**GALLERY, **BLOB}, {"target_region": ("eastus",), **GALLERY}])
def test_a_good_subscription_has_no_finding_and_nothing_is_made(
    azure: AzureStandIn, look: Look, options: dict[str, object], there: bool
) -> None:
    if there:
        azure.holdings.groups["lkcloud"] = Group("lkcloud", LOCATION, {})
    azure.traffic.clear()
    assert look(**options) == []
    assert {seen.method for seen in azure.traffic.log if seen.service == "arm"} == {"GET"}
    assert set(azure.holdings.groups) == {"lkcloud-sandbox"} | ({"lkcloud"} if there else set())


def test_nothing_is_asked_that_the_options_do_not_need(azure: AzureStandIn, look: Look, group: Group) -> None:
    azure.traffic.clear()
    look()
    asked = azure.traffic.operations()
    assert [name for name in asked if name.startswith(("StorageAccounts", "Galleries", "GalleryImage"))] == []
    assert asked.count("Providers.Get") == 1
    azure.traffic.clear()
    look(**BLOB, **GALLERY, public=True, community_prefix="Prefix", publisher_uri="https://example.com",
         publisher_contact="a@example.com", eula="https://example.com")  # fmt: skip
    assert azure.traffic.operations().count("Providers.Get") == 3


def test_credentials_that_are_not_taken_are_told_at_once(azure: AzureStandIn, look: Look) -> None:
    azure.expire_credentials()
    with pytest.raises(NotAuthenticated):
        look()


def test_a_subscription_that_is_not_there_is_told(azure: AzureStandIn, disk: Disk) -> None:
    manager = azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"]
    other = "11111111-2222-3333-4444-555555555555"
    [finding] = check(Session("AzureCloud", manager, other), options_of(), source_of(disk))
    assert finding.obstacle
    assert other in finding.problem
    assert "--subscription" in finding.hint


@pytest.mark.parametrize(("state", "usable"), [("Warned", True), ("PastDue", True), ("Disabled", False)])
def test_a_subscription_that_is_disabled_is_told(azure: AzureStandIn, look: Look, state: str, usable: bool) -> None:
    instead(azure, "Subscriptions.Get", {"subscriptionId": SUBSCRIPTION, "state": state})
    findings = look()
    assert [finding.problem for finding in findings] == (
        [] if usable else [f"the subscription {SUBSCRIPTION} is {state}"]
    )


def test_who_sees_only_the_resource_group_may_push(azure: AzureStandIn, look: Look, group: Group) -> None:
    azure.windows.denied_actions = (
        "Microsoft.Resources/subscriptions/read",
        "Microsoft.Resources/subscriptions/providers/read",
        "Microsoft.Compute/locations/usages/read",
        "Microsoft.Authorization/permissions/read",
    )
    assert look(**GALLERY) == []


@pytest.mark.parametrize(("namespace", "options"), [(COMPUTE, {}), (STORAGE, BLOB)])
def test_a_resource_provider_that_is_not_registered_is_told(
    azure: AzureStandIn, look: Look, namespace: str, options: dict[str, object]
) -> None:
    azure.windows.unregistered = (namespace,)
    [finding] = look(**options)
    assert finding.obstacle
    assert f"not registered for {namespace}" in finding.problem
    assert f"az provider register --namespace {namespace}" in finding.hint


def test_the_network_is_for_test_machines_which_one_can_do_without(azure: AzureStandIn, look: Look) -> None:
    azure.windows.unregistered = (NETWORK,)
    assert look() == []
    [finding] = look(**GALLERY, latest=True)
    assert not finding.obstacle
    assert NETWORK in finding.problem


def test_a_registration_that_goes_on_is_no_obstacle(azure: AzureStandIn, session: Session, look: Look) -> None:
    azure.windows.unregistered = (COMPUTE,)
    azure.windows.operation = 60.0
    with others(azure):
        session.resources.providers.register(COMPUTE)
    [finding] = look()
    assert not finding.obstacle
    assert finding.problem.endswith("it is Registering")


def test_a_region_that_is_not_there_is_told(look: Look) -> None:
    [home] = look(location="mars")
    assert home.obstacle
    assert home.problem == "the subscription has no region mars for Microsoft.Compute/images"
    assert "--location" in home.hint
    [copy] = look(**GALLERY, target_region=("eastus", "marswest"))
    assert copy.problem == "the subscription has no region marswest for Microsoft.Compute/galleries/images/versions"
    assert "--target-region" in copy.hint


def test_a_resource_group_needs_a_region_unless_it_is_there(look: Look, azure: AzureStandIn) -> None:
    [finding] = look(location=None)
    assert finding.obstacle
    assert "no resource group lkcloud, and no region" in finding.problem
    azure.holdings.groups["lkcloud"] = Group("lkcloud", "uksouth", {})
    assert look(location=None) == []


def test_a_resource_group_that_is_being_deleted_is_told(look: Look, group: Group) -> None:
    group.state = "Deleting"
    [finding] = look()
    assert finding.obstacle
    assert "is being deleted" in finding.problem


@pytest.mark.parametrize(
    ("options", "denied", "role"),
    [
        ({}, "Microsoft.Compute/disks/write", "Contributor"),
        ({}, "Microsoft.Compute/disks/beginGetAccess/action", "Contributor"),
        ({}, "Microsoft.Compute/images/write", "Contributor"),
        ({"share_with": (SUBSCRIPTION,)}, "Microsoft.Authorization/roleAssignments/write", "Role Based Access"),
        (GALLERY, "Microsoft.Compute/galleries/write", "Contributor"),
        (GALLERY, "Microsoft.Compute/galleries/images/versions/write", "Contributor"),
        ({**GALLERY, "security_type": "TrustedLaunchSupported"}, "Microsoft.Compute/images/write", "Contributor"),
    ],
)  # fmt: skip
def test_a_missing_permission_is_named_with_the_role_that_has_it(
    azure: AzureStandIn, look: Look, group: Group, options: dict[str, object], denied: str, role: str
) -> None:
    azure.windows.denied_actions = (denied,)
    [finding] = look(**options)
    assert finding.obstacle
    assert finding.problem == f"on the resource group lkcloud this identity is not allowed {denied}"
    assert role in finding.hint


def test_who_needs_no_permission_need_not_have_it(azure: AzureStandIn, look: Look, group: Group) -> None:
    azure.windows.denied_actions = ("Microsoft.Compute/disks/*", "Microsoft.Compute/galleries/*")
    assert look(**BLOB) == []
    azure.windows.denied_actions = ("Microsoft.Compute/disks/delete",)
    assert look(keep_upload=True) == []
    assert look(keep_upload=False) != []


def test_what_is_allowed_on_the_gallery_is_asked_of_the_gallery(
    azure: AzureStandIn, session: Session, look: Look, group: Group
) -> None:
    make_gallery(session)
    azure.windows.denied_actions = ("Microsoft.Compute/galleries/images/versions/write",)
    [finding] = look(gallery="images", create_gallery=True)
    assert finding.problem == (
        "on images (galleries) this identity is not allowed Microsoft.Compute/galleries/images/versions/write"
    )


def test_a_gallery_that_is_not_there_is_an_obstacle_unless_it_is_to_be_made(
    session: Session, look: Look, group: Group
) -> None:
    [finding] = look(gallery="images")
    assert finding.obstacle
    assert "--create-gallery" in finding.hint
    make_gallery(session)
    [definition] = look(gallery="images")
    assert "no image definition image" in definition.problem
    assert look(**GALLERY) == []


def test_a_public_gallery_is_of_its_own_region(session: Session, look: Look, group: Group) -> None:
    info = {
        "publicNamePrefix": "Prefix",
        "publisherUri": "https://example.com",
        "publisherContact": "a@example.com",
        "eula": "https://example.com",
    }
    profile = {"permissions": "Community", "communityGalleryInfo": info}
    make_gallery(session, properties={"sharingProfile": profile})
    assert look(**GALLERY, public=True) == []
    [finding] = look(**GALLERY, public=True, location="eastus")
    assert finding.obstacle
    assert "--location westeurope" in finding.hint
    assert look(**GALLERY, location="eastus") == []


def test_a_full_quota_is_told_unless_the_image_is_there(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, look: Look
) -> None:
    from lkcloud_azure.register import register

    azure.windows.quotas = (("StandardDiskCount", 0),)
    [finding] = look()
    assert finding.obstacle
    assert "there may be 0" in finding.problem
    assert look(**BLOB) == []
    azure.windows.quotas = ()
    source, options = source_of(disk), options_of()
    register(session, options, source, upload(session, disk, run), run)
    azure.windows.quotas = (("StandardDiskCount", 0),)
    assert look() == []


def test_room_for_versions_is_looked_for_where_there_is_a_gallery(azure: AzureStandIn, look: Look) -> None:
    azure.windows.quotas = (("GalleryImageVersion", 0),)
    assert look() == []
    [finding] = look(**GALLERY)
    assert "Gallery Image Version" in finding.problem


def test_a_storage_account_that_is_not_there_is_told(look: Look) -> None:
    [finding] = look(**BLOB, storage_account="nowhere")
    assert finding.obstacle
    assert "no storage account nowhere" in finding.problem


def test_an_account_without_page_blobs_is_told(azure: AzureStandIn, look: Look) -> None:
    account(azure).account_kind = "BlockBlobStorage"
    [kind] = look(**BLOB)
    assert kind.obstacle
    assert "without page blobs" in kind.problem
    account(azure).account_kind = "StorageV2"
    account(azure).settings["isHnsEnabled"] = True
    [hierarchical] = look(**BLOB)
    assert hierarchical.obstacle
    assert "hierarchical namespace" in hierarchical.problem


def test_an_account_elsewhere_is_told(look: Look) -> None:
    [finding] = look(**BLOB, location="eastus")
    assert finding.obstacle
    assert "is in westeurope, and the image would be in eastus" in finding.problem
    assert "--location westeurope" in finding.hint


def test_an_account_that_does_not_let_everybody_in_is_told_and_no_obstacle(
    azure: AzureStandIn, session: Session, look: Look
) -> None:
    with others(azure):
        change_account(session, publicNetworkAccess="Disabled")
    [closed] = look(**BLOB)
    assert not closed.obstacle
    assert "closed to the Internet" in closed.problem
    with others(azure):
        change_account(session, publicNetworkAccess="Enabled", networkAcls={"defaultAction": "Deny"})
    [chosen] = look(**BLOB)
    assert not chosen.obstacle
    assert "chosen networks only" in chosen.problem


def test_missing_permissions_on_the_account_are_told_by_role(azure: AzureStandIn, look: Look, group: Group) -> None:
    data = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"
    keys = "Microsoft.Storage/storageAccounts/listKeys/action"
    azure.windows.denied_actions = (data, keys)
    [image] = look(**BLOB)
    assert image.obstacle
    assert image.problem == f"on {ACCOUNT} (storageAccounts) this identity is not allowed {data}"
    assert "Storage Blob Data Contributor" in image.hint
    by_role = {finding.problem.rpartition(" ")[2]: finding.hint for finding in look(**BLOB, **GALLERY)}
    assert set(by_role) == {data, keys}
    assert "Storage Account Contributor" in by_role[keys]


def test_who_cannot_be_reached_has_refused_nothing(azure: AzureStandIn, look: Look) -> None:
    headers = {"Retry-After": "3600"}
    refuse(azure, "Providers.Get", ApiError(503, "ServiceUnavailable", "later", headers), 99)
    with pytest.raises(Unreachable):
        look()
    assert counted(azure, "Providers.Get") == 1


def test_what_is_refused_while_asking_stands_in_the_way(azure: AzureStandIn, look: Look) -> None:
    refuse(azure, "StorageAccounts.List", ApiError(403, "AuthorizationFailed", "No."), 1)
    [finding] = look(**BLOB)
    assert finding.obstacle
    assert "looking for the storage account" in finding.problem


@pytest.mark.parametrize(
    ("actions", "not_actions", "allowed"),
    [
        (("*",), (), True),
        (("*",), ("Microsoft.Compute/disks/*",), False),
        (("microsoft.compute/DISKS/write",), (), True),
        (("Microsoft.Compute/*/write",), (), True),
        (("Microsoft.Compute/disks",), (), False),
        (("Microsoft.Compute/disks/wri?e",), (), False),
        (("Microsoft.Compute/disks/*",), ("*/delete",), True),
        ((), (), False),
    ],
)
def test_patterns_of_roles_are_read_as_azure_reads_them(
    actions: tuple[str, ...], not_actions: tuple[str, ...], allowed: bool
) -> None:
    wanted = "Microsoft.Compute/disks/write"
    assert Grant(actions, not_actions).allows(wanted) is allowed
    assert missing([wanted], [Grant(actions, not_actions)]) == ([] if allowed else [wanted])


def test_what_one_role_takes_out_another_may_give() -> None:
    contributor = Grant(("*",), ("Microsoft.Compute/galleries/share/action",))
    sharing = Grant(("Microsoft.Compute/galleries/share/action",), ())
    assert missing(["Microsoft.Compute/galleries/share/action"], [contributor]) != []
    assert missing(["Microsoft.Compute/galleries/share/action"], [contributor, sharing]) == []
    assert role_for("Microsoft.Compute/galleries/share/action") == "Compute Gallery Sharing Admin"
