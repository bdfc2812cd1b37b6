# SPDX-License-Identifier: Apache-2.0
"""What ISO images boot, as tools and distributions make them."""

import struct
from pathlib import Path

import pytest

from lkcloud.disk.extent import Extent
from lkcloud.disk.inspect.el_torito import BootCatalogue, BootImage, read_catalogue
from lkcloud.disk.inspect.fat import Fat
from lkcloud.disk.inspect.window import Window
from lkcloud.disk.linux.boot import Boot
from lkcloud.disk.linux.iso9660 import SECTOR
from lkcloud.disk.linux.iso_image import IsoImage, look_into_iso
from lkcloud.sandbox.tinydisk import MIB
from lkcloud.sandbox.tinydisk.machine_code import efi_program
from tests.inspect.memory_disk import MemoryDisk
from tests.readiness.disks import SYSTEMD_BOOT
from tests.readiness.isos import (
    INITRD,
    ISOLINUX,
    KERNEL,
    LINE,
    efi_volume,
    linuxkit_bios,
    linuxkit_efi,
    written,
    xorriso,
)
from tests.readiness.test_trees import content

EFI_OPTIONS = ("-e", "boot.img", "-no-emul-boot")
BIOS_OPTIONS = ("-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4")


def look(path: Path) -> IsoImage:
    image = look_into_iso(MemoryDisk(path.read_bytes()))
    assert image is not None
    return image


def booted(image: IsoImage) -> tuple[str, str, bytes, list[bytes], str]:
    """Return what IMAGE starts: loader, its file, kernel, initramfs and command line."""
    boot = image.boot
    assert isinstance(boot, Boot)
    assert boot.command_line is not None
    return (
        boot.loader,
        boot.where,
        content(boot.kernel),
        [content(one) for one in boot.initramfs],
        boot.command_line.text,
    )


def test_iso_bios_of_linuxkit(tmp_path: Path) -> None:
    image = look(linuxkit_bios(tmp_path / "hybrid.iso"))
    assert (image.efi_image, image.bios, image.hybrid) == (None, True, ("bios",))
    assert booted(image) == ("ISOLINUX", "isolinux/isolinux.cfg", KERNEL, [INITRD], LINE)
    assert not image.rest
    plain = look(linuxkit_bios(tmp_path / "plain.iso", hybrid=False))
    assert (plain.bios, plain.hybrid) == (True, ())


def test_iso_efi_initrd_of_linuxkit(tmp_path: Path) -> None:
    path = linuxkit_efi(tmp_path / "x.iso")
    image = look(path)
    assert (image.bios, image.hybrid, image.rest) == (False, (), False)
    assert booted(image) == ("GRUB", "EFI/BOOT/grub.cfg", KERNEL, [INITRD], f"{LINE} text")
    data = path.read_bytes()
    assert image.efi_image is not None
    assert image.efi_image.length == MIB
    fat = Fat.open(Window(MemoryDisk(data), *image.efi_image))
    assert fat is not None
    assert [entry.name.upper() for entry in fat.list("EFI/BOOT")] == ["BOOTX64.EFI"]


def test_iso_efi_of_linuxkit(tmp_path: Path) -> None:
    image = look(linuxkit_efi(tmp_path / "x.iso", initrd=False))
    assert image.efi_image is not None
    assert booted(image) == ("GRUB", "EFI/BOOT/grub.cfg", KERNEL, [], f"{LINE} root=/dev/sr0 text")
    assert image.rest


