# SPDX-License-Identifier: Apache-2.0
"""Resource groups, the resources in them, and the subscription itself.

https://learn.microsoft.com/rest/api/resources/resource-groups
"""

import re
from typing import Any

from azure.mgmt.resource.resources import models

from lkcloud_azure.sandbox.access import TENANT
from lkcloud_azure.sandbox.arm_call import ALL, GROUP, Answer, Body, Call, Route, tags
from lkcloud_azure.sandbox.arm_model import body
from lkcloud_azure.sandbox.arm_operations import Operation, OperationFailed, started
from lkcloud_azure.sandbox.arm_versions import RESOURCES, SUBSCRIPTIONS
from lkcloud_azure.sandbox.cloud import LOCATIONS, SUBSCRIPTION, Group
from lkcloud_azure.sandbox.errors import ApiError

_NAME = re.compile(r"[-\w._()]{0,89}[-\w_()]")
"""https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftresources"""
_READ = "Microsoft.Resources/subscriptions/resourceGroups/read"
_WRITE = "Microsoft.Resources/subscriptions/resourceGroups/write"
_DELETE = "Microsoft.Resources/subscriptions/resourceGroups/delete"


def _described(group: Group) -> Body:
    return {
        "id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group.name}",
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        **({"tags": dict(group.tags)} if group.tags else {}),
        "properties": {"provisioningState": group.state},
    }


def _put(call: Call) -> Answer:
    sent, name = body(call, models.ResourceGroup), call.segments["group"]
    if not _NAME.fullmatch(name):
        message = (
            f"The provided resource group name '{name}' has these invalid characters or length. The name can only be a "
            "letter, digit, '-', '.', '(', ')' or '_'."
        )
        raise ApiError(400, "InvalidResourceGroupName", message)
    if not sent.get("location"):
        raise ApiError(400, "LocationRequired", "The location property is required for this definition.")
    place = str(sent["location"]).replace(" ", "").lower()
    if place not in LOCATIONS:
        message = (
            f"The provided location '{sent['location']}' is not available for resource group. List of available "
            f"regions is '{','.join(LOCATIONS)}'."
        )
        raise ApiError(400, "LocationNotAvailableForResourceGroup", message)
    existing = call.cloud.groups.get(name.lower())
    if existing is not None and existing.location != place:
        message = (
            f"Invalid resource group location '{place}'. The Resource group already exists in location "
            f"'{existing.location}'."
        )
        raise ApiError(409, "InvalidResourceGroupLocation", message)
    if existing is not None and existing.state == "Deleting":
        raise _being_deleted(existing)
    group = Group(existing.name if existing else name, place, tags(sent))
    call.cloud.groups[name.lower()] = group
    return Answer(_described(group), 200 if existing else 201)


def _being_deleted(group: Group) -> ApiError:
    message = f"The resource group '{group.name}' is in deprovisioning state and cannot perform this operation."
    return ApiError(409, "ResourceGroupBeingDeleted", message)


def _get(call: Call) -> Answer:
    return Answer(_described(call.group()))


def _head(call: Call) -> Answer:
    return Answer(None, 204 if call.segments["group"].lower() in call.cloud.groups else 404)


def _list(call: Call) -> Answer:
    return call.listed([_described(group) for group in call.cloud.groups.values()])


def _delete(call: Call) -> Answer:
    group, cloud = call.group(), call.cloud
    if group.state == "Deleting":
        raise _being_deleted(group)
    group.state = "Deleting"
    scope = call.scope

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            # What was made last may make use of what was made before.
            doomed = list(cloud.below(scope))[::-1]
            if blocking := [str(resource.id) for resource in doomed if resource.blocked(cloud)]:
                group.state = "Succeeded"
                message = (
                    f"Deletion of resource group '{group.name}' did not succeed after 3 attempts as resources with "
                    f"identifiers '{', '.join(blocking)}' could not be deleted. The provisioning state of the resource "
                    "group will be rolled back."
                )
                raise OperationFailed("ResourceGroupDeletionBlocked", message)
            for resource in doomed:
                cloud.forget(resource)
        for resource in doomed:
            resource.removed(cloud)
        with cloud.lock:
            del cloud.groups[group.name.lower()]

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation))


def _resources(call: Call) -> Answer:
    group = call.group() if "group" in call.segments else None
    wanted = re.search(r"resourceType eq '([^']+)'", call.query.get("$filter", ""))
    found: list[Body] = []
    for resource in call.cloud.below(call.scope if group else ""):
        # What is within another resource is listed by that one alone.
        if len(resource.id.kinds) == 1 and (wanted is None or wanted[1].lower() == resource.kind.lower()):
            document: dict[str, Any] = dict(resource.described())
            document.pop("properties")
            found.append(document)
    return call.listed(found)


def _subscription(call: Call) -> Answer:
    return Answer({**_SUBSCRIPTION, "state": call.cloud.windows.subscription_state})


def _subscriptions(call: Call) -> Answer:
    return call.listed([{**_SUBSCRIPTION, "state": call.cloud.windows.subscription_state}])


def _locations(call: Call) -> Answer:
    return call.listed(
        [
            {
                "id": f"/subscriptions/{SUBSCRIPTION}/locations/{name}",
                "name": name,
                "type": "Region",
                "displayName": shown,
                "regionalDisplayName": shown,
                "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
            }
            for name, shown in LOCATIONS.items()
        ]
    )


_SUBSCRIPTION: Body = {
    "id": f"/subscriptions/{SUBSCRIPTION}",
    "authorizationSource": "RoleBased",
    "subscriptionId": SUBSCRIPTION,
    "tenantId": TENANT,
    "displayName": "lkcloud sandbox",
    "subscriptionPolicies": {"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01"},
}

ROUTES = (
    Route("GET", "/subscriptions", "Subscriptions.List", SUBSCRIPTIONS, _subscriptions, "*/read"),
    Route("GET", ALL, "Subscriptions.Get", SUBSCRIPTIONS, _subscription, "Microsoft.Resources/subscriptions/read"),
    Route(
        "GET",
        f"{ALL}/locations",
        "Subscriptions.ListLocations",
        SUBSCRIPTIONS,
        _locations,
        "Microsoft.Resources/subscriptions/locations/read",
    ),
    Route("GET", f"{ALL}/resourcegroups", "ResourceGroups.List", RESOURCES, _list, _READ),
    Route("PUT", GROUP, "ResourceGroups.CreateOrUpdate", RESOURCES, _put, _WRITE),
    Route("GET", GROUP, "ResourceGroups.Get", RESOURCES, _get, _READ),
    Route("HEAD", GROUP, "ResourceGroups.CheckExistence", RESOURCES, _head, _READ),
    Route("DELETE", GROUP, "ResourceGroups.Delete", RESOURCES, _delete, _DELETE),
    Route(
        "GET",
        f"{ALL}/resources",
        "Resources.List",
        RESOURCES,
        _resources,
        "Microsoft.Resources/subscriptions/resources/read",
    ),
    Route(
        "GET",
        f"{GROUP}/resources",
        "Resources.ListByResourceGroup",
        RESOURCES,
        _resources,
        "Microsoft.Resources/subscriptions/resourceGroups/resources/read",
    ),
)
