# SPDX-License-Identifier: Apache-2.0
"""What runs have left on this machine."""

import fcntl
import os
import time
from pathlib import Path

import pytest

from lkcloud.errors import Conflict
from lkcloud.life.local import ASIDE, CACHED, TRANSFER, ThisMachine
from lkcloud.paths import cache_dir, state_dir
from lkcloud.transfer.journal import Journal


@pytest.fixture
def folders(own_folders: Path) -> Path:
    return own_folders


def cached(name: str, *, days: float, folder: str = "unpacked") -> Path:
    """Put an image into the cache that was used DAYS ago."""
    entry = cache_dir() / folder / name
    entry.mkdir(parents=True)
    (entry / "disk.raw").write_bytes(b"disk")
    then = time.time() - days * 86400
    os.utime(entry, (then, then))
    return entry


@pytest.mark.usefixtures("folders")
def test_nothing_is_nothing() -> None:
    assert list(ThisMachine().leftovers("")) == []


@pytest.mark.usefixtures("folders")
def test_all_that_is_there_has_a_date_and_goes() -> None:
    old, new = cached("old", days=9), cached("new", days=1)
    dead, fetched = cached(".new-dead", days=5), cached("object", days=2, folder="fetched")
    aside = state_dir() / "journal.db.20261102T030405.old"
    aside.write_bytes(b"damaged")
    with Journal.open() as journal, journal.transfer("aws ebs one") as transfer:
        transfer.begin("snap-1")
    machine = ThisMachine()
    found = list(machine.leftovers(""))
    assert [(one.id, one.kind) for one in found] == [
        (str(old), CACHED),
        (str(dead), CACHED),
        (str(new), CACHED),
        (str(fetched), CACHED),
        (str(aside), ASIDE),
        ("aws ebs one", TRANSFER),
    ]
    ages = [one.created and (time.time() - one.created.timestamp()) / 86400 for one in found]
    assert [round(age or 0) for age in ages] == [9, 5, 1, 2, 0, 0]
    for one in [*found, *found]:
        machine.delete(one)
    assert list(machine.leftovers("")) == []


@pytest.mark.usefixtures("folders")
def test_what_is_in_use_stays() -> None:
    entry = cached("used", days=9)
    machine = ThisMachine()
    [blob] = machine.leftovers("")
    with (entry / "disk.raw").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        machine.delete(blob)
        assert entry.exists()
    machine.delete(blob)
    assert not entry.exists()
    with Journal.open() as journal, journal.transfer("aws ebs one") as transfer:
        transfer.begin("snap-1")
        [blob] = machine.leftovers("")
        with pytest.raises(Conflict):
            machine.delete(blob)
