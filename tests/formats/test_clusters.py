# SPDX-License-Identifier: Apache-2.0
"""Clusters come in the order of the disk, each once and whole, whoever compresses them."""

import threading
import tracemalloc
from array import array
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkcloud.disk.extent import Extent, Extents
from lkcloud.errors import UsageError
from lkcloud.formats.clusters import compressed_clusters, data_in_clusters
from lkcloud.workers import workers

CLUSTER = 4096


@dataclass(frozen=True)
class Memory:
    """A disk of SIZE bytes with CONTENT as its data, by offsets."""

    size: int
    content: dict[int, bytes]

    def extents(self) -> Sequence[Extent]:
        bounds = array("Q")
        for offset, data in sorted(self.content.items()):
            bounds.extend((offset, offset + len(data)))
        return Extents(bounds)

    def read(self, offset: int, length: int) -> bytes:
        buffer = bytearray(length)
        self.readinto(offset, buffer)
        return bytes(buffer)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        view = memoryview(buffer)
        assert offset + len(view) <= self.size
        view[:] = bytes(len(view))
        for start, data in self.content.items():
            low, high = max(start, offset), min(start + len(data), offset + len(view))
            if low < high:
                view[low - offset : high - offset] = data[low - start : high - start]


@dataclass
class Counter:
    """A meter that adds up."""

    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, total: int, done: int = 0) -> None: ...

    def status(self, text: str) -> None: ...

    def advance(self, amount: int) -> None:
        with self.lock:
            self.done += amount


def found(disk: Memory, size: int = CLUSTER) -> tuple[dict[int, bytes], int]:
    """Return all clusters by their indexes, in the order in which they came, and what the meter was told."""
    meter = Counter()
    seen: dict[int, bytes] = {}
    with closing(compressed_clusters(disk, size, lambda index, data: b"%d:" % index + data, meter)) as batches:
        for batch in batches:
            seen.update(zip(batch.indexes, batch.packed, strict=True))
    assert all(data.startswith(b"%d:" % index) for index, data in seen.items())
    return {index: data.partition(b":")[2] for index, data in seen.items()}, meter.done


@st.composite
def disks(draw: st.DrawFn) -> Memory:
    """Up to some hundred clusters, with pieces of zeros and of other bytes that begin and end anywhere."""
    size = draw(st.integers(1, 300 * CLUSTER))
    cuts = sorted(draw(st.sets(st.integers(0, size), max_size=20)))
    pieces = zip(cuts[::2], cuts[1::2], strict=False)
    return Memory(size, {start: bytes([draw(st.sampled_from([0, 7]))]) * (end - start) for start, end in pieces})


@settings(max_examples=60, deadline=None)
@given(disks(), st.sampled_from([512, CLUSTER, 65536, 2 * 1024**2]))
def test_each_cluster_that_holds_anything_comes_once_and_in_order(disk: Memory, size: int) -> None:
    whole = disk.read(0, disk.size)
    padded = whole + bytes(-disk.size % size)
    expected = {n: padded[n * size :][:size] for n in range(len(padded) // size) if any(padded[n * size :][:size])}
    clusters, told = found(disk, size)
    assert clusters == expected
    assert list(clusters) == sorted(clusters)
    assert told == data_in_clusters(disk, size) <= disk.size


@pytest.mark.parametrize("count", ["1", "2", "5"])
def test_the_number_of_workers_does_not_matter(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKCLOUD_WORKERS", count)
    disk = Memory(900 * CLUSTER, {3 * n * CLUSTER: bytes([1 + n % 255]) * CLUSTER for n in range(299)})
    clusters, _ = found(disk)
    assert list(clusters) == list(range(0, 897, 3))
    assert workers() == int(count)


@pytest.mark.parametrize("count", ["0", "-1", "two", "²"])
def test_a_number_of_workers_that_is_none_is_refused(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKCLOUD_WORKERS", count)
    with pytest.raises(UsageError) as caught:
        workers()
    assert caught.value.hint


def test_what_fails_in_a_worker_is_raised_and_no_thread_is_left() -> None:
    disk = Memory(900 * CLUSTER, {0: b"x" * 900 * CLUSTER})
    before = threading.active_count()

    def compress(index: int, data: memoryview) -> bytes:
        if index == 600:
            raise OSError("the disk is gone")
        return b""

    with (
        pytest.raises(OSError, match="gone"),
        closing(compressed_clusters(disk, CLUSTER, compress, Counter())) as batches,
    ):
        assert sum(len(batch.indexes) for batch in batches) < 600
    assert threading.active_count() == before


@dataclass(frozen=True)
class Full:
    """A disk that is full of one byte."""

    size: int

    def extents(self) -> Sequence[Extent]:
        return Extents(array("Q", [0, self.size]))

    def read(self, offset: int, length: int) -> bytes:
        return b"x" * length

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        buffer[:] = self.read(offset, len(buffer))


def test_a_large_disk_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKCLOUD_WORKERS", "2")
    disk = Full(512 * 1024**2)
    with closing(compressed_clusters(disk, 65536, lambda index, data: bytes(data), Counter())) as batches:
        tracemalloc.start()
        try:
            count = sum(len(batch.indexes) for batch in batches)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert count == 8192
    assert peak < 32 * 1024**2
