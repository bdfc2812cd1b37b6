# SPDX-License-Identifier: Apache-2.0
"""Raw disks to convert, and the programs that judge the result."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

MIB = 1024 * 1024

RawMaker = Callable[[int, Mapping[int, bytes]], Path]


@pytest.fixture(scope="session")
def qemu_img() -> str:
    """The path of qemu-img."""
    found = shutil.which("qemu-img")
    if found is None:
        pytest.skip("qemu-img is missing: apt-get install qemu-utils")
    return found


@pytest.fixture
def make_raw(tmp_path: Path) -> RawMaker:
    """Return a function that writes a sparse raw disk of a size in bytes with pieces of data at their offsets."""

    def make(size: int, pieces: Mapping[int, bytes]) -> Path:
        path = tmp_path / "disk.raw"
        with path.open("wb") as file:
            for offset, data in pieces.items():
                file.seek(offset)
                file.write(data)
            file.truncate(size)
        # A file that was written in the last moment counts as still being written.
        os.utime(path, ns=(10**18, 10**18))
        return path

    return make


@pytest.fixture
def raw(make_raw: RawMaker) -> Path:
    """64 MiB of which 16 MiB are data."""
    return make_raw(64 * MIB, {0: b"head", 8 * MIB: bytes(range(1, 257 - 1)) * (16 * MIB // 255), 64 * MIB - 1: b"x"})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder to write in."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder
