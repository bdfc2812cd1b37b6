# SPDX-License-Identifier: Apache-2.0
"""The SDK's clients for one run, made when they are first needed.

Endpoints other than Google's are those that gcloud takes too, from CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE and
CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: Private Service Connect, a test proxy, the sandbox.
"""

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import google.auth
import google.auth.transport.requests
from google.auth.credentials import TokenState

from lkcloud.errors import UsageError
from lkcloud.transfer.retry import retry
from lkcloud_gcp import compute_sdk
from lkcloud_gcp.errors import explain, judge

if TYPE_CHECKING:
    from google.cloud import compute_v1, storage

compute_sdk.prepare()

T = TypeVar("T")

SCOPE = "https://www.googleapis.com/auth/cloud-platform"

UNIVERSE = "googleapis.com"
"""The domain of all services but those of Google's sovereign clouds (Trusted Partner Cloud), which have their own."""

_PATIENCE = 120.0
"""Seconds for one call of the control plane."""

_TIMEOUT = 60.0
"""Seconds for one attempt at such a call."""


@dataclass(frozen=True)
class Session:
    """Clients of one project; None is that of GOOGLE_CLOUD_PROJECT or of the credentials."""

    chosen_project: str | None = None
    _refreshing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @cached_property
    def _default(self) -> tuple[Any, str | None]:
        with self.errors("looking for credentials"), warnings.catch_warnings():
            # The SDK warns of user credentials without a quota project. Compute Engine and Cloud Storage count what is
            # asked of them to the project that is asked about, so there is nothing to warn of.
            warnings.simplefilter("ignore")
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

    @cached_property
    def universe(self) -> str:
        """The domain of the services: that of the credentials, which the environment may confirm and not change."""
        with self.errors("asking for the universe of the credentials"):
            own = str(self.credentials.universe_domain or UNIVERSE)
        named = os.environ.get("GOOGLE_CLOUD_UNIVERSE_DOMAIN") or own
        if named != own:
            raise UsageError(
                f"gcp: GOOGLE_CLOUD_UNIVERSE_DOMAIN is {named} and the credentials are of {own}",
                hint="unset it, or set GOOGLE_APPLICATION_CREDENTIALS to credentials of that universe",
            )
        return own

    def token(self, *, refused: str = "") -> str:
        """Return an access token that is good for some minutes yet, and is not the REFUSED one; for any thread."""
        with self._refreshing, self.errors("signing in"):
            # `valid` ends 3 min 45 s before the token does (google.auth._helpers.REFRESH_THRESHOLD).
            if not self.credentials.valid or self.credentials.token == refused:
                self._refresh()
            return str(self.credentials.token)

    def _refresh(self) -> None:
        ask = google.auth.transport.requests.Request()
        try:
            retry(lambda: self.credentials.refresh(ask), judge=judge, attempts=4, patience=_PATIENCE / 4)
        except Exception:
            # An upload need not end because a new token cannot be had while the old one is good.
            if self.credentials.token_state is TokenState.INVALID:
                raise

    def authorization(self, *, refused: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """Return the headers that a request beside the SDK's needs, as the SDK itself would set them.

        REFUSED are those that the service did not take: then there is a new token in them.
        """
        known = (refused or {}).get("Authorization", "").removeprefix("Bearer ")
        headers = {"Authorization": f"Bearer {self.token(refused=known)}"}
        if project := getattr(self.credentials, "quota_project_id", None):
            headers["x-goog-user-project"] = str(project)
        return headers

    @property
    def ca(self) -> str | None:
        """The certificates to trust, as a file or a folder, for connections beside the SDK's; None for the system's.

        The SDK connects by `requests`, which has these two variables.
        """
        return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or None

    @cached_property
    def storage(self) -> "storage.Client":
        """Of Cloud Storage."""
        from google.cloud import storage

        options = {"api_endpoint": self.storage_url, "universe_domain": self.universe}
        with self.errors("making a client of Cloud Storage"):
            return storage.Client(project=self.project, credentials=self.credentials, client_options=options)

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
    def instance_templates(self) -> "compute_v1.InstanceTemplatesClient":
        """Of Compute Engine's instance templates."""
        from google.cloud import compute_v1

        return self._compute(compute_v1.InstanceTemplatesClient)

    @cached_property
    def projects(self) -> "compute_v1.ProjectsClient":
        """Of Compute Engine's projects."""
        from google.cloud import compute_v1

        return self._compute(compute_v1.ProjectsClient)

    @cached_property
    def zones(self) -> "compute_v1.ZonesClient":
        """Of Compute Engine's zones."""
        from google.cloud import compute_v1

        return self._compute(compute_v1.ZonesClient)

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
        return _origin("STORAGE") or f"https://storage.{self.universe}"

    @property
    def resource_manager_url(self) -> str | None:
        """The origin of Resource Manager; None where Compute Engine has an address of its own and this has not."""
        own = _origin("CLOUDRESOURCEMANAGER")
        return own or (None if _origin("COMPUTE") else f"https://cloudresourcemanager.{self.universe}")

    def _compute(self, client: Callable[..., T]) -> T:
        options = {"universe_domain": self.universe}
        if endpoint := _origin("COMPUTE"):
            options["api_endpoint"] = endpoint
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
            if known is error:
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
