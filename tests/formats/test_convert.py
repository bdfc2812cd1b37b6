# SPDX-License-Identifier: Apache-2.0
"""`convert` writes sparse, whole or not at all, and never over what it must not."""

import filecmp
import gzip
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import lkcloud
from lkcloud.disk import open_disk
from lkcloud.errors import ImageChanged, UsageError
from lkcloud.formats import gce
from lkcloud.formats.catalogue import FORMATS, format_for
from lkcloud.formats.clusters import data_in_clusters
from lkcloud.formats.convert import convert
from lkcloud.formats.deflate import DEFAULT_LEVEL
from lkcloud.reporting import Meter, Silent
from tests.formats.converting import files, write

MIB = 1024 * 1024

RawMaker = Callable[[int, Mapping[int, bytes]], Path]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.raw", "raw"),
        ("a.img", "raw"),
        ("a.b.bin", "raw"),
        ("a.vhd", "vhd"),
        ("A.VHD", "vhd"),
        ("a.raw.vhd", "vhd"),
        ("a.vhdx", "vhdx"),
        ("a.qcow2", "qcow2"),
        ("a.tar.gz", "gce"),
        ("A.TAR.GZ", "gce"),
        ("a.raw.tar.gz", "gce"),
        ("a.vmdk", "vmdk"),
        ("a.ova", "ova"),
    ],
)
def test_the_ending_says_the_format(name: str, form: str) -> None:
    assert format_for(Path(name)).name == form


@pytest.mark.parametrize("name", ["disk", "disk.iso", "vhd", ".vhd", "disk.vdi", "disk.gz", "disk.tar", ".tar.gz"])
def test_an_ending_that_says_nothing_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        format_for(Path(name))
    assert all(form.name in caught.value.hint for form in FORMATS)
    assert ".vhd" in caught.value.hint