def test_a_hybrid_for_uefi_with_the_boot_image_behind_the_iso(tmp_path: Path) -> None:
    menu = f"menuentry x {{\nlinux /kernel {LINE}\ninitrd /initrd.img\n}}\n".encode()
    tree = written(tmp_path / "tree", {"kernel": KERNEL, "initrd.img": INITRD, "boot/grub/grub.cfg": menu})
    volume = efi_volume(tmp_path / "boot.img", {"BOOTX64.EFI": efi_program("x")})
    appended = ("-append_partition", "2", "0xef", str(volume), "-e", "--interval:appended_partition_2:all::")
    path = xorriso(tmp_path / "x.iso", tree, "-R", *appended, "-no-emul-boot", "-appended_part_as_gpt")
    image = look(path)
    assert (image.bios, image.hybrid) == (False, ("uefi",))
    assert image.efi_image is not None
    assert path.read_bytes()[image.efi_image.offset : image.efi_image.end] == volume.read_bytes()
    assert booted(image) == ("GRUB", "boot/grub/grub.cfg", KERNEL, [INITRD], LINE)
    assert not image.rest


def test_a_unified_kernel_image_in_the_boot_image(tmp_path: Path) -> None:
    tree = written(tmp_path / "tree", {"readme": b"text"})
    efi_volume(tree / "boot.img", {"BOOTX64.EFI": efi_program("x").replace(b".text\0\0\0", b".linux\0\0")})
    image = look(xorriso(tmp_path / "x.iso", tree, "-R", *EFI_OPTIONS))
    loader, where, kernel, initramfs, line = booted(image)
    assert (loader, where, initramfs, line) == ("unified kernel image", "EFI/BOOT/BOOTX64.EFI", [], "")
    assert kernel in efi_program("x")
    assert len(kernel) > 60
    assert image.rest
    (tree / "readme").unlink()
    assert not look(xorriso(tmp_path / "y.iso", tree, "-R", *EFI_OPTIONS)).rest


def test_entries_of_systemd_boot_in_the_boot_image(tmp_path: Path) -> None:
    if not SYSTEMD_BOOT.exists():
        pytest.skip("needs the Debian package systemd-boot-efi")
    tree = written(tmp_path / "tree", {"live/root.squashfs": b"root"})
    entry = f"title x\nlinux /kernel\ninitrd /initrd.img\noptions {LINE}\n".encode()
    files = {
        "BOOTX64.EFI": SYSTEMD_BOOT.read_bytes(),
        "loader/entries/x.conf": entry,
        "./kernel": KERNEL,
        "./initrd.img": INITRD,
    }
    efi_volume(tree / "boot.img", files, size=4 * MIB)
    image = look(xorriso(tmp_path / "x.iso", tree, "-R", *EFI_OPTIONS))
    assert booted(image) == ("systemd-boot", "loader/entries", KERNEL, [INITRD], LINE)
    assert image.rest


# As Debian's installer has it, whose menu is spread over several files, beside GRUB's for UEFI.
DEBIAN = {
    "isolinux/isolinux.cfg": b"# D-I config version 2.0\npath \ninclude menu.cfg\ndefault vesamenu.c32\nprompt 0\n",
    "isolinux/menu.cfg": b"menu hshift 4\nmenu begin advanced\n\tinclude adtxt.cfg\nmenu end\n"
    b"include stdmenu.cfg\ninclude txt.cfg\nlabel help\n\tmenu label ^Help\n\tconfig prompt.cfg\n"
    b"label graphical\n\tkernel vesamenu.c32\n\tappend /x.cfg\n",
    "isolinux/stdmenu.cfg": b"menu background splash.png\n",
    "isolinux/adtxt.cfg": b"label expert\n\tkernel /install.amd/vmlinuz\n"
    b"\tappend priority=low vga=788 initrd=/install.amd/initrd.gz ---\n",
    "isolinux/txt.cfg": b"label install\n\tmenu label ^Install\n\tmenu default\n\tkernel ../install.amd/vmlinuz\n"
    b"\tappend vga=788 initrd=/install.amd/initrd.gz --- quiet\n",
    "isolinux/isolinux.bin": b"loader" * 500,
    "install.amd/vmlinuz": KERNEL,
    "install.amd/initrd.gz": INITRD,
}


