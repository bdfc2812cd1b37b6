# SPDX-License-Identifier: Apache-2.0
"""A folder of images, a disk with some data in it, and a run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lkcloud.disk import Disk, open_disk
from lkcloud.disk.inspect import inspect
from lkcloud.provider import Run, Source
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud.transfer.journal import Journal
from lkcloud_qemu import Local, LocalOptions
from tests.cli.conftest import lkcloud

__all__ = ["lkcloud"]

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def local(folder: Path) -> Local:
    return Local(LocalOptions(folder=folder))


@pytest.fixture
def run() -> Iterator[Run]:
    with Journal.open() as journal:
        yield Run(journal)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a disk of 64 MiB that boots, with 4 MiB of data at its end and in between."""
    made = tmp_path / "tiny.raw"
    write_tiny_disk(made, size=64 * MIB, message="local-boot-ok")
    with made.open("r+b") as file:
        for start in (20 * MIB, 40 * MIB, 62 * MIB):
            file.seek(start)
            file.write(bytes(range(1, 256)) * 4112 + b"end")
    return made


@pytest.fixture
def disk(path: Path) -> Iterator[Disk]:
    with open_disk(path) as opened:
        yield opened


@pytest.fixture
def source(disk: Disk) -> Source:
    return Source(disk=disk, name="my-os", facts=inspect(disk), digest=disk.content().digest)
