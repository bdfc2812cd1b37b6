# SPDX-License-Identifier: Apache-2.0
"""The SDK's clients for one run, made when they are first needed."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from azure.core import AzureClouds
from azure.mgmt.core.tools import get_arm_endpoints

from lkcloud.errors import NotAuthenticated, UsageError
from lkcloud.transfer.retry import retry
from lkcloud_azure.errors import explain, judge, retry_after
from lkcloud_azure.plain import is_url, one_line

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import RequestsTransport
    from azure.mgmt.authorization import AuthorizationManagementClient
    from azure.mgmt.compute import ComputeManagementClient
    from azure.mgmt.network import NetworkManagementClient
    from azure.mgmt.resource.resources import ResourceManagementClient
    from azure.mgmt.storage import StorageManagementClient

T = TypeVar("T")

# What the SDK raises it warns of as well, and without a handler Python would write that to stderr.
logging.getLogger("azure").addHandler(logging.NullHandler())

CLOUDS = {
    "AzureCloud": AzureClouds.AZURE_PUBLIC_CLOUD,
    "AzureUSGovernment": AzureClouds.AZURE_US_GOVERNMENT,
    "AzureChinaCloud": AzureClouds.AZURE_CHINA_CLOUD,
}
"""The Azure CLI's names of the clouds (`az cloud list`), and the SDK's."""

SUBSCRIPTIONS = "2022-12-01"
"""The api-version of subscriptions, of which the SDK has no client that we use."""

_PATIENCE = 120.0
"""Seconds for one call of the control plane."""

_TIMEOUT = 60
"""Seconds for connecting, and between two reads, in one attempt at such a call."""


@dataclass(frozen=True)
class Session:
    """Clients of one subscription; None is that of AZURE_SUBSCRIPTION_ID, or the only one that the identity sees.

    RESOURCE_MANAGER is the URL of an Azure Resource Manager that is not that of CLOUD_ENVIRONMENT.
    """

    cloud_environment: str = "AzureCloud"
    resource_manager: str | None = None
    chosen_subscription: str | None = None

    @cached_property
    def credential(self) -> "TokenCredential":
        """What DefaultAzureCredential finds; whether it can sign in shows at the first call."""
        from azure.identity import AzureAuthorityHosts, DefaultAzureCredential

        hosts = {
            "AzureCloud": AzureAuthorityHosts.AZURE_PUBLIC_CLOUD,
            "AzureUSGovernment": AzureAuthorityHosts.AZURE_GOVERNMENT,
            "AzureChinaCloud": AzureAuthorityHosts.AZURE_CHINA,
        }
        try:
            with self.errors("looking for credentials"):
                # A Resource Manager of one's own has an authority of its own, which Microsoft's list does not have.
                return DefaultAzureCredential(
                    authority=os.environ.get("AZURE_AUTHORITY_HOST") or hosts[self.cloud_environment],
                    disable_instance_discovery=self.resource_manager is not None,
                    transport=self.transport,
                )
        except ValueError as error:  # a variable of the environment that holds nothing of its kind
            raise NotAuthenticated(
                f"azure: {one_line(str(error))}", hint="look at the variables that begin with AZURE_"
            ) from error

    @cached_property
    def transport(self) -> "RequestsTransport":
        """What all clients connect by, so that they share their connections."""
        from lkcloud_azure.transport import transport

        return transport(timeout=_TIMEOUT)

    @cached_property
    def endpoint(self) -> str:
        """The URL of Azure Resource Manager, without a slash at its end."""
        url = self.resource_manager or get_arm_endpoints(CLOUDS[self.cloud_environment])["resource_manager"]
        if not is_url(url, "https"):
            raise UsageError(f"azure: --resource-manager is no https URL: {url!r}", hint="give one like https://host")
        return url.rstrip("/")

    @cached_property
    def scopes(self) -> list[str]:
        """What a token for Azure Resource Manager is asked for with."""
        return list(get_arm_endpoints(CLOUDS[self.cloud_environment])["credential_scopes"])

    @cached_property
    def subscription(self) -> str:
        """The subscription's id. Raises UsageError where none or several could be meant."""
        chosen = self.chosen_subscription or os.environ.get("AZURE_SUBSCRIPTION_ID")
        return chosen or self._only_subscription()

    @property
    def ca(self) -> str | None:
        """The certificates to trust, as a file or a folder, for connections beside the SDK's; None for the system's.

        The SDK connects by `requests`, which has these two variables.
        """
        return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or None

    @cached_property
    def compute(self) -> "ComputeManagementClient":
        """Of Microsoft.Compute."""
        from azure.mgmt.compute import ComputeManagementClient

        return self._client(ComputeManagementClient)

    @cached_property
    def network(self) -> "NetworkManagementClient":
        """Of Microsoft.Network."""
        from azure.mgmt.network import NetworkManagementClient

        return self._client(NetworkManagementClient)

    @cached_property
    def storage(self) -> "StorageManagementClient":
        """Of Microsoft.Storage: accounts, not their blobs."""
        from azure.mgmt.storage import StorageManagementClient

        return self._client(StorageManagementClient)

    @cached_property
    def resources(self) -> "ResourceManagementClient":
        """Of resource groups and resource providers."""
        from azure.mgmt.resource.resources import ResourceManagementClient

        return self._client(ResourceManagementClient)

    @cached_property
    def authorization(self) -> "AuthorizationManagementClient":
        """Of role assignments."""
        from azure.mgmt.authorization import AuthorizationManagementClient

        return self._client(AuthorizationManagementClient)

    def _client(self, client: Callable[..., T]) -> T:
        with self.errors("making a client of Azure"):
            return client(
                self.credential,
                self.subscription,
                base_url=self.endpoint,
                credential_scopes=self.scopes,
                retry_total=0,  # trying again is `retry`'s
                transport=self.transport,
                user_agent="lkcloud",
            )

    def _only_subscription(self) -> str:
        from azure.core import PipelineClient
        from azure.core.pipeline.policies import UserAgentPolicy
        from azure.core.rest import HttpRequest
        from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

        # The SDK's client of subscriptions is a package of its own, for this one call.
        policies = [UserAgentPolicy("lkcloud"), ARMChallengeAuthenticationPolicy(self.credential, *self.scopes)]
        url = f"{self.endpoint}/subscriptions"
        shown: list[Mapping[str, Any]] = []
        with PipelineClient[Any, Any](self.endpoint, policies=policies, transport=self.transport) as client:

            def ask() -> Any:
                request = HttpRequest("GET", url, params={} if "?" in url else {"api-version": SUBSCRIPTIONS})
                answer = client.send_request(request)
                answer.raise_for_status()
                return answer.json()

            while url:
                page = self.call("looking for the subscription", ask)
                shown += page.get("value", [])
                url = page.get("nextLink") or ""
        found = [one["subscriptionId"] for one in shown if one.get("state", "Enabled") == "Enabled"]
        if len(found) != 1:
            what = f"{len(found)} subscriptions could be meant" if found else "this identity sees no subscription"
            raise UsageError(f"azure: {what}", hint="give --subscription, or set AZURE_SUBSCRIPTION_ID")
        return str(found[0])

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Turn the SDK's errors into lkcloud's; DOING is what went on, such as `making the disk`."""
        try:
            yield
        except Exception as error:
            if (known := explain(error, doing)) is None:
                raise
            if known is error:
                raise
            raise known from error

    def call(self, doing: str, request: Callable[[], T]) -> T:
        """Make REQUEST of the control plane, again as long as Azure throttles or stumbles. Errors are lkcloud's."""
        with self.errors(doing):
            return self.attempt(request)

    def attempt(self, request: Callable[[], T]) -> T:
        """Make REQUEST as `call` does, with the SDK's errors for a caller that tells them apart."""
        return retry(request, judge=judge, attempts=6, patience=_PATIENCE, least=retry_after)
