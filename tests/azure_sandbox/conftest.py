# SPDX-License-Identifier: Apache-2.0
"""An empty Azure for each test, the SDK's clients, and requests of no client at all."""

import pytest

from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session
from tests.azure_sandbox.arm import GROUP, PLACE, Arm
from tests.azure_standin import azure, connected, serving_azure, session

__all__ = ["azure", "connected", "serving_azure", "session"]


@pytest.fixture
def arm(azure: AzureStandIn, session: Session) -> Arm:
    """Return clients of an Azure in which there is one more resource group."""
    session.resources.resource_groups.create_or_update(GROUP, {"location": PLACE})
    azure.traffic.clear()
    return Arm(azure, session)


@pytest.fixture
def filled(arm: Arm) -> Arm:
    """Return clients of an Azure with a gallery, an image definition and a page blob."""
    arm.gallery()
    arm.definition()
    arm.blob()
    return arm
