# SPDX-License-Identifier: Apache-2.0
"""What LinuxKit's builds put out boots as a disk, by BIOS and by UEFI, and over the network.

A kernel with its initramfs and LinuxKit's ISO for a BIOS boot by both in tests/cli/test_push_kernel.py, in the clouds.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import pytest

from lkcloud.sandbox.firmware import find
from lkcloud.sandbox.qemu import missing
from lkcloud.sandbox.tinydisk import write_esp_disk
from tests import debian
from tests.assemble.builds import iso_efi, kernel_and_initrd
from tests.cli.conftest import Command
from tests.images import COMMAND_LINE, LINUX_SAYS, SAY_AND_POWER_OFF, initramfs
from tests.readiness.isos import written

# Linux boots in some of them, and others may boot beside it.
pytestmark = pytest.mark.timeout(900)

READ_THE_MEDIUM = """
busybox insmod /cdrom.ko; busybox insmod /isofs.ko
while ! busybox grep -q PARTNAME=medium /sys/class/block/*/uevent 2>/dev/null; do sleep 0.1; done
device=$(busybox grep -l PARTNAME=medium /sys/class/block/*/uevent)
device=${device%/uevent}
busybox mkdir /medium; mount -t iso9660 -o ro /dev/${device##*/} /medium
echo "lkcloud-boot-ok medium: $(busybox cat /medium/etc/message)" > /dev/console
poweroff -f
"""

IPXE = Path("/usr/lib/ipxe/ipxe.efi")
OPTION_ROM = Path("/usr/lib/ipxe/qemu/pxe-virtio.rom")


WORDS = 'x=$y#z;{v} u=* "last=d e"'
"""What loaders could take for their own; iPXE does so with `#w`."""


def os_kernel(folder: Path, first: str = '"p=b  c" #w q="r s"') -> Path:
    """It shows its command line, which is FIRST, what the test needs, and WORDS."""
    script = f"busybox cat /proc/cmdline > /dev/console{SAY_AND_POWER_OFF}"
    return kernel_and_initrd(folder, real=True, script=script, line=f"{first} {COMMAND_LINE} {WORDS}")


def told(first: str) -> tuple[str, str]:
    """Return the options that wait for a command line of FIRST and WORDS."""
    return "--expect", f"{re.escape(first)} .*{re.escape(WORDS)}"


def os_efi(folder: Path) -> Path:
    return iso_efi(folder / "os.iso")


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "by_uefi", "by_bios"),
    # GRUB puts quotes around whole words, and the kernel takes that as the same.
    [(os_kernel, told('"p=b  c" #w q="r s"'), told('"p=b  c" #w "q=r s"')), (os_efi, (), ())],
    ids=["kernel", "iso-efi"],
)
def test_it_boots_by_bios_and_by_uefi(
    lkcloud: Command, tmp_path: Path, make: Callable[[Path], Path], by_uefi: tuple[str, ...], by_bios: tuple[str, ...]
) -> None:
    done = lkcloud("push", "local", make(tmp_path), "--test", *by_uefi, "--expect", f"{LINUX_SAYS}.*firmware=uefi")
    assert done.stdout == "os\n"
    assert "assemble " in done.stderr
    lkcloud("test", "local", "os", "--firmware", "bios", *by_bios, "--expect", f"{LINUX_SAYS}.*firmware=bios")


@pytest.mark.long
def test_a_system_finds_the_rest_of_its_iso(lkcloud: Command, tmp_path: Path) -> None:
    rest = {"etc/message": b"read from the ISO"}
    iso = iso_efi(tmp_path / "os.iso", script=READ_THE_MEDIUM, rest=rest)
    lkcloud("push", "local", iso, "--bus", "nvme", "--test", "--expect", "lkcloud-boot-ok medium: read from the ISO")


@pytest.mark.long
def test_it_boots_on_arm64(lkcloud: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if packages := missing("arm64", "uefi"):
        pytest.skip(f"needs the Debian packages {' '.join(packages)}")
    unpacked = debian.cached("arm64", _unpack_arm64)
    [kernel] = unpacked.glob("boot/vmlinuz-*")
    [busybox] = unpacked.glob("**/bin/busybox")
    files = {
        "os-kernel": kernel.read_bytes(),
        "os-initrd.img": initramfs(SAY_AND_POWER_OFF, busybox=busybox),
        "os-cmdline": COMMAND_LINE.replace("ttyS0", "ttyAMA0").encode(),
    }
    written(tmp_path, files)
    monkeypatch.setenv("LKCLOUD_SYSTEMD_BOOT", str(unpacked / "usr/lib/systemd/boot/efi"))
    expect = f"{LINUX_SAYS} kernel=.*arm64 firmware=uefi"
    lkcloud("push", "local", "os", "--test", "--expect", expect)


def _unpack_arm64(folder: Path) -> None:
    with debian.archive("trixie", "arm64") as packages:
        kernel = packages.dependency("linux-image-cloud-arm64", r"linux-image-\S+")
        packages.unpack(folder, [kernel, "busybox-static", "systemd-boot-efi"])


@pytest.mark.parametrize("firmware", ["bios", pytest.param("uefi", marks=pytest.mark.long)])
def test_what_pxe_writes_boots_over_the_network(lkcloud: Command, tmp_path: Path, firmware: str) -> None:
    if not OPTION_ROM.exists() or not IPXE.exists():
        pytest.skip("needs the Debian packages ipxe-qemu and ipxe")
    lkcloud("convert", os_kernel(tmp_path, first="a=b"), "net", "--format", "pxe")
    options = ["-device", "virtio-net-pci,netdev=net", "-boot", "n"]
    if firmware == "uefi":
        # OVMF's own client starts no scripts: iPXE from a disk does.
        write_esp_disk(tmp_path / "ipxe.raw", {"EFI/BOOT/BOOTX64.EFI": IPXE.read_bytes()})
        code = find("x86_64").code
        options = ["-device", "virtio-net-pci,netdev=net,romfile="]
        options += ["-drive", f"if=pflash,format=raw,readonly=on,file={code}"]
        options += ["-drive", f"if=virtio,format=raw,snapshot=on,file={tmp_path / 'ipxe.raw'}"]
    network = f"user,id=net,restrict=on,tftp={tmp_path / 'net'},bootfile=boot.ipxe"
    with console("-netdev", network, *options) as output:
        assert f"{LINUX_SAYS} " in output
        assert f"firmware={firmware}" in output
        assert WORDS in output


@contextmanager
def console(*options: str) -> Iterator[str]:
    """Run a machine until it is off, and yield what it wrote to its console."""
    program = shutil.which("qemu-system-x86_64")
    if program is None:
        pytest.skip("needs the Debian package qemu-system-x86")
    command = [program, "-m", "512", "-nographic", "-nodefaults", "-serial", "stdio", "-no-reboot", *options]
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=STDOUT) as machine:
        try:
            output, _ = machine.communicate(timeout=600)
            yield output.decode(errors="replace")
        finally:
            machine.kill()
