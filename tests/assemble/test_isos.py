# SPDX-License-Identifier: Apache-2.0
"""An ISO is taken as a disk that starts the same kernel; the ISO is on a partition of it if the system needs that."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from lkcloud.disk import Disk, open_disk
from lkcloud.disk.assemble.order import Wanted
from lkcloud.disk.inspect import inspect
from lkcloud.disk.linux.boot import Boot
from lkcloud.disk.linux.system import look_for_linux
from lkcloud.errors import LkcloudError, UnusableImage, UsageError
from lkcloud.reporting import Silent
from lkcloud.sandbox.tinydisk.machine_code import efi_program
from tests.assemble.builds import need_loaders, small_kernel
from tests.cli.conftest import Command
from tests.readiness.isos import INITRD, LINE, efi_volume, linuxkit_bios, linuxkit_efi, written, xorriso


@pytest.fixture(autouse=True)
def loaders() -> None:
    need_loaders()


@pytest.fixture
def kernel() -> bytes:
    return small_kernel()


def boot_of(disk: Disk) -> Boot:
    boot = look_for_linux(disk, inspect(disk), unpack=False).boot
    assert boot is not None
    assert boot.kernel is not None
    assert boot.command_line is not None
    return boot


def line_of(disk: Disk) -> str:
    line = boot_of(disk).command_line
    assert line is not None
    return line.text


@pytest.mark.parametrize("hybrid", [False, True])
def test_what_linuxkit_makes_for_a_bios_boots_by_both(tmp_path: Path, kernel: bytes, hybrid: bool) -> None:
    with open_disk(linuxkit_bios(tmp_path / "os.iso", hybrid=hybrid, kernel=kernel)) as disk:
        facts = inspect(disk)
        assert facts.firmware == ("bios", "uefi")
        assert len(facts.partitions) == 2
        boot = boot_of(disk)
        assert boot.kernel is not None
        assert boot.kernel.read(0, 1 << 20) == kernel
        assert b"".join(boot.initramfs[0].read(at, 1 << 20) for at in (0, 1 << 20)) == INITRD
        assert line_of(disk) == LINE


def test_what_linuxkit_makes_for_uefi(tmp_path: Path, kernel: bytes) -> None:
    with open_disk(linuxkit_efi(tmp_path / "os.iso", kernel=kernel)) as disk:
        assert inspect(disk).firmware == ("bios", "uefi")
        assert line_of(disk) == f"{LINE} text"
    with open_disk(tmp_path / "os.iso", wanted=Wanted(command_line="mine", firmware=("bios",))) as disk:
        assert inspect(disk).firmware == ("bios",)
        assert line_of(disk) == "mine"


def test_an_iso_that_is_its_own_root_is_on_a_partition(tmp_path: Path, kernel: bytes) -> None:
    iso = linuxkit_efi(tmp_path / "os.iso", kernel=kernel, initrd=False)
    with open_disk(iso) as disk:
        *_, medium = inspect(disk).partitions
        assert (medium.filesystem, medium.name) == ("iso9660", "medium")
        assert disk.read(medium.offset, iso.stat().st_size) == iso.read_bytes()
        (tmp_path / "disk.raw").write_bytes(disk.read(0, disk.size))
        line = line_of(disk)
    said = subprocess.run(
        ["/usr/sbin/sgdisk", "-i", "3", tmp_path / "disk.raw"], capture_output=True, text=True, check=True
    ).stdout
    guid = said.partition("Partition unique GUID: ")[2].split()[0].lower()
    assert line == f"{LINE} root=PARTUUID={guid} text"


def test_isos_that_differ_in_the_rest_have_partitions_of_their_own(tmp_path: Path, kernel: bytes) -> None:
    iso = linuxkit_efi(tmp_path / "os.iso", kernel=kernel, initrd=False)
    whole = iso.read_bytes()
    lines = set()
    for name in (b"NAME=LinuxKit", b"NAME=Anothers"):
        iso.write_bytes(whole.replace(b"NAME=LinuxKit", name))
        with open_disk(iso) as disk:
            lines.add(line_of(disk))
    assert len(lines) == 2


def test_a_packed_iso_is_one_too(tmp_path: Path) -> None:
    iso = linuxkit_bios(tmp_path / "os.iso", kernel=small_kernel())
    subprocess.run(["gzip", iso], check=True)
    with open_disk(tmp_path / "os.iso.gz") as disk:
        assert inspect(disk).firmware == ("bios", "uefi")


def test_a_hybrid_that_uefi_starts_is_a_disk_as_it_is(tmp_path: Path) -> None:
    tree = written(tmp_path / "tree", {"a": b"file"})
    efi_volume(tmp_path / "esp.img", {"BOOTX64.EFI": efi_program("x")})
    partition = ("-append_partition", "2", "0xef", str(tmp_path / "esp.img"), "-appended_part_as_gpt")
    iso = xorriso(tmp_path / "os.iso", tree, *partition, "-e", "--interval:appended_partition_2:all::", "-no-emul-boot")
    with open_disk(iso) as disk:
        assert disk.size == iso.stat().st_size
        assert inspect(disk).firmware == ("uefi",)


def test_an_iso_of_files_stays_what_it_is(tmp_path: Path) -> None:
    iso = xorriso(tmp_path / "data.iso", written(tmp_path / "tree", {"a": b"file"}))
    with open_disk(iso) as disk:
        assert inspect(disk).filesystem == "iso9660"


def nothing_to_start(folder: Path) -> Path:
    tree = written(folder / "tree", {"a": b"file"})
    efi_volume(tree / "boot.img", {"BOOTX64.EFI": efi_program("x")})
    return xorriso(folder / "os.iso", tree, "-e", "boot.img", "-no-emul-boot")


def without_its_initramfs(folder: Path) -> Path:
    menu = b"menuentry x {\n linux /vmlinuz quiet\n initrd /none.img\n}\n"
    tree = written(folder / "tree", {"vmlinuz": small_kernel(), "boot/grub/grub.cfg": menu})
    efi_volume(tree / "boot.img", {"BOOTX64.EFI": efi_program("x")})
    return xorriso(folder / "os.iso", tree, "-R", "-e", "boot.img", "-no-emul-boot")


def without_a_menu(folder: Path) -> Path:
    tree = written(folder / "tree", {"vmlinuz": small_kernel(), "initrd.img": b"initrd"})
    efi_volume(tree / "boot.img", {"BOOTX64.EFI": efi_program("x")})
    return xorriso(folder / "os.iso", tree, "-R", "-e", "boot.img", "-no-emul-boot")


def for_32_bits(folder: Path) -> Path:
    return linuxkit_bios(folder / "os.iso", hybrid=False, kernel=small_kernel(words64=False))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (nothing_to_start, "no Linux kernel that its loader starts was found on it"),
        (without_its_initramfs, "the initramfs none.img is not on it"),
        (without_a_menu, "what its loader tells the kernel was not found"),
        (for_32_bits, "its kernel is for no 64-bit machine"),
    ],
)
def test_what_boots_as_a_cd_alone_and_cannot_be_put_together(
    lkcloud: Command, tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    iso = make(tmp_path)
    with pytest.raises(UnusableImage) as caught:
        open_disk(iso)
    assert message in caught.value.message
    assert caught.value.hint
    assert "as a CD only" in lkcloud("inspect", iso).stdout


def test_a_hybrid_for_a_bios_with_a_kernel_for_32_bits_is_a_disk_as_it_is(tmp_path: Path) -> None:
    iso = linuxkit_bios(tmp_path / "os.iso", kernel=small_kernel(words64=False))
    with open_disk(iso) as disk:
        assert inspect(disk).firmware == ("bios",)
        assert disk.size == iso.stat().st_size


def test_what_a_kernel_without_a_menu_is_told_can_be_said(tmp_path: Path) -> None:
    with open_disk(without_a_menu(tmp_path), wanted=Wanted(command_line="mine")) as disk:
        assert line_of(disk) == "mine"
        assert boot_of(disk).initramfs[0].read(0, 10) == b"initrd"


def test_the_initramfs_is_not_named_twice(tmp_path: Path) -> None:
    """ISOLINUX takes it from among the words for the kernel, where a stub for UEFI would look for it as well."""
    menu = b"default x\nlabel x\nkernel /vmlinuz\nappend a initrd=/initrd.gz --- b\n"
    files = {"vmlinuz": small_kernel(), "initrd.gz": b"initrd", "isolinux/isolinux.cfg": menu, "isolinux.bin": b"x"}
    boot = ("-b", "isolinux.bin", "-no-emul-boot", "-boot-load-size", "4")
    with open_disk(xorriso(tmp_path / "os.iso", written(tmp_path / "tree", files), *boot)) as disk:
        assert line_of(disk) == "a --- b"
        assert boot_of(disk).initramfs[0].read(0, 10) == b"initrd"


def test_what_could_not_be_worked_out_is_warned_of(tmp_path: Path) -> None:
    warnings: list[str] = []

    class Voice(Silent):
        def warn(self, text: str) -> None:
            warnings.append(text)

    menu = b"menuentry x {\n linux /vmlinuz a ${unknown} b\n}\n"
    tree = written(tmp_path / "tree", {"vmlinuz": small_kernel(), "boot/grub/grub.cfg": menu})
    efi_volume(tree / "boot.img", {"BOOTX64.EFI": efi_program("x")})
    with open_disk(xorriso(tmp_path / "os.iso", tree, "-e", "boot.img", "-no-emul-boot"), reporter=Voice()) as disk:
        assert line_of(disk).split() == ["a", "b"]
    assert len(warnings) == 1
    assert "--cmdline" in warnings[0]


def test_an_iso_has_its_own_initramfs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--initrd is for a kernel"):
        open_disk(linuxkit_bios(tmp_path / "os.iso", kernel=small_kernel()), wanted=Wanted(initrds=(tmp_path / "x",)))


@pytest.fixture(scope="module")
def whole_iso(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    need_loaders()
    return linuxkit_efi(tmp_path_factory.mktemp("iso") / "os.iso", kernel=small_kernel()).read_bytes()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 60 * 2048), st.binary(min_size=1, max_size=8)), max_size=6))
def test_broken_isos_are_disks_or_refused(tmp_path: Path, whole_iso: bytes, changes: list[tuple[int, bytes]]) -> None:
    """What is changed is among the volume descriptors, the boot catalogue and the folders, which lie in front."""
    broken = bytearray(whole_iso)
    for offset, data in changes:
        broken[offset : offset + len(data)] = data
    (tmp_path / "os.iso").write_bytes(broken)
    try:
        with open_disk(tmp_path / "os.iso") as disk:
            assert disk.read(0, disk.size)
    except LkcloudError as error:
        event(type(error).__name__)


@pytest.mark.parametrize("cut", [40_000, 200_000, 1_000_000])
def test_an_iso_that_was_cut_short(tmp_path: Path, cut: int) -> None:
    """Never a disk with a part of what it boots; where not even the menu is left, it is no ISO to boot from."""
    iso = linuxkit_bios(tmp_path / "os.iso", hybrid=False, kernel=small_kernel())
    whole = iso.read_bytes()
    iso.write_bytes(whole[:cut])
    refused = None
    try:
        with open_disk(iso) as disk:
            assert disk.read(0, disk.size) == whole[:cut]
            assert inspect(disk).firmware == ()
    except LkcloudError as error:
        refused = error
    assert isinstance(refused, UnusableImage | None), refused
