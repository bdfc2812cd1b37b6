# SPDX-License-Identifier: Apache-2.0
"""Google Cloud on this machine, empty for each test, and what is needed to push to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lkcloud.disk import BLOCK, Disk, open_disk
from lkcloud.provider import Run
from lkcloud.transfer.journal import Journal
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.session import Session
from tests.gcp.pushing import BUCKET, DiskMaker, noise
from tests.gcp_standin import gcp, serving_gcp

__all__ = ["gcp", "serving_gcp"]


@pytest.fixture
def run() -> Iterator[Run]:
    with Journal.open() as journal:
        yield Run(journal)


@pytest.fixture(scope="session")
def connected(serving_gcp: GcpStandIn) -> Session:
    """Return a session with its clients made: that is slow, and they serve all tests."""
    with pytest.MonkeyPatch.context() as environment:
        for variable, value in serving_gcp.environment().items():
            environment.setenv(variable, value)
        session = Session()
        _ = session.credentials, session.project, session.universe, session.storage_url, session.storage
        _ = session.images, session.instances, session.projects, session.global_operations, session.zone_operations
        _ = session.instance_templates, session.zones
    return session


@pytest.fixture
def session(gcp: GcpStandIn, connected: Session) -> Session:
    """Return a session with an empty Google Cloud."""
    return connected


@pytest.fixture
def bucket(session: Session) -> str:
    session.storage.create_bucket(BUCKET)
    return BUCKET


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[DiskMaker]:
    """Make a disk of SIZE bytes with random data in BLOCKS and PIECES (offset: bytes), the rest holes."""
    opened: list[Disk] = []

    def make(
        size: int, *, blocks: tuple[int, ...] = (), pieces: dict[int, bytes] | None = None, name: str = "disk.raw"
    ) -> Disk:
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(size)
            for block in blocks:
                file.seek(block * BLOCK)
                file.write(noise(block, min(BLOCK, size - block * BLOCK)))
            for offset, data in (pieces or {}).items():
                file.seek(offset)
                file.write(data)
        disk = open_disk(path)
        opened.append(disk)
        return disk

    yield make
    for disk in opened:
        disk.close()
