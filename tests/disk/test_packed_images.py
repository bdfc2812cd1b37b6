# SPDX-License-Identifier: Apache-2.0
"""Compressed and virtual-machine images give the same disk as the raw file they were made from."""

import fcntl
import gzip
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lkcloud.disk import open_disk
from lkcloud.disk.cached import KEPT
from lkcloud.formats import vhd
from lkcloud.reporting import Meter, Silent

MIB = 1024 * 1024
SIZE = 40 * MIB
MakeImage = Callable[..., Path]
needs_qemu_img = pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img (qemu-utils) is not installed")


@pytest.fixture
def raw(make_image: MakeImage) -> Path:
    return make_image("disk", SIZE, {0: b"first" * 1000, 17 * MIB: os.urandom(3 * MIB), SIZE - 1: b"\xff"})


def qemu_img(output_format: str, options: str = "") -> Callable[[Path, Path], None]:
    def make(raw: Path, packed: Path) -> None:
        chosen = ["-o", options] if options else []
        subprocess.run(
            ["qemu-img", "convert", "-f", "raw", "-O", output_format, *chosen, str(raw), str(packed)], check=True
        )

    return make


def through(*command: str) -> Callable[[Path, Path], None]:
    def make(raw: Path, packed: Path) -> None:
        with raw.open("rb") as source, packed.open("wb") as target:
            subprocess.run(command, stdin=source, stdout=target, check=True)

    return make


