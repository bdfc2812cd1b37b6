# SPDX-License-Identifier: Apache-2.0
"""What is read of an initramfs: archives end to end, plain and packed."""

import gzip

import pytest
import zstandard

from lkcloud.disk.linux.initramfs import Initramfs, begins_initramfs, read_initramfs
from lkcloud.disk.linux.paths import Pattern
from tests.images import _cpio_entry, initramfs
from tests.readiness.kernels import Bytes
from tests.readiness.test_kernel import PACKERS

NVME = "usr/lib/modules/6.1.0/kernel/drivers/nvme/host/nvme.ko.xz"
TRAILER = _cpio_entry("TRAILER!!!", 0)


def archive(files: dict[str, bytes]) -> bytes:
    return b"".join(_cpio_entry(name, 0o100644, content) for name, content in files.items()) + TRAILER


MAIN = archive(
    {
        "./init": b"#!/bin/sh\n",
        NVME: b"x" * 77,
        "lib/modules/6.1.0/kernel/drivers/pci/controller/pci-hyperv.ko": b"",
        "lib/modules/6.1.0/modules.builtin": b"kernel/fs/ext4/ext4.ko\nkernel/drivers/scsi/sd_mod.ko\n",
        "usr/bin/afterburn": b"x",
    }
)
MICROCODE = archive({"kernel/x86/microcode/GenuineIntel.bin": bytes(5000)})
MICROCODE += bytes(-len(MICROCODE) % 512)
AFTERBURN, ONBOOT = Pattern("usr/bin/afterburn"), Pattern("containers/onboot/*metadata*")


def read(*data: bytes) -> Initramfs:
    return read_initramfs([Bytes(one) for one in data], [AFTERBURN, ONBOOT])


def check(found: Initramfs) -> None:
    assert found == Initramfs(
        modules=frozenset({"nvme", "pci_hyperv"}),
        releases=frozenset({"6.1.0"}),
        builtin=frozenset({"ext4", "sd_mod"}),
        found=frozenset({AFTERBURN}),
        has_init=True,
    )


@pytest.mark.parametrize("form", PACKERS)
def test_microcode_in_front_of_a_packed_archive(form: str) -> None:
    check(read(MICROCODE + PACKERS[form](MAIN)))


def test_several_files_and_members() -> None:
    check(read(MICROCODE, MAIN))
    check(read(gzip.compress(MAIN[: -len(TRAILER)] + TRAILER) + bytes(7) + gzip.compress(MICROCODE + MICROCODE)))
    # The kernel goes on behind a member as if they were one.
    check(read(zstandard.compress(MICROCODE) + bytes(4) + PACKERS["lz4"](MAIN)))


def test_linuxkits_packages_are_found_by_their_folder() -> None:
    onboot = archive({"containers/onboot/003-metadata/config.json": b"{}"})
    assert read(onboot).found == {ONBOOT}
    assert read(archive({"containers/onboot/003-dhcpcd/config.json": b"{}"})).found == set()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (MAIN[:200], "its cpio archive is broken, or cut short"),
        (gzip.compress(MAIN, mtime=0)[:100], "its compressed data ends in the middle"),
        (MAIN + b"garbage", "there is something else than cpio archives in it"),
        (MAIN[:6] + b"x" * 104 + MAIN[110:], "its cpio archive is broken"),
        (_cpio_entry("a", 0o100644) + b"070707", "its cpio archive is broken, or cut short"),
        (b"070701" + b"0" * 80 + b"ffffffff" + b"0" * 16, "its cpio archive has a name that cannot be"),
    ],
)
def test_what_is_broken_is_told(data: bytes, problem: str) -> None:
    assert read(data).problem == problem


def test_what_unpacks_to_too_much_is_given_up() -> None:
    bomb = _cpio_entry("zeros", 0o100644).replace(b"0" * 8 + b"00000000", b"0" * 16, 1)
    head = bytearray(bomb)
    head[54:62] = b"f0000000"  # the size of its content
    found = read(zstandard.ZstdCompressor(level=1).compress(bytes(head) + bytes(900 << 20)))
    assert found.problem == "it is too large to be read whole"


def test_debians_tools_agree_about_the_archive_of_the_tests() -> None:
    found = read(initramfs("true"))
    assert (found.has_init, found.problem, found.modules) == (True, "", frozenset())


@pytest.mark.parametrize("form", PACKERS)
def test_how_one_begins(form: str) -> None:
    for data in (MAIN, MICROCODE, PACKERS[form](MAIN)):
        assert begins_initramfs(Bytes(data))
        assert begins_initramfs(Bytes(bytes(4096) + data))


@pytest.mark.parametrize("data", [b"a text\n", b"070707" + bytes(200), b"\xc7\x71" + bytes(200), bytes(4096), b""])
def test_what_the_kernel_takes_for_none(data: bytes) -> None:
    """The first two archives are cpio's older forms, which Linux does not unpack."""
    assert not begins_initramfs(Bytes(data))
