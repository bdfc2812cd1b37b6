# SPDX-License-Identifier: Apache-2.0
"""The way of a request: who sent it, the seams, then Cloud Storage or Compute Engine."""

import secrets
import traceback
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qsl

from lkcloud.sandbox.http import DropConnection, Request, Response
from lkcloud.sandbox.traffic import Traffic
from lkcloud_gcp.sandbox import authorization, resource_manager, storage, storage_batch, storage_multipart, storage_xml
from lkcloud_gcp.sandbox.access import Keys
from lkcloud_gcp.sandbox.cloud import Cloud
from lkcloud_gcp.sandbox.errors import ApiError

_COMPUTE = "/compute/v1/"


class Dispatcher:
    """Answers requests out of CLOUD for the holder of KEYS."""

    def __init__(self, cloud: Cloud, traffic: Traffic, keys: Keys) -> None:
        self._cloud = cloud
        self._traffic = traffic
        self._keys = keys

    def __call__(self, request: Request) -> Response:
        """Return the answer to REQUEST."""
        service, name, answer = self._find(request)
        with self._traffic.request(service, name, request.method, request.path, "") as seen:
            response = self._traffic.before(seen) or self._answer(request, service, answer)
            for _ in request.body.pieces():
                pass
            return self._traffic.after(seen, response, request.body.received)

    def _find(self, request: Request) -> tuple[str, str, Callable[[Request], Response]]:
        path = request.raw_path
        if path == "/token":
            return "oauth2", "token", self._token
        if path.startswith(_COMPUTE):
            # Its models take a second to import, which a cloud that only stores is not charged with.
            from lkcloud_gcp.sandbox import compute

            return "compute", compute.operation(request), self._compute
        if path.startswith(storage.PREFIXES):
            return "storage", storage.route(request)[0] or f"{request.method} {path}", self._storage
        if name := resource_manager.operation(request):
            return "cloudresourcemanager", name, self._resource_manager
        if path == storage_batch.PATH:
            return "storage", "batch", self._batch
        name = storage_multipart.operation(request) or storage_xml.operation(request)
        return "xml", name or f"{request.method} {path}", self._xml

    def _answer(self, request: Request, service: str, answer: Callable[[Request], Response]) -> Response:
        try:
            response = answer(request)
        except ApiError as error:
            response = _render(service, error)
        except DropConnection:
            raise
        except Exception as error:
            traceback.print_exc()
            message = f"The sandbox failed: {type(error).__name__}: {error}"
            response = _render(service, ApiError(500, "backendError", message, "InternalError"))
        return replace(response, headers={"X-GUploader-UploadID": secrets.token_hex(16), **response.headers})

    def _token(self, request: Request) -> Response:
        return self._keys.grant(dict(parse_qsl(request.body.all().decode("latin-1"))))

    def _compute(self, request: Request) -> Response:
        from lkcloud_gcp.sandbox import compute

        self._keys.check(request)
        authorization.require_enabled(self._cloud, "compute.googleapis.com")
        return compute.serve(self._cloud, request, request.body.all())

    def _resource_manager(self, request: Request) -> Response:
        self._keys.check(request)
        authorization.require_enabled(self._cloud, "cloudresourcemanager.googleapis.com")
        return resource_manager.serve(self._cloud, request)

    def _storage(self, request: Request) -> Response:
        self._check_length(request)
        # The URL of a resumable upload is a right in itself; what must be signed is the request that starts it.
        # https://docs.cloud.google.com/storage/docs/resumable-uploads#session-uris
        if "upload_id" not in request.query:
            self._keys.check(request)
            authorization.require_enabled(self._cloud, "storage.googleapis.com")
        return storage.serve(self._cloud, request)

    def _batch(self, request: Request) -> Response:
        self._keys.check(request)
        # Each request within is one of its own in the log, and for the hooks.
        return storage_batch.serve(request, self)

    def _xml(self, request: Request) -> Response:
        self._keys.check(request)
        if storage_multipart.operation(request):
            return storage_multipart.serve(self._cloud, request)
        return storage_xml.serve(self._cloud, request)

    def _check_length(self, request: Request) -> None:
        framed = "Content-Length" in request.headers or "Transfer-Encoding" in request.headers
        if request.method in ("POST", "PUT") and not framed:
            message = "POST requests require a Content-length header."
            raise ApiError(411, "lengthRequired", message, "MissingContentLength")


def _render(service: str, error: ApiError) -> Response:
    if error.status == 304:
        return Response(304)
    return error.xml() if service == "xml" else error.json()
