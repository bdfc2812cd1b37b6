# SPDX-License-Identifier: Apache-2.0
"""Compute Engine's way of a request: its method by path, whether the project is there, then the handler.

https://cloud.google.com/compute/docs/reference/rest/v1
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote

from lkcloud.sandbox.http import Request, Response
from lkcloud_gcp.sandbox import (
    authorization,
    compute_aggregated,
    compute_iam,
    compute_images,
    compute_instances,
    compute_operations,
    compute_places,
    compute_templates,
)
from lkcloud_gcp.sandbox.cloud import PROJECT, PROJECT_NUMBER, Cloud
from lkcloud_gcp.sandbox.compute_call import Call, Handler, answer
from lkcloud_gcp.sandbox.errors import ApiError

_ROUTES: Mapping[str, str] = {
    "GET global/images": "images.list",
    "POST global/images": "images.insert",
    "GET global/images/family/NAME": "images.getFromFamily",
    "GET global/images/NAME": "images.get",
    "DELETE global/images/NAME": "images.delete",
    "PATCH global/images/NAME": "images.patch",
    "POST global/images/NAME/deprecate": "images.deprecate",
    "POST global/images/NAME/setLabels": "images.setLabels",
    "GET global/images/NAME/getIamPolicy": "images.getIamPolicy",
    "POST global/images/NAME/setIamPolicy": "images.setIamPolicy",
    "POST global/images/NAME/testIamPermissions": "images.testIamPermissions",
    "GET aggregated/instances": "instances.aggregatedList",
    "GET aggregated/instanceTemplates": "instanceTemplates.aggregatedList",
    "POST global/instanceTemplates": "instanceTemplates.insert",
    "GET global/instanceTemplates/NAME": "instanceTemplates.get",
    "DELETE global/instanceTemplates/NAME": "instanceTemplates.delete",
    "GET zones/ZONE/instances": "instances.list",
    "POST zones/ZONE/instances": "instances.insert",
    "GET zones/ZONE/instances/NAME": "instances.get",
    "DELETE zones/ZONE/instances/NAME": "instances.delete",
    "POST zones/ZONE/instances/NAME/stop": "instances.stop",
    "GET zones/ZONE/instances/NAME/serialPort": "instances.getSerialPortOutput",
    "GET zones/ZONE/disks": "disks.list",
    "GET zones/ZONE/disks/NAME": "disks.get",
    "DELETE zones/ZONE/disks/NAME": "disks.delete",
    "GET ": "projects.get",
    "GET zones": "zones.list",
    "GET zones/NAME": "zones.get",
    "GET zones/ZONE/machineTypes/NAME": "machineTypes.get",
    "GET global/networks/NAME": "networks.get",
    "GET global/operations": "globalOperations.list",
    "GET global/operations/NAME": "globalOperations.get",
    "DELETE global/operations/NAME": "globalOperations.delete",
    "POST global/operations/NAME/wait": "globalOperations.wait",
    "GET zones/ZONE/operations": "zoneOperations.list",
    "GET zones/ZONE/operations/NAME": "zoneOperations.get",
    "DELETE zones/ZONE/operations/NAME": "zoneOperations.delete",
    "POST zones/ZONE/operations/NAME/wait": "zoneOperations.wait",
}
_PATTERNS = tuple(
    (re.compile(re.sub("ZONE|NAME", lambda word: f"(?P<{word[0].lower()}>[^/]+)", route)), method)
    for route, method in _ROUTES.items()
)
_PATH = re.compile(r"/compute/v1/projects/(?P<project>[^/]+)/?(?P<rest>.*)")

_HANDLERS: Mapping[str, Handler] = {
    **compute_aggregated.HANDLERS,
    **compute_images.HANDLERS,
    **compute_iam.HANDLERS,
    **compute_instances.HANDLERS,
    **compute_operations.HANDLERS,
    **compute_places.HANDLERS,
    **compute_templates.HANDLERS,
}


def operation(request: Request) -> str:
    """Return the id of the API's method, such as `images.insert`; the path if there is no such method."""
    return _routed(request)[0] or request.path


def _routed(request: Request) -> tuple[str, str, str, str]:
    """Return method, project, zone and name."""
    path = _PATH.fullmatch(request.raw_path)
    if path is not None:
        for pattern, method in _PATTERNS:
            if match := pattern.fullmatch(f"{request.method} {path['rest']}"):
                found = match.groupdict()
                return method, path["project"], unquote(found.get("zone", "")), unquote(found.get("name", ""))
    return "", "", "", ""


def serve(cloud: Cloud, request: Request, payload: bytes) -> Response:
    """Return the answer to a request whose body is PAYLOAD. Raises ApiError."""
    method, project, zone, name = _routed(request)
    if not method:
        raise ApiError(404, "notFound", f"The requested URL {request.path} was not found on this server.")
    if project not in (PROJECT, PROJECT_NUMBER):
        raise ApiError(404, "notFound", f"The resource 'projects/{project}' was not found")
    call = Call(cloud, method, zone, name, request.query, payload)
    authorization.require_for_compute(call)
    if method.endswith(".wait"):
        # It blocks, so it is the one that holds no lock.
        return answer(compute_operations.wait(call))
    with cloud.lock:
        return answer(_HANDLERS[method](call))
