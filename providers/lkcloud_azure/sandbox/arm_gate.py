# SPDX-License-Identifier: Apache-2.0
"""What Azure Resource Manager looks at itself before it hands a request on: versions, rights, registrations."""

import time
from collections.abc import Sequence

from lkcloud.sandbox.http import Request
from lkcloud_azure.sandbox.access import CLIENT, PRINCIPAL
from lkcloud_azure.sandbox.arm_call import Call, Route, allowed
from lkcloud_azure.sandbox.cloud import LOCATIONS, SUBSCRIPTION, Cloud
from lkcloud_azure.sandbox.errors import ApiError


def unknown(request: Request, routes: Sequence[Route]) -> ApiError:
    """Return what is said of a path or a method that no resource type has."""
    if any(route.pattern().fullmatch(request.raw_path) for route in routes):
        message = f"The request method '{request.method}' is not supported for this resource."
        return ApiError(405, "MethodNotAllowed", message)
    _, found, rest = request.path.rpartition("/providers/")
    if not found:
        message = f"No HTTP resource was found that matches the request URI '{request.path}'."
        return ApiError(404, "NotFound", message)
    namespace, _, rest = rest.partition("/")
    kind = "/".join(rest.split("/")[0::2])
    if namespace.lower() not in {route.namespace.lower() for route in routes}:
        return ApiError(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
    message = (
        f"The resource type '{kind}' could not be found in the namespace '{namespace}' for api version "
        f"'{request.query.get('api-version', '')}'."
    )
    return ApiError(404, "InvalidResourceType", message)


def check(call: Call) -> None:
    """Raise ApiError for a request that does not get through to its handler."""
    _check_version(call)
    subscription = call.segments.get("subscription")
    if subscription is not None and subscription.lower() != SUBSCRIPTION:
        message = f"The subscription '{subscription}' could not be found."
        raise ApiError(404, "SubscriptionNotFound", message)
    action = call.route.needed()
    if not allowed(call.cloud, action):
        scope = _scope(call)
        message = (
            f"The client '{CLIENT}' with object id '{PRINCIPAL}' does not have authorization to perform action "
            f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh "
            "your credentials."
        )
        raise ApiError(403, "AuthorizationFailed", message)
    namespace = call.route.namespace
    if registration(call.cloud, namespace) != "Registered" and call.route.method not in ("GET", "HEAD"):
        message = (
            f"The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found for "
            "how to register subscriptions."
        )
        raise ApiError(409, "MissingSubscriptionRegistration", message)


def registration(cloud: Cloud, namespace: str) -> str:
    """Return whether the subscription can use a resource provider: `Registered`, `Registering` or `NotRegistered`."""
    if namespace.lower() not in {one.lower() for one in cloud.windows.unregistered}:
        return "Registered"
    until = cloud.registering.get(namespace.lower())
    if until is None:
        return "NotRegistered"
    return "Registering" if time.monotonic() < until else "Registered"


def _check_version(call: Call) -> None:
    version = call.query.get("api-version", "")
    if not version:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise ApiError(400, "MissingApiVersionParameter", message)
    if version not in call.route.versions:
        if not call.route.namespace:
            message = f"The api-version '{version}' is invalid. The supported versions are '{_listed(call.route)}'."
            raise ApiError(400, "InvalidApiVersionParameter", message)
        # Azure/azure-cli#28496, pulumi/pulumi-azure-nextgen#170
        group = call.cloud.groups.get(call.segments.get("group", "").lower())
        where = group.location if group else ""
        message = (
            f"No registered resource provider found for location '{where}' and API version '{version}' for type "
            f"'{call.route.kind.partition('/')[2]}'. The supported api-versions are '{_listed(call.route)}'. The "
            f"supported locations are '{', '.join(LOCATIONS)}'."
        )
        raise ApiError(400, "NoRegisteredProviderFound", message)


def _listed(route: Route) -> str:
    return ", ".join(reversed(route.versions))


def _scope(call: Call) -> str:
    return call.path.rpartition("/")[0] if call.route.method == "POST" else call.path
