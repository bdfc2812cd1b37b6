# SPDX-License-Identifier: Apache-2.0
"""Readers that take any bytes, for hypothesis in the short form and atheris in the long one.

Each target takes an input of a few KiB. Where a reader needs more than that, its input says what to change in a
sample that is right: how many bytes, where, and which.
"""

import gzip
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import zstandard

from lkcloud.disk.inspect.window import Window
from lkcloud.disk.linux import grub, loader_entries, syslinux
from lkcloud.disk.linux.command_line import CommandLine
from lkcloud.disk.linux.initramfs import read_initramfs
from lkcloud.disk.linux.iso_image import look_into_iso
from lkcloud.disk.linux.kernel import read_kernel
from lkcloud.disk.linux.kernel_scan import scan
from lkcloud.disk.linux.menus import MenuEntry
from lkcloud.disk.linux.paths import Pattern
from lkcloud.disk.linux.tree import matching, open_tree, read_text
from lkcloud.disk.readiness import readiness_report
from lkcloud.sandbox.tinydisk import esp, write_esp_disk
from lkcloud.sandbox.tinydisk.machine_code import bios_boot_code, efi_program
from tests.inspect.memory_disk import MemoryDisk
from tests.readiness.judging import needs
from tests.readiness.kernels import NAMES, Bytes, arm64_image, bzimage, configuration, kallsyms, vmlinux
from tests.readiness.test_initramfs import MAIN, archive

WANTED = ("nvme_probe", "function_number_7")
PATTERNS = (Pattern("usr/bin/afterburn"), Pattern("containers/*/*"))
MOST_READ = 64 << 20
"""Bytes that a reader takes from any disk of a few MiB: what it reads again and again has an end."""

_CHANGE = struct.Struct("<IB")


def changed(sample: bytes, data: bytes) -> bytearray:
    """Return SAMPLE with what DATA says: places that are not zero, lengths to 8, bytes; then where it is cut off."""
    places = _used(sample)
    result = bytearray(sample)
    position = 0
    while position + _CHANGE.size < len(data):
        place, kind = _CHANGE.unpack_from(data, position)
        position += _CHANGE.size
        value = data[position : position + (kind & 7) + 1]
        position += len(value)
        start = places[place % len(places)]
        result[start : start + len(value)] = value[: len(result) - start]
        if kind == 0xFF:
            del result[start:]
    return result


@cache
def _used(sample: bytes) -> list[int]:
    return [place for place in range(0, len(sample), 4) if any(sample[place : place + 4])] or [0]


@cache
def kernel_sample() -> bytes:
    tables = (configuration("CONFIG_EXT4_FS=y\n" * 40), kallsyms(NAMES[:900] + NAMES[-1:]))
    return bzimage(gzip.compress(vmlinux(*tables, size=1 << 16)))


@cache
def table_sample() -> bytes:
    return arm64_image(configuration("CONFIG_EXT4_FS=y\n" * 40), kallsyms(NAMES[:800] + NAMES[-1:], long_names=True))


@cache
def initramfs_sample() -> bytes:
    return (
        archive({"kernel/x86/microcode/x.bin": bytes(40)})
        + MAIN
        + gzip.compress(MAIN)
        + bytes(4)
        + zstandard.compress(MAIN)
    )


@cache
def ext_sample() -> bytes:
    """Return a small ext4 file system with folders, links, extents and a tree of blocks; empty without mke2fs."""
    if shutil.which("mke2fs") is None:
        return bytes(1 << 16)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "root"
        (root / "etc").mkdir(parents=True)
        (root / "etc/os-release").write_text("NAME=x\n")
        (root / "lib").symlink_to("etc/../etc")
        for number in range(40):
            (root / f"etc/{number:040}").write_bytes(bytes((number,)) * 3000)
        path = Path(name) / "ext4"
        command = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", "^has_journal", "-d", root, path, "512k"]
        subprocess.run(command, check=True, capture_output=True)
        return path.read_bytes()


@cache
def iso_sample(*, rock_ridge: bool) -> bytes:
    """Return a small ISO that BIOS and UEFI start, with long names, links and deep folders; empty without xorriso."""
    if shutil.which("xorriso") is None:
        return bytes(1 << 16)
    volume = esp({"EFI/BOOT/BOOTX64.EFI": efi_program("x"), "EFI/Linux/x.efi": b"x"})
    image = bytearray(volume.size)
    for piece in volume.content:
        image[piece.offset : piece.offset + len(piece.data)] = piece.data
    files = {
        "boot.img": bytes(image),
        "isolinux/isolinux.bin": b"loader" * 400,
        "isolinux/isolinux.cfg": b"include menu.cfg\ndefault x\n",
        "isolinux/menu.cfg": b"label x\nkernel ../kernel\nappend initrd=/initrd.img quiet\n",
        "EFI/BOOT/grub.cfg": b"menuentry x {\nlinuxefi /kernel quiet\ninitrdefi /initrd.img\n}\n",
        "kernel": b"kernel",
        "initrd.img": b"initramfs",
        "etc/os-release": b"NAME=x\n",
        "a/b/c/d/e/f/g/h/i/deep": b"deep",
        "n" * 200: b"long",
    }
    with tempfile.TemporaryDirectory() as name:
        tree, path = Path(name) / "tree", Path(name) / "x.iso"
        for file, content in files.items():
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            (tree / file).write_bytes(content)
        (tree / "lib").symlink_to("etc/../etc")
        (tree / "long").symlink_to("etc/../" * 60 + "lib/os-release")
        names = ("-R",) if rock_ridge else ("--norock", "-J")
        bios = ("-b", "isolinux/isolinux.bin", "-no-emul-boot", "-boot-load-size", "4")
        uefi = ("-eltorito-alt-boot", "-e", "boot.img", "-no-emul-boot")
        command = ["xorriso", "-as", "mkisofs", "-quiet", "-o", path, *names, *bios, *uefi, tree]
        subprocess.run(command, check=True, capture_output=True)
        return path.read_bytes()


