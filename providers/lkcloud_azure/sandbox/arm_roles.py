# SPDX-License-Identifier: Apache-2.0
"""Roles, who has them, and what the caller is allowed.

https://learn.microsoft.com/rest/api/authorization; a scope is a subscription, a resource group or a resource.
"""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox.access import PRINCIPAL, TENANT
from lkcloud_azure.sandbox.arm_call import Answer, Body, Call, Route
from lkcloud_azure.sandbox.arm_versions import AUTHORIZATION
from lkcloud_azure.sandbox.cloud import SUBSCRIPTION, Assignment, Cloud
from lkcloud_azure.sandbox.errors import ApiError

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
_OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
_READ_GALLERY = ("Microsoft.Compute/galleries/images/read", "Microsoft.Compute/galleries/images/versions/read")

ROLES: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    _OWNER: ("Owner", ("*",), (), ()),
    "b24988ac-6180-42a0-ab88-20f7382dd24c": (
        "Contributor",
        ("*",),
        (
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Compute/galleries/share/action",
        ),
        (),
    ),
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": ("Reader", ("*/read",), (), ()),
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": (
        "User Access Administrator",
        ("*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"),
        (),
        (),
    ),
    "cf7c76d2-98a3-4358-a134-615aa78bf44d": ("Compute Gallery Image Reader", _READ_GALLERY, (), ()),
    "85a2d0d9-2eba-4c9c-b355-11c2cc0788ab": (
        "Compute Gallery Artifacts Publisher",
        ("Microsoft.Compute/galleries/*", "Microsoft.Compute/disks/read", "Microsoft.Compute/images/read"),
        ("Microsoft.Compute/galleries/share/action",),
        (),
    ),
    "1ef6a3be-d0ac-425d-8c01-acb62866290b": (
        "Compute Gallery Sharing Admin",
        ("Microsoft.Compute/galleries/share/action",),
        (),
        (),
    ),
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": (
        "Storage Blob Data Contributor",
        (f"{_BLOBS.rpartition('/')[0]}/*",),
        (),
        (f"{_BLOBS}/*",),
    ),
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": (
        "Storage Blob Data Reader",
        (f"{_BLOBS.rpartition('/')[0]}/read",),
        (),
        (f"{_BLOBS}/read",),
    ),
}
"""Name, actions, what is taken out of them, and data actions of built-in roles
(https://learn.microsoft.com/azure/role-based-access-control/built-in-roles), of which Azure has some five hundred."""

_SENT = {"roledefinitionid", "principalid", "principaltype", "description", "condition", "conditionversion"}
"""RoleAssignmentCreateParameters of the SDK; delegatedManagedIdentityResourceId is left out."""
_KINDS = ("User", "Group", "ServicePrincipal", "ForeignGroup", "Device")
_PATH = "/{*scope}/providers/Microsoft.Authorization"


def _scope(call: Call) -> str:
    """Return the scope, which must be there. Raises ApiError."""
    # The SDK writes two slashes where a resource is within no other one.
    scope = "/" + re.sub("/+", "/", call.segments["scope"])
    words = scope.split("/")
    if len(words) < 3 or words[1].lower() != "subscriptions" or words[2].lower() != SUBSCRIPTION:
        raise ApiError(404, "SubscriptionNotFound", f"The subscription of the scope '{scope}' could not be found.")
    if len(words) > 4 and words[4].lower() not in call.cloud.groups:
        raise ApiError(404, "ResourceGroupNotFound", f"Resource group '{words[4]}' could not be found.")
    if len(words) > 5:
        parsed = ResourceId.parse(scope)
        if parsed is None or call.cloud.held(parsed) is None:
            raise ApiError(404, "ResourceNotFound", f"The Resource '{'/'.join(words[6:])}' was not found.")
    return scope


def _described(assignment: Assignment) -> Body:
    when = assignment.created.isoformat()
    role = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{assignment.role}"
    return {
        "id": f"{assignment.scope}/providers/Microsoft.Authorization/roleAssignments/{assignment.name}",
        "name": assignment.name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": role,
            "principalId": assignment.principal,
            "principalType": assignment.principal_kind,
            "scope": assignment.scope,
            "condition": None,
            "conditionVersion": None,
            "createdOn": when,
            "updatedOn": when,
            "createdBy": PRINCIPAL,
            "updatedBy": PRINCIPAL,
            "description": assignment.description or None,
        },
    }


