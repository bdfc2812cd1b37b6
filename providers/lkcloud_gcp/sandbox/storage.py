# SPDX-License-Identifier: Apache-2.0
"""The JSON API of Cloud Storage: which method a request asks for, and its answer as a response."""

import json
from collections.abc import Mapping
from urllib.parse import unquote

from lkcloud.sandbox.http import Request, Response
from lkcloud_gcp.sandbox import authorization, storage_buckets, storage_compose, storage_objects, storage_resumable
from lkcloud_gcp.sandbox.cloud import Cloud
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.storage_call import Call, Handler
from lkcloud_gcp.sandbox.storage_fields import parse, selected

_METHODS: Mapping[str, Handler] = {
    **storage_buckets.METHODS,
    **storage_objects.METHODS,
    **storage_resumable.METHODS,
    **storage_compose.METHODS,
}
_ROUTES = {
    "POST b": "buckets.insert",
    "GET b": "buckets.list",
    "GET b/*": "buckets.get",
    "PATCH b/*": "buckets.patch",
    "PUT b/*": "buckets.update",
    "DELETE b/*": "buckets.delete",
    "GET b/*/storageLayout": "buckets.getStorageLayout",
    "GET b/*/managedFolders": "managedFolders.list",
    "GET b/*/iam": "buckets.getIamPolicy",
    "PUT b/*/iam": "buckets.setIamPolicy",
    "GET b/*/iam/testPermissions": "buckets.testIamPermissions",
    "GET b/*/o": "objects.list",
    "GET b/*/o/*": "objects.get",
    "PATCH b/*/o/*": "objects.patch",
    "PUT b/*/o/*": "objects.update",
    "DELETE b/*/o/*": "objects.delete",
    "POST b/*/o/*/compose": "objects.compose",
    "POST b/*/o/*/rewriteTo/b/*/o/*": "objects.rewrite",
    "POST b/*/o/*/copyTo/b/*/o/*": "objects.copy",
    "GET projects/*/serviceAccount": "projects.serviceAccount.get",
}
PREFIXES = ("/storage/v1/", "/download/storage/v1/", "/upload/storage/v1/", "/resumable/upload/storage/v1/")


def route(request: Request) -> tuple[str, tuple[str, ...]]:
    """Return the id of the API's method that REQUEST asks for, "" if there is none, and the names in its path.

    The parts of a resumable upload have ids of our own: objects.start, objects.chunk, objects.status, objects.cancel.
    """
    prefix = next(prefix for prefix in PREFIXES if request.raw_path.startswith(prefix))
    words = request.raw_path.removeprefix(prefix).split("/")
    if "upload/" in prefix:
        method = _upload(request) if len(words) == 3 and words[::2] == ["b", "o"] else ""
        return method, (unquote(words[1]),) if method else ()
    for pattern, method in _ROUTES.items():
        verb, _, path = pattern.partition(" ")
        shape = path.split("/")
        if verb == request.method and len(shape) == len(words):
            pairs = list(zip(shape, words, strict=True))
            if all(mark in ("*", word) for mark, word in pairs):
                return method, tuple(unquote(word) for mark, word in pairs if mark == "*")
    return "", ()


def _upload(request: Request) -> str:
    if "upload_id" in request.query:
        if request.method == "DELETE":
            return "objects.cancel"
        # POST is taken for PUT in the older protocol.
        if request.method not in ("PUT", "POST"):
            return ""
        return "objects.status" if storage_resumable.asks_status(request) else "objects.chunk"
    if request.method != "POST":
        return ""
    return "objects.start" if request.query.get("uploadType") == "resumable" else "objects.insert"


def serve(cloud: Cloud, request: Request) -> Response:
    """Do what REQUEST asks for. Raises ApiError."""
    method, names = route(request)
    if not method:
        raise ApiError(404, "notFound", "Not Found")
    if method not in _METHODS:
        raise ApiError(501, "notImplemented", f"The sandbox does not have {method}.")
    wanted = parse(request.query["fields"]) if request.query.get("fields") else {}
    call = Call(cloud, request, method, names)
    authorization.require_for_storage(call)
    result = _METHODS[method](call)
    if isinstance(result, Response):
        return result
    return Response(
        200, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(selected(result, wanted)).encode()
    )
