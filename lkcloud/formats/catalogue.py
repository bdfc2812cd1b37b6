# SPDX-License-Identifier: Apache-2.0
"""The formats of image files that lkcloud writes, by their names and by the endings of files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lkcloud.disk import Disk
from lkcloud.errors import UsageError
from lkcloud.formats import gce, qcow2, raw, vhd, vhd_dynamic, write
from lkcloud.formats.deflate import DEFAULT_LEVEL, LEVELS
from lkcloud.formats.layout import Layout, Readable
from lkcloud.reporting import Meter

if TYPE_CHECKING:
    from lkcloud.formats.qcow2_compressed import Compressed


@dataclass(frozen=True, slots=True)
class Written:
    """A file of SIZE bytes, of which DATA are not holes."""

    size: int
    data: int


class Job(Protocol):
    """A file that is to be written: made from a disk, which was found to fit the format."""

    @property
    def work(self) -> int:
        """Bytes that a meter will be told of."""
        ...

    def write(self, file: int, meter: Meter) -> Written:
        """Write to the empty open FILE. Raises OSError and what reading the disk raises."""
        ...


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of compression that a format has, fast ones first, and the one that is taken if none is named."""

    known: range
    default: int


@dataclass(frozen=True, slots=True)
class Format:
    """A format of image files; a file with one of SUFFIXES is taken to be in it.

    PREPARE takes the disk and the level of compression (0 for a format without LEVELS), and raises UnusableImage for a
    disk that the format cannot hold.
    """

    name: str
    suffixes: tuple[str, ...]
    description: str
    prepare: Callable[[Disk, int], Job]
    levels: Levels | None = None


@dataclass(frozen=True, slots=True)
class _Sparse:
    layout: Layout
    work: int

    def write(self, file: int, meter: Meter) -> Written:
        return Written(self.layout.size, write.write_sparse(self.layout, file, meter))


@dataclass(frozen=True, slots=True)
class _Gzipped:
    layout: Layout
    level: int

    @property
    def work(self) -> int:
        return self.layout.size

    def write(self, file: int, meter: Meter) -> Written:
        size = write.write_gzip(self.layout, file, meter, level=self.level)
        return Written(size, size)


class _Stream(Protocol):
    @property
    def work(self) -> int: ...

    def write(self, file: int, meter: Meter) -> int: ...


@dataclass(frozen=True, slots=True)
class _Streamed:
    stream: _Stream

    @property
    def work(self) -> int:
        return self.stream.work

    def write(self, file: int, meter: Meter) -> Written:
        size = self.stream.write(file, meter)
        return Written(size, size)


@dataclass(frozen=True, slots=True)
class _Qcow2:
    clusters: "Compressed"

    @property
    def work(self) -> int:
        return self.clusters.work

    def write(self, file: int, meter: Meter) -> Written:
        return Written(*self.clusters.write(file, meter))


def _sparse(layout_of: Callable[[Readable], Layout]) -> Callable[[Disk, int], Job]:
    def prepare(disk: Disk, level: int) -> Job:  # noqa: ARG001  there are no levels
        return _job(layout_of(disk))

    return prepare


def _in_place(layout_of: Callable[[Readable], Layout]) -> Callable[[Disk, int], Job]:
    """Return what prepares a format in which the data of the disk does not move, see `write.Unscanned`."""

    def prepare(disk: Disk, level: int) -> Job:  # noqa: ARG001
        return _job(layout_of(write.Unscanned(disk)))

    return prepare


def _job(layout: Layout) -> Job:
    return _Sparse(layout, sum(extent.length for extent in layout.data_ranges()))


# What only one format needs is loaded with it, so that the others start sooner.


def _vhdx(disk: Disk, level: int) -> Job:  # noqa: ARG001
    from lkcloud.formats import vhdx

    return _job(vhdx.dynamic(disk))


def _vmdk(disk: Disk, level: int) -> Job:
    from lkcloud.formats import vmdk

    return _Streamed(vmdk.stream_optimized(disk, level))


def _ova(disk: Disk, level: int) -> Job:
    from lkcloud.formats import ova

    return _Streamed(ova.appliance(disk, level))


