# SPDX-License-Identifier: Apache-2.0
"""Extents and content digest against a slow reference written from their definitions."""

import hashlib
import os
import random
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkcloud.disk import BLOCK, open_disk
from lkcloud.disk.extent import Extents
from lkcloud.disk.scan import PIECE, allocated, find_content, find_extents

PAGE = 4096
MIB = 1024 * 1024


class Write(NamedTuple):
    offset: int
    length: int
    kind: str


@st.composite
def disks(draw: st.DrawFn) -> tuple[int, list[Write]]:
    """A size, and what is written to the sparse file, in order: data, zeros, or data that is nearly all zeros."""
    size = draw(
        st.one_of(
            st.integers(0, 3 * PAGE),
            st.integers(0, 12 * MIB),
            st.sampled_from([BLOCK, 2 * BLOCK - 1, 8 * MIB, 8 * MIB + 1, 17 * BLOCK]),
        )
    )
    writes = []
    for _ in range(draw(st.integers(0, 6))) if size else ():
        offset = draw(st.integers(0, size - 1))
        if draw(st.booleans()):
            offset -= offset % draw(st.sampled_from([PAGE, BLOCK, MIB]))
        length = draw(st.one_of(st.just(1), st.integers(1, 3 * PAGE), st.integers(1, 3 * MIB)))
        kind = draw(st.sampled_from(["data", "zeros", "one byte"]))
        writes.append(Write(offset, min(length, size - offset), kind))
    return size, writes


def write_sparse(path: Path, size: int, writes: list[Write]) -> bytes:
    """Write the file and return what it holds."""
    whole = bytearray(size)
    with path.open("wb") as file:
        file.truncate(size)
        for number, (offset, length, kind) in enumerate(writes):
            data = random.Random(number).randbytes(length) if kind == "data" else bytes(length)
            if kind == "one byte":
                data = data[:-1] + b"\x80"
            file.seek(offset)
            file.write(data)
            whole[offset : offset + length] = data
    return bytes(whole)


def reference_extents(whole: bytes) -> list[tuple[int, int]]:
    """Pages with any byte that is not zero; neighbours are one extent."""
    found: list[tuple[int, int]] = []
    for start in range(0, len(whole), PAGE):
        page = whole[start : start + PAGE]
        if page.strip(b"\0"):
            if found and sum(found[-1]) == start:
                found[-1] = (found[-1][0], found[-1][1] + len(page))
            else:
                found.append((start, len(page)))
    return found