def _every(cloud: Cloud) -> Iterator[Assignment]:
    # The caller's own, which nobody has made here.
    mine = str(uuid.uuid5(uuid.NAMESPACE_URL, PRINCIPAL))
    yield Assignment(mine, f"/subscriptions/{SUBSCRIPTION}", _OWNER, PRINCIPAL, "ServicePrincipal", _BEGIN)
    yield from cloud.assignments.values()


_BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def _put(call: Call) -> Answer:
    scope, name = _scope(call), call.segments["assignment"]
    if not _is_uuid(name):
        message = f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."
        raise ApiError(400, "InvalidRoleAssignmentId", message)
    wanted = _wanted(call, scope, name.lower())
    for other in _every(call.cloud):
        same = (other.scope.lower(), other.role, other.principal) == (scope.lower(), wanted.role, wanted.principal)
        if other.name == wanted.name:
            if same:
                return Answer(_described(other), 200)
            message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
            raise ApiError(400, "RoleAssignmentUpdateNotPermitted", message)
        if same:
            # ansible-collections/azure#1137
            told = other.name.replace("-", "")
            message = f"The role assignment already exists. The ID of the conflicting role assignment is {told}."
            raise ApiError(409, "RoleAssignmentExists", message)
    call.cloud.assignments[f"{scope}/{wanted.name}".lower()] = wanted
    return Answer(_described(wanted), 201)


def _wanted(call: Call, scope: str, name: str) -> Assignment:
    try:
        sent = json.loads(call.payload)["properties"]
    except (ValueError, KeyError, TypeError):
        raise ApiError(400, "InvalidCreateRoleAssignmentRequest", "The request was incorrectly formatted.") from None
    if not isinstance(sent, dict) or {key.lower() for key in sent} - _SENT:
        # Which fields it does not know, the service does not tell.
        raise ApiError(400, "InvalidCreateRoleAssignmentRequest", "The request was incorrectly formatted.")
    given = {key.lower(): value for key, value in sent.items() if value is not None}
    role = str(given.get("roledefinitionid") or "").rpartition("/roleDefinitions/")[2].lower()
    if role not in ROLES:
        message = f"The specified role definition with ID '{role.replace('-', '')}' does not exist."
        raise ApiError(404, "RoleDefinitionDoesNotExist", message)
    principal = str(given.get("principalid") or "").lower()
    if not _is_uuid(principal):
        raise ApiError(400, "InvalidPrincipalId", "A valid principal ID must be provided for role assignment.")
    kind = _kind(call.cloud, principal, str(given.get("principaltype") or ""))
    return Assignment(name, scope, role, principal, kind, datetime.now(UTC), str(given.get("description") or ""))


def _kind(cloud: Cloud, principal: str, told: str) -> str:
    """Return what kind of principal it is. Raises ApiError if it is not there, or another than what was TOLD."""
    if told and told not in _KINDS:
        raise ApiError(400, "InvalidCreateRoleAssignmentRequest", f"The principal type '{told}' is not valid.")
    if principal in cloud.windows.strangers:
        # Azure/HubAndSpokeResearchEnclave#50
        message = (
            f"Principal {principal.replace('-', '')} does not exist in the directory {TENANT}. Check that you have the "
            "correct principal ID. If you are creating this principal and then immediately assigning a role, this "
            "error might be related to a replication delay. In this case, set the role assignment principalType "
            "property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype"
        )
        raise ApiError(400, "PrincipalNotFound", message)
    kind = "ServicePrincipal" if principal in (*cloud.windows.service_principals, PRINCIPAL) else "User"
    if told and told != kind:
        # Azure/modern-web-app-pattern-dotnet#129, with its slip of the pen
        message = (
            f"The PrincipalId '{principal.replace('-', '')}' has type '{kind}' , which is different from specified "
            f"PrinciaplType '{told}'."
        )
        raise ApiError(400, "UnmatchedPrincipalType", message)
    return kind


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _get(call: Call) -> Answer:
    return Answer(_described(_find(call)))


