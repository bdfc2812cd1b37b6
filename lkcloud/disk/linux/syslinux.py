# SPDX-License-Identifier: Apache-2.0
"""Read the configuration of SYSLINUX and EXTLINUX (https://wiki.syslinux.org/wiki/index.php?title=Config)."""

from dataclasses import dataclass, field

from lkcloud.disk.linux.menus import MOST_ENTRIES, MenuEntry

FILES = tuple(
    f"{folder}{name}"
    for folder in ("", "boot/", "syslinux/", "boot/syslinux/", "extlinux/", "boot/extlinux/", "EFI/BOOT/")
    for name in ("syslinux.cfg", "extlinux.conf")
)


@dataclass(slots=True)
class _Label:
    name: str
    kernel: str = ""
    initrds: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)

    def entry(self) -> MenuEntry:
        options = " ".join(self.options)
        # An initramfs can be named among the options: the loader takes it from there.
        named = [word.removeprefix("initrd=") for word in options.split() if word.startswith("initrd=")]
        initrds = self.initrds or [path for value in named for path in value.split(",")]
        return MenuEntry(self.kernel.strip("/"), tuple(path.strip("/") for path in initrds), options)


def entries(text: str) -> tuple[MenuEntry, ...]:
    """Return the entries of TEXT, the one that is started by itself first."""
    labels: list[_Label] = [_Label("")]
    default = ""
    for line in text.splitlines():
        word, _, value = line.strip().partition(" ")
        word, value = word.lower(), value.strip()
        if word == "default":
            default = value.lower()
        elif word == "label":
            labels.append(_Label(value.lower()))
        elif word in ("kernel", "linux"):
            labels[-1].kernel = value
        elif word == "initrd":
            labels[-1].initrds = value.split(",")
        elif word == "append":
            labels[-1].options = [value]
    # What stands in front of the first label is for entries without one of their own.
    shared = labels[0].options
    for label in labels[1:]:
        label.options = label.options or shared
    bootable = [label for label in labels if label.kernel][:MOST_ENTRIES]
    bootable.sort(key=lambda label: label.name != default)
    return tuple(label.entry() for label in bootable)
