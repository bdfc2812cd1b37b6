# SPDX-License-Identifier: Apache-2.0
"""The plan covers all data and nothing twice, whatever the disk; and the arithmetic of ranges is that of sets."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lkcloud.disk import Extent
from lkcloud.errors import UnusableImage
from lkcloud.transfer.engine import Part
from lkcloud_azure.pages import GAP, MOST, PAGE, Plan, cut, merged, without

MIB = 1 << 20
BLOCK = 4096
"""Bytes to which a disk knows where its data is."""


@dataclass(frozen=True)
class Drawn:
    """A disk of SIZE bytes that are 1 in EXTENTS and 0 elsewhere."""

    size: int
    where: tuple[Extent, ...]

    def extents(self) -> Sequence[Extent]:
        return self.where

    def read(self, offset: int, length: int) -> bytes:
        data = bytearray(length)
        self.readinto(offset, data)
        return bytes(data)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        view = memoryview(buffer)
        view[:] = bytes(len(view))
        for extent in self.where:
            first, last = max(extent.offset, offset), min(extent.end, offset + len(view))
            if first < last:
                view[first - offset : last - offset] = b"\1" * (last - first)


lengths = st.integers(1, 3) | st.integers(1, 2 * MOST // BLOCK)
gaps = st.sampled_from((1, GAP // BLOCK - 1, GAP // BLOCK, GAP // BLOCK + 1, MOST // BLOCK)) | st.integers(1, 2000)


@st.composite
def disks(draw: st.DrawFn) -> Drawn:
    """Draw a disk with data in blocks; its last block may be cut anywhere."""
    position, found = draw(st.integers(0, 40)), list[Extent]()
    for length, gap in draw(st.lists(st.tuples(lengths, gaps), max_size=12)):
        found.append(Extent(position * BLOCK, length * BLOCK))
        position += length + gap
    end = found[-1].end if found else 1
    size = draw(st.integers(max(end - BLOCK + 1, 1), end) | st.integers(end, end + 3 * MIB))
    if found and found[-1].end > size:
        found[-1] = Extent(found[-1].offset, size - found[-1].offset)
    return Drawn(size, tuple(found))


@given(disks())
def test_parts_are_whole_pages_in_order_and_none_is_too_long(disk: Drawn) -> None:
    plan = Plan(disk)
    parts = list(plan.parts())
    assert [part.number for part in parts] == list(range(len(parts)))
    assert all(part.offset % PAGE == 0 and part.length % PAGE == 0 for part in parts)
    assert all(0 < part.length <= MOST for part in parts)
    assert all(one.offset + one.length <= other.offset for one, other in pairwise(parts))
    assert plan.total == sum(part.length for part in parts)
    assert all(part.offset + part.length <= plan.footer.offset for part in parts)
    assert list(Plan(disk).parts()) == parts


@given(disks())
def test_parts_hold_all_data_and_begin_and_end_with_some(disk: Drawn) -> None:
    plan = Plan(disk)
    assert list(without(disk.where, plan.written())) == []
    for part in plan.parts():
        for edge in (part.offset, part.offset + part.length - PAGE):
            assert plan.holds_data(Extent(edge, PAGE))


@given(disks())
def test_gaps_are_left_out_from_a_length_on_and_sent_below_it(disk: Drawn) -> None:
    plan = Plan(disk)
    parts = list(plan.parts())
    data = merged(plan.body.data_ranges(PAGE))
    for one, other in pairwise(data):
        gap = Extent(one.end, other.offset - one.end)
        sent = gap.length - sum(extent.length for extent in without((gap,), plan.written()))
        assert sent in (0, gap.length)
        if gap.length >= GAP:
            assert sent == 0
        elif sent == 0:
            # A request ends there, since it could not have reached the other side.
            ending = next(part for part in parts if part.offset + part.length == gap.offset)
            assert gap.end >= ending.offset + MOST
    for one, other in pairwise(parts):
        if one.offset + one.length == other.offset:
            assert one.length == MOST


@given(disks())
def test_never_more_is_sent_than_by_whole_chunks_of_4_mib(disk: Drawn) -> None:
    chunks = {chunk for extent in disk.where for chunk in range(extent.offset // MOST, (extent.end - 1) // MOST + 1)}
    assert Plan(disk).total <= MOST * len(chunks)


@pytest.mark.parametrize(
    ("size", "least", "padded"),
    [
        (1, 0, MIB),
        (MIB, 0, MIB),
        (MIB + 1, 0, 2 * MIB),
        (3 * MIB - 1, 20 * MIB, 20 * MIB),
        (21 * MIB, 20 * MIB, 21 * MIB),
    ],
)
def test_the_footer_is_behind_whole_mib(size: int, least: int, padded: int) -> None:
    plan = Plan(Drawn(size, (Extent(0, min(size, BLOCK)),)), least)
    assert plan.footer == Extent(padded, 512)
    assert plan.size == padded + 512
    assert plan.layout.read(padded, 8) == b"conectix"
    assert [part[1:] for part in plan.parts()] == [(0, -(-min(size, BLOCK) // PAGE) * PAGE)]


def test_a_disk_of_zeros_has_no_parts() -> None:
    assert list(Plan(Drawn(MIB, ())).parts()) == []
    with pytest.raises(UnusableImage):
        _ = Plan(Drawn(0, ())).layout


def test_a_long_run_is_cut() -> None:
    plan = Plan(Drawn(10 * MIB, (Extent(MIB, 9 * MIB),)))
    assert list(plan.parts()) == [Part(0, MIB, MOST), Part(1, 5 * MIB, MOST), Part(2, 9 * MIB, MIB)]
    assert list(cut(Extent(MIB, 9 * MIB))) == [Extent(MIB, MOST), Extent(5 * MIB, MOST), Extent(9 * MIB, MIB)]


@st.composite
def ranges(draw: st.DrawFn) -> list[Extent]:
    """Draw sorted ranges that may touch and do not overlap."""
    bounds = sorted(draw(st.lists(st.integers(0, 60), max_size=16)))
    return [Extent(start, end - start) for start, end in zip(bounds[::2], bounds[1::2], strict=False) if start < end]


def numbers(extents: Iterable[Extent]) -> set[int]:
    return {number for extent in extents for number in range(extent.offset, extent.end)}


@given(ranges(), ranges())
def test_ranges_without_others_are_their_difference(some: list[Extent], others: list[Extent]) -> None:
    left = list(without(some, others))
    assert numbers(left) == numbers(some) - numbers(others)
    assert all(one.end <= other.offset for one, other in pairwise(left))
    assert all(extent.length for extent in left)


@given(st.lists(ranges(), max_size=3))
def test_merged_ranges_are_their_union_and_do_not_touch(several: list[list[Extent]]) -> None:
    together = sorted(extent for extents in several for extent in extents)
    found = merged(together)
    assert numbers(found) == numbers(together)
    assert all(one.end < other.offset for one, other in pairwise(found))


@given(disks(), st.integers(0, 30))
def test_only_what_is_not_zero_is_data(disk: Drawn, start: int) -> None:
    plan = Plan(disk)
    extent = Extent(start * BLOCK, 20 * BLOCK)  # the smallest VHD has 256 blocks
    position = bisect_left([one.end for one in disk.where], extent.offset + 1)
    expected = position < len(disk.where) and disk.where[position].offset < extent.end
    assert plan.holds_data(extent) == expected
