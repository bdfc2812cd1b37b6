# SPDX-License-Identifier: Apache-2.0
import uuid
from typing import Any

import pytest

from lkcloud_azure.sandbox.access import PRINCIPAL
from lkcloud_azure.sandbox.cloud import SUBSCRIPTION
from tests.azure_sandbox.arm import COMPUTE, GROUP, QUICK, Arm, refused

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
WHOLE = f"/subscriptions/{SUBSCRIPTION}"
GROUP_SCOPE = f"{WHOLE}/resourceGroups/{GROUP}"
SOMEBODY = "11111111-2222-3333-4444-555555555555"


def wanted(principal: str = SOMEBODY, role: str = READER, **more: Any) -> dict[str, Any]:
    role_id = f"{WHOLE}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    return {"properties": {"roleDefinitionId": role_id, "principalId": principal, **more}}


def put(arm: Arm, body: object, scope: str = GROUP_SCOPE, name: str = "") -> tuple[int, Any]:
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name or uuid.uuid4()}"
    return arm.raw("PUT", path, body, version="2022-04-01")[:2]


def listed(arm: Arm, scope: str, wanted_filter: str | None = None) -> list[str]:
    found = arm.session.authorization.role_assignments.list_for_scope(scope, filter=wanted_filter)
    return [f"{one.principal_id} {one.scope}" for one in found if one.principal_id != PRINCIPAL]


def test_an_assignment_comes_and_goes(arm: Arm) -> None:
    name = str(uuid.uuid4())
    status, made = put(arm, wanted(description="for a test"), name=name)
    assert status == 201
    assert made["properties"]["principalType"] == "User"
    assert made["properties"]["scope"] == GROUP_SCOPE
    assert put(arm, wanted(), name=name)[0] == 200
    assignments = arm.session.authorization.role_assignments
    found = assignments.get(GROUP_SCOPE, name)
    assert (found.principal_id, found.description) == (SOMEBODY, "for a test")
    assert (found.role_definition_id or "").endswith(READER)
    assert assignments.delete(GROUP_SCOPE, name) is not None
    assert assignments.delete(GROUP_SCOPE, name) is None
    refused(404, "RoleAssignmentNotFound", assignments.get, GROUP_SCOPE, name)


def test_the_same_under_another_name(arm: Arm) -> None:
    name = str(uuid.uuid4())
    put(arm, wanted(), name=name)
    status, told = put(arm, wanted())
    assert (status, told["error"]["code"]) == (409, "RoleAssignmentExists")
    assert told["error"]["message"].endswith(f"is {name.replace('-', '')}.")
    status, told = put(arm, wanted(PRINCIPAL), name=name)
    assert (status, told["error"]["code"]) == (400, "RoleAssignmentUpdateNotPermitted")


@pytest.mark.parametrize(
    ("body", "name", "status", "code"),
    [
        (wanted(), "reader", 400, "InvalidRoleAssignmentId"),
        (wanted(role=READER[::-1]), "", 404, "RoleDefinitionDoesNotExist"),
        (wanted("somebody@example.com"), "", 400, "InvalidPrincipalId"),
        (wanted(principalType="Robot"), "", 400, "InvalidCreateRoleAssignmentRequest"),
        (wanted(reason="none"), "", 400, "InvalidCreateRoleAssignmentRequest"),
        ({"principalId": SOMEBODY}, "", 400, "InvalidCreateRoleAssignmentRequest"),
        (b"{", "", 400, "InvalidCreateRoleAssignmentRequest"),
    ],
)
def test_assignments_that_cannot_be(arm: Arm, body: object, name: str, status: int, code: str) -> None:
    found, told = put(arm, body, name=name)
    assert (found, told["error"]["code"]) == (status, code)


def test_who_is_not_there(arm: Arm) -> None:
    arm.cloud.windows.strangers = (SOMEBODY,)
    status, told = put(arm, wanted())
    assert (status, told["error"]["code"]) == (400, "PrincipalNotFound")
    assert "does not exist in the directory" in told["error"]["message"]


def test_another_kind_of_principal(arm: Arm) -> None:
    arm.cloud.windows.service_principals = (SOMEBODY,)
    status, told = put(arm, wanted(principalType="User"))
    assert (status, told["error"]["code"]) == (400, "UnmatchedPrincipalType")
    assert put(arm, wanted(principalType="ServicePrincipal"))[1]["properties"]["principalType"] == "ServicePrincipal"


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        (f"{GROUP_SCOPE}2", "ResourceGroupNotFound"),
        (f"{COMPUTE}/disks/disk", "ResourceNotFound"),
        (f"/subscriptions/{SUBSCRIPTION[::-1]}", "SubscriptionNotFound"),
        ("/providers/none/at/all", "SubscriptionNotFound"),
    ],
)
def test_scopes_that_are_not_there(arm: Arm, scope: str, code: str) -> None:
    status, told = put(arm, wanted(), scope)
    assert (status, told["error"]["code"]) == (404, code)


