# SPDX-License-Identifier: Apache-2.0
"""Layouts over disks of every size and map: what they read is what naive composition gives."""

import struct
import tracemalloc
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkcloud.disk.extent import Extent
from lkcloud.errors import UnusableImage
from lkcloud.formats import raw, vhd, vhd_dynamic
from lkcloud.formats.layout import DiskRange, Layout, Literal, Readable

MIB = 1024 * 1024
TIB = 1024**4
PAGE = 4096
IDENTIFIER = UUID(int=7)

# Other work on the machine can make any example slow.
unhurried = settings(deadline=None)


@dataclass(frozen=True)
class SparseDisk:
    """A disk of any size in no memory: inside its extents, each byte follows from where it is and is not zero."""

    size: int
    data: tuple[Extent, ...]

    def extents(self) -> tuple[Extent, ...]:
        return self.data

    def read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= self.size
        content = bytearray(length)
        index = max(bisect_right(self.data, offset, key=lambda extent: extent.offset) - 1, 0)
        for extent in self.data[index:]:
            first, last = max(extent.offset, offset), min(extent.end, offset + length)
            if first >= offset + length:
                break
            if first < last:
                content[first - offset : last - offset] = pattern(first, last - first)
        return bytes(content)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        memoryview(buffer)[:] = self.read(offset, len(buffer))


