# SPDX-License-Identifier: Apache-2.0
"""What a machine boots over the network: kernel and initramfs of a disk, and a script for iPXE that starts them.

Source: https://ipxe.org/scripting, https://ipxe.org/cmd/kernel, and for what ends a command src/core/exec.c and
src/image/script.c of iPXE.
"""

from lkcloud.disk.inspect.facts import DiskFacts
from lkcloud.disk.inspect.look import inspect
from lkcloud.disk.inspect.window import printable
from lkcloud.disk.linux.command_line import CommandLine
from lkcloud.disk.linux.system import look_for_linux
from lkcloud.errors import UnusableImage
from lkcloud.formats.folder import NewFile
from lkcloud.formats.layout import Readable
from lkcloud.reporting import Reporter

SCRIPT = "boot.ipxe"
_KERNEL = "vmlinuz"
_OPERATORS = ("&&", "||", ";")
_OF_LOADERS = ("", "vfat", "swap")
"""What is on partitions that the system hardly needs."""


def netboot(disk: Readable, reporter: Reporter) -> tuple[NewFile, ...]:
    """Return the files that boot what DISK boots: the kernel, the initramfs, and last the script.

    REPORTER is warned of file systems on it, such as that of a live system, which the initramfs may look for in vain.
    Raises UnusableImage if no Linux kernel is found that a loader starts, its root file system is on the disk, or iPXE
    cannot pass on its command line.
    """
    facts = inspect(disk)
    system = look_for_linux(disk, facts, unpack=False)
    boot, line = system.boot, system.command_line
    if boot is None or boot.kernel is None or boot.missing or boot.command_line is None:
        raise UnusableImage(
            f"what it boots was not found on the disk{': ' if system.unread else ''}{'; '.join(system.unread)}",
            hint="give a kernel with its initramfs, or a disk with a loader that lkcloud inspect --for all understands",
        )
    if line is not None and line.root and not line.root_is_elsewhere:
        raise UnusableImage(
            f"its root file system is on the disk (root={line.root}), which is not there after a start by network",
            hint="build a system that runs from its initramfs, or one whose root file system is on the network",
        )
    if left := _left_behind(facts):
        reporter.warn(
            f"the disk's file system is not written ({left}): it starts over the network only if its initramfs does "
            "without, or gets it from there"
        )
    initrds = [NewFile(f"initrd{number or ''}.img", file.size, file) for number, file in enumerate(boot.initramfs)]
    script = _script([file.name for file in initrds], boot.command_line).encode()
    return (NewFile(_KERNEL, boot.kernel.size, boot.kernel), *initrds, NewFile(SCRIPT, len(script), script))


def _left_behind(facts: DiskFacts) -> str:
    """Return which file systems of the disk may be part of the system, "" if none."""
    if facts.filesystem not in _OF_LOADERS:
        return facts.filesystem
    return ", ".join(
        f"{one.filesystem} on partition {one.number}{printable(one.name) and f' `{printable(one.name)}`'}"
        for one in facts.partitions
        if one.filesystem not in _OF_LOADERS
    )


def _script(initrds: list[str], command_line: CommandLine) -> str:
    text = command_line.without_initrd
    words = text.split()
    if "${" in text or text.endswith("\\") or any(word in _OPERATORS or word.startswith("#") for word in words):
        raise UnusableImage(
            "iPXE takes `${`, `&&`, `||`, `;`, words that begin with `#` and a backslash at the end of the kernel's "
            "command line for its own",
            hint="give another command line with --cmdline",
        )
    # With UEFI, Linux before 5.7 finds its initramfs by this name alone; others pass over it.
    named = [f"initrd={name}" for name in initrds]
    return "\n".join(
        (
            "#!ipxe",
            " ".join(word for word in ("kernel", _KERNEL, *named, text) if word),
            *(f"initrd {name}" for name in initrds),
            "boot\n",
        )
    )
