# SPDX-License-Identifier: Apache-2.0
"""The SDK's clients for one run, made when they are first needed.

Endpoints other than Google's are those that gcloud takes too, from CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE and
CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: Private Service Connect, a test proxy, the sandbox.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import google.auth
import google.auth.transport.requests

from lkcloud.errors import UsageError
from lkcloud.transfer.retry import retry
from lkcloud_gcp.errors import explain, judge

if TYPE_CHECKING:
    from google.cloud import compute_v1, storage

T = TypeVar("T")

SCOPE = "https://www.googleapis.com/auth/cloud-platform"

STORAGE = "https://storage.googleapis.com"

_PATIENCE = 120.0
"""Seconds for one call of the control plane."""

_TIMEOUT = 60.0
"""Seconds for one attempt at such a call."""


@dataclass(frozen=True)
class Session:
    """Clients of one project; None is that of the credentials or of GOOGLE_CLOUD_PROJECT."""

    chosen_project: str | None = None
    _refreshing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @cached_property
    def _default(self) -> tuple[Any, str | None]:
        with self.errors("looking for credentials"):
            credentials, project = google.auth.default(scopes=[SCOPE])
        return credentials, project

    @property
    def credentials(self) -> Any:
        """The application default credentials; raises NotAuthenticated if there are none."""
        return self._default[0]

    @cached_property
    def project(self) -> str:
        """The project's id; raises UsageError where none is known."""
        project = self.chosen_project or os.environ.get("GOOGLE_CLOUD_PROJECT") or self._default[1]
        if not project:
            raise UsageError("gcp: no project is known", hint="give --project, or set GOOGLE_CLOUD_PROJECT")
        return project

    def token(self) -> str:
        """Return an access token that is good for some minutes yet; for any thread."""
        with self._refreshing, self.errors("signing in"):
            if not self.credentials.valid:
                self.credentials.refresh(google.auth.transport.requests.Request())
            return str(self.credentials.token)

    @cached_property
    def storage(self) -> "storage.Client":
        """Of Cloud Storage."""
        from google.cloud import storage

        with self.errors("making a client of Cloud Storage"):
            return storage.Client(
                project=self.project, credentials=self.credentials, client_options={"api_endpoint": self.storage_url}
            )

    @cached_property
    def images(self) -> "compute_v1.ImagesClient":
        """Of Compute Engine's images."""
        from google.cloud import compute_v1

        return self._compute(compute_v1.ImagesClient)

    @cached_property
    def instances(self) -> "compute_v1.InstancesClient":
        """Of Compute Engine's instances."""
        from google.cloud import compute_v1

        return self._compute(compute_v1.InstancesClient)

    @cached_property
    def projects(self) -> "compute_v1.ProjectsClient":
        """Of Compute Engine's projects."""
        from google.cloud import compute_v1

        return self._compute(compute_v1.ProjectsClient)

    @cached_property
    def global_operations(self) -> "compute_v1.GlobalOperationsClient":
        """Of operations on images."""
        from google.cloud import compute_v1

        return self._compute(compute_v1.GlobalOperationsClient)

    @cached_property
    def zone_operations(self) -> "compute_v1.ZoneOperationsClient":
        """Of operations on instances."""
        from google.cloud import compute_v1

        return self._compute(compute_v1.ZoneOperationsClient)

    @cached_property
    def storage_url(self) -> str:
        """The origin of Cloud Storage, without a slash at its end."""
        return _origin("STORAGE") or STORAGE

    def _compute(self, client: Callable[..., T]) -> T:
        options = {"api_endpoint": endpoint} if (endpoint := _origin("COMPUTE")) else {}
        with self.errors("making a client of Compute Engine"):
            return client(credentials=self.credentials, client_options=options)

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Turn the SDK's errors into lkcloud's; DOING is what went on, such as `making the image`."""
        try:
            yield
        except Exception as error:
            if (known := explain(error, doing)) is None:
                raise
            raise known from error

    def call(self, doing: str, request: Callable[..., T]) -> T:
        """Make REQUEST(timeout=, retry=) of the control plane, again as long as Google throttles or stumbles.

        Both are for the SDK's method, which must not try again itself. Errors are lkcloud's.
        """
        with self.errors(doing):
            return self.attempt(request)

    def attempt(self, request: Callable[..., T]) -> T:
        """Make REQUEST as `call` does, with the SDK's errors for a caller that tells them apart."""
        return retry(lambda: request(timeout=_TIMEOUT, retry=None), judge=judge, attempts=6, patience=_PATIENCE)


def _origin(service: str) -> str:
    """Return scheme and host of the endpoint that the environment names for SERVICE, "" for Google's."""
    variable = f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}"
    url = os.environ.get(variable, "")
    if not url:
        return ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(f"gcp: {variable} is no URL: {url!r}", hint="set it to https://host/ or unset it")
    return f"{parts.scheme}://{parts.netloc}"