def pattern(offset: int, length: int) -> bytes:
    cycle = bytes(range(1, 252))
    start = offset % len(cycle)
    return (cycle * (length // len(cycle) + 2))[start : start + length]


@st.composite
def disks(draw: st.DrawFn, limit: int = 3 * TIB) -> SparseDisk:
    edges = [0, 1, 511, 512, 513, PAGE, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 1, 2040 * 1024**3, 3 * TIB]
    size = draw(st.one_of(st.integers(0, 8 * MIB), st.integers(0, limit), st.sampled_from(edges)))
    size = min(size, limit)
    cuts = st.integers(0, -(-size // PAGE)) if draw(st.booleans()) else st.integers(0, min(-(-size // PAGE), 2048))
    pages = sorted(draw(st.sets(cuts, max_size=16)))
    # No extent is longer than 9 MiB, so that the whole data of a disk can be read in a test.
    data = []
    for first, last in zip(pages[::2], pages[1::2], strict=False):
        start, end = first * PAGE, min(last * PAGE, size, first * PAGE + 9 * MIB)
        if start < end:
            data.append(Extent(start, end - start))
    return SparseDisk(size, tuple(data))


def unless_too_large(make: Callable[[Readable], Layout], disk: SparseDisk) -> Layout | None:
    """Return the layout, or None where it was refused as it has to be."""
    refused = disk.size == 0 or disk.size > 2040 * 1024**3
    if not refused:
        return make(disk)
    with pytest.raises(UnusableImage) as caught:
        make(disk)
    assert caught.value.hint
    return None


def fixed(disk: Readable) -> Layout:
    return vhd.fixed(disk, timestamp=0, identifier=IDENTIFIER)


def dynamic(disk: Readable) -> Layout:
    return vhd_dynamic.dynamic(disk, timestamp=0, identifier=IDENTIFIER)


def window(data: st.DataObject, size: int, near: list[int]) -> tuple[int, int]:
    """Draw a window of at most 5 MiB, often at a place where something begins."""
    places = st.integers(0, size)
    if near:
        places = st.one_of(places, st.sampled_from(near).flatmap(lambda at: st.integers(at - 600, at + 600)))
    offset = min(max(data.draw(places), 0), size)
    return offset, data.draw(st.integers(0, min(size - offset, 5 * MIB)))


@unhurried
@given(disk=disks(), data=st.data())
def test_raw_reads_as_the_disk(disk: SparseDisk, data: st.DataObject) -> None:
    layout = raw.layout(disk)
    assert layout.size == disk.size
    offset, length = window(data, disk.size, [extent.offset for extent in disk.data])
    assert layout.read(offset, length) == disk.read(offset, length)


@unhurried
@given(disk=disks(), data=st.data())
def test_fixed_vhd_is_disk_padding_and_footer(disk: SparseDisk, data: st.DataObject) -> None:
    layout = unless_too_large(fixed, disk)
    if layout is None:
        return
    padded = -(-disk.size // MIB) * MIB
    assert layout.size == padded + 512
    footer = layout.read(padded, 512)
    assert footer[:8] == b"conectix"
    assert struct.unpack_from(">QQ", footer, 40) == (padded, padded)

    offset, length = window(data, layout.size, [disk.size, padded, *(extent.end for extent in disk.data)])
    end = offset + length
    expected = disk.read(min(offset, disk.size), max(min(end, disk.size) - min(offset, disk.size), 0))
    expected += bytes(max(min(end, padded) - max(offset, disk.size), 0))
    expected += footer[max(offset - padded, 0) : max(end - padded, 0)]
    assert layout.read(offset, length) == expected


@unhurried
@given(disk=disks())
def test_dynamic_vhd_gives_every_block_back_through_its_table(disk: SparseDisk) -> None:
    layout = unless_too_large(dynamic, disk)
    if layout is None:
        return
    footer, header = layout.read(0, 512), layout.read(512, 1024)
    assert footer == layout.read(layout.size - 512, 512)
    entries, block = struct.unpack_from(">II", header, 28)
    padded = -(-disk.size // MIB) * MIB
    assert (block, entries) == (2 * MIB, -(-padded // (2 * MIB)))
    table = layout.read(1536, 4 * entries)

    wanted = {index for extent in disk.data for index in range(extent.offset // block, (extent.end - 1) // block + 1)}
    absent = b"\xff" * 4
    holes = sum(table[at : at + 4] == absent for at in range(0, 4 * min(entries, 4096), 4))
    assert holes == min(entries, 4096) - sum(index < 4096 for index in wanted)
    position = -(-(1536 + 4 * entries) // 512) * 512
    for index in sorted(wanted):
        (sector,) = struct.unpack_from(">I", table, 4 * index)
        assert sector * 512 == position
        assert layout.read(position, 512) == b"\xff" * 512
        length = min(block, disk.size - index * block)
        assert layout.read(position + 512, block) == disk.read(index * block, length) + bytes(block - length)
        position += 512 + block
    assert layout.size == position + 512


@pytest.mark.parametrize("make", [raw.layout, fixed, dynamic], ids=["raw", "fixed", "dynamic"])
@unhurried
@given(disk=disks(), align=st.sampled_from([1, 512, 3000, PAGE, 512 * 1024, 5 * MIB]), data=st.data())
def test_data_ranges_cover_all_that_is_not_zero(
    make: Callable[[Readable], Layout], disk: SparseDisk, align: int, data: st.DataObject
) -> None:
    layout = raw.layout(disk) if make is raw.layout else unless_too_large(make, disk)
    if layout is None:
        return
    ranges = list(layout.data_ranges(align))
    for before, after in pairwise(ranges):
        assert before.end < after.offset, "ranges that touch are one"
    for extent in ranges:
        assert extent.length > 0
        assert extent.offset % align == 0
        assert extent.end % align == 0 or extent.end == layout.size
        assert 0 <= extent.offset < extent.end <= layout.size

    # What lies between the ranges is zeros.
    offset, length = window(data, layout.size, [edge for extent in ranges for edge in (extent.offset, extent.end)])
    content = bytearray(layout.read(offset, length))
    for extent in ranges:
        first, last = max(extent.offset, offset), min(extent.end, offset + length)
        if first < last:
            content[first - offset : last - offset] = bytes(last - first)
    assert content == bytes(length)
    if make is raw.layout and ranges:  # and each aligned piece of a range holds some data
        extent = data.draw(st.sampled_from(ranges))
        first = extent.offset + data.draw(st.integers(0, (extent.length - 1) // align)) * align
        assert any(layout.read(first, min(align, layout.size - first)))


@unhurried
@given(disk=disks())
def test_the_sum_of_the_data_is_that_of_the_disk_and_the_metadata(disk: SparseDisk) -> None:
    held = sum(extent.length for extent in disk.data)

    def total(layout: Layout) -> int:
        return sum(extent.length for extent in layout.data_ranges())

    assert total(raw.layout(disk)) == held
    if (layout := unless_too_large(fixed, disk)) is not None:
        assert total(layout) == held + 512
    if (layout := unless_too_large(dynamic, disk)) is not None:
        metadata = sum(len(segment.data) for segment in layout.segments if isinstance(segment, Literal))
        assert total(layout) == held + metadata
        assert metadata % 512 == 0


def test_a_layout_refuses_segments_that_overlap_or_stick_out() -> None:
    disk = SparseDisk(10, ())
    with pytest.raises(ValueError, match="overlaps"):
        Layout(disk, 30, (DiskRange(0, 0, 10), Literal(9, b"x")))
    with pytest.raises(ValueError, match="behind the end"):
        Layout(disk, 10, (DiskRange(0, 0, 10), Literal(10, b"x")))


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 11), (11, 0), (5, -1)])
def test_a_layout_refuses_to_read_outside_itself(offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="not inside"):
        raw.layout(SparseDisk(10, ())).read(offset, length)


def test_a_dynamic_vhd_full_of_data_is_described_in_few_bytes_a_block() -> None:
    size = 128 * 1024**3
    tracemalloc.start()
    try:
        layout = dynamic(SparseDisk(size, (Extent(0, size),)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(layout.segments) == 2 * (size // (2 * MIB)) + 2
    assert peak < 40 * (size // (2 * MIB)), "a tuple of segments would take ten times this"


@pytest.mark.long
def test_the_largest_dynamic_vhd_can_be_full() -> None:
    size = 2040 * 1024**3
    layout = dynamic(SparseDisk(size, (Extent(0, size),)))
    blocks = size // (2 * MIB)
    assert layout.size == 512 + 1024 + 4 * blocks + blocks * (512 + 2 * MIB) + 512
    (sector,) = struct.unpack(">I", layout.read(1536 + 4 * (blocks - 1), 4))
    assert sector * 512 == layout.size - 512 - 2 * MIB - 512
    assert layout.read(layout.size - 512 - 5, 5) == pattern(size - 5, 5)
