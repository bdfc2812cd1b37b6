# SPDX-License-Identifier: Apache-2.0
"""Resource providers: which there are, what they have, and whether the subscription is registered for them.

https://learn.microsoft.com/rest/api/resources/providers
"""

import time
from collections.abc import Mapping
from typing import Any

from lkcloud_azure.sandbox.arm_call import ALL, Answer, Call, Route
from lkcloud_azure.sandbox.arm_gate import registration
from lkcloud_azure.sandbox.arm_registry import routes
from lkcloud_azure.sandbox.arm_versions import PROVIDERS, Versions
from lkcloud_azure.sandbox.cloud import LOCATIONS, SUBSCRIPTION
from lkcloud_azure.sandbox.errors import ApiError

_PATH = f"{ALL}/providers/{{namespace}}"


def _kinds() -> Mapping[str, Mapping[str, Versions]]:
    """Return the resource types, and the api-versions of each, by resource provider."""
    found: dict[str, dict[str, Versions]] = {}
    for route in routes():
        namespace, _, kind = route.kind.partition("/")
        if route.namespace and kind:
            found.setdefault(namespace, {})[kind] = route.versions
    return found


def _described(call: Call, namespace: str) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{SUBSCRIPTION}/providers/{namespace}",
        "namespace": namespace,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": registration(call.cloud, namespace),
        "resourceTypes": [
            {
                "resourceType": kind,
                "locations": [] if kind.startswith("locations") else list(LOCATIONS.values()),
                "apiVersions": list(reversed(versions)),
                "capabilities": "SupportsTags, SupportsLocation",
            }
            for kind, versions in sorted(_kinds()[namespace].items())
        ],
    }


def _namespace(call: Call) -> str:
    wanted = call.segments["namespace"]
    for namespace in _kinds():
        if namespace.lower() == wanted.lower():
            return namespace
    raise ApiError(404, "InvalidResourceNamespace", f"The resource namespace '{wanted}' is invalid.")


def _get(call: Call) -> Answer:
    return Answer(_described(call, _namespace(call)))


def _list(call: Call) -> Answer:
    return call.listed([_described(call, namespace) for namespace in sorted(_kinds())])


def _register(call: Call) -> Answer:
    namespace = _namespace(call)
    if registration(call.cloud, namespace) == "NotRegistered":
        call.cloud.registering[namespace.lower()] = time.monotonic() + call.cloud.windows.operation
    return Answer(_described(call, namespace))


ROUTES = (
    Route(
        "GET",
        f"{ALL}/providers",
        "Providers.List",
        PROVIDERS,
        _list,
        "Microsoft.Resources/subscriptions/providers/read",
    ),
    Route("GET", _PATH, "Providers.Get", PROVIDERS, _get, "Microsoft.Resources/subscriptions/providers/read"),
    Route(
        "POST",
        f"{_PATH}/register",
        "Providers.Register",
        PROVIDERS,
        _register,
        "Microsoft.Resources/subscriptions/providers/register/action",
    ),
)