def after(first: Callable[[Path, Path], None], second: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    def make(raw: Path, packed: Path) -> None:
        between = packed.with_name(f"{raw.name} packed")
        first(raw, between)
        second(between, packed)
        between.unlink()

    return make


def in_members(raw: Path, packed: Path) -> None:
    """As bgzip and pigz -i do: several gzip members, end to end, and zeros to a whole sector behind them."""
    data = raw.read_bytes()
    members = [gzip.compress(data[start : start + 7 * MIB], 1) for start in range(0, len(data), 7 * MIB)]
    packed.write_bytes(b"".join(members) + bytes(512))


def as_pzstd(raw: Path, packed: Path) -> None:
    """A skippable frame before each of several, as pzstd writes it, and one at the end, as the seekable format."""
    data = raw.read_bytes()
    whole = b""
    for start in range(0, len(data), 9 * MIB):
        frame = subprocess.run(["zstd", "-c"], input=data[start : start + 9 * MIB], capture_output=True, check=True)
        whole += struct.pack("<III", 0x184D2A50, 4, len(frame.stdout)) + frame.stdout
    packed.write_bytes(whole + struct.pack("<II", 0x184D2A5E, 3) + b"end")


PACKED = {
    "gzip": through("gzip", "-1"),
    "gzip in members": in_members,
    "xz": through("xz", "-0"),
    "xz of two streams": after(through("sh", "-c", "head -c 1000000 | xz -0; cat | xz -0"), through("cat")),
    "zstd": through("zstd", "-1"),
    "zstd without checksum": through("zstd", "-1", "--no-check"),
    "zstd with a long window": through("zstd", "-1", "--long=31"),
    "zstd in frames": as_pzstd,
    "qcow2": qemu_img("qcow2"),
    "qcow2 of version 2": qemu_img("qcow2", "compat=0.10"),
    "vmdk": qemu_img("vmdk"),
    "vmdk for streaming": qemu_img("vmdk", "subformat=streamOptimized"),
    "vhd": qemu_img("vpc", "force_size"),
    "fixed vhd": qemu_img("vpc", "subformat=fixed,force_size"),
    "vhdx": qemu_img("vhdx"),
    "qcow2 in gzip": after(qemu_img("qcow2"), through("gzip", "-1")),
    "fixed vhd in zstd": after(qemu_img("vpc", "subformat=fixed,force_size"), through("zstd", "-1")),
    "vhdx in xz in gzip": after(qemu_img("vhdx"), after(through("xz", "-0"), through("gzip", "-1"))),
}


@needs_qemu_img
@pytest.mark.parametrize("form", PACKED)
def test_every_form_gives_the_disk_it_was_made_from(raw: Path, tmp_path: Path, form: str) -> None:
    packed = tmp_path / "an image, of:any name.raw"
    PACKED[form](raw, packed)
    with open_disk(raw) as disk, open_disk(packed) as same:
        assert same.path == packed
        assert same.size == SIZE
        assert same.read(0, SIZE) == disk.read(0, SIZE)
        assert list(same.extents()) == list(disk.extents())
        assert same.content() == disk.content()
        same.check_unchanged()


class Stages(Silent):
    """A reporter that keeps the titles of the stages and the bytes that they told of."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.warnings: list[str] = []
        self.expected = self.advanced = 0

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        self.titles.append(title)
        yield self

    def expect(self, total: int, done: int = 0) -> None:
        self.expected += total

    def advance(self, amount: int) -> None:
        self.advanced += amount

    def status(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def packed(raw: Path, tmp_path: Path) -> Path:
    path = tmp_path / "disk.gz"
    through("gzip", "-1")(raw, path)
    time.sleep(0.15)
    return path


def unpacked_images(cache: Path) -> list[Path]:
    return [entry for entry in (cache / "unpacked").iterdir() if not entry.name.startswith(".")]


@needs_qemu_img
@pytest.mark.parametrize("form", ["gzip", "zstd", "xz", "qcow2"])
def test_unpacking_is_shown(raw: Path, tmp_path: Path, form: str) -> None:
    PACKED[form](raw, tmp_path / "image")
    stages = Stages()
    open_disk(tmp_path / "image", reporter=stages).close()
    assert stages.titles == ["unpack image"]
    assert stages.advanced == stages.expected > 0


def test_a_raw_disk_is_not_unpacked(raw: Path, cache: Path) -> None:
    stages = Stages()
    open_disk(raw, reporter=stages).close()
    assert stages.titles == []
    assert not (cache / "unpacked").exists()


def test_the_second_time_it_is_unpacked_already(packed: Path) -> None:
    stages = Stages()
    for _ in range(2):
        with open_disk(packed, reporter=stages) as disk:
            assert disk.read(0, 5) == b"first"
    assert len(stages.titles) == 1


def test_an_image_that_was_written_again_is_unpacked_again(packed: Path, tmp_path: Path) -> None:
    open_disk(packed).close()
    other = tmp_path / "other"
    other.write_bytes(b"other" + bytes(MIB))
    through("gzip", "-1")(other, packed)
    with open_disk(packed) as disk:
        assert disk.read(0, 5) == b"other"


def test_an_image_written_just_now_is_not_taken_from_the_cache(packed: Path) -> None:
    packed.write_bytes(gzip.compress(b"one"))
    open_disk(packed).close()
    packed.write_bytes(gzip.compress(b"two"))
    with open_disk(packed) as disk:
        assert disk.read(0, disk.size) == b"two"


def test_an_image_whose_times_may_not_change_with_the_next_write_is_unpacked_each_time(packed: Path) -> None:
    os.utime(packed, (time.time() + 3600, time.time() + 3600))
    stages = Stages()
    for _ in range(2):
        open_disk(packed, reporter=stages).close()
    assert len(stages.titles) == 2


@pytest.mark.parametrize("form", ["gzip", "xz", "zstd"])
def test_zeros_at_the_end_belong_to_the_disk(make_image: MakeImage, tmp_path: Path, form: str) -> None:
    PACKED[form](make_image("ends-in-zeros", 3 * MIB + 5, {0: b"data"}), tmp_path / "image")
    with open_disk(tmp_path / "image") as disk:
        assert disk.size == 3 * MIB + 5
        assert list(disk.extents()) == [(0, 4096)]


def test_the_unpacked_file_is_sparse(packed: Path, cache: Path) -> None:
    open_disk(packed).close()
    (entry,) = unpacked_images(cache)
    assert (entry / "disk.raw").stat().st_blocks * 512 < 4 * MIB
    assert (entry / "disk.raw").stat().st_size == SIZE


def test_the_images_used_last_are_kept_and_those_in_use(raw: Path, tmp_path: Path, cache: Path) -> None:
    images = []
    for number in range(KEPT + 3):
        images.append(tmp_path / f"{number}.gz")
        images[-1].write_bytes(gzip.compress(b"%d" % number))
    time.sleep(0.15)
    with open_disk(images[0]) as in_use:
        for image in images[1:]:
            open_disk(image).close()
            time.sleep(0.02)
        assert len(unpacked_images(cache)) == KEPT + 1
        assert in_use.read(0, 1) == b"0"
    stages = Stages()
    for image in images[-KEPT:]:
        open_disk(image, reporter=stages).close()
    assert stages.titles == []
    assert len(unpacked_images(cache)) == KEPT


def test_what_a_killed_run_left_is_removed_and_what_a_running_one_writes_is_not(packed: Path, cache: Path) -> None:
    dead, running, young = (cache / "unpacked" / f".new-{name}" for name in ("dead", "running", "young"))
    for folder in (dead, running, young):
        folder.mkdir(parents=True)
        (folder / "layer0").write_bytes(b"half a disk")
    for folder in (dead, running):
        os.utime(folder, (time.time() - 3600, time.time() - 3600))
    lock = os.open(running, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        open_disk(packed).close()
    finally:
        os.close(lock)
    assert not dead.exists()
    assert (running / "layer0").exists()
    assert (young / "layer0").exists()


def test_a_run_killed_while_it_unpacks_leaves_nothing_that_is_taken_for_a_disk(packed: Path, cache: Path) -> None:
    program = """
import os, signal, sys
from lkcloud.disk import open_disk
from lkcloud.reporting import Silent
from contextlib import contextmanager
class Deadly(Silent):
    @contextmanager
    def stage(self, title):
        yield self
    def expect(self, total): pass
    def advance(self, amount): os.kill(os.getpid(), signal.SIGKILL)
open_disk(sys.argv[1], reporter=Deadly())
"""
    killed = subprocess.run([sys.executable, "-c", program, str(packed)], check=False)
    assert killed.returncode == -9
    assert unpacked_images(cache) == []
    assert len(list((cache / "unpacked").iterdir())) == 1
    with open_disk(packed) as disk:
        assert disk.read(SIZE - 1, 1) == b"\xff"


def test_unpacked_twice_at_the_same_time_gives_two_right_disks(packed: Path, cache: Path) -> None:
    program = "import sys; from lkcloud.disk import open_disk; print(open_disk(sys.argv[1]).content().digest)"
    command = [sys.executable, "-c", program, str(packed)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    digests = {process.communicate()[0] for process in running}
    with open_disk(packed) as disk:
        assert digests == {disk.content().digest + "\n"}
    assert len(unpacked_images(cache)) == 1


@needs_qemu_img
def test_the_end_of_a_vhd_of_another_creator_is_not_cut_off(raw: Path, tmp_path: Path) -> None:
    """QEMU takes one whose creator it does not know for as large as its cylinders x heads x sectors say."""
    vhd = tmp_path / "disk.vhd"
    PACKED["vhd"](raw, vhd)
    data = bytearray(vhd.read_bytes())
    for footer in (0, len(data) - 512):
        data[footer + 28 : footer + 32] = b"vbox"
        data[footer + 56 : footer + 60] = struct.pack(">HBB", 1204, 4, 17)  # 24 KiB less than the disk
        data[footer + 64 : footer + 68] = bytes(4)
        struct.pack_into(">I", data, footer + 64, ~sum(data[footer : footer + 512]) & 0xFFFFFFFF)
    vhd.write_bytes(data)
    with open_disk(vhd) as disk:
        assert disk.size == SIZE
        assert disk.read(SIZE - 1, 1) == b"\xff"


def test_the_name_of_a_file_does_not_matter(make_image: MakeImage) -> None:
    for ending in ("gz", "xz", "zst", "qcow2", "vmdk", "vhd", "vhdx"):
        with open_disk(make_image(f"image.{ending}", MIB, {0: b"raw"})) as disk:
            assert disk.size == MIB


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize(
    "boot_code",
    [b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"QFI\xfb", b"KDMV", b"conectix", b"BZh", b"PK\3\4"],
)
def test_a_disk_with_a_gpt_is_raw_whatever_it_begins_with(make_image: MakeImage, sector: int, boot_code: bytes) -> None:
    image = make_image("image.raw", MIB, {0: boot_code, 510: b"\x55\xaa", sector: b"EFI PART"})
    with open_disk(image) as disk:
        assert disk.size == MIB
        assert disk.read(0, len(boot_code)) == boot_code


@needs_qemu_img
def test_a_raw_disk_that_ends_in_the_footer_of_some_other_vhd_is_raw(raw: Path, tmp_path: Path) -> None:
    other = tmp_path / "disk.vhd"
    PACKED["fixed vhd"](raw, other)
    holder = tmp_path / "holder.raw"
    holder.write_bytes(bytes(MIB) + other.read_bytes())
    heard = Stages()
    with open_disk(holder, reporter=heard) as disk:
        assert disk.size == MIB + SIZE + 512
    [warning] = heard.warnings
    assert "holder.raw ends in the footer of a VHD" in warning


@pytest.mark.parametrize("form", ["a wrong checksum", "511 bytes", "none"])
def test_a_footer_that_is_not_believed_is_told(make_image: MakeImage, form: str) -> None:
    with open_disk(make_image("disk", MIB, {})) as disk:
        footer = vhd.footer(disk, vhd.Kind.FIXED)
    match form:
        case "a wrong checksum":
            footer = footer[:64] + b"\0\0\0\0" + footer[68:]
        case "511 bytes":
            footer = footer[:-1]
        case "none":
            footer = b"x" + footer[1:]
    heard = Stages()
    with open_disk(make_image("disk.vhd", MIB + len(footer), {MIB: footer}), reporter=heard) as disk:
        assert disk.size == MIB + len(footer)
    assert len(heard.warnings) == (form != "none")