@pytest.mark.parametrize("names", [("-R",), ("-J",), ()], ids=["rock ridge", "joliet", "plain"])
def test_menus_of_several_files(tmp_path: Path, names: tuple[str, ...]) -> None:
    tree = written(tmp_path / "tree", DEBIAN)
    options = ("-iso-level", "2", *names) if names == ("-R",) else ("-iso-level", "2", "--norock", *names)
    image = look(xorriso(tmp_path / "x.iso", tree, *options, *BIOS_OPTIONS))
    assert image.bios
    where = "isolinux/isolinux.cfg"
    assert booted(image) == ("ISOLINUX", where, KERNEL, [INITRD], "vga=788 initrd=/install.amd/initrd.gz --- quiet")
    assert not image.rest


def test_includes_of_each_other_have_an_end(tmp_path: Path) -> None:
    tree = written(
        tmp_path / "tree",
        {
            "syslinux.cfg": b"include a.cfg\n" * 200 + b"include\nmenu include b.cfg title\n",
            "a.cfg": b"include a.cfg\n" * 200,
            "b.cfg": b"label x\nlinux /nothing\n",
        },
    )
    image = look(xorriso(tmp_path / "x.iso", tree, "-R"))
    assert image.boot is None
    (tree / "syslinux.cfg").write_bytes(b"include a.cfg\nmenu include b.cfg title\n")
    (tree / "a.cfg").write_bytes(b"include c.cfg\n")
    image = look(xorriso(tmp_path / "y.iso", tree, "-R"))
    assert image.boot is not None
    assert (image.boot.kernel_path, image.boot.kernel) == ("nothing", None)


def test_both_firmwares_as_distributions_have_them(tmp_path: Path) -> None:
    tree = written(tmp_path / "tree", DEBIAN)
    menu = "set default=0\nmenuentry 'Install' {\n linux /install.amd/vmlinuz vga=788 --- quiet\n"
    written(tree, {"boot/grub/grub.cfg": f"{menu} initrd /install.amd/initrd.gz\n}}\n".encode()})
    efi_volume(tree / "boot/grub/efi.img", {"BOOTX64.EFI": efi_program("x")})
    both = (*BIOS_OPTIONS, "-boot-info-table", "-eltorito-alt-boot", "-e", "boot/grub/efi.img", "-no-emul-boot")
    path = xorriso(tmp_path / "x.iso", tree, "-R", *both)
    image = look(path)
    assert image.bios
    assert image.efi_image is not None
    assert image.hybrid == ()
    assert booted(image)[:3] == ("GRUB", "boot/grub/grub.cfg", KERNEL)
    assert not image.rest
    if not ISOLINUX.exists():
        pytest.skip("needs the Debian package isolinux")
    (tree / "isolinux/isolinux.bin").write_bytes(ISOLINUX.read_bytes())
    hybrid = ("-isohybrid-mbr", str(ISOLINUX.with_name("isohdpfx.bin")), *both, "-isohybrid-gpt-basdat")
    image = look(xorriso(tmp_path / "y.iso", tree, "-R", *hybrid))
    assert image.hybrid == ("bios", "uefi")
    assert booted(image)[:3] == ("GRUB", "boot/grub/grub.cfg", KERNEL)


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("live/root.squashfs", True),
        ("boot/root.squashfs", True),
        ("README", True),
        ("boot", True),
        ("data/firmware.bin", True),
        ("boot/grub/x86_64-efi/linux.mod", False),
        ("System/Library/CoreServices/boot.efi", False),
        ("mach_kernel", False),
        (".disk/2026.uuid", False),
        ("boot/memtest.bin", False),
        ("Isolinux/splash.png", False),
    ],
)
def test_what_does_not_boot_is_the_rest(tmp_path: Path, name: str, rest: bool) -> None:
    tree = written(tmp_path / "tree", {"kernel": KERNEL, "syslinux.cfg": b"label x\nkernel /kernel\n", name: b"x"})
    (tree / "link").symlink_to("kernel")
    assert look(xorriso(tmp_path / "x.iso", tree, "-R")).rest is rest


