# SPDX-License-Identifier: Apache-2.0
"""Files of pages: what was written, what it takes, and copies of it."""

import os
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lkcloud_azure.sandbox.page_file import PAGE, PageFile, Pages

MIB = 1 << 20
GIB = 1 << 30
SPANS = st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 40))


@given(st.lists(SPANS, max_size=30), st.integers(0, 40), st.integers(0, 40))
def test_ranges_are_those_of_a_set_of_pages(changes: list[tuple[bool, int, int]], low: int, high: int) -> None:
    pages, model = Pages(), set[int]()
    for added, one, other in changes:
        start, end = sorted((one, other))
        if added:
            pages.add(start, end)
            model |= set(range(start, end))
        else:
            pages.remove(start, end)
            model -= set(range(start, end))
    start, end = sorted((low, high))
    found = pages.within(start, end)
    assert {page for begin, stop in found for page in range(begin, stop)} == model & set(range(start, end))
    # Sorted, and with a gap between any two.
    flat = [bound for span in found for bound in span]
    assert flat == sorted(set(flat))


def test_a_new_file_is_zeros_that_take_no_place(tmp_path: Path) -> None:
    pages = PageFile(tmp_path / "disk", 10 * GIB)
    assert pages.ranges() == []
    assert pages.path.stat().st_size == 10 * GIB
    assert pages.path.stat().st_blocks < 64


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    pages = PageFile(tmp_path / "disk", MIB)
    pages.write(PAGE, b"a" * PAGE)
    pages.write(2 * PAGE, b"b" * PAGE)
    pages.write(8 * PAGE, bytes(PAGE))
    assert pages.ranges() == [(PAGE, 3 * PAGE), (8 * PAGE, 9 * PAGE)]
    assert pages.ranges(2 * PAGE, 7 * PAGE) == [(2 * PAGE, 3 * PAGE), (8 * PAGE, 9 * PAGE)]
    assert b"".join(pages.stretch(0, 4 * PAGE).pieces()) == bytes(PAGE) + b"a" * PAGE + b"b" * PAGE + bytes(PAGE)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked for holes")
def test_what_is_cleared_gives_its_place_back(tmp_path: Path) -> None:
    pages = PageFile(tmp_path / "disk", 8 * MIB)
    pages.write(0, b"x" * (8 * MIB))
    full = pages.path.stat().st_blocks
    pages.clear(MIB, 6 * MIB)
    assert pages.path.stat().st_blocks * 512 <= full * 512 - 5 * MIB
    assert pages.ranges() == [(0, MIB), (7 * MIB, 8 * MIB)]
    assert pages.path.read_bytes() == b"x" * MIB + bytes(6 * MIB) + b"x" * MIB


def test_a_part_of_a_page_of_the_file_system_is_cleared(tmp_path: Path) -> None:
    pages = PageFile(tmp_path / "disk", 64 * PAGE)
    pages.write(0, b"x" * (64 * PAGE))
    pages.clear(3 * PAGE, 2 * PAGE)
    assert pages.path.read_bytes() == b"x" * (3 * PAGE) + bytes(2 * PAGE) + b"x" * (59 * PAGE)


@pytest.mark.parametrize(
    ("offset", "length"), [(1, PAGE), (0, PAGE - 1), (MIB, PAGE), (MIB - PAGE, 2 * PAGE), (-PAGE, PAGE)]
)
def test_only_whole_pages_within_the_size_are_changed(tmp_path: Path, offset: int, length: int) -> None:
    pages = PageFile(tmp_path / "disk", MIB)
    with pytest.raises(ValueError, match="are no pages within"):
        pages.write(offset, b"x" * length)
    with pytest.raises(ValueError, match="are no pages within"):
        pages.clear(offset, length)
    assert pages.ranges() == []


def test_another_size_cuts_off_and_appends_zeros(tmp_path: Path) -> None:
    pages = PageFile(tmp_path / "disk", MIB)
    pages.write(0, b"x" * MIB)
    pages.resize(PAGE)
    pages.resize(4 * PAGE)
    assert pages.ranges() == [(0, PAGE)]
    assert pages.path.read_bytes() == b"x" * PAGE + bytes(3 * PAGE)
    with pytest.raises(ValueError, match="are no pages within"):
        pages.resize(PAGE + 1)


def test_a_copy_has_the_holes_too(tmp_path: Path) -> None:
    pages = PageFile(tmp_path / "disk", GIB)
    pages.write(512 * MIB, b"x" * MIB)
    pages.write(GIB - PAGE, b"y" * PAGE)
    pages.copy_to(tmp_path / "copy")
    pages.copy_to(tmp_path / "short", GIB - PAGE)
    copy, short = tmp_path / "copy", tmp_path / "short"
    assert (copy.stat().st_size, short.stat().st_size) == (GIB, GIB - PAGE)
    assert copy.stat().st_blocks * 512 < 2 * MIB
    for file, end in ((copy, b"y"), (short, b"\0")):
        with file.open("rb") as opened:
            opened.seek(512 * MIB - 1)
            assert opened.read(MIB + 2) == b"\0" + b"x" * MIB + b"\0"
            opened.seek(-1, os.SEEK_END)
            assert opened.read() == end


def test_writers_in_several_threads_lose_nothing(tmp_path: Path) -> None:
    pages = PageFile(tmp_path / "disk", 400 * PAGE)

    def write(first: int) -> None:
        for page in range(first, 400, 4):
            pages.write(page * PAGE, bytes([page % 251 + 1]) * PAGE)

    threads = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pages.ranges() == [(0, 400 * PAGE)]
    assert pages.path.read_bytes() == b"".join(bytes([page % 251 + 1]) * PAGE for page in range(400))


def test_a_removed_file_is_written_to_no_more(tmp_path: Path) -> None:
    pages = PageFile(tmp_path / "disk", MIB)
    pages.remove()
    pages.remove()
    assert not pages.path.exists()
    for change in (lambda: pages.write(0, bytes(PAGE)), lambda: pages.clear(0, PAGE), lambda: pages.resize(PAGE)):
        with pytest.raises(FileNotFoundError):
            change()
