# SPDX-License-Identifier: Apache-2.0
"""`convert` writes sparse, whole or not at all, and never over what it must not."""

import filecmp
import gzip
import json
import os
import resource
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
from lkcloud.errors import ImageChanged, LkcloudError, UsageError
from lkcloud.formats import gce
from lkcloud.formats.catalogue import FORMATS, format_for
from lkcloud.formats.clusters import data_in_clusters
from lkcloud.formats.convert import Converted, convert
from lkcloud.formats.deflate import DEFAULT_LEVEL
from lkcloud.reporting import Meter, Silent

MIB = 1024 * 1024

RawMaker = Callable[[int, Mapping[int, bytes]], Path]


@pytest.fixture
def raw(make_raw: RawMaker) -> Path:
    """64 MiB of which 16 MiB are data."""
    return make_raw(64 * MIB, {0: b"head", 8 * MIB: bytes(range(1, 257 - 1)) * (16 * MIB // 255), 64 * MIB - 1: b"x"})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder to write in."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def write(raw: Path, output: Path, form: str = "raw", *, force: bool = False) -> Converted:
    with open_disk(raw) as disk:
        return convert(disk, output, format=form, force=force)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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
    ("name", "level"), [("a.raw", 1), ("a.vhd", 0), ("a.tar.gz", 10), ("a.tar.gz", -1), ("a.vmdk", 10), ("a.ova", 10)]
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
    with pytest.raises(LkcloudError, match="File name too long"):
        write(raw, out / ("a" * 300 + ".raw"))


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


@pytest.fixture
def mounted(out: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a tmpfs with options; only root can."""
    mounts = []

    def mount(options: str) -> Path:
        answer = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", out], capture_output=True, text=True, check=False
        )
        if answer.returncode:
            pytest.skip(f"needs the right to mount a small file system: {answer.stderr.strip()}")
        mounts.append(out)
        return out

    yield mount
    for folder in mounts:
        subprocess.run(["umount", folder], check=True)


def test_a_full_file_system_is_told_with_what_is_needed(raw: Path, mounted: Callable[[str], Path]) -> None:
    folder = mounted("size=4M")
    with pytest.raises(LkcloudError, match=r"no space left in .*: a\.vhd needs 167\d{5} bytes") as caught:
        write(raw, folder / "a.vhd", "vhd")
    assert caught.value.exit_code == 1
    assert files(folder) == []
    assert shutil.disk_usage(folder).used == 0


@pytest.mark.parametrize(("name", "form"), [("a.tar.gz", "gce"), ("a.vmdk", "vmdk"), ("a.ova", "ova")])
def test_a_full_file_system_is_told_with_the_most_that_a_compressed_file_may_need(
    name: str, form: str, make_raw: RawMaker, mounted: Callable[[str], Path]
) -> None:
    raw, folder = make_raw(8 * MIB, {0: os.urandom(8 * MIB)}), mounted("size=4M")
    with pytest.raises(LkcloudError, match=rf"no space left in .*: {name} needs up to 8[34]\d{{5}} bytes"):
        write(raw, folder / name, form)
    assert files(folder) == []
    assert shutil.disk_usage(folder).used == 0


@pytest.mark.parametrize("form", ["qcow2", "qcow2-zlib", "qcow2-zstd", "vhdx"])
def test_a_full_file_system_keeps_nothing_of(form: str, make_raw: RawMaker, mounted: Callable[[str], Path]) -> None:
    raw, folder = make_raw(8 * MIB, {0: os.urandom(8 * MIB)}), mounted("size=4M")
    with pytest.raises(LkcloudError, match=r"no space left in .*: a\.disk needs "):
        write(raw, folder / "a.disk", form)
    assert files(folder) == []
    assert shutil.disk_usage(folder).used == 0


def test_a_file_system_without_room_for_a_name_is_told(raw: Path, mounted: Callable[[str], Path]) -> None:
    with pytest.raises(LkcloudError, match="no space left"):
        write(raw, mounted("size=64M,nr_inodes=1") / "a.vhd", "vhd")


def test_a_folder_that_cannot_be_written_is_told(raw: Path, mounted: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match=r"cannot write in .*Read-only") as caught:
        write(raw, mounted("ro") / "a.vhd", "vhd")
    assert caught.value.hint


def test_a_limit_on_the_size_of_files_is_told(raw: Path, out: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, hard))
    try:
        with pytest.raises(LkcloudError, match="takes no file as large as"):
            write(raw, out / "a.vhd", "vhd")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(out) == []


CONVERT = """
import json, sys
from pathlib import Path
from lkcloud.disk import open_disk
from lkcloud.errors import LkcloudError
from lkcloud.formats.catalogue import format_for
from lkcloud.formats.convert import convert
try:
    output = Path(sys.argv[2])
    with open_disk(sys.argv[1]) as disk:
        convert(disk, output, format=format_for(output).name, force=sys.argv[3] == "force")
except LkcloudError as error:
    print(json.dumps([type(error).__name__, error.message]))
else:
    print(json.dumps(["done", ""]))
"""


@pytest.fixture
def with_faults(raw: Path, out: Path) -> Callable[..., tuple[str, str]]:
    """A function that converts to out/a.raw, or another NAME there, in a process whose system calls fail as told.

    Only calls on the output's folder count, whatever Python itself opens; with anywhere=True all calls do.
    """

    def run(*faults: str, force: bool = False, anywhere: bool = False, name: str = "a.raw") -> tuple[str, str]:
        strace = shutil.which("strace")
        if strace is None:
            pytest.skip("strace is missing: apt-get install strace")
        if subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
            pytest.skip("strace may not trace here")
        tracer = [strace, "-f", "-qq", "-o", str(out.parent / "trace"), *([] if anywhere else ["-P", str(out)])]
        injections = [argument for fault in faults for argument in ("-e", f"inject={fault}")]
        command = [sys.executable, "-c", CONVERT, str(raw), str(out / name), "force" if force else "keep"]
        answer = subprocess.run([*tracer, *injections, *command], capture_output=True, text=True, check=False)
        if answer.returncode:
            return "killed", str(answer.returncode)
        kind, message = json.loads(answer.stdout)
        return kind, message

    return run


# The second opening in the folder is that of the new file; the first is the folder's own.
NO_NAMELESS_FILES = "openat:error=EOPNOTSUPP:when=2"
NO_HARD_LINKS = "linkat:error=EPERM:when=1"

FILE_SYSTEMS = {
    "all there is": [],
    "no nameless files": [NO_NAMELESS_FILES],
    "neither": [NO_NAMELESS_FILES, NO_HARD_LINKS],
}

each_file_system = pytest.mark.parametrize("faults", FILE_SYSTEMS.values(), ids=FILE_SYSTEMS)


@each_file_system
def test_every_file_system_gets_the_file(
    faults: list[str], raw: Path, out: Path, with_faults: Callable[..., tuple[str, str]]
) -> None:
    assert with_faults(*faults) == ("done", "")
    trace = (out.parent / "trace").read_text()
    assert trace.count("(INJECTED)") == len(faults)
    assert (out / "a.raw").stat().st_mode == raw.stat().st_mode
    assert filecmp.cmp(raw, out / "a.raw", shallow=False)
    assert files(out) == ["a.raw"]
    kind, message = with_faults(*faults[:1])
    assert (kind, "exists" in message) == ("UsageError", True)
    assert with_faults(*faults[:1], force=True) == ("done", "")
    assert filecmp.cmp(raw, out / "a.raw", shallow=False)
    assert files(out) == ["a.raw"]


@each_file_system
def test_a_name_that_cannot_be_given_leaves_what_was_there(
    faults: list[str], out: Path, with_faults: Callable[..., tuple[str, str]]
) -> None:
    (out / "a.raw").write_text("old")
    kind, message = with_faults(*faults[:1], "renameat:error=EIO", force=True)
    assert (kind, "cannot write" in message) == ("LkcloudError", True)
    assert (out / "a.raw").read_text() == "old"
    assert files(out) == ["a.raw"]


@pytest.mark.parametrize(
    "faults",
    [["linkat:error=EIO"], [NO_NAMELESS_FILES, "linkat:error=EIO"], [*FILE_SYSTEMS["neither"], "renameat:error=EIO"]],
    ids=FILE_SYSTEMS,
)
def test_a_name_that_cannot_be_given_leaves_nothing(
    faults: list[str], out: Path, with_faults: Callable[..., tuple[str, str]]
) -> None:
    kind, message = with_faults(*faults)
    assert (kind, "cannot write" in message) == ("LkcloudError", True)
    assert files(out) == []


def test_a_killed_run_leaves_nothing(out: Path, with_faults: Callable[..., tuple[str, str]]) -> None:
    assert with_faults("pwrite64:signal=KILL:when=5", anywhere=True)[0] == "killed"
    assert files(out) == []


@pytest.mark.parametrize("fault", ["pwrite64:error=EIO:when=5", "ftruncate:error=EIO", "fsync:error=EIO:when=1"])
def test_a_disk_that_fails_while_it_is_written_is_told(
    fault: str, out: Path, with_faults: Callable[..., tuple[str, str]]
) -> None:
    (out / "a.raw").write_text("old")
    kind, message = with_faults(fault, anywhere=True, force=True)
    assert (kind, message.endswith("Input/output error")) == ("LkcloudError", True)
    assert (out / "a.raw").read_text() == "old"
    assert files(out) == ["a.raw"]


def test_a_failure_while_a_compressed_file_is_flushed_is_told(
    make_raw: RawMaker, out: Path, with_faults: Callable[..., tuple[str, str]]
) -> None:
    """The kernel tells it only to the flush in the background; the last one of all then succeeds."""
    noise = os.urandom(4 * MIB)
    make_raw(80 * MIB, dict.fromkeys(range(0, 80 * MIB, 4 * MIB), noise))  # where the fixture made its own
    kind, message = with_faults("fdatasync:error=EIO:when=1", anywhere=True, name="a.tar.gz")
    assert (kind, message.endswith("Input/output error")) == ("LkcloudError", True)
    assert files(out) == []
