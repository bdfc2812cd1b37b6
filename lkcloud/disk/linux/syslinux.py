# SPDX-License-Identifier: Apache-2.0
"""Read the configuration of SYSLINUX, EXTLINUX and ISOLINUX (https://wiki.syslinux.org/wiki/index.php?title=Config)."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field

from lkcloud.disk.linux.menus import MOST_ENTRIES, MenuEntry
from lkcloud.disk.linux.tree import Tree, read_text

# ISOLINUX is on CDs alone, and looks for its own name first.
FILES = (
    *(f"{folder}isolinux.cfg" for folder in ("boot/isolinux/", "isolinux/", "boot/syslinux/", "syslinux/", "")),
    *(
        f"{folder}{name}"
        for folder in ("", "boot/", "syslinux/", "boot/syslinux/", "extlinux/", "boot/extlinux/", "EFI/BOOT/")
        for name in ("syslinux.cfg", "extlinux.conf")
    ),
    *(f"{folder}syslinux.cfg" for folder in ("boot/isolinux/", "isolinux/")),
)
_PROGRAMS = (".c32", ".com", ".cbt", ".bs", ".bss", ".bin", ".img")
"""What KERNEL can name that is no kernel, by its ending; LINUX names kernels only."""
_DEEPEST, _MOST_FILES, _LONGEST = 8, 64, 1024 * 1024


@dataclass(slots=True)
class _Label:
    name: str
    kernel: str = ""
    initrds: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)

    def entry(self, folder: str) -> MenuEntry:
        options = " ".join(self.options)
        # An initramfs can be named among the options: the loader takes it from there.
        named = [word.removeprefix("initrd=") for word in options.split() if word.startswith("initrd=")]
        initrds = self.initrds or [path for value in named for path in value.split(",")]
        return MenuEntry(_path(folder, self.kernel), tuple(_path(folder, path) for path in initrds if path), options)


def configuration(tree: Tree, path: str) -> str | None:
    """Return the text of the configuration PATH, with that of the files which it includes; None if there is none."""
    text = read_text(tree, path, _LONGEST)
    if text is None:
        return None
    # A file is included from the folder of the first one, wherever the line is that says so.
    reader = _Reader(tree, path.rpartition("/")[0])
    return "\n".join(reader.lines(text, _DEEPEST))


class _Reader:
    def __init__(self, tree: Tree, folder: str) -> None:
        self._tree = tree
        self._folder = folder
        self._files = _MOST_FILES
        self._letters = _LONGEST

    def lines(self, text: str, deepest: int) -> Iterator[str]:
        for line in text.splitlines():
            words = line.split()
            lowered = [word.lower() for word in words[:2]]
            # `menu include` has a title behind the name of the file, which does not matter here.
            at = 1 if lowered[:1] == ["include"] else 2 if lowered == ["menu", "include"] else 0
            if not at:
                yield line
            elif len(words) > at and deepest and self._files > 0 and self._letters > 0:
                self._files -= 1
                included = read_text(self._tree, _path(self._folder, words[at]), self._letters) or ""
                self._letters -= len(included)
                yield from self.lines(included, deepest - 1)


def entries(text: str, folder: str = "") -> tuple[MenuEntry, ...]:
    """Return the entries of TEXT, a file in FOLDER, the one that is started by itself first."""
    labels: list[_Label] = [_Label("")]
    default = of_menu = ""
    for line in text.splitlines():
        word, value = (*line.split(None, 1), "", "")[:2]
        word, value = word.lower(), value.strip()
        first = value.lower().split(None, 1)[:1]
        if word == "default" and first:
            default = first[0]
        elif word == "menu" and first == ["default"]:
            of_menu = labels[-1].name
        elif word == "label":
            labels.append(_Label(value.lower()))
        elif word == "linux" or (word == "kernel" and not value.lower().endswith(_PROGRAMS)):
            labels[-1].kernel = value
        elif word == "initrd":
            labels[-1].initrds = value.split(",")
        elif word == "append":
            labels[-1].options = ["" if value == "-" else value]
    # What stands in front of the first label is for entries without one of their own.
    shared = labels[0].options
    for label in labels[1:]:
        label.options = label.options or shared
    # The default of a menu counts where it is a menu that is started, and not an entry.
    if default not in {label.name for label in labels}:
        default = of_menu
    bootable = [label for label in labels if label.kernel]
    bootable.sort(key=lambda label: label.name != default)
    return tuple(label.entry(folder) for label in bootable[:MOST_ENTRIES])


def _path(folder: str, path: str) -> str:
    """Return PATH from the root of the file system; one without `/` in front is counted from FOLDER."""
    return posixpath.normpath(f"/{path}" if path.startswith("/") else f"/{folder}/{path}").lstrip("/")
