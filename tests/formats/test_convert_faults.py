# SPDX-License-Identifier: Apache-2.0
"""`convert` where the disk, the file system or a system call fails, or it is killed: it says so and leaves nothing."""

import filecmp
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lkcloud.errors import LkcloudError, UsageError
from tests.formats.converting import files, write

MIB = 1024 * 1024

RawMaker = Callable[[int, Mapping[int, bytes]], Path]


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


@pytest.mark.parametrize("fault", ["pwrite64:error=EIO:when=5", "ftruncate:error=EIO"])
def test_a_disk_that_fails_while_it_is_written_is_told(
    fault: str, out: Path, with_faults: Callable[..., tuple[str, str]]
) -> None:
    (out / "a.raw").write_text("old")
    kind, message = with_faults(fault, anywhere=True, force=True)
    assert (kind, message.endswith("Input/output error")) == ("LkcloudError", True)
    assert (out / "a.raw").read_text() == "old"
    assert files(out) == ["a.raw"]


def test_a_full_disk_that_is_told_when_a_file_is_closed_is_told(
    out: Path, with_faults: Callable[..., tuple[str, str]]
) -> None:
    """As network file systems and some quotas do, which take all that is written at first."""
    assert with_faults(anywhere=True) == ("done", "")
    calls = [line.split(maxsplit=1) for line in (out.parent / "trace").read_text().splitlines()]
    # What begins with < is the second half of a call.
    main = [call for thread, call in calls if thread == calls[0][0] and not call.startswith("<")]
    copied = max(number for number, call in enumerate(main) if "F_DUPFD_CLOEXEC" in call)
    assert main[copied + 1].startswith("close(")
    earlier = sum(call.startswith("close(") for call in main[:copied])
    (out / "a.raw").unlink()
    kind, message = with_faults(f"close:error=ENOSPC:when={earlier + 1}", anywhere=True)
    assert (kind, message.startswith("no space left")) == ("LkcloudError", True)
    assert files(out) == []


FLUSHED = """
import os, sys
from pathlib import Path
from lkcloud.formats.atomic import whole_file
with whole_file(Path(sys.argv[1]), replace=True) as file:
    os.write(file, b"new")
"""


def test_what_is_flushed_and_fails_leaves_what_was_there(out: Path) -> None:
    """Manifests and the documents of images are."""
    strace = shutil.which("strace")
    if (
        strace is None
        or subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs strace, and that it may trace")
    (out / "a.json").write_text("old")
    tracer = [strace, "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=1"]
    command = [sys.executable, "-c", FLUSHED, str(out / "a.json")]
    done = subprocess.run([*tracer, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Input/output error" in done.stderr
    assert (out / "a.json").read_text() == "old"
    assert files(out) == ["a.json"]
