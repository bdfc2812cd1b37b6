# SPDX-License-Identifier: Apache-2.0
"""A cluster for tests: one scheduler and two workers a process of tests, whose environment leads to the stand-ins."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_gcp.sandbox import GcpStandIn
from tests.azure_standin import azure, connected, serving_azure, session
from tests.cluster.processes import Command, Grid
from tests.gcp_standin import gcp, serving_gcp
from tests.release.conftest import disk, staying, write
from tests.standin import aws, serving

Publish = Callable[..., Command]

__all__ = [
    "aws",
    "azure",
    "connected",
    "disk",
    "gcp",
    "serving",
    "serving_azure",
    "serving_gcp",
    "session",
    "staying",
    "write",
]


@pytest.fixture(scope="session")
def clouds(serving: AwsStandIn, serving_gcp: GcpStandIn, serving_azure: AzureStandIn) -> Mapping[str, str]:
    """Return the environment that leads to all stand-ins."""
    return {**serving.environment(), **serving_gcp.environment(), **serving_azure.environment()}


@pytest.fixture(scope="session")
def running_grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """Return a scheduler, for all tests of the process."""
    grid = Grid(tmp_path_factory.mktemp("grid"))
    grid.start()
    yield grid
    grid.stop()


@pytest.fixture
def grid(running_grid: Grid, clouds: Mapping[str, str], aws: AwsStandIn, gcp: GcpStandIn, azure: AzureStandIn) -> Grid:
    """Return the scheduler with two workers, and empty clouds; who was killed by an earlier test has a successor."""
    running_grid.workers = [worker for worker in running_grid.workers if worker.alive]
    while len(running_grid.workers) < 2:
        running_grid.add(clouds)
    return running_grid


@pytest.fixture
def publish(grid: Grid, azure: AzureStandIn) -> Iterator[Publish]:
    """Start `lkcloud publish FILE` with more arguments, and end what has not ended with the test."""
    # It knows no credentials, and of Azure an option.
    settings = {name: value for name, value in azure.environment().items() if name.startswith("LKCLOUD_")}
    started: list[Command] = []

    def publish(file: Path, *more: str) -> Command:
        started.append(Command(file, grid.address, *more, settings=settings))
        return started[-1]

    yield publish
    for command in started:
        command.kill()
