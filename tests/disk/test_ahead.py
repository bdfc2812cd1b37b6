# SPDX-License-Identifier: Apache-2.0
"""A disk is read while other things go on, and no longer than somebody wants it."""

import threading
from pathlib import Path

import pytest

from lkcloud.disk import open_disk
from lkcloud.disk.ahead import reading
from lkcloud.errors import ImageChanged
from lkcloud.reporting import Silent

MIB = 1 << 20


class Count:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def expect(self, total: int, done: int = 0) -> None:
        self.total, self.done = total, done

    def advance(self, amount: int) -> None:
        self.done += amount

    def status(self, text: str) -> None:
        raise AssertionError(text)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LKCLOUD_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(range(256)) * 4096 * 40)
    return path


def test_the_content_is_that_of_the_disk(path: Path) -> None:
    with open_disk(path) as disk, reading(disk) as begun:
        meter = Count()
        content = begun.content(meter)
        assert content is disk.content()
    with open_disk(path) as again:
        assert content.digest == again.content().digest
    assert (meter.total, meter.done) == (40 * MIB, 40 * MIB)


def test_it_reads_before_anybody_asks(path: Path) -> None:
    with open_disk(path) as disk, reading(disk):
        for thread in threading.enumerate():
            if thread.name == "read ahead":
                thread.join(60)
        path.write_bytes(b"")  # whoever asks now would find another disk
        assert len(disk.content()) == 80


def test_who_leaves_leaves_no_thread(path: Path) -> None:
    with open_disk(path) as disk:
        with pytest.raises(RuntimeError, match="refused"), reading(disk):
            raise RuntimeError("refused")
        assert not [thread for thread in threading.enumerate() if thread.name in ("read ahead", "scan")]
        assert len(disk.content()) == 80  # and can come back


def test_what_went_wrong_is_told_to_who_asks(path: Path) -> None:
    with open_disk(path) as disk:
        path.write_bytes(bytes(MIB))
        with reading(disk) as begun, Silent().stage("read") as meter, pytest.raises(ImageChanged):
            begun.content(meter)
