# SPDX-License-Identifier: Apache-2.0
"""Pieces that anybody made at any place are one gzip member, the same one each time."""

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
import tracemalloc
import zlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from lkcloud.disk.extent import Extent, Extents
from lkcloud.formats.deflate import DEFAULT_LEVEL, LEVELS
from lkcloud.formats.gzip_member import HEADER, PIECE, combined, deflate, trailer
from lkcloud.formats.layout import DiskRange, Layout

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Memory:
    """A disk in memory that says of all of it that it is data."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def extents(self) -> Sequence[Extent]:
        return Extents(array("Q", [0, self.size] if self.content else []))

    def read(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        buffer[:] = memoryview(self.content)[offset : offset + len(buffer)]


def layout(content: bytes) -> Layout:
    return Layout(Memory(content), len(content), (DiskRange(0, 0, len(content)),))


def member(content: bytes, cuts: Iterable[int] = (), level: int = DEFAULT_LEVEL, workers: int = 1) -> bytes:
    """Return CONTENT as a gzip member made of ranges that end at CUTS (in pieces), the last ranges being made first."""
    source = layout(content)
    bounds = [0, *(PIECE * cut for cut in sorted(set(cuts)) if PIECE * cut < len(content)), len(content)]
    ranges = list(pairwise(bounds))
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(deflate, source, start, end - start, level=level) for start, end in reversed(ranges)]
        made = [job.result() for job in reversed(jobs)]
    crc = length = 0
    for part in made:
        crc, length = combined(crc, part.crc, part.length), length + part.length
    return HEADER + b"".join(part.data for part in made) + trailer(crc, length)


def unpacked(compressed: bytes) -> bytes:
    """Return what is in the one member that COMPRESSED must be; zlib checks length and CRC-32."""
    reader = zlib.decompressobj(wbits=31)
    content = reader.decompress(compressed) + reader.flush()
    assert reader.eof
    assert reader.unused_data == b""
    return content


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def text(size: int, seed: int = 1) -> bytes:
    """Bytes that can be compressed to about a third, with repetitions from far and near."""
    source = random.Random(seed)
    words = [source.randbytes(source.randint(2, 9)) for _ in range(500)]
    return b"".join(source.choices(words, k=size // 2))[:size]


TEXT, NOISE = text(4 * MIB), noise(4 * MIB)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Up to some MiB of runs of text, noise and zeros, of lengths around those at which something may go wrong."""
    near = st.sampled_from([1, 512, 32 * KIB, PIECE, 2 * PIECE]).flatmap(lambda n: st.integers(n - 1, n + 1))
    runs = draw(st.lists(st.tuples(st.sampled_from("tnz"), near | st.integers(1, 700 * KIB)), max_size=6))
    sources = {"t": TEXT, "n": NOISE, "z": bytes(4 * MIB)}
    return b"".join(sources[kind][:length] for kind, length in runs)


@settings(max_examples=40, deadline=None)
@given(contents(), st.sets(st.integers(1, 12)), st.sampled_from(range(7)), st.integers(1, 4))
@example(b"", set(), 1, 1)
@example(bytes(3 * PIECE), {1, 2}, 3, 2)
@example(NOISE, {1, 2, 3}, 0, 4)
def test_wherever_it_is_cut_it_is_the_same_member(content: bytes, cuts: set[int], level: int, workers: int) -> None:
    whole = member(content, level=level)
    assert unpacked(whole) == content
    assert member(content, cuts, level, workers) == whole


@pytest.mark.parametrize("workers", range(1, 9))
def test_the_number_of_workers_does_not_matter(workers: int) -> None:
    content = (TEXT + NOISE)[: 7 * MIB + 123]
    digest = hashlib.sha256(member(content, range(1, 8), workers=workers)).digest()
    assert digest == hashlib.sha256(member(content)).digest()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("program", ["gzip", "pigz"])
def test_gzip_and_pigz_read_each_level(program: str, level: int) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing: apt-get install {program}")
    content = TEXT[: MIB + 7] + bytes(MIB) + NOISE[:MIB]
    made = member(content, [1, 2], level)
    assert subprocess.run([program, "-dc"], input=made, capture_output=True, check=True).stdout == content
    assert len(made) < 0.6 * len(content)


def test_the_header_is_the_same_each_time() -> None:
    """Bytes 4 to 7 are a time and the last one the system, which would differ."""
    assert bytes([31, 139, 8, 0, 0, 0, 0, 0, 0, 255]) == HEADER
    assert len(HEADER) == 10