def test_help_names_every_format() -> None:
    command = [sys.executable, "-m", "lkcloud", "convert", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert {form.name for form in FORMATS} <= set(shown.replace(",", " ").split())


def test_an_unknown_format_is_refused(raw: Path, out: Path) -> None:
    with pytest.raises(UsageError, match="tape") as caught:
        write(raw, out / "a.raw", "tape")
    assert "vhd-dynamic" in caught.value.hint
    assert files(out) == []


def test_raw_to_raw_is_the_same_file_and_as_sparse(raw: Path, out: Path) -> None:
    result = write(raw, out / "copy.img")
    assert filecmp.cmp(raw, out / "copy.img", shallow=False)
    assert result.path == out / "copy.img"
    assert (result.format, result.size) == ("raw", 64 * MIB)
    assert 16 * MIB < result.data <= 16 * MIB + 3 * 4096
    assert (out / "copy.img").stat().st_blocks * 512 <= result.data + 64 * 1024
    assert files(out) == ["copy.img"]


def test_zeros_that_are_allocated_become_holes(make_raw: RawMaker, out: Path) -> None:
    raw = make_raw(32 * MIB, {0: bytes(32 * MIB), 20 * MIB: b"x"})
    assert write(raw, out / "copy.raw").data == 4096
    assert (out / "copy.raw").stat().st_blocks * 512 <= 64 * 1024
    assert filecmp.cmp(raw, out / "copy.raw", shallow=False)


def test_an_empty_disk_is_an_empty_raw_file(make_raw: RawMaker, out: Path) -> None:
    assert write(make_raw(0, {}), out / "empty.raw").size == 0
    assert (out / "empty.raw").stat().st_size == 0


@pytest.mark.parametrize("form", ["vhd", "vhd-dynamic", "vhdx", "qcow2", "qcow2-zlib", "qcow2-zstd"])
def test_there_and_back_again_is_the_same_file(form: str, raw: Path, out: Path) -> None:
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img, which reads VHDs, is missing: apt-get install qemu-utils")
    write(raw, out / "disk.vhd", form)
    write(out / "disk.vhd", out / "back.raw")
    assert filecmp.cmp(raw, out / "back.raw", shallow=False)


def test_the_compute_engine_tarball_is_what_tar_and_gzip_unpack(raw: Path, out: Path) -> None:
    made = write(raw, out / "disk.tar.gz", "gce")
    assert made.size == made.data == (out / "disk.tar.gz").stat().st_size
    assert made.size < 2 * MIB, "the data of this disk repeats"
    subprocess.run(["gzip", "-t", out / "disk.tar.gz"], check=True)
    subprocess.run(["tar", "-xzf", "disk.tar.gz"], cwd=out, check=True)
    os.truncate(raw, gce.ALIGNMENT)
    with open_disk(raw) as disk, open_disk(out / "disk.raw") as back:
        assert back.content().digest == disk.content().digest
    assert (out / "disk.raw").stat().st_blocks * 512 < 17 * MIB


def test_the_compute_engine_tarball_is_the_same_each_time_and_another_at_another_level(raw: Path, out: Path) -> None:
    with lkcloud.open_disk(raw) as disk:
        for name, level in (("a.tar.gz", None), ("b.tar.gz", DEFAULT_LEVEL), ("c.tar.gz", 3), ("d.tar.gz", 6)):
            lkcloud.convert(disk, out / name, compression_level=level)
    first, same, *others = [(out / f"{name}.tar.gz").read_bytes() for name in "abcd"]
    assert first == same
    assert len({first, *others}) == 3
    assert {gzip.decompress(other) for other in others} == {gzip.decompress(first)}


@pytest.mark.parametrize(
    ("name", "level"),
    [("a.raw", 1), ("a.vhd", 0), ("a.tar.gz", 10), ("a.tar.gz", -1), ("a.vmdk", 0), ("a.vmdk", 13), ("a.ova", 13)],
)
def test_a_level_that_makes_no_sense_is_refused(name: str, level: int, raw: Path, out: Path) -> None:
    with lkcloud.open_disk(raw) as disk, pytest.raises(UsageError, match="compress") as caught:
        lkcloud.convert(disk, out / name, compression_level=level)
    assert caught.value.hint
    assert files(out) == []


def test_the_new_file_has_the_permissions_of_any_new_file(raw: Path, out: Path) -> None:
    before = os.umask(0o027)
    try:
        write(raw, out / "a.raw")
    finally:
        os.umask(before)
    assert (out / "a.raw").stat().st_mode & 0o777 == 0o640


def test_a_file_that_is_there_stays_without_force(raw: Path, out: Path) -> None:
    (out / "a.vhd").write_text("mine")
    with pytest.raises(UsageError, match="exists") as caught:
        write(raw, out / "a.vhd", "vhd")
    assert "--force" in caught.value.hint
    assert (out / "a.vhd").read_text() == "mine"
    assert files(out) == ["a.vhd"]


def test_force_replaces_a_file(raw: Path, out: Path) -> None:
    (out / "a.raw").write_text("old")
    write(raw, out / "a.raw", force=True)
    assert filecmp.cmp(raw, out / "a.raw", shallow=False)
    assert files(out) == ["a.raw"]


def test_force_writes_where_a_symbolic_link_points(raw: Path, out: Path) -> None:
    (out / "real.raw").write_text("old")
    (out / "link.raw").symlink_to("real.raw")
    write(raw, out / "link.raw", force=True)
    assert (out / "link.raw").is_symlink()
    assert filecmp.cmp(raw, out / "real.raw", shallow=False)


@pytest.mark.parametrize("way", ["itself", "symbolic link", "hard link"])
def test_the_image_itself_is_never_the_output(way: str, raw: Path, out: Path) -> None:
    output = out / "other.raw"
    match way:
        case "itself":
            output = raw.parent / "out" / ".." / raw.name
        case "symbolic link":
            output.symlink_to(raw)
        case "hard link":
            output.hardlink_to(raw)
    before = raw.read_bytes()
    with pytest.raises(UsageError, match="is the image itself"):
        write(raw, output, force=True)
    assert raw.read_bytes() == before


def test_a_folder_a_missing_folder_and_a_pipe_are_no_outputs(raw: Path, out: Path) -> None:
    os.mkfifo(out / "pipe")
    for output in (out, out / "missing" / "a.raw", raw / "a.raw", out / "pipe", Path("/dev/null")):
        with pytest.raises(UsageError) as caught:
            write(raw, output, force=True)
        assert caught.value.hint
    assert files(out) == ["pipe"]
    assert Path("/dev/null").is_char_device()


def test_a_name_that_no_file_system_takes_is_told(raw: Path, out: Path) -> None:
    for form, output in (("raw", out / ("a" * 300)), ("raw", out / ("a" * 300) / "a.raw"), ("pxe", out / ("a" * 300))):
        with pytest.raises(UsageError, match="the name is too long for ") as caught:
            write(raw, output, form)
        assert caught.value.hint == "choose a shorter name"


@pytest.mark.parametrize("form", ["raw", "pxe"])
def test_what_is_wrong_with_the_folder_is_told_with_a_command_that_works(raw: Path, out: Path, form: str) -> None:
    for output in (raw / "a", raw / "b" / "a"):
        with pytest.raises(UsageError, match=f"{raw.name} is no folder") as caught:
            write(raw, output, form)
        assert "mkdir" not in caught.value.hint
    output = out / "not there; yet" / "a"
    with pytest.raises(UsageError, match="there is no folder") as caught:
        write(raw, output, form)
    subprocess.run(["sh", "-ec", caught.value.hint.partition(": ")[2]], check=True)
    assert output.parent.is_dir()


@pytest.mark.parametrize(("form", "what"), [("raw", "no regular file"), ("pxe", "no folder")])
def test_the_standard_output_is_no_file(raw: Path, form: str, what: str) -> None:
    command = [sys.executable, "-m", "lkcloud", "convert", raw, "/dev/stdout", "--format", form, "--force"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: /dev/stdout is {what}")


def test_a_file_in_the_place_of_a_removed_image_is_not_replaced(raw: Path, out: Path) -> None:
    (out / "a.raw").write_text("mine")
    with open_disk(raw) as disk:
        raw.unlink()
        with pytest.raises(UsageError, match="exists"):
            convert(disk, out / "a.raw", format="raw")
        with pytest.raises(ImageChanged):
            convert(disk, out / "a.raw", format="raw", force=True)
    assert (out / "a.raw").read_text() == "mine"


def test_of_many_runs_at_once_one_wins_and_the_file_is_whole(raw: Path, out: Path) -> None:
    def attempt(_: int) -> bool:
        try:
            write(raw, out / "a.raw")
        except UsageError:
            return False
        return True

    with ThreadPoolExecutor(6) as executor:
        results = list(executor.map(attempt, range(6)))
    assert results.count(True) == 1
    assert filecmp.cmp(raw, out / "a.raw", shallow=False)
    assert files(out) == ["a.raw"]


@pytest.mark.parametrize("form", ["raw", "gce", "vmdk", "ova"])
def test_an_image_that_changed_is_noticed_and_the_old_output_stays(form: str, raw: Path, out: Path) -> None:
    (out / "a.raw").write_text("old")
    with open_disk(raw) as disk:
        disk.extents()
        with raw.open("r+b") as file:
            file.write(b"HEAD")
        with pytest.raises(ImageChanged):
            convert(disk, out / "a.raw", format=form, force=True)
    assert (out / "a.raw").read_text() == "old"
    assert files(out) == ["a.raw"]


class Counting(Silent):
    """Adds up the progress, and can do something in the middle of it."""

    def __init__(self, at_third: Callable[[], None] = lambda: None) -> None:
        self.expected = self.done = self.calls = 0
        self.at_third = at_third
        self.lock = threading.Lock()

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        assert title.startswith("writing a.")
        yield self

    def expect(self, total: int, done: int = 0) -> None:
        self.expected = total

    def advance(self, amount: int) -> None:
        with self.lock:
            self.done += amount
            self.calls += 1
            third = self.calls == 3
        if third:
            self.at_third()

    def status(self, text: str) -> None:
        pass


each_way_to_write = pytest.mark.parametrize(
    ("name", "form"),
    [("a.vhd", "vhd"), ("a.tar.gz", "gce"), ("a.vmdk", "vmdk"), ("a.ova", "ova"), ("a.qcow2", "qcow2-zstd")],
)


@each_way_to_write
def test_progress_ends_at_what_was_announced(name: str, form: str, raw: Path, out: Path) -> None:
    reporter = Counting()
    with open_disk(raw) as disk:
        result = convert(disk, out / name, format=form, reporter=reporter)
        grains = data_in_clusters(disk, 64 * 1024)
        expected = {
            "vhd": result.data,
            "gce": gce.tarball(disk).size,
            "vmdk": grains,
            "ova": grains,
            "qcow2-zstd": grains,
        }[form]
    assert reporter.done == reporter.expected == expected


@pytest.mark.parametrize(("form", "footer"), [("raw", 0), ("vhd", 512)])
def test_zeros_that_are_allocated_are_read_but_not_written(
    form: str, footer: int, make_raw: RawMaker, out: Path
) -> None:
    raw = make_raw(8 * MIB, {0: bytes(8 * MIB), 5 * MIB: b"x", 7 * MIB - 1: b"yz"})
    reporter = Counting()
    with open_disk(raw) as disk:
        if list(disk.possible_extents()) != [(0, 8 * MIB)]:
            pytest.skip("needs a file system that writes zeros as it is told")
        result = convert(disk, out / "a.out", format=form, reporter=reporter)
    assert result.data == 3 * 4096 + footer
    assert reporter.done == reporter.expected == 8 * MIB + footer


@each_way_to_write
def test_ctrl_c_leaves_nothing(name: str, form: str, raw: Path, out: Path) -> None:
    def press() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(1)  # so that the main thread hears of it while there is work left

    reporter = Counting(press)
    with open_disk(raw) as disk, pytest.raises(KeyboardInterrupt):
        convert(disk, out / name, format=form, reporter=reporter)
    assert reporter.done < reporter.expected, "the workers went on"
    assert files(out) == []
    workers = ("deflate", "compress", "flush")
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(workers)]
