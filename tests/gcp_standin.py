# SPDX-License-Identifier: Apache-2.0
"""Google Cloud on this machine, for tests: started once a process, empty for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lkcloud.permissions import actions
from lkcloud_gcp.permissions import PERMISSIONS, USES
from lkcloud_gcp.sandbox import GcpStandIn, Windows

LISTED = "LKCLOUD_TEST_LISTED_PERMISSIONS"
"""Environment variable: if it is set, the identity of the tests is allowed what lkcloud's list has, and no more."""

OWN = ("compute.instanceTemplates.create", "storage.buckets.update")
"""What tests do themselves beside it, where no user of lkcloud has to: a template that holds an image, a retention."""

SHORT = Windows(image_import=0.05, operation=0.01, instance_start=0.02)

if os.environ.get(LISTED):
    SHORT.allowed = frozenset((*actions(PERMISSIONS, USES), *OWN))


@pytest.fixture(scope="session")
def serving_gcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcpStandIn]:
    """Return the stand-in that all tests of the process use."""
    stand_in = GcpStandIn(tmp_path_factory.mktemp("gcp"))
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def gcp(serving_gcp: GcpStandIn, monkeypatch: pytest.MonkeyPatch, own_folders: Path) -> Iterator[GcpStandIn]:
    """Return an empty Google Cloud, which the environment leads to; what is set on it lasts for one test."""
    for variable, value in serving_gcp.environment().items():
        monkeypatch.setenv(variable, value)
    for name in Windows.__slots__:  # the stand-in's parts share one object
        setattr(serving_gcp.windows, name, getattr(SHORT, name))
    serving_gcp.reset()
    serving_gcp.traffic.clear()
    yield serving_gcp
    serving_gcp.traffic.hooks.clear()
    serving_gcp.expire_credentials(expired=False)
    serving_gcp.set_clock(0)
    serving_gcp.reset()
