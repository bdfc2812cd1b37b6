# SPDX-License-Identifier: Apache-2.0
"""`convert --format pxe` writes what was put in, whole or not at all, and says what cannot start over the network."""

import fcntl
import os
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from lkcloud.disk import open_disk
from lkcloud.disk.assemble.order import Wanted
from lkcloud.errors import ImageChanged, LkcloudError, UnusableImage, UsageError
from lkcloud.formats.convert import Converted, convert
from lkcloud.reporting import Meter, Silent
from tests.assemble.builds import iso_efi, kernel_and_initrd
from tests.cli.conftest import Command
from tests.images import debian_uki

LINE = "console=ttyS0,115200 quiet"


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return kernel_and_initrd(tmp_path, line=LINE)


def write(image: Path, output: Path, wanted: Wanted | None = None, *, force: bool = False) -> Converted:
    with open_disk(image, wanted=wanted) as disk:
        return convert(disk, output, format="pxe", force=force)


def test_kernel_initramfs_and_script_come_out_as_they_went_in(build: Path, tmp_path: Path) -> None:
    made = write(build, tmp_path / "net")
    files = {path.name: path.read_bytes() for path in (tmp_path / "net").iterdir()}
    assert files == {
        "vmlinuz": Path(f"{build}-kernel").read_bytes(),
        "initrd.img": Path(f"{build}-initrd.img").read_bytes(),
        "boot.ipxe": f"#!ipxe\nkernel vmlinuz initrd=initrd.img {LINE}\ninitrd initrd.img\nboot\n".encode(),
    }
    assert (made.size, made.format) == (sum(map(len, files.values())), "pxe")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".lkcloud")) == []


def test_from_a_disk_with_a_unified_kernel_image(tmp_path: Path) -> None:
    debian_uki(tmp_path / "uki.raw")
    write(tmp_path / "uki.raw", tmp_path / "net")
    script = (tmp_path / "net/boot.ipxe").read_text()
    assert script.startswith("#!ipxe\nkernel vmlinuz initrd=initrd.img console=ttyS0")
    assert (tmp_path / "net/vmlinuz").read_bytes()[0x202:0x206] == b"HdrS"
    assert (tmp_path / "net/initrd.img").read_bytes()[:2] == b"\x1f\x8b"


def test_a_disk_that_changes_meanwhile_leaves_no_folder(tmp_path: Path) -> None:
    disk = kernel_and_initrd(tmp_path).with_name("disk.raw")
    with open_disk(tmp_path / "os") as made:
        convert(made, disk, format="raw")

    class Changing(Silent):
        def stage(self, title: str) -> AbstractContextManager[Meter]:
            with disk.open("ab") as file:
                file.write(b"more")
            return super().stage(title)

    with open_disk(disk) as opened, pytest.raises(ImageChanged):
        convert(opened, tmp_path / "net", format="pxe", reporter=Changing())
    assert not (tmp_path / "net").exists()


def test_several_initramfs_and_none(build: Path, tmp_path: Path) -> None:
    initrd = Path(f"{build}-initrd.img")
    write(build, tmp_path / "two", Wanted(initrds=(initrd, initrd)))
    assert "initrd=initrd.img initrd=initrd1.img console" in (tmp_path / "two/boot.ipxe").read_text()
    initrd.unlink()
    write(build, tmp_path / "none", Wanted(command_line=""))
    assert (tmp_path / "none/boot.ipxe").read_text() == "#!ipxe\nkernel vmlinuz\nboot\n"


def test_words_that_it_takes_as_they_are(build: Path, tmp_path: Path) -> None:
    line = 'initrd=/boot/x.img a="b c" d;e f#g $h {i} "j"'
    write(build, tmp_path / "net", Wanted(command_line=line))
    script = (tmp_path / "net/boot.ipxe").read_text()
    assert script.splitlines()[1] == "kernel vmlinuz initrd=initrd.img " + line.partition(" ")[2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("root=/dev/vda2", "its root file system is on the disk"),
        ("a=${ip}", "iPXE takes"),
        ("a || b", "iPXE takes"),
        ("a ; b", "iPXE takes"),
        ("a #b", "iPXE takes"),
    ],
)
def test_what_cannot_start_over_the_network(build: Path, tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UnusableImage, match=message):
        write(build, tmp_path / "net", Wanted(command_line=line))
    assert not (tmp_path / "net").exists()


