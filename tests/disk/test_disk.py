# SPDX-License-Identifier: Apache-2.0
"""Reading a disk, and noticing that it changes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lkcloud.disk import BLOCK, open_disk
from lkcloud.errors import ImageChanged

MIB = 1024 * 1024
MakeImage = Callable[..., Path]


def test_read_returns_exactly_what_was_asked_for(make_image: MakeImage) -> None:
    with open_disk(make_image("image.raw", 10000, {0: b"first", 9996: b"last"})) as disk:
        assert disk.read(0, 5) == b"first"
        assert disk.read(9990, 10) == bytes(6) + b"last"
        assert disk.read(10000, 0) == b""
        buffer = bytearray(8)
        disk.readinto(9992, buffer)
        assert buffer == bytes(4) + b"last"


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (0, 101), (100, 1), (101, 0)])
def test_outside_of_the_disk_is_a_programming_error(make_image: MakeImage, offset: int, length: int) -> None:
    with open_disk(make_image("image.raw", 100, {})) as disk, pytest.raises(ValueError, match="not inside a disk"):
        disk.read(offset, length)


def test_buffer_that_reaches_over_the_end_is_a_programming_error(make_image: MakeImage) -> None:
    with open_disk(make_image("image.raw", 100, {})) as disk, pytest.raises(ValueError, match="not inside a disk"):
        disk.readinto(99, bytearray(2))


def test_threads_read_one_disk_together(make_image: MakeImage) -> None:
    pages = {number * 4096: number.to_bytes(4, "big") * 1024 for number in range(500)}
    with open_disk(make_image("image.raw", 500 * 4096, pages)) as disk, ThreadPoolExecutor(8) as pool:
        for offset, data in zip(pages, pool.map(lambda offset: disk.read(offset, 4096), pages), strict=True):
            assert data == pages[offset]


def test_closing_again_is_no_error_and_a_closed_disk_reads_nothing(make_image: MakeImage) -> None:
    disk = open_disk(make_image("image.raw", 100, {}))
    disk.close()
    disk.close()
    with pytest.raises(Exception, match="Bad file descriptor"):
        disk.read(0, 1)


class Interfering:
    """A meter that does something to the image when the first bytes have been read."""

    def __init__(self, interfere: Callable[[], object]) -> None:
        self.interfere: Callable[[], object] | None = interfere

    def expect(self, total: int, done: int = 0) -> None:
        pass

    def advance(self, amount: int) -> None:
        if self.interfere:
            self.interfere()
            self.interfere = None

    def status(self, text: str) -> None:
        pass


@pytest.fixture
def image(make_image: MakeImage) -> Path:
    return make_image("image.raw", 80 * MIB, {offset * MIB: b"data" for offset in range(80)}, settled=True)


def write_a_byte(image: Path) -> None:
    with image.open("r+b") as file:
        file.seek(3)
        file.write(b"!")


def replace(image: Path) -> None:
    other = image.with_name("other.raw")
    other.write_bytes(image.read_bytes())
    os.utime(other, ns=(image.stat().st_atime_ns, image.stat().st_mtime_ns))
    other.replace(image)


CHANGES: dict[str, Callable[[Path], object]] = {
    "write": write_a_byte,
    "cut short": lambda image: os.truncate(image, 50 * MIB),
    "grow": lambda image: os.truncate(image, 81 * MIB),
    "replace by a copy with the same times": replace,
    "remove": Path.unlink,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_while_the_content_is_read_is_noticed(image: Path, change: str, cache: Path) -> None:
    with open_disk(image) as disk:
        with pytest.raises(ImageChanged) as caught:
            disk.content(Interfering(lambda: CHANGES[change](image)))
        assert "image.raw" in caught.value.message
        assert caught.value.hint
        assert caught.value.exit_code == 2
        assert not list(cache.glob("digests/*"))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_after_the_content_was_read_is_noticed(image: Path, change: str) -> None:
    with open_disk(image) as disk:
        disk.content()
        disk.check_unchanged()
        CHANGES[change](image)
        with pytest.raises(ImageChanged, match=r"image\.raw"):
            disk.check_unchanged()


def test_a_read_behind_the_end_of_a_file_cut_short_is_noticed(image: Path) -> None:
    with open_disk(image) as disk:
        os.truncate(image, MIB + 10)
        assert disk.read(MIB, 10)[:4] == b"data"
        with pytest.raises(ImageChanged, match="ends at byte 1048586"):
            disk.read(MIB, 11)


def test_another_mode_or_name_is_no_change(image: Path) -> None:
    with open_disk(image) as disk:
        image.chmod(0o400)
        image.with_name("link.raw").hardlink_to(image)
        disk.check_unchanged()


def test_a_relative_path_stays_right_when_the_working_folder_changes(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image.parent)
    with open_disk("image.raw") as disk:
        monkeypatch.chdir("/")
        disk.check_unchanged()
        assert disk.path == Path("image.raw")


SCAN_IN_LITTLE_MEMORY = """
import re, sys
from lkcloud.disk import open_disk
with open_disk(sys.argv[1]) as disk:
    content = disk.content()
    peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read()).group(1)
    print(len(disk.extents()), len(content), int(peak) * 1024)
"""


def scan_in_a_process(image: Path) -> tuple[int, int, int]:
    """Return the number of extents and of blocks, and the most memory that was resident, in bytes.

    Not by getrusage: what it tells of a new process begins with the memory of the process that started it.
    """
    command = [sys.executable, "-c", SCAN_IN_LITTLE_MEMORY, str(image)]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(words[0]), int(words[1]), int(words[2])


def test_64_gib_with_scattered_data_take_little_memory(make_image: MakeImage) -> None:
    spread = {number * 128 * MIB: b"\xa5" * (MIB // 8) for number in range(512)}
    extents, blocks, memory = scan_in_a_process(make_image("large.raw", 64 * 1024 * MIB, spread))
    assert (extents, blocks) == (512, 512)
    assert memory < 128 * MIB


@pytest.mark.long
def test_a_large_dense_disk_takes_as_little_memory(make_image: MakeImage) -> None:
    dense = dict.fromkeys(range(0, 4096 * MIB, 16 * MIB), b"Z" * 16 * MIB)
    extents, blocks, memory = scan_in_a_process(make_image("dense.raw", 4096 * MIB, dense))
    assert (extents, blocks) == (1, 4096 * MIB // BLOCK)
    assert memory < 128 * MIB


@pytest.fixture
def loop_device(make_image: MakeImage) -> Iterator[Path]:
    backing = make_image("device.raw", 24 * MIB, {5 * MIB: b"on a device", 24 * MIB - 512: b"end"})
    try:
        made = subprocess.run(["losetup", "--find", "--show", backing], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no loop device can be had here: {error}")
    device = made.stdout.strip()
    yield Path(device)
    subprocess.run(["losetup", "--detach", device], check=True)


def test_a_block_device_is_a_disk(loop_device: Path, make_image: MakeImage, cache: Path) -> None:
    same = make_image("same.raw", 24 * MIB, {5 * MIB: b"on a device", 24 * MIB - 512: b"end"})
    with open_disk(loop_device) as disk, open_disk(same) as file:
        assert disk.size == 24 * MIB
        assert disk.read(5 * MIB, 11) == b"on a device"
        assert list(disk.extents()) == list(file.extents())
        assert disk.content() == file.content()
        disk.check_unchanged()
        assert not list(cache.glob("digests/*")), "nothing tells of a write to a device, so nothing is remembered"
