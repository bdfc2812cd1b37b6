# SPDX-License-Identifier: Apache-2.0
"""A subscription that is ready for all of it, a doctor who looks at it, and somebody who does what he says."""

from collections.abc import Callable
from typing import Any

import pytest

from lkcloud.diagnosis import Diagnosis, Purpose
from lkcloud_azure import Azure
from lkcloud_azure.permissions import PERMISSIONS
from lkcloud_azure.role import parted
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session
from tests.azure.imaging import make_definition, make_gallery
from tests.azure.pushing import options_of, others
from tests.doctor.az import Mender


def allow(azure: AzureStandIn, actions: list[str]) -> None:
    allowed, data = parted(actions)
    azure.windows.allowed_actions, azure.windows.allowed_data_actions = frozenset(allowed), frozenset(data)


Doctor = Callable[..., list[Diagnosis]]


@pytest.fixture
def doctor(session: Session) -> Doctor:
    """Look at the subscription with the session that there is."""

    def look(*purposes: Purpose, **options: Any) -> list[Diagnosis]:
        provider = Azure(options_of(**options))
        provider.__dict__["_session"] = session
        return list(provider.diagnose(purposes))

    return look


@pytest.fixture
def healthy(azure: AzureStandIn, session: Session) -> AzureStandIn:
    """Return a subscription that is ready for all of it, and an identity that may do what the list has."""
    with others(azure):
        make_gallery(session, community=True)
        make_definition(session)
    allow(azure, [one.action for one in PERMISSIONS])
    return azure


@pytest.fixture
def mender(healthy: AzureStandIn, session: Session) -> Mender:
    return Mender(healthy, session)