def test_a_disk_without_linux(lkcloud: Command, tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(b"x" * 4096)
    said = lkcloud("convert", "x.raw", "net", "--format", "pxe", code=2).stderr
    assert "what it boots was not found on the disk: no Linux kernel was found" in said


def test_a_folder_with_something_in_it_stays(build: Path, tmp_path: Path) -> None:
    net = tmp_path / "net"
    net.mkdir()
    write(build, net)
    (net / "pxelinux.0").write_bytes(b"theirs")
    (net / "vmlinuz").write_bytes(b"old")
    with pytest.raises(UsageError, match="net is not empty"):
        write(build, net)
    assert (net / "vmlinuz").read_bytes() == b"old"
    write(build, net, force=True)
    assert (net / "vmlinuz").read_bytes() == Path(f"{build}-kernel").read_bytes()
    assert (net / "pxelinux.0").read_bytes() == b"theirs"


def test_what_a_killed_run_has_left_goes_with_the_next_one(build: Path, tmp_path: Path) -> None:
    dead, used, young, file = (tmp_path / f".lkcloud-{number:016x}" for number in range(4))
    for folder in (dead, used, young):
        folder.mkdir()
        (folder / "vmlinuz").write_bytes(b"half a ker")
    file.touch()
    for old in (dead, used, file):
        os.utime(old, (1e9, 1e9))
    lock = os.open(used, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    write(build, tmp_path / "net")
    os.close(lock)
    assert [path.exists() for path in (dead, used, young, file)] == [False, True, True, True]


def test_a_run_that_is_killed_before_the_folder_has_its_name(build: Path, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs the Debian package strace")
    # The first name that it gives is that of the disk it puts together, in the cache.
    killed = [strace, "-f", "-qq", "-o", "/dev/null", "-e", "inject=rename:signal=KILL:when=2"]
    convert_it = [sys.executable, "-m", "lkcloud", "convert", str(build), str(tmp_path / "net"), "--format", "pxe"]
    assert subprocess.run([*killed, *convert_it], check=False).returncode != 0
    [left] = tmp_path.glob(".lkcloud-*")
    assert (left / "boot.ipxe").exists()
    assert not (tmp_path / "net").exists()
    os.utime(left, (1e9, 1e9))
    write(build, tmp_path / "net")
    assert not left.exists()


def test_a_file_and_a_missing_folder_are_in_the_way(build: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output, message in (("file", "file is no folder"), ("none/net", "there is no folder")):
        with pytest.raises(UsageError, match=message):
            write(build, tmp_path / output, force=True)
    with open_disk(build) as disk, pytest.raises(UsageError, match="pxe is not compressed"):
        convert(disk, tmp_path / "net", format="pxe", compression_level=1)


def test_a_folder_that_has_the_name_of_a_file_is_named_and_nothing_is_replaced(build: Path, tmp_path: Path) -> None:
    net = tmp_path / "net"
    (net / "initrd.img").mkdir(parents=True)
    (net / "vmlinuz").write_bytes(b"old")
    with pytest.raises(UsageError, match=r"net/initrd\.img is a folder"):
        write(build, net, force=True)
    assert (net / "vmlinuz").read_bytes() == b"old"


class _Heard(Silent):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_the_file_system_of_a_live_iso_is_not_written_and_that_is_told(build: Path, tmp_path: Path) -> None:
    rest = {"live/filesystem.squashfs": b"the system" * 1_000}
    for image, warnings in ((iso_efi(tmp_path / "live.iso", rest=rest), 1), (build, 0)):
        heard = _Heard()
        with open_disk(image) as disk:
            convert(disk, tmp_path / f"{image.name}.net", format="pxe", reporter=heard)
        assert len(heard.warnings) == warnings
        assert not warnings or "is not written (iso9660 on partition 3 `medium`)" in heard.warnings[0]
        assert (tmp_path / f"{image.name}.net/boot.ipxe").exists()


def test_a_full_disk_leaves_nothing(build: Path, tmp_path: Path) -> None:
    with open_disk(build):
        pass  # it is in the cache now, so that what is full is the output
    program = """
import resource, signal, sys
from pathlib import Path
from lkcloud.disk import open_disk
from lkcloud.errors import LkcloudError
from lkcloud.formats.convert import convert
with open_disk(sys.argv[1]) as disk:
    disk.content()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))
    try:
        convert(disk, Path(sys.argv[2]), format="pxe")
    except LkcloudError as error:
        print(error.message)
"""
    command = [sys.executable, "-c", program, str(build), str(tmp_path / "net")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "takes no file as large as net" in said
    assert not {path.name for path in tmp_path.iterdir()} - {"os-kernel", "os-initrd.img", "os-cmdline"}


def test_the_names_of_formats_have_it(build: Path, tmp_path: Path) -> None:
    with open_disk(build) as disk, pytest.raises(LkcloudError) as caught:
        convert(disk, tmp_path / "x", format="tftp")
    assert "pxe" in caught.value.hint