def test_what_is_no_iso_is_none() -> None:
    assert look_into_iso(MemoryDisk(bytes(MIB))) is None
    assert look_into_iso(MemoryDisk(b"")) is None


def catalogue(data: bytes | bytearray) -> BootCatalogue | None:
    return read_catalogue(Window(MemoryDisk(data), 0, len(data)))


def test_the_size_of_a_boot_image_is_that_of_its_volume(tmp_path: Path) -> None:
    data = bytearray(linuxkit_efi(tmp_path / "x.iso").read_bytes())
    found = catalogue(data)
    assert found is not None
    assert found.images == (BootImage("uefi", Extent(found.images[0].place.offset, MIB)),)
    entry, place = found.offset + 32, found.images[0].place
    for count in (0, 1, 2, 0xFFFF):
        struct.pack_into("<H", data, entry + 6, count)
        assert catalogue(data) == found
    # What is no FAT volume is as long as the catalogue says, or up to the end.
    data[place.offset] = 0
    for count, length in ((0, len(data) - place.offset), (1, len(data) - place.offset), (2, 1024)):
        struct.pack_into("<H", data, entry + 6, count)
        changed = catalogue(data)
        assert changed is not None
        assert changed.images == (BootImage("uefi", Extent(place.offset, length)),)
    cut = catalogue(data[: place.offset + 5])
    assert cut is not None
    assert cut.images[0].place.length == 5


def test_a_catalogue_that_firmware_does_not_take(tmp_path: Path) -> None:
    data = linuxkit_efi(tmp_path / "x.iso").read_bytes()
    found = catalogue(data)
    assert found is not None
    for place in (17 * SECTOR + 7, found.offset, found.offset + 4, found.offset + 30):
        broken = bytearray(data)
        broken[place] ^= 0xFF
        assert catalogue(broken) is None
    for place in (found.offset + 32, found.offset + 33):  # not to be started; a medium that is none for UEFI
        broken = bytearray(data)
        broken[place] = 0x04
        assert catalogue(broken) == BootCatalogue(found.offset, ())
    image = look_into_iso(MemoryDisk(broken))
    assert image is not None
    assert image.efi_image is None
    assert booted(image)[0] == "GRUB"


def test_sections_of_a_catalogue(tmp_path: Path) -> None:
    """By hand, after the specification: sections for Macs and UEFI, extensions of entries, what is behind the last."""
    data = bytearray(linuxkit_efi(tmp_path / "x.iso").read_bytes())
    found = catalogue(data)
    assert found is not None
    start, block = found.offset, found.images[0].place.offset // SECTOR

    def entry(indicator: int, medium: int, count: int) -> bytes:
        return struct.pack("<BBHBBHI20x", indicator, medium, 0, 0, 0, count, block)

    def header(kind: int, platform: int, count: int) -> bytes:
        return struct.pack("<BBH28x", kind, platform, count)

    extension = b"\x44\x20" + bytes(30)
    records = (
        entry(0x88, 2, 1),
        header(0x90, 2, 2) + entry(0x88, 0, 4) + entry(0x88, 0, 4),
        header(0x90, 0xEF, 2) + entry(0x00, 0, 4) + extension + extension + entry(0x88, 0, 4),
        header(0x91, 0x00, 1) + entry(0x88, 0, 3),
        header(0x90, 0x00, 1) + entry(0x88, 0, 3),
    )
    validation = bytearray(data[start : start + 32])
    validation[1], checksum = 0, struct.unpack_from("<H", validation, 28)[0]
    struct.pack_into("<H", validation, 28, (checksum + (0xEF << 8)) & 0xFFFF)
    body = bytes(validation) + b"".join(records)
    data[start : start + len(body)] = body
    place = block * SECTOR
    many = catalogue(data)
    assert many is not None
    assert many.images == (
        BootImage("bios", Extent(place, 1440 * 1024)),
        BootImage("uefi", Extent(place, MIB)),
        BootImage("bios", Extent(place, 1536)),
    )