@cache
def disk_sample() -> bytes:
    """Return a disk with a loader, entries for it, a kernel and an initramfs."""
    image = efi_program("x").replace(b".text\0\0\0", b".linux\0\0")
    files = {
        "EFI/BOOT/BOOTX64.EFI": efi_program("x"),
        "EFI/Linux/a long name.efi": image,
        "EFI/BOOT/grub.cfg": b"menuentry x {\nlinux /kernel console=ttyS0 root=/dev/sda1\ninitrd /initrd.img\n}\n",
        "loader/entries/a.conf": b"linux /kernel\ninitrd /initrd.img\noptions quiet\n",
        "kernel": kernel_sample(),
        "initrd.img": initramfs_sample(),
        "etc/os-release": b"NAME=x\n",
    }
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "disk.raw"
        write_esp_disk(path, files, boot_code=bios_boot_code("x"))
        return path.read_bytes()


def fuzz_kernel(data: bytes) -> None:
    read_kernel(Bytes(data), WANTED)
    read_kernel(Bytes(bytes(changed(kernel_sample(), data))), WANTED)


def fuzz_tables(data: bytes) -> None:
    scan(iter([data]), [b"nvme_probe"])
    sample = bytes(changed(table_sample(), data))
    # In two pieces, so that what is looked for can lie across them.
    scan(iter([sample[: len(sample) // 2], sample[len(sample) // 2 :]]), [b"nvme_probe"])


def fuzz_initramfs(data: bytes) -> None:
    read_initramfs([Bytes(data)], PATTERNS)
    read_initramfs([Bytes(bytes(changed(initramfs_sample(), data)))], PATTERNS)


def fuzz_packed(data: bytes) -> None:
    """An archive that is right to its packer: what is inside is what was asked for."""
    read_initramfs([Bytes(zlib.compress(data, 0, 31))], PATTERNS)


def fuzz_ext(data: bytes) -> None:
    disk = MemoryDisk(changed(ext_sample(), data))
    tree = open_tree(Window(disk, 0, disk.size), "ext4")
    if tree is not None:
        for name in tree.names("etc")[:50]:
            read_text(tree, f"etc/{name}")
        list(matching(tree, Pattern("*/*"))), list(matching(tree, Pattern("lib/os-*")))
    assert disk.bytes_read < MOST_READ


def fuzz_iso(data: bytes) -> None:
    for rock_ridge in (True, False):
        disk = MemoryDisk(changed(iso_sample(rock_ridge=rock_ridge), data))
        image = look_into_iso(disk)
        tree = open_tree(Window(disk, 0, disk.size), "iso9660")
        assert (image is None) == (tree is None)
        if image is not None and tree is not None:
            for file in (*(image.boot.initramfs if image.boot else ()), tree.file("long"), tree.file("lib/os-release")):
                for offset in (0, 5, 1 << 33) if file else ():
                    assert file is not None
                    assert len(file.read(offset, 1 << 20)) <= 1 << 20
            list(matching(tree, Pattern("*/*"))), list(matching(tree, Pattern("lib/os-*")))
            assert image.efi_image is None or image.efi_image.end <= disk.size
        assert disk.bytes_read < MOST_READ


def fuzz_texts(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    configuration_ = grub.Configuration(text, grub.environment(text))
    loader_entries.entry(text, configuration_.expand)
    for entry in (*configuration_.entries, *syslinux.entries(text, "isolinux")):
        line = CommandLine(entry.options)
        assert isinstance((line.consoles, line.root, line.blacklist), tuple)
    loader_entries.ordered(dict.fromkeys(text.split()[:50], MenuEntry("", (), "")), text)


def fuzz_disk(data: bytes) -> None:
    disk = MemoryDisk(changed(disk_sample(), data))
    report = readiness_report(disk, _needs())
    assert report.text().replace("\n", "").isprintable()
    assert report.model_dump_json()
    assert disk.bytes_read < MOST_READ


_needs = cache(needs)

TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {
        "kernel": fuzz_kernel,
        "tables": fuzz_tables,
        "initramfs": fuzz_initramfs,
        "packed": fuzz_packed,
        "ext": fuzz_ext,
        "iso": fuzz_iso,
        "texts": fuzz_texts,
        "disk": fuzz_disk,
    }
)
