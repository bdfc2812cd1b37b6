# SPDX-License-Identifier: Apache-2.0
"""What Azure says before anything is made: who we are, the subscription and its providers, permissions, the gallery."""

from collections.abc import Iterator

from lkcloud.provider import Finding, Source
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.session import Session


def check(session: Session, options: AzureOptions, source: Source) -> Iterator[Finding]:
    """Yield what Azure knows to stand in the way.

    Raises NotAuthenticated without valid credentials, UsageError where several subscriptions could be meant.
    """
    del options, source
    shown = session.call(
        f"looking at the subscription {session.subscription}",
        lambda: session.resources.providers.get("Microsoft.Compute"),
    )
    if shown.registration_state != "Registered":
        yield Finding(
            "the subscription has not registered Microsoft.Compute",
            f"az provider register --namespace Microsoft.Compute --subscription {session.subscription}",
        )