def test_the_trailer_counts_modulo_2_to_the_32() -> None:
    assert trailer(0x01020304, 2**32 + 5)[-8:] == bytes([4, 3, 2, 1, 5, 0, 0, 0])


@pytest.mark.parametrize("level", LEVELS)
def test_a_piece_refers_to_what_stands_before_it(level: int) -> None:
    """Noise can only be compressed by pointing at the same noise within the 32 KiB before."""
    first = noise(PIECE)
    content = first + first[-30 * KIB :] + noise(10 * KIB, 2)
    second = deflate(layout(content), PIECE, 40 * KIB, level=level)
    assert len(second.data) < 20 * KIB


def test_each_level_is_another_one_and_the_lowest_packs_least() -> None:
    sizes = [len(member(TEXT[: 2 * MIB], level=level)) for level in LEVELS[:7]]
    assert len(set(sizes)) == len(sizes)
    assert max(sizes) == sizes[0]


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_combined_is_the_crc_of_both(one: bytes, other: bytes) -> None:
    assert combined(zlib.crc32(one), zlib.crc32(other), len(other)) == zlib.crc32(one + other)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**45))
def test_combined_agrees_with_isa_l(one: int, other: int, length: int) -> None:
    assert combined(one, other, length) == isal_zlib.crc32_combine(one, other, length)


def test_crc_and_length_are_those_of_the_range() -> None:
    part = deflate(layout(TEXT), PIECE, PIECE, level=1)
    assert (part.crc, part.length) == (zlib.crc32(TEXT[PIECE : 2 * PIECE]), PIECE)


@pytest.mark.parametrize(
    ("offset", "length", "level"),
    [(1, PIECE, 1), (0, 5, 1), (PIECE, 2 * PIECE, 1), (-PIECE, PIECE, 1), (0, -1, 1), (0, PIECE, 10), (0, PIECE, -1)],
)
def test_a_range_or_level_that_cannot_be_is_refused(offset: int, length: int, level: int) -> None:
    with pytest.raises(ValueError, match=r"level|cut"):
        deflate(layout(TEXT[: 2 * PIECE + 5]), offset, length, level=level)


@pytest.mark.parametrize("level", LEVELS)
def test_long_runs_of_zeros_cost_less_than_a_compressor_takes_for_them(level: int) -> None:
    content = bytes(24 * MIB)
    source = layout(content)

    def fastest(work: Callable[[], object]) -> float:
        times = []
        for _ in range(3):
            began = time.thread_time()
            work()
            times.append(time.thread_time() - began)
        return min(times)

    ours = fastest(lambda: deflate(source, 0, len(content), level=level))
    assert ours < fastest(lambda: zlib.compress(content, 1)) / 2
    assert len(deflate(source, 0, len(content), level=level).data) < 32 * KIB


def test_memory_is_that_of_the_result_and_2_mib() -> None:
    source = layout(NOISE)
    tracemalloc.start()
    try:
        part = deflate(source, 0, len(NOISE), level=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.15 * len(part.data) + 3 * MIB


def test_without_isa_l_zlib_makes_a_member_with_other_bytes(tmp_path: Path) -> None:
    """A platform for which there is no build of the package: here one that cannot be loaded stands before it."""
    (tmp_path / "isal").mkdir()
    (tmp_path / "isal" / "__init__.py").write_text("raise ImportError('no build for this platform')\n")
    program = """
import sys
from array import array
from lkcloud.formats.gzip_member import HEADER, combined, deflate, trailer
from lkcloud.formats.layout import DiskRange, Layout

class Memory:
    content = sys.stdin.buffer.read()
    size = len(content)
    def readinto(self, offset, buffer):
        buffer[:] = self.content[offset : offset + len(buffer)]

disk, level = Memory(), int(sys.argv[1])
layout = Layout(disk, disk.size, (DiskRange(0, 0, disk.size),))
one = deflate(layout, 0, 1 << 20, level=level)
two = deflate(layout, 1 << 20, disk.size - (1 << 20), level=level)
crc = combined(one.crc, two.crc, two.length)
sys.stdout.buffer.write(HEADER + one.data + two.data + trailer(crc, disk.size))
"""
    content = TEXT[: 2 * MIB + 9]

    def made(level: int) -> bytes:
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"}
        command = [sys.executable, "-c", program, str(level)]
        return subprocess.run(command, input=content, env=environment, capture_output=True, check=True).stdout

    for level in (0, 2):
        assert unpacked(made(level)) == content
        assert len(made(level)) < 0.8 * len(content)
        assert made(level) != member(content, level=level)
    assert made(6) == member(content, level=6)