def reference_digest(whole: bytes) -> str:
    text = struct.pack(">Q", len(whole))
    padded = whole + bytes(-len(whole) % BLOCK)
    for index in range(len(padded) // BLOCK):
        block = padded[index * BLOCK : (index + 1) * BLOCK]
        if block.strip(b"\0"):
            text += struct.pack(">Q", index) + hashlib.sha256(block).digest()
    return hashlib.sha256(text).hexdigest()


@settings(max_examples=60, deadline=None)
@given(disks(), st.booleans())
def test_extents_and_digest_are_those_of_the_reference(disk: tuple[int, list[Write]], extents_first: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.raw"
        whole = write_sparse(path, *disk)
        with open_disk(path) as opened:
            if extents_first:
                opened.extents()
            content = opened.content()
            assert content.digest == reference_digest(whole)
            assert list(opened.extents()) == reference_extents(whole)
            assert opened.size == len(whole)
            assert opened.read(0, opened.size) == whole
        with open_disk(path) as opened:
            assert list(opened.extents()) == reference_extents(whole)


@settings(max_examples=30, deadline=None)
@given(disks())
def test_a_file_system_without_holes_gives_the_same(disk: tuple[int, list[Write]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.raw"
        whole = write_sparse(path, *disk)
        with open_disk(path) as opened:
            everything = allocated_where_holes_are_unknown(opened.size)
            assert list(find_extents(opened.readinto, opened.size, everything)) == reference_extents(whole)
            extents, content = find_content(opened.readinto, opened.size, everything)
            assert list(extents) == reference_extents(whole)
            assert content.digest == reference_digest(whole)


def allocated_where_holes_are_unknown(size: int) -> Extents:
    """Ask a file whose lseek takes no SEEK_DATA: most files of /proc answer EINVAL, as an old NFS or FUSE does."""
    descriptor = os.open("/proc/self/status", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            os.lseek(descriptor, 0, os.SEEK_DATA)
        return allocated(descriptor, size)
    finally:
        os.close(descriptor)


def test_where_holes_are_unknown_all_is_allocated() -> None:
    assert list(allocated_where_holes_are_unknown(12345)) == [(0, 12345)]
    assert list(allocated_where_holes_are_unknown(0)) == []


def test_the_map_of_allocated_ranges_leaves_the_holes_out(make_image: Callable[..., Path]) -> None:
    path = make_image("image.raw", 1 << 40, {5 * MIB: b"a" * PAGE, 1 << 39: b"b"})
    with path.open("rb") as file:
        ranges = allocated(file.fileno(), 1 << 40)
        assert ranges.total < 2 * MIB
        assert [extent.offset // MIB for extent in ranges] == [5, (1 << 39) // MIB]
        assert list(allocated(file.fileno(), 5 * MIB + 1)) == [(5 * MIB, 1)]


def test_holes_and_written_zeros_have_one_digest(make_image: Callable[..., Path]) -> None:
    sparse = make_image("sparse.raw", 20 * MIB, {7 * MIB: b"data"})
    written = make_image("written.raw", 20 * MIB, {0: bytes(20 * MIB), 7 * MIB: b"data"})
    assert written.stat().st_blocks > sparse.stat().st_blocks
    with open_disk(sparse) as one, open_disk(written) as other:
        assert one.content() == other.content()
        assert list(one.extents()) == list(other.extents()) == [(7 * MIB, PAGE)]


def test_one_byte_in_the_last_block_is_found(make_image: Callable[..., Path]) -> None:
    size = 3 * BLOCK + 777
    path = make_image("image.raw", size, {size - 1: b"\x01"})
    with open_disk(path) as disk:
        content = disk.content()
        assert [block.index for block in content.blocks()] == [3]
        padded = bytes(776) + b"\x01" + bytes(BLOCK - 777)
        assert [block.sha256 for block in content.blocks()] == [hashlib.sha256(padded).digest()]
        assert list(disk.extents()) == [(3 * BLOCK, 777)]


@pytest.mark.parametrize("size", [0, 1, BLOCK, 5 * MIB + 3])
def test_a_disk_of_zeros_has_no_blocks(make_image: Callable[..., Path], size: int) -> None:
    with open_disk(make_image("image.raw", size, {0: bytes(size)})) as disk:
        assert len(disk.content()) == 0
        assert list(disk.extents()) == []
        assert disk.content().digest == hashlib.sha256(struct.pack(">Q", size)).hexdigest()


def test_the_digest_tells_sizes_apart(make_image: Callable[..., Path]) -> None:
    digests = set()
    for size in (BLOCK, BLOCK + 1, 2 * BLOCK):
        with open_disk(make_image(f"{size}.raw", size, {0: b"same"})) as disk:
            digests.add(disk.content().digest)
    assert len(digests) == 3


def test_data_across_the_edges_of_pieces_is_one_extent(make_image: Callable[..., Path]) -> None:
    start, end = PIECE - PAGE, 9 * PIECE + PAGE
    with open_disk(make_image("image.raw", 10 * PIECE, {start: b"x" * (end - start)})) as disk:
        assert list(disk.extents()) == [(start, end - start)]
        assert [block.index for block in disk.content().blocks()] == list(range(1, 19))


def test_many_extents_read_as_a_sequence(make_image: Callable[..., Path]) -> None:
    offsets = range(0, 3000 * 2 * PAGE, 2 * PAGE)
    with open_disk(make_image("image.raw", 3000 * 2 * PAGE, dict.fromkeys(offsets, b"x"))) as disk:
        extents = disk.extents()
        assert len(extents) == 3000
        assert [extent.offset for extent in extents] == list(offsets)
        assert extents[-1] == (offsets[-1], PAGE)
        assert list(extents[1:3]) == [(2 * PAGE, PAGE), (4 * PAGE, PAGE)]
        assert extents[0].end == PAGE
        with pytest.raises(IndexError):
            extents[3000]
