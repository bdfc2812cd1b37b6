# SPDX-License-Identifier: Apache-2.0
"""Azure on this machine, empty for each test, and what is needed to push to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lkcloud.disk import BLOCK, Disk, open_disk
from lkcloud.provider import Blob, Run
from lkcloud.transfer.journal import Journal
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session
from tests.azure.diagnosing import doctor, healthy, mender
from tests.azure.imaging import make_definition, make_gallery, put_disk, tiny_disk
from tests.azure.pushing import DiskMaker, noise
from tests.azure_standin import azure, connected, serving_azure, session

__all__ = ["azure", "connected", "doctor", "healthy", "mender", "serving_azure", "session"]


@pytest.fixture
def run() -> Iterator[Run]:
    with Journal.open() as journal:
        yield Run(journal)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with tiny_disk(tmp_path) as opened:
        yield opened


@pytest.fixture
def blob(azure: AzureStandIn, session: Session) -> Blob:
    """Return the upload of a disk, with the definition of an image in a gallery to make a version of it in."""
    make_gallery(session)
    make_definition(session)
    return put_disk(azure)


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
