# SPDX-License-Identifier: Apache-2.0
"""A kernel with its initramfs is taken as a disk, whoever built it; what cannot be one is refused, and why."""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from lkcloud.disk import Disk, open_disk
from lkcloud.disk.assemble.order import Wanted
from lkcloud.disk.inspect import inspect
from lkcloud.disk.linux.system import look_for_linux
from lkcloud.errors import ImageChanged, UnusableImage, UsageError
from lkcloud.formats.convert import convert
from lkcloud.reporting import Meter, Silent
from lkcloud.sandbox.tinydisk.machine_code import efi_program
from tests.assemble.builds import kernel_and_initrd, need_loaders, small_kernel
from tests.cli.conftest import Command
from tests.readiness.isos import written

LINE = 'console=ttyS0 root=/dev/ram0 dyndbg="file drivers/usb/* +p" -- single'


@pytest.fixture(autouse=True)
def loaders() -> None:
    need_loaders()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A kernel and an initramfs with names of their own."""
    kernel, initrd = tmp_path / "bzImage", tmp_path / "rootfs.cpio.gz"
    kernel.write_bytes(small_kernel())
    initrd.write_bytes(b"initramfs" * 3_000)
    return kernel, initrd


def digest(disk: Disk) -> str:
    return hashlib.sha256(disk.read(0, disk.size)).hexdigest()


def test_the_build_is_found_by_its_name_and_by_its_kernel(tmp_path: Path) -> None:
    build = kernel_and_initrd(tmp_path, line=LINE)
    with open_disk(build) as by_name, open_disk(f"{build}-kernel") as by_kernel:
        assert digest(by_name) == digest(by_kernel)
        assert by_name.content() == by_kernel.content()
        facts = inspect(by_name)
        assert facts.firmware == ("bios", "uefi")
        assert facts.problems == ()
        assert [(one.type, one.filesystem) for one in facts.partitions] == [("BIOS boot", ""), ("EFI system", "vfat")]
        boot = look_for_linux(by_name, facts, unpack=False).boot
        assert boot is not None
        assert boot.kernel is not None
        assert boot.command_line is not None
        assert boot.command_line.text == LINE
        assert boot.kernel.read(0, 1 << 20) == Path(f"{build}-kernel").read_bytes()
        (initrd,) = boot.initramfs
        assert initrd.read(0, 1 << 20) == Path(f"{build}-initrd.img").read_bytes()


def test_what_is_said_counts_before_what_lies_beside_it(tmp_path: Path, files: tuple[Path, Path]) -> None:
    build = kernel_and_initrd(tmp_path)
    wanted = Wanted((files[1], files[1]), "quiet", ("uefi",))
    with open_disk(build, wanted=wanted) as disk:
        facts = inspect(disk)
        boot = look_for_linux(disk, facts, unpack=False).boot
        assert facts.firmware == ("uefi",)
        assert boot is not None
        assert boot.command_line is not None
        assert boot.command_line.text == "quiet"
        assert [one.size for one in boot.initramfs] == [27_000, 27_000]


def test_a_kernel_alone_starts_without_an_initramfs_if_that_is_meant(files: tuple[Path, Path]) -> None:
    kernel, _ = files
    with pytest.raises(UnusableImage, match="there is no initramfs with it") as caught:
        open_disk(kernel)
    assert "--initrd" in caught.value.hint
    with open_disk(kernel, wanted=Wanted(command_line="root=/dev/nfs")) as disk:
        boot = look_for_linux(disk, inspect(disk), unpack=False).boot
        assert boot is not None
        assert boot.initramfs == ()


def test_other_partitioning_tools_find_no_fault(tmp_path: Path) -> None:
    with open_disk(kernel_and_initrd(tmp_path)) as disk:
        (tmp_path / "disk.raw").write_bytes(disk.read(0, disk.size))
    said = subprocess.run(
        ["/usr/sbin/sgdisk", "-v", tmp_path / "disk.raw"], capture_output=True, text=True, check=True
    ).stdout
    assert "No problems found" in said


@pytest.mark.parametrize(
    "build",
    [
        kernel_and_initrd,
        lambda folder: kernel_and_initrd(folder, line=LINE),
    ],
)
def test_the_same_files_give_the_same_bytes_in_another_place_at_another_time(
    tmp_path: Path, build: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = set()
    for name in ("one", "two"):
        monkeypatch.setenv("LKCLOUD_CACHE_DIR", str(tmp_path / name / "cache"))
        with open_disk(build(tmp_path / name)) as disk:
            digests.add(digest(disk))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    with open_disk(build(tmp_path / "one")) as disk:
        assert digest(disk) not in digests
    assert len(digests) == 1


def test_for_a_bios_alone_it_has_no_partition_for_uefi(tmp_path: Path) -> None:
    with open_disk(kernel_and_initrd(tmp_path), wanted=Wanted(firmware=("bios",))) as disk:
        facts = inspect(disk)
    assert facts.problems == ()
    assert facts.firmware == ("bios",)
    assert [(one.type, one.name) for one in facts.partitions] == [("BIOS boot", "bios"), ("Linux filesystem", "boot")]


def test_no_two_disks_have_the_same_identifiers(tmp_path: Path) -> None:
    seen = set()
    for line in ("a", "b"):
        with open_disk(kernel_and_initrd(tmp_path / line, line=line)) as disk:
            seen.add(disk.read(512 + 56, 16))  # the GUID of the disk in the header of its table
            seen.add(disk.read(1024 + 16, 16))  # that of its first partition
    assert len(seen) == 4


def test_it_is_put_together_once_and_again_when_something_has_changed(tmp_path: Path) -> None:
    build = kernel_and_initrd(tmp_path, line="first")
    for path in tmp_path.iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    stages: list[str] = []

    class Voice(Silent):
        def stage(self, title: str) -> AbstractContextManager[Meter]:
            stages.append(title)
            return super().stage(title)

    time.sleep(0.3)  # until the times of the files stand for what is in them
    digests = []
    for line in (None, None, "second", None):
        with open_disk(build, wanted=Wanted(command_line=line), reporter=Voice()) as disk:
            digests.append((digest(disk), disk.content().digest))
    assert stages == ["assemble os-kernel"] * 2
    assert digests[0] == digests[1] == digests[3] != digests[2]
    Path(f"{build}-initrd.img").write_bytes(b"another")
    with open_disk(build, reporter=Voice()) as disk:
        assert digest(disk) not in {one for one, _ in digests}


def test_the_cache_can_be_removed_while_the_disk_is_used(tmp_path: Path) -> None:
    with open_disk(kernel_and_initrd(tmp_path)) as disk:
        shutil.rmtree(os.environ["LKCLOUD_CACHE_DIR"])
        assert disk.content().size == disk.size
        disk.check_unchanged()


class _Changing(Silent):
    """Writes to FILE while the disk is put together."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def stage(self, title: str) -> AbstractContextManager[Meter]:
        self.file.write_bytes(self.file.read_bytes() + b"more")
        return super().stage(title)


