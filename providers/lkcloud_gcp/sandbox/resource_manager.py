# SPDX-License-Identifier: Apache-2.0
"""Resource Manager, as far as it tells which permissions one has on the project.

https://cloud.google.com/resource-manager/reference/rest/v1/projects/testIamPermissions
"""

import json
import re

from lkcloud.sandbox.http import Request, Response
from lkcloud_gcp.sandbox import authorization
from lkcloud_gcp.sandbox.cloud import PROJECT, PROJECT_NUMBER, Cloud
from lkcloud_gcp.sandbox.errors import ApiError

_PATH = re.compile(r"/v1/projects/(?P<project>[^/:]+):testIamPermissions")
_PERMISSION = re.compile(r"[a-z]+(\.[A-Za-z]+){2}")
_OPERATION = "projects.testIamPermissions"


def operation(request: Request) -> str:
    """Return the id of the API's method, "" if the request is none of Resource Manager's."""
    return _OPERATION if request.method == "POST" and _PATH.fullmatch(request.raw_path) else ""


def serve(cloud: Cloud, request: Request) -> Response:
    """Return those of the permissions that are asked for that the caller has on the project. Raises ApiError."""
    path = _PATH.fullmatch(request.raw_path)
    if path is None or path["project"] not in (PROJECT, PROJECT_NUMBER):
        # A project that does not exist is answered as one that is not to be seen.
        raise ApiError(403, "forbidden", "The caller does not have permission")
    try:
        document = json.loads(request.body.all())
        permissions = [str(permission) for permission in document["permissions"]]
    except (ValueError, KeyError, TypeError):
        raise ApiError(400, "badRequest", "Invalid JSON payload received.") from None
    for permission in permissions:
        # "Permissions with wildcards (such as '*' or 'storage.*') are not allowed."
        if not _PERMISSION.fullmatch(permission):
            raise ApiError(400, "badRequest", f"Permission {permission} is not valid for this resource.")
    granted = [permission for permission in permissions if authorization.has(cloud, permission)]
    # An empty list is left out, as everywhere in JSON that is made from Protocol Buffers.
    body = json.dumps({"permissions": granted} if granted else {}).encode()
    return Response(200, {"Content-Type": "application/json; charset=UTF-8"}, body)