def _qcow2_zlib(disk: Disk, level: int) -> Job:
    from lkcloud.formats.qcow2_compressed import Compression, compressed

    return _Qcow2(compressed(write.Unscanned(disk), Compression.ZLIB, level))


def _qcow2_zstd(disk: Disk, level: int) -> Job:
    from lkcloud.formats.qcow2_compressed import Compression, compressed

    return _Qcow2(compressed(write.Unscanned(disk), Compression.ZSTD, level))


def _tarball(disk: Disk, level: int) -> Job:
    return _Gzipped(gce.tarball(disk), level)


_ISAL = Levels(LEVELS, DEFAULT_LEVEL)
_LIBDEFLATE = Levels(range(1, 13), 1)
_ZLIB = Levels(range(1, 10), 4)

FORMATS = (
    Format("raw", (".raw", ".img", ".bin"), "the disk as it is, sparse", _in_place(raw.layout)),
    Format("vhd", (".vhd",), "fixed VHD of whole MiB, as Azure takes it", _in_place(vhd.fixed)),
    Format("vhd-dynamic", (), "dynamic VHD: only the blocks of 2 MiB that hold data", _sparse(vhd_dynamic.dynamic)),
    Format("vhdx", (".vhdx",), "dynamic VHDX: only the blocks of 1 MiB that hold data", _vhdx),
    Format("qcow2", (".qcow2",), "qcow2: only the clusters of 64 KiB that hold data", _sparse(qcow2.plain)),
    Format(
        "gce",
        (".tar.gz",),
        "gzipped tar of disk.raw, sparse and of whole GiB, as Compute Engine takes it",
        _tarball,
        _ISAL,
    ),
    Format(
        "vmdk",
        (".vmdk",),
        "stream-optimised VMDK: only the grains of 64 KiB that hold data, compressed",
        _vmdk,
        _LIBDEFLATE,
    ),
    Format("ova", (".ova",), "a machine and its disk as such a VMDK, for vSphere", _ova, _LIBDEFLATE),
    Format("qcow2-zlib", (), "qcow2 with its clusters compressed by deflate", _qcow2_zlib, _ZLIB),
    Format(
        "qcow2-zstd",
        (),
        "qcow2 with its clusters compressed by Zstandard: smaller, for QEMU 5.1 and later",
        _qcow2_zstd,
        Levels(range(1, 20), 3),  # the default is also that of the library, and of qemu-img
    ),
)


PXE = "pxe"
"""The one that is a folder of files and no file."""


def format_for(path: Path) -> Format:
    """Return the format that the ending of PATH asks for. Raises UsageError for one that says nothing."""
    name = path.name.lower()
    for candidate in FORMATS:
        if any(name.endswith(suffix) and name != suffix for suffix in candidate.suffixes):
            return candidate
    known = ", ".join(ending for candidate in FORMATS for ending in candidate.suffixes)
    raise UsageError(
        f"{path.name}: the ending says no format that lkcloud writes",
        hint=f"end the name with one of {known}, or give --format ({', '.join(names())})",
    )


def format_named(name: str) -> Format:
    """Return the format called NAME. Raises UsageError if there is none."""
    for candidate in FORMATS:
        if candidate.name == name:
            return candidate
    raise UsageError(f"lkcloud writes no format {name!r}", hint=f"use one of {', '.join(names())}")


def level_of(chosen: Format, level: int | None) -> int:
    """Return LEVEL, or what is best for CHOSEN if it is None. Raises UsageError for one that CHOSEN does not have."""
    levels = chosen.levels
    if levels is None:
        if level is None:
            return 0
        *others, last = (candidate.name for candidate in FORMATS if candidate.levels)
        raise UsageError(
            f"{chosen.name} is not compressed",
            hint=f"leave out the compression level, or use the format {', '.join(others)} or {last}",
        )
    if level is None:
        return levels.default
    if level not in levels.known:
        raise UsageError(
            f"there is no compression level {level} of {chosen.name}",
            hint=f"use {levels.known[0]} (fast) to {levels.known[-1]} (small)",
        )
    return level


def names() -> tuple[str, ...]:
    """Return the names of all formats."""
    return (*(candidate.name for candidate in FORMATS), PXE)
