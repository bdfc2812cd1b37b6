# SPDX-License-Identifier: Apache-2.0
"""Azure on this machine, for tests: started once a process, empty for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lkcloud_azure import permissions, role
from lkcloud_azure.sandbox import AzureStandIn, Windows
from lkcloud_azure.session import Session

LISTED = "LKCLOUD_TEST_LISTED_PERMISSIONS"
"""Environment variable: if it is set, the identity of the tests is allowed what lkcloud's list has, and no more."""

SHORT = Windows(operation=0, image=0, version=0, vm_start=0, vm_stop=0)
"""With no time at all an operation has ended when the answer is sent that begins it."""

if os.environ.get(LISTED):
    SHORT.allowed_actions, SHORT.allowed_data_actions = map(frozenset, role.everywhere(permissions.USES))


@pytest.fixture(scope="session")
def serving_azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureStandIn]:
    """Return the stand-in that all tests of the process use."""
    stand_in = AzureStandIn(tmp_path_factory.mktemp("azure"))
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def azure(serving_azure: AzureStandIn, monkeypatch: pytest.MonkeyPatch, own_folders: Path) -> Iterator[AzureStandIn]:
    """Return an empty Azure, which the environment leads to; what is set on it lasts for one test."""
    for variable, value in serving_azure.environment().items():
        monkeypatch.setenv(variable, value)
    for name in Windows.__slots__:  # the stand-in's parts share one object
        setattr(serving_azure.windows, name, getattr(SHORT, name))
    serving_azure.reset()
    serving_azure.traffic.clear()
    yield serving_azure
    serving_azure.traffic.hooks.clear()
    serving_azure.expire_credentials(expired=False)
    serving_azure.set_clock(0)
    serving_azure.reset()


@pytest.fixture(scope="session")
def connected(serving_azure: AzureStandIn) -> Session:
    """Return a session with its clients made: that is slow, and they serve all tests."""
    with pytest.MonkeyPatch.context() as environment:
        for variable, value in serving_azure.environment().items():
            environment.setenv(variable, value)
        session = Session(resource_manager=serving_azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"])
        _ = session.credential, session.endpoint, session.scopes, session.subscription
        _ = session.compute, session.network, session.storage, session.resources, session.authorization
    return session


@pytest.fixture
def session(azure: AzureStandIn, connected: Session) -> Session:
    """Return a session with an empty Azure."""
    return connected
