# SPDX-License-Identifier: Apache-2.0
"""However much a disk pretends to hold, reading it takes less than 256 MiB of memory."""

import gzip
import lzma
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lz4.block
import pytest
import zstandard

from lkcloud.disk.linux.initramfs import read_initramfs
from lkcloud.disk.linux.kernel import read_kernel
from tests.images import _cpio_entry, kernel
from tests.readiness.kernels import Bytes, arm64_image, bzimage

LIMIT = 256 << 20
ZEROS = bytes(1 << 20)

CHILD = """
import sys
from pathlib import Path
from lkcloud.disk.linux.initramfs import read_initramfs
from lkcloud.disk.linux.kernel import read_kernel

class File:
    def __init__(self, path):
        self.file = open(path, "rb")
        self.size = Path(path).stat().st_size
    def read(self, offset, length):
        self.file.seek(offset)
        return self.file.read(min(length, 2 << 20))

file = File(sys.argv[2])
found = read_initramfs([file]) if sys.argv[1] == "initramfs" else read_kernel(file, ["nvme_probe"])
print(found.problem or "whole")
# Not getrusage: its maximum is that of the process that started this one.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) * 1024)
"""


def reading(kind: str, path: Path) -> tuple[str, int]:
    """Return what was said of the kernel or initramfs at PATH, and the most memory that it took, in bytes."""
    out = subprocess.run([sys.executable, "-c", CHILD, kind, path], check=True, capture_output=True, text=True).stdout
    problem, memory = out.splitlines()
    return problem, int(memory)


def xz_bomb(size: int, head: bytes = b"") -> Iterator[bytes]:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 128 << 20}]
    packer = lzma.LZMACompressor(check=lzma.CHECK_CRC32, filters=filters)
    yield packer.compress(head)
    yield from (packer.compress(ZEROS) for _ in range(size >> 20))
    yield packer.flush()


def zstd_bomb(size: int, head: bytes = b"") -> Iterator[bytes]:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    yield packer.compress(head)
    yield from (packer.compress(ZEROS) for _ in range(size >> 20))
    yield packer.flush()


def lz4_bomb(size: int, head: bytes = b"") -> Iterator[bytes]:
    block = lz4.block.compress(bytes(8 << 20), store_size=False)
    yield b"\x02\x21\x4c\x18"
    first = lz4.block.compress(head, store_size=False)
    yield len(first).to_bytes(4, "little") + first
    yield from (len(block).to_bytes(4, "little") + block for _ in range(size >> 23))


BOMBS = {"xz": xz_bomb, "zstd": zstd_bomb, "lz4": lz4_bomb}


@pytest.mark.parametrize("form", [pytest.param("xz", marks=pytest.mark.long), "zstd"])  # the ones with a large window
def test_a_kernel_that_unpacks_to_too_much(tmp_path: Path, form: str) -> None:
    (tmp_path / "kernel").write_bytes(bzimage(b"".join(BOMBS[form](288 << 20))))
    problem, memory = reading("kernel", tmp_path / "kernel")
    assert problem == "it is too large to be read whole"
    assert memory < LIMIT


@pytest.mark.parametrize("form", ["zstd", "lz4"])
def test_an_initramfs_that_unpacks_to_too_much(tmp_path: Path, form: str) -> None:
    # An entry of 4 GiB, with zeros as its content.
    head = bytearray(_cpio_entry("zeros", 0o100644))
    head[54:62] = b"ffffffff"
    with (tmp_path / "initramfs").open("wb") as file:
        file.writelines(BOMBS[form](800 << 20, bytes(head)))
    problem, memory = reading("initramfs", tmp_path / "initramfs")
    assert problem == "it is too large to be read whole"
    assert memory < LIMIT


def test_an_initramfs_with_too_many_files(tmp_path: Path) -> None:
    entries = b"".join(_cpio_entry(f"lib/modules/1/{number}.ko", 0o100644) for number in range(1000))
    with (tmp_path / "initramfs").open("wb") as file:
        for _ in range(250):
            file.write(entries)
    problem, memory = reading("initramfs", tmp_path / "initramfs")
    assert problem == "it has too many files to be read whole"
    assert memory < LIMIT


def test_debians_kernel(tmp_path: Path) -> None:
    problem, memory = reading("kernel", kernel())
    assert problem == "whole"
    assert memory < LIMIT


class Hole:
    """A file of 16 TiB of zeros, behind HEAD."""

    size = 16 << 40

    def __init__(self, head: bytes = b"") -> None:
        self.head = head

    def read(self, offset: int, length: int) -> bytes:
        if offset >= len(self.head):
            return ZEROS[:length]
        return self.head[offset : offset + length].ljust(length, b"\0")


def test_a_file_that_is_mostly_a_hole_is_given_up() -> None:
    assert read_initramfs([Hole()]).problem == "it is too large to be read whole"
    found = read_kernel(Hole(arm64_image()), [])
    assert found is not None
    assert found.problem == "it is too large to be read whole"


def test_many_small_archives_are_given_up() -> None:
    trailer = _cpio_entry("TRAILER!!!", 0)
    assert read_initramfs([Bytes(trailer * 20_000)]).problem == "it is too large to be read whole"
    assert read_initramfs([Bytes(gzip.compress(trailer) * 20_000)]).problem == "it is too large to be read whole"
    assert read_initramfs([Bytes(gzip.compress(trailer * 20_000))]).problem == "it is too large to be read whole"