@pytest.mark.parametrize("ending", ["kernel", "initrd.img"])
def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path, ending: str) -> None:
    build = kernel_and_initrd(tmp_path)
    with pytest.raises(ImageChanged):
        open_disk(build, reporter=_Changing(tmp_path / f"os-{ending}"))
    assert not list((Path(os.environ["LKCLOUD_CACHE_DIR"]) / "assembled").iterdir())


def arm64_image() -> bytes:
    content = bytearray(b"arm64" * 10_000)
    content[:2], content[0x38:0x3C] = b"MZ", b"ARM\x64"
    return bytes(content)


@pytest.mark.parametrize(
    ("kernel", "wanted", "message", "hint"),
    [
        (small_kernel(words64=False), Wanted(), "for no 64-bit machine", "x86-64"),
        (small_kernel()[:-17], Wanted(), "has 59983 bytes, and should have", "cut short"),
        (small_kernel(efi=False), Wanted(), "cannot be started by UEFI", "--boots-by bios"),
        (small_kernel(), Wanted(command_line="a\\b"), "backslash", "--boots-by uefi"),
        (small_kernel(), Wanted(command_line="x" * 2028), "2028 bytes, and at most 2027 come through", "shorter"),
        (small_kernel(), Wanted(command_line="x" * 2030, firmware=("uefi",)), "at most 2028", "shorter"),
        (small_kernel(), Wanted(command_line="a\x07b"), "cannot be printed", "plain text"),
        (small_kernel(), Wanted(initrds=(Path("/nowhere"),)), "cannot open the initramfs /nowhere", "path"),
        (small_kernel(), Wanted(initrds=(Path("/tmp"),)), "/tmp is no file", "--initrd"),
        (arm64_image(), Wanted(firmware=("bios",)), "no BIOS starts a kernel for arm64", "--boots-by uefi"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, kernel: bytes, wanted: Wanted, message: str, hint: str) -> None:
    build = kernel_and_initrd(tmp_path)
    Path(f"{build}-kernel").write_bytes(kernel)
    with pytest.raises(UnusableImage) as caught:
        open_disk(build, wanted=wanted)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_folder_of_that_name_is_not_in_the_way(lkcloud: Command, tmp_path: Path) -> None:
    kernel_and_initrd(tmp_path).mkdir()
    assert lkcloud("inspect", "os").stdout == lkcloud("inspect", tmp_path / "os-kernel").stdout
    (tmp_path / "os-kernel").write_bytes(b"no kernel")
    assert "os-kernel is no Linux kernel" in lkcloud("inspect", "os", code=2).stderr


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_initramfs_is_no_disk(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "initrd.img").write_bytes(pack(b"070701" + b"0" * 5_000))
    with pytest.raises(UnusableImage, match="is an initramfs, not a disk"):
        open_disk(tmp_path / "initrd.img")


def test_an_initramfs_that_is_removed_meanwhile_is_noticed(tmp_path: Path) -> None:
    build = kernel_and_initrd(tmp_path)

    class Removing(Silent):
        def stage(self, title: str) -> AbstractContextManager[Meter]:
            Path(f"{build}-initrd.img").unlink()
            return super().stage(title)

    with pytest.raises(ImageChanged, match=r"initrd\.img changed"):
        open_disk(build, reporter=Removing())


def test_a_boot_loader_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = kernel_and_initrd(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnusableImage, match="there is no GRUB for BIOS") as caught:
        open_disk(build)
    assert "grub-pc-bin" in caught.value.hint
    with open_disk(build, wanted=Wanted(firmware=("uefi",))) as disk:
        assert inspect(disk).firmware == ("uefi",)


@pytest.mark.skipif(
    Path("/usr/lib/systemd/boot/efi/systemd-bootaa64.efi").exists(),
    reason="the loader for arm64 is installed on this machine",
)
def test_an_arm64_kernel_wants_its_own_loader(tmp_path: Path) -> None:
    build = kernel_and_initrd(tmp_path)
    Path(f"{build}-kernel").write_bytes(arm64_image())
    with pytest.raises(UnusableImage, match=r"systemd-bootaa64\.efi") as caught:
        open_disk(build)
    assert caught.value.hint == (
        "install the Debian package systemd-boot-efi:arm64, or name the folder that has it in LKCLOUD_SYSTEMD_BOOT"
    )


def test_a_folder_that_has_no_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = kernel_and_initrd(tmp_path)
    Path(f"{build}-kernel").write_bytes(arm64_image())
    monkeypatch.setenv("LKCLOUD_SYSTEMD_BOOT", str(tmp_path))
    with pytest.raises(UnusableImage) as caught:
        open_disk(build)
    assert f"(systemd-bootaa64.efi) in {tmp_path} (LKCLOUD_SYSTEMD_BOOT) or elsewhere on this" in str(caught.value)


def test_a_loader_in_a_folder_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = kernel_and_initrd(tmp_path)
    Path(f"{build}-kernel").write_bytes(arm64_image())
    written(tmp_path / "loaders", {"systemd-bootaa64.efi": efi_program("loader", "arm64")})
    monkeypatch.setenv("LKCLOUD_SYSTEMD_BOOT", str(tmp_path / "loaders"))
    with open_disk(build) as disk:
        assert (inspect(disk).firmware, inspect(disk).architecture) == (("uefi",), "arm64")


def test_an_empty_initramfs_and_a_command_line_of_no_text(tmp_path: Path) -> None:
    build = kernel_and_initrd(tmp_path)
    Path(f"{build}-cmdline").write_bytes(b"\xff\xfe")
    with pytest.raises(UnusableImage, match=r"cannot read .*os-cmdline: it is no text in UTF-8"):
        open_disk(build)
    Path(f"{build}-cmdline").write_text("quiet")
    Path(f"{build}-initrd.img").write_bytes(b"")
    with pytest.raises(UnusableImage, match=r"initrd\.img is empty"):
        open_disk(build)


def test_the_flags_are_for_kernels(lkcloud: Command, tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(b"x" * 4096)
    done = lkcloud("convert", "disk.raw", "out.raw", "--cmdline", "quiet", code=2)
    assert "disk.raw is neither a Linux kernel nor an ISO" in done.stderr
    with pytest.raises(UsageError):
        open_disk(tmp_path / "disk.raw", wanted=Wanted(firmware=("uefi",)))


def test_an_initramfs_that_is_none_is_told(lkcloud: Command, tmp_path: Path, files: tuple[Path, Path]) -> None:
    kernel, initrd = files
    flags = ("--initrd", initrd, "--cmdline", "console=ttyS0")
    for command in ("convert", "inspect"):
        said = lkcloud(command, kernel, *(("out.raw", *flags) if command == "convert" else flags)).stderr
        assert said.count(f"warning: {initrd} does not begin like an initramfs") == 1
    initrd.write_bytes(gzip.compress(b"070701"))
    assert "warning" not in lkcloud("convert", kernel, "again.raw", *flags).stderr


def test_the_flags_make_the_disk(lkcloud: Command, tmp_path: Path, files: tuple[Path, Path]) -> None:
    kernel, initrd = files
    flags = ("--initrd", initrd, "--cmdline", "quiet", "--boots-by", "uefi")
    lkcloud("convert", kernel, "out.raw", *flags)
    said = lkcloud("inspect", "out.raw").stdout
    assert "problem" not in said
    assert "UEFI (BOOTX64.EFI)" in said
    assert "BIOS" not in said
    assert lkcloud("inspect", kernel, *flags).stdout == said


@pytest.mark.parametrize("ending", ["kernel", "initrd.img", "cmdline"])
def test_it_is_never_written_over_its_own_files(tmp_path: Path, ending: str) -> None:
    build = kernel_and_initrd(tmp_path)
    before = Path(f"{build}-{ending}").read_bytes()
    with open_disk(build) as disk, pytest.raises(UsageError, match="is the image itself"):
        convert(disk, Path(f"{build}-{ending}"), format="raw", force=True)
    assert Path(f"{build}-{ending}").read_bytes() == before


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    build = kernel_and_initrd(tmp_path)
    program = """
import resource, signal, sys
from lkcloud.disk import open_disk
from lkcloud.errors import UnusableImage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    open_disk(sys.argv[1])
except UnusableImage as error:
    print(error.message)
"""
    said = subprocess.run([sys.executable, "-c", program, build], capture_output=True, text=True, check=True).stdout
    assert "there is no room for the disk" in said
    assert not list((Path(os.environ["LKCLOUD_CACHE_DIR"]) / "assembled").iterdir())


def test_a_large_initramfs_takes_little_memory(tmp_path: Path) -> None:
    """300 MiB, most of it a hole; FAT32 has it in clusters of 4 KiB."""
    build = kernel_and_initrd(tmp_path)
    with Path(f"{build}-initrd.img").open("r+b") as file:
        file.truncate(300 << 20)
    program = """
import re, sys
from lkcloud.disk import open_disk
with open_disk(sys.argv[1]) as disk:
    print(disk.size, re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""
    said = subprocess.run([sys.executable, "-c", program, build], capture_output=True, text=True, check=True).stdout
    size, peak = map(int, said.split())
    assert size > 300 << 20
    assert peak < 64 * 1024, "KiB"


def test_an_initramfs_that_fat_cannot_hold(tmp_path: Path) -> None:
    build = kernel_and_initrd(tmp_path)
    os.truncate(f"{build}-initrd.img", 1 << 32)
    with pytest.raises(UnusableImage, match=r"cannot hold it: initrd\.img has 4294967296 bytes"):
        open_disk(build)
