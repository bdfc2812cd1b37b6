# SPDX-License-Identifier: Apache-2.0
"""What every test gets: state and cache folders of its own, and none of the user's cloud settings."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.forks import Forks, starting

# How long the making of an example takes says more about what else the machine does than about the test.
settings.register_profile("here", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")

CLOUD_SETTINGS = ("AWS_", "LKCLOUD_", "GOOGLE_", "AZURE_", "CLOUDSDK_")


@pytest.fixture(autouse=True)
def ctrl_c() -> None:
    """Let Ctrl-C interrupt, also where the shell that started the tests, or a library in them, has seen to it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_folders(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Keep a test away from the user's journal, cache, sandbox, credentials and configuration.

    Live tests keep the credentials and the configuration: they are there to use them.
    """
    folder = tmp_path_factory.mktemp("own")
    if request.node.get_closest_marker("live"):
        monkeypatch.setenv("LKCLOUD_STATE_DIR", str(folder / "state"))
        monkeypatch.setenv("LKCLOUD_CACHE_DIR", str(folder / "cache"))
        return folder
    for variable in list(os.environ):
        if variable.startswith(CLOUD_SETTINGS):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("LKCLOUD_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("LKCLOUD_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return folder


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Return servers that start commands of lkcloud, for all tests of the process."""
    with starting() as started:
        yield started