def _find(call: Call) -> Assignment:
    scope, name = _scope(call), call.segments["assignment"].lower()
    for assignment in _every(call.cloud):
        if assignment.name == name and assignment.scope.lower() == scope.lower():
            return assignment
    raise ApiError(404, "RoleAssignmentNotFound", f"The role assignment '{name}' is not found.")


def _delete(call: Call) -> Answer:
    scope, name = _scope(call), call.segments["assignment"].lower()
    found = call.cloud.assignments.pop(f"{scope}/{name}".lower(), None)
    return Answer(None, 204) if found is None else Answer(_described(found))


def _list(call: Call) -> Answer:
    """Answer the assignments at the scope, above it and below it, as far as the filter lets them through."""
    scope = _scope(call).lower()
    text = call.query.get("$filter", "")
    principal = re.fullmatch(r"principalId eq '?([0-9a-fA-F-]+)'?|assignedTo\('([0-9a-fA-F-]+)'\)", text)
    if text and text.lower() != "atscope()" and principal is None:
        raise ApiError(400, "UnsupportedQuery", f"The filter '{text}' is not supported.")
    found = []
    for assignment in _every(call.cloud):
        own = assignment.scope.lower()
        above, below = f"{scope}/".startswith(f"{own}/"), own.startswith(f"{scope}/") and text.lower() != "atscope()"
        wanted = principal is None or (principal[1] or principal[2]).lower() == assignment.principal
        if (above or below) and wanted:
            found.append(_described(assignment))
    return call.listed(found)


def _definition(name: str) -> Body:
    shown, actions, not_actions, data_actions = ROLES[name]
    return {
        "id": f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{name}",
        "name": name,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": shown,
            "type": "BuiltInRole",
            "description": shown,
            "assignableScopes": ["/"],
            "permissions": [
                {
                    "actions": list(actions),
                    "notActions": list(not_actions),
                    "dataActions": list(data_actions),
                    "notDataActions": [],
                }
            ],
        },
    }


def _get_definition(call: Call) -> Answer:
    name = call.segments["role"].lower()
    if name not in ROLES:
        message = f"The specified role definition with ID '{name.replace('-', '')}' does not exist."
        raise ApiError(404, "RoleDefinitionDoesNotExist", message)
    return Answer(_definition(name))


def _list_definitions(call: Call) -> Answer:
    _scope(call)
    named = re.fullmatch(r"roleName eq '([^']+)'", call.query.get("$filter", ""))
    names = [name for name, role in ROLES.items() if named is None or role[0] == named[1]]
    return call.listed([_definition(name) for name in names])


def _permissions(call: Call) -> Answer:
    """Answer what the caller may do: all but what is denied, as an owner who may read and write blobs too."""
    _scope(call)
    windows = call.cloud.windows
    denied, actions, data = windows.denied_actions, windows.allowed_actions, windows.allowed_data_actions
    shown = {
        "actions": ["*"] if actions is None else sorted(actions),
        "notActions": list(denied),
        "dataActions": [f"{_BLOBS}/*"] if data is None else sorted(data),
        "notDataActions": list(denied),
    }
    return call.listed([shown])


def _routes() -> Iterator[Route]:
    one, kind = f"{_PATH}/roleAssignments/{{assignment}}", "Microsoft.Authorization/roleAssignments"
    yield Route("PUT", one, "RoleAssignments.Create", AUTHORIZATION, _put, f"{kind}/write")
    yield Route("GET", one, "RoleAssignments.Get", AUTHORIZATION, _get, f"{kind}/read")
    yield Route("DELETE", one, "RoleAssignments.Delete", AUTHORIZATION, _delete, f"{kind}/delete")
    yield Route("GET", f"{_PATH}/roleAssignments", "RoleAssignments.ListForScope", AUTHORIZATION, _list, f"{kind}/read")
    roles = "Microsoft.Authorization/roleDefinitions/read"
    yield Route(
        "GET", f"{_PATH}/roleDefinitions/{{role}}", "RoleDefinitions.Get", AUTHORIZATION, _get_definition, roles
    )
    yield Route("GET", f"{_PATH}/roleDefinitions", "RoleDefinitions.List", AUTHORIZATION, _list_definitions, roles)
    allowed = "Microsoft.Authorization/permissions/read"
    yield Route("GET", f"{_PATH}/permissions", "Permissions.List", AUTHORIZATION, _permissions, allowed)


ROUTES = tuple(_routes())
