# SPDX-License-Identifier: Apache-2.0
"""Find what a disk boots: the kernel, the initramfs and the command line that its loader gives to the kernel."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lkcloud.disk.detect import KERNEL_HEAD, begins_kernel
from lkcloud.disk.inspect.facts import LOADERS
from lkcloud.disk.inspect.pe import EfiProgram, efi_program
from lkcloud.disk.linux import grub, loader_entries, syslinux
from lkcloud.disk.linux.command_line import CommandLine
from lkcloud.disk.linux.feed import File, Part
from lkcloud.disk.linux.menus import Menu, MenuEntry
from lkcloud.disk.linux.tree import Tree, read_text

_GRUB_FOLDERS = ("EFI/BOOT", "boot/grub", "boot/grub2", "grub", "grub2", "boot", "")
_KERNELS = ("vmlinuz*", "bzImage*", "kernel", "Image", "linux")
_INITRAMFS = ("initrd.img{}", "initrd{}", "initramfs{}.img", "initramfs{}", "initrd.img", "initrd")
_COMMAND_LINES = ("cmdline", "cmdline.txt")
_MOST_TEXT = 64 * 1024
_MOST_FILES = 64
MOST_BOOTS = 100
"""So many are looked at, of a disk."""


@dataclass(frozen=True, slots=True)
class Boot:
    """What is started, and by what; KERNEL is None where it is named and not there."""

    loader: str
    """Such as `GRUB`; "" for a kernel that was found and no loader that starts it."""
    where: str
    """The file that says so."""
    kernel_path: str
    kernel: File | None
    initramfs: tuple[File, ...]
    missing: tuple[str, ...]
    """Paths of an initramfs that are named and not there."""
    command_line: CommandLine | None
    """None if it is not known."""


def find_boots(trees: Sequence[Tree], *, uefi: bool) -> Iterator[Boot]:
    """Yield what the disk with TREES boots, what it starts by itself first; by UEFI, or by a BIOS."""
    if uefi:
        yield from _by_firmware(trees)
    for tree in trees:
        for menu in _menus(tree):
            for entry in menu.entries:
                yield _boot(menu, entry, tree, trees)
    if uefi:
        yield from _images(trees)
    for tree in trees:
        yield from _bare(tree)


def chosen(boots: Iterable[Boot]) -> Boot | None:
    """Return the first of BOOTS whose kernel is there, or else the first."""
    first = None
    for boot in boots:
        if boot.kernel:
            return boot
        first = first or boot
    return first


def _by_firmware(trees: Sequence[Tree]) -> Iterator[Boot]:
    """Yield what the firmware itself finds: a unified kernel image, or a loader that starts what is beside it."""
    for tree in trees:
        for name in LOADERS:
            path = f"EFI/BOOT/{name}"
            file = tree.file(path)
            program = efi_program(file) if file else None
            if file is None or program is None:
                continue
            if image := unified(file, program, path):
                yield image
            elif b"systemd-boot" in program.content(".sdmagic", 256):
                yield from _systemd_boot(tree, trees)
            elif _is_kernel(file):
                yield Boot("the firmware", path, path, file, (), (), CommandLine(""))


def _is_kernel(file: File) -> bool:
    return begins_kernel(file.read(0, KERNEL_HEAD))


def unified(file: File, program: EfiProgram, path: str) -> Boot | None:
    """Return what a unified kernel image starts; None if PROGRAM at PATH is none."""
    kernel, initrd = program.section(".linux"), program.section(".initrd")
    if kernel is None:
        return None
    text = program.content(".cmdline", _MOST_TEXT).partition(b"\0")[0].decode("utf-8", "replace")
    return Boot(
        "unified kernel image",
        path,
        path,
        Part(file, kernel.offset, kernel.length),
        (Part(file, initrd.offset, initrd.length),) if initrd else (),
        (),
        CommandLine(" ".join(text.split())),
    )


def _systemd_boot(tree: Tree, trees: Sequence[Tree]) -> Iterator[Boot]:
    # The extended boot partition is looked at as well, which is another of the trees.
    for one in (tree, *(other for other in trees if other is not tree)):
        for entry in _loader_entries(one):
            yield _boot(Menu("systemd-boot", loader_entries.FOLDER, ()), entry, one, trees)
    yield from _images((tree,))


def _images(trees: Sequence[Tree]) -> Iterator[Boot]:
    """Yield the unified kernel images of EFI/Linux, the newest first."""
    for tree in trees:
        files = {name: MenuEntry(f"EFI/Linux/{name}", (), "") for name in tree.names("EFI/Linux")[:_MOST_FILES]}
        for entry in loader_entries.ordered(files, read_text(tree, "loader/loader.conf") or ""):
            file = tree.file(entry.kernel)
            program = efi_program(file) if file else None
            if file and program and (image := unified(file, program, entry.kernel)):
                yield image


def _loader_entries(tree: Tree, configuration: grub.Configuration | None = None) -> tuple[MenuEntry, ...]:
    found: dict[str, MenuEntry] = {}
    for folder in (loader_entries.FOLDER, f"boot/{loader_entries.FOLDER}"):
        for name in tree.names(folder)[:_MOST_FILES]:
            text = read_text(tree, f"{folder}/{name}", _MOST_TEXT) if name.endswith(".conf") else None
            if text and (entry := loader_entries.entry(text, configuration.expand if configuration else None)):
                found[name] = entry
    return loader_entries.ordered(found, read_text(tree, "loader/loader.conf") or "")


def _menus(tree: Tree) -> Iterator[Menu]:
    vendors = tuple(f"EFI/{name}" for name in tree.names("EFI")[:_MOST_FILES] if name.upper() not in ("BOOT", "LINUX"))
    for folder in (*_GRUB_FOLDERS, *vendors):
        path = f"{folder}/grub.cfg".lstrip("/")
        text = read_text(tree, path)
        if text is None:
            continue
        saved = grub.environment(read_text(tree, f"{folder}/{grub.ENVIRONMENT}".lstrip("/"), _MOST_TEXT) or "")
        configuration = grub.Configuration(text, saved)
        entries = _loader_entries(tree, configuration) if configuration.uses_entries else ()
        if found := (*entries, *configuration.entries):
            yield Menu("GRUB", path, found)
    for path in syslinux.FILES:
        text = syslinux.configuration(tree, path)
        if text and (found := syslinux.entries(text, path.rpartition("/")[0])):
            yield Menu("ISOLINUX" if path.endswith("isolinux.cfg") else "SYSLINUX", path, found)


def _boot(menu: Menu, entry: MenuEntry, tree: Tree, trees: Sequence[Tree]) -> Boot:
    around = (tree, *(other for other in trees if other is not tree))
    kernel = _search(around, entry.kernel)
    program = efi_program(kernel) if kernel else None
    image = unified(kernel, program, entry.kernel) if kernel and program else None
    if image:
        return image
    files = {path: _search(around, path) for path in entry.initrds}
    return Boot(
        menu.loader,
        menu.where,
        entry.kernel,
        kernel,
        tuple(file for file in files.values() if file),
        tuple(path for path, file in files.items() if file is None),
        CommandLine(entry.options, entry.complete),
    )


def _search(trees: Sequence[Tree], path: str) -> File | None:
    """Return the file PATH: loaders count from the root of a file system that may be mounted at /boot."""
    for tree in trees:
        for name in dict.fromkeys((path, path.removeprefix("boot/"), f"boot/{path}")):
            if name and (file := tree.file(name)):
                return file
    return None


def _bare(tree: Tree) -> Iterator[Boot]:
    """Yield kernels that lie in the usual places; what starts them, and with what words, is not known."""
    for folder in ("", "boot"):
        names = tree.names(folder)[: 16 * _MOST_FILES]
        for pattern in _KERNELS:
            for name in sorted((name for name in names if fnmatchcase(name, pattern)), reverse=True):
                prefix = f"{folder}/" if folder else ""
                file = tree.file(prefix + name)
                if file is None:
                    continue
                version = name.removeprefix("vmlinuz").removeprefix("bzImage")
                candidates = [form.format(version) for form in _INITRAMFS]
                initramfs = next((one for path in candidates if (one := tree.file(prefix + path))), None)
                texts = (read_text(tree, prefix + path, _MOST_TEXT) for path in _COMMAND_LINES)
                line = next((CommandLine(" ".join(text.split())) for text in texts if text), None)
                yield Boot("", "", prefix + name, file, (initramfs,) if initramfs else (), (), line)
