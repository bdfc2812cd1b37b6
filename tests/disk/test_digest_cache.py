# SPDX-License-Identifier: Apache-2.0
"""What is remembered of a disk: used when the file is the same, and never when it may not be."""

import os
import re
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from lkcloud.disk import Content, digest_cache, open_disk
from lkcloud.disk.extent import Extents
from lkcloud.disk.identity import COARSE_TICK_NS, FINE_TICK_NS, Identity

MIB = 1024 * 1024
MakeImage = Callable[..., Path]


@pytest.fixture
def image(make_image: MakeImage) -> Path:
    return make_image("image.raw", 64 * MIB, {0: b"start" * MIB, 40 * MIB: b"middle"}, settled=True)


def bytes_read_by_this_process() -> int:
    found = re.search(r"rchar: (\d+)", Path("/proc/self/io").read_text())
    assert found
    return int(found.group(1))


def digest_and_cost(image: Path) -> tuple[str, int]:
    """Return the content digest, and how many bytes were read for it."""
    before = bytes_read_by_this_process()
    with open_disk(image) as disk:
        digest = disk.content().digest
    return digest, bytes_read_by_this_process() - before


def test_an_unchanged_file_is_not_read_again(image: Path) -> None:
    digest, cost = digest_and_cost(image)
    again, cost_again = digest_and_cost(image)
    assert again == digest
    assert cost > 5 * MIB
    assert cost_again < 64 * 1024


def test_the_extents_are_remembered_too(image: Path) -> None:
    with open_disk(image) as disk:
        disk.content()
        extents = list(disk.extents())
    before = bytes_read_by_this_process()
    with open_disk(image) as disk:
        assert list(disk.extents()) == extents
    assert bytes_read_by_this_process() - before < 64 * 1024


def test_a_written_file_is_read_again_even_with_its_old_time(image: Path) -> None:
    digest, _ = digest_and_cost(image)
    before = image.stat()
    with image.open("r+b") as file:
        file.write(b"S")
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert image.stat().st_mtime_ns == before.st_mtime_ns
    assert image.stat().st_size == before.st_size
    other, _ = digest_and_cost(image)
    assert other != digest


def test_a_file_written_just_now_is_not_remembered(make_image: MakeImage, cache: Path) -> None:
    image = make_image("fresh.raw", 10, {0: b"fresh"})
    with open_disk(image) as disk:
        disk.content()
    assert not list(cache.glob("digests/*"))


@pytest.mark.parametrize(
    ("mtime_ns", "ctime_ns", "settled"),
    [
        (0, 10**18 - FINE_TICK_NS - 1, True),
        (0, 10**18 - FINE_TICK_NS + 1, False),
        (10**18 + 1, 10**18 - 10**9 + 1, False),
        (0, 10**18 - COARSE_TICK_NS, True),
        (0, 10**18 - 10**9, False),
        (0, 0, False),
    ],
    ids=["old enough", "too young", "time in the future", "whole seconds", "whole seconds, too young", "no times"],
)
def test_settled_means_that_every_later_write_shows(mtime_ns: int, ctime_ns: int, settled: bool) -> None:
    assert Identity(1, 2, 3, mtime_ns, ctime_ns).settled(10**18) is settled


@pytest.mark.parametrize("position", [0, 30, 70, 90, 200, -40, -1])
def test_a_broken_entry_is_ignored_and_written_again(image: Path, cache: Path, position: int) -> None:
    digest, _ = digest_and_cost(image)
    (entry,) = cache.glob("digests/*")
    whole = entry.read_bytes()
    broken = bytearray(whole)
    broken[position] ^= 0x10
    entry.write_bytes(broken)
    assert digest_and_cost(image)[0] == digest
    assert entry.read_bytes() == whole


@pytest.mark.parametrize("length", [0, 1, 31, 32, 100])
def test_an_entry_cut_short_is_ignored(image: Path, cache: Path, length: int) -> None:
    digest, _ = digest_and_cost(image)
    (entry,) = cache.glob("digests/*")
    os.truncate(entry, length)
    assert digest_and_cost(image)[0] == digest


def test_the_entry_of_another_file_is_ignored(image: Path, make_image: MakeImage, cache: Path) -> None:
    other = make_image("other.raw", 64 * MIB, {0: b"other"}, settled=True)
    digest, _ = digest_and_cost(image)
    (entry,) = cache.glob("digests/*")
    other_digest, _ = digest_and_cost(other)
    (other_entry,) = set(cache.glob("digests/*")) - {entry}
    entry.write_bytes(other_entry.read_bytes())
    assert digest_and_cost(image)[0] == digest != other_digest


def test_a_cache_folder_that_cannot_be_used_is_no_trouble(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, _ = digest_and_cost(image)
    file = tmp_path / "a-file"
    file.touch()
    monkeypatch.setenv("LKCLOUD_CACHE_DIR", str(file / "below"))
    assert digest_and_cost(image)[0] == digest


def test_the_entries_used_last_are_kept(cache: Path) -> None:
    content = Content(10, array("Q"), b"")
    first, second = Identity(1, 0, 10, 5, 5), Identity(1, 1, 10, 5, 5)
    digest_cache.store(first, Extents(array("Q")), content)
    digest_cache.store(second, Extents(array("Q")), content)
    for number in range(2, digest_cache.ENTRIES):
        digest_cache.store(Identity(1, number, 10, 5, 5), Extents(array("Q")), content)
    time.sleep(0.02)
    assert digest_cache.load(first)
    digest_cache.store(Identity(2, 0, 10, 5, 5), Extents(array("Q")), content)
    assert len(list(cache.glob("digests/*"))) == digest_cache.ENTRIES
    assert digest_cache.load(first)
    assert not digest_cache.load(second)


def test_tables_come_back_as_they_were_stored() -> None:
    identity = Identity(2**63, 2**64 - 1, 2**42, -1, 2**62)
    extents = Extents(array("Q", [0, 4096, 2**41, 2**42]))
    content = Content(2**42, array("Q", [0, 2**22, 2**23 - 1]), bytes(range(96)))
    digest_cache.store(identity, extents, content)
    found = digest_cache.load(identity)
    assert found
    assert list(found[0]) == list(extents)
    assert found[1] == content
    assert found[1].digest == content.digest
    assert digest_cache.load(identity._replace(ctime_ns=1)) is None
