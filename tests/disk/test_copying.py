# SPDX-License-Identifier: Apache-2.0
"""Copying a range of a disk to a file: by the kernel, and by reading and writing where it cannot."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lkcloud.disk import Disk, open_disk
from lkcloud.errors import ImageChanged

MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "disk.raw"
    made.write_bytes(os.urandom(3 * MIB + 512))
    return made


@pytest.fixture
def disk(path: Path) -> Iterator[Disk]:
    with open_disk(path) as opened:
        yield opened


@pytest.fixture(params=["kernel", "append"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """A file that the kernel copies to, and one to which it refuses to: copy_file_range(2), EBADF for O_APPEND."""
    flags = os.O_RDWR | os.O_CREAT
    file = os.open(tmp_path / "copy", flags | (os.O_APPEND if request.param == "append" else 0))
    yield file
    os.close(file)


def test_a_range_goes_to_the_same_place(disk: Disk, path: Path, output: int, request: pytest.FixtureRequest) -> None:
    disk.copy(0, 2 * MIB, output)
    disk.copy(2 * MIB, MIB + 512, output)
    assert os.pread(output, 4 * MIB, 0) == path.read_bytes()


def test_what_is_outside_of_the_disk_is_refused(disk: Disk, output: int) -> None:
    with pytest.raises(ValueError, match="is not inside a disk"):
        disk.copy(3 * MIB, MIB, output)
    assert os.fstat(output).st_size == 0


def test_a_disk_that_has_become_shorter_has_changed(disk: Disk, path: Path, output: int) -> None:
    os.truncate(path, MIB)
    with pytest.raises(ImageChanged, match="ends at byte"):
        disk.copy(0, 3 * MIB, output)


def test_an_output_that_takes_nothing_is_at_fault_itself(disk: Disk, path: Path) -> None:
    with path.open("rb") as unwritable, pytest.raises(OSError, match="Bad file descriptor"):
        disk.copy(0, MIB, unwritable.fileno())
    with Path("/dev/full").open("wb") as full, pytest.raises(OSError, match="No space left"):
        disk.copy(0, MIB, full.fileno())