def test_lists(arm: Arm) -> None:
    disk = arm.disk()
    disk_id = str(disk.id)
    other = SOMEBODY.replace("1", "6")
    for principal, scope in ((SOMEBODY, WHOLE), (SOMEBODY, disk_id), (other, GROUP_SCOPE)):
        assert put(arm, wanted(principal), scope)[0] == 201
    whole, group, inner = f"{SOMEBODY} {WHOLE}", f"{other} {GROUP_SCOPE}", f"{SOMEBODY} {disk_id}"
    # https://learn.microsoft.com/rest/api/authorization/role-assignments/list-for-scope
    assert listed(arm, GROUP_SCOPE) == [whole, inner, group]
    assert listed(arm, GROUP_SCOPE, "atScope()") == [whole, group]
    assert listed(arm, GROUP_SCOPE, f"principalId eq '{SOMEBODY}'") == [whole, inner]
    assert listed(arm, disk_id, f"assignedTo('{other}')") == [group]
    assert listed(arm, f"{WHOLE}/resourceGroups/lkcloud-sandbox") == [whole]
    refused(400, "UnsupportedQuery", listed, arm, GROUP_SCOPE, "roleName eq 'Reader'")
    arm.compute.disks.begin_delete(GROUP, "disk", **QUICK).result()
    assert listed(arm, GROUP_SCOPE) == [whole, group]


def test_the_caller_owns_the_subscription(arm: Arm) -> None:
    (found,) = arm.session.authorization.role_assignments.list_for_scope(WHOLE, filter=f"principalId eq '{PRINCIPAL}'")
    owner = arm.session.authorization.role_definitions.get(WHOLE, (found.role_definition_id or "").rpartition("/")[2])
    assert (owner.role_name, (owner.permissions or [])[0].actions) == ("Owner", ["*"])


def test_roles(arm: Arm) -> None:
    definitions = arm.session.authorization.role_definitions
    (reader,) = definitions.list(WHOLE, filter="roleName eq 'Reader'")
    assert (reader.name, (reader.permissions or [])[0].actions) == (READER, ["*/read"])
    assert len(list(definitions.list(WHOLE))) > 5
    refused(404, "RoleDefinitionDoesNotExist", definitions.get, WHOLE, READER[::-1])


def test_permissions(arm: Arm) -> None:
    arm.disk()
    permissions = arm.session.authorization.permissions
    arm.cloud.windows.denied_actions = ("Microsoft.Compute/disks/write",)
    for found in (
        permissions.list_for_resource_group(GROUP),
        permissions.list_for_resource(GROUP, "Microsoft.Compute", "", "disks", "disk"),
    ):
        (one,) = found
        assert (one.actions, one.not_actions) == (["*"], ["Microsoft.Compute/disks/write"])
        assert one.data_actions == ["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"]
    refused(404, "ResourceGroupNotFound", lambda: list(permissions.list_for_resource_group("another")))


def test_nothing_but_what_is_allowed(arm: Arm) -> None:
    arm.disk()
    arm.cloud.windows.allowed_actions = frozenset({"Microsoft.Compute/disks/read", "Microsoft.Authorization/*/read"})
    arm.cloud.windows.allowed_data_actions = frozenset()
    assert [one.name for one in arm.compute.disks.list()] == ["disk"]
    told = refused(403, "AuthorizationFailed", arm.grant)
    assert "'Microsoft.Compute/disks/beginGetAccess/action' over scope" in told
    (one,) = arm.session.authorization.permissions.list_for_resource_group(GROUP)
    assert one.actions == ["Microsoft.Authorization/*/read", "Microsoft.Compute/disks/read"]
    assert (one.data_actions, one.not_actions) == ([], [])


@pytest.mark.parametrize("allowed", [["*/read"], ["Microsoft.Compute/disks/read"], []])
def test_whoever_may_read_something_sees_the_subscription(arm: Arm, allowed: list[str]) -> None:
    arm.cloud.windows.allowed_actions = frozenset(allowed)
    assert arm.raw("GET", "/subscriptions", version="2022-12-01")[0] == (200 if allowed else 403)


def test_an_encryption_set_that_one_may_not_use(arm: Arm) -> None:
    """kubernetes-sigs/azuredisk-csi-driver#2610"""
    arm.cloud.windows.allowed_actions = frozenset({"Microsoft.Compute/disks/write"})
    name = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute/diskEncryptionSets/key"
    told = refused(403, "LinkedAuthorizationFailed", lambda: arm.disk(encryption={"diskEncryptionSetId": name}))
    assert f"'Microsoft.Compute/diskEncryptionSets/read' on the linked scope(s) '{name}'" in told


def test_who_may_not_share(arm: Arm) -> None:
    arm.cloud.windows.denied_actions = ("Microsoft.Authorization/roleAssignments/write",)
    status, told = put(arm, wanted())
    assert (status, told["error"]["code"]) == (403, "AuthorizationFailed")
    assert "Microsoft.Authorization/roleAssignments/write" in told["error"]["message"]
