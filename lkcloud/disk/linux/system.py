# SPDX-License-Identifier: Apache-2.0
"""The Linux system that a disk boots: what its kernel, initramfs and root file system have."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from lkcloud.disk.inspect.el_torito import read_catalogue
from lkcloud.disk.inspect.facts import DiskFacts, Partition
from lkcloud.disk.inspect.partition_types import EFI_SYSTEM
from lkcloud.disk.inspect.window import Window, printable
from lkcloud.disk.linux import config
from lkcloud.disk.linux.agents import Agent
from lkcloud.disk.linux.boot import MOST_BOOTS, Boot, chosen, find_boots
from lkcloud.disk.linux.command_line import CommandLine
from lkcloud.disk.linux.drivers import Driver
from lkcloud.disk.linux.initramfs import Initramfs, read_initramfs
from lkcloud.disk.linux.kernel import Kernel, read_kernel
from lkcloud.disk.linux.modules import listed
from lkcloud.disk.linux.tree import Tree, matching, open_tree, read_text
from lkcloud.formats.layout import Readable

_MOST_TREES = 8
_MOST_LIST = 2 * 1024 * 1024
_NO_ROOT = ("", "vfat", "swap", "exfat", "ntfs", "iso9660")
"""What is on partitions that hold no root file system, as far as it is known."""


class Place(Enum):
    """Where a driver is."""

    BUILT_IN = "built in"
    INITRAMFS = "in the initramfs"
    ROOT = "on the root file system"
    NOWHERE = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Root:
    """A root file system that can be read; MODULES and BUILTIN are None if there is no list of them."""

    modules: frozenset[str] | None
    builtin: frozenset[str] | None
    agents: frozenset[str]
    system: str
    """Its name in os-release, `""` if it has none."""
    whole: bool
    """Whether what is not found is not there."""


@dataclass(frozen=True, slots=True)
class LinuxSystem:
    """What was found; what was not is None, and UNREAD says what kept it from being known."""

    boot: Boot | None = None
    """What is started by itself."""
    kernel: Kernel | None = None
    config: Mapping[str, str] | None = None
    """The kernel's configuration: the one it carries, or that lies beside it."""
    initramfs: Initramfs | None = None
    """None if there is none or, with INITRAMFS_UNKNOWN, if it was not read."""
    initramfs_unknown: bool = False
    root: Root | None = None
    has_root: bool = False
    """Whether a partition is, or may be, a root file system."""
    agents_in_initramfs: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()

    @property
    def agents(self) -> frozenset[str]:
        """The names of the agents that were found."""
        return self.agents_in_initramfs | (self.root.agents if self.root else frozenset())

    @property
    def command_line(self) -> CommandLine | None:
        """The command line of what is started; with what the kernel has built in. None if it is not known."""
        line = self.boot.command_line if self.boot else None
        built_in = (self.config or {}).get("CONFIG_CMDLINE", "")
        if line is None or not built_in:
            return line
        if (self.config or {}).get("CONFIG_CMDLINE_OVERRIDE") == "y":
            return CommandLine(built_in)
        # arch/x86/kernel/setup.c: the loader's words follow. On arm64 they take the place of the built-in ones.
        joined = f"{built_in} {line.text}" if self._x86 else line.text or built_in
        return CommandLine(joined, line.complete)

    @property
    def root_on_disk(self) -> bool | None:
        """Whether the root file system is on the disk; None if that cannot be told.

        It is where the command line says; without an initramfs it must be; and with one that was read and a disk
        without a partition for it, the initramfs is the whole system.
        """
        line = self.command_line
        if line is not None and line.root:
            return not line.root_is_elsewhere
        if self.boot is None or self.initramfs_unknown:
            return None
        if self.initramfs is None:
            return None if self.boot.missing else True
        if line is None or not line.complete or self.initramfs.problem:
            return None
        return None if self.has_root else False

    def built_in(self, driver: Driver) -> bool | None:
        """Return whether DRIVER is in the kernel itself; None if that cannot be told."""
        kernel = self.kernel
        if self.config is not None:
            return self.config.get(driver.option) == "y"
        for builtin in (self.initramfs and self.initramfs.builtin, self.root and self.root.builtin):
            if builtin:
                return driver.module in builtin
        if kernel is not None and kernel.symbols is not None:
            return not kernel.symbols.isdisjoint(driver.functions)
        return None

    def early(self, driver: Driver) -> Place:
        """Return where DRIVER is when the root file system is not there yet."""
        if built_in := self.built_in(driver):
            return Place.BUILT_IN
        if self.initramfs is not None and driver.module in self._initramfs_modules and not self._held_back(driver):
            return Place.INITRAMFS
        in_doubt = built_in is None or self.initramfs_unknown or bool(self.initramfs and self.initramfs.problem)
        return Place.UNKNOWN if in_doubt else Place.NOWHERE

    def late(self, driver: Driver) -> Place:
        """Return where DRIVER is once the system is up."""
        early = self.early(driver)
        if early in (Place.BUILT_IN, Place.INITRAMFS):
            return early
        if self.root is not None and driver.module in (self.root.modules or ()) and not self._held_back(driver):
            return Place.ROOT
        if self.root is None:
            return Place.UNKNOWN if self.has_root else early
        return early if self.root.whole and self.root.modules is not None else Place.UNKNOWN

    def _held_back(self, driver: Driver) -> bool:
        return self.command_line is not None and driver.module in self.command_line.blacklist

    @property
    def _initramfs_modules(self) -> frozenset[str]:
        """The modules of the initramfs, if they are for this kernel: it loads no others."""
        if self.initramfs is None or self.kernel is None:
            return frozenset()
        foreign = self.kernel.release and self.kernel.release not in self.initramfs.releases
        return frozenset() if foreign else self.initramfs.modules

    @property
    def _x86(self) -> bool:
        return self.kernel is not None and self.kernel.architecture == "x86_64"


def look_for_linux(
    disk: Readable,
    facts: DiskFacts,
    *,
    drivers: Collection[Driver] = (),
    agents: Sequence[Agent] = (),
    unpack: bool = True,
) -> LinuxSystem:
    """Return the system that DISK, which FACTS are of, boots; DRIVERS and AGENTS are looked for.

    Takes a second or a few and less than 256 MiB of memory, or without UNPACK, where neither the kernel nor the
    initramfs is unpacked, milliseconds. Never raises for what the bytes are. Errors of `disk.read` are passed on.
    """
    trees, unread = _trees(disk, facts)
    uefi = "uefi" in (*facts.firmware, *facts.cd_firmware)
    boot = chosen(islice(find_boots(trees, uefi=uefi), MOST_BOOTS))
    wanted = [name for driver in drivers for name in driver.functions]
    kernel = read_kernel(boot.kernel, wanted, unpack=unpack) if boot and boot.kernel else None
    release = kernel.release if kernel else ""
    if boot is None:
        unread.append("no Linux kernel was found")
    elif kernel is None:
        missing = "is named and not there" if boot.kernel is None else "is no Linux kernel that is known"
        unread.append(f"{printable(boot.kernel_path)} {missing}")
    elif kernel.problem:
        unread.append(f"the kernel was not read: {kernel.problem}")
    patterns = [path for agent in agents for path in agent.paths]
    initramfs = read_initramfs(boot.initramfs, patterns) if boot and boot.initramfs and unpack else None
    if initramfs and initramfs.problem:
        unread.append(f"the initramfs was not read to its end: {initramfs.problem}")
    root = next((found for tree in trees if (found := _root(tree, release, drivers, agents))), None)
    in_initramfs = {agent.name for agent in agents if initramfs and not initramfs.found.isdisjoint(agent.paths)}
    return LinuxSystem(
        boot=boot,
        kernel=kernel,
        config=kernel.config if kernel and kernel.config else _config_file(trees, release),
        initramfs=initramfs,
        initramfs_unknown=bool(boot and boot.initramfs) and initramfs is None,
        root=root,
        has_root=root is not None or any(_may_be_root(one) for one in facts.partitions),
        agents_in_initramfs=frozenset(in_initramfs),
        unread=tuple(unread),
    )


def _trees(disk: Readable, facts: DiskFacts) -> tuple[list[Tree], list[str]]:
    """Return the file systems of the disk, those for the firmware first, and why others were not read."""
    found: list[Tree] = []
    unread: list[str] = []
    for partition in sorted(_volumes(disk, facts), key=lambda one: one.type != EFI_SYSTEM):
        if len(found) == _MOST_TREES:
            unread.append(f"only {_MOST_TREES} file systems were looked at")
            break
        tree = open_tree(Window(disk, partition.offset, partition.length), partition.filesystem)
        if tree is not None:
            found.append(tree)
        elif partition.filesystem not in ("", "swap"):
            where = f"partition {partition.number}" if partition.number else "the disk"
            unread.append(f"{where} is {partition.filesystem}, which is not read here")
    return found, unread


def _volumes(disk: Readable, facts: DiskFacts) -> Iterator[Partition]:
    """Yield where there can be file systems: in partitions, or in the disk itself and in the boot image of a CD."""
    if facts.filesystem:
        yield Partition(0, 0, facts.size, "", "", facts.filesystem)
    else:
        yield from facts.partitions
    if not facts.cd_firmware:
        return
    # A hybrid may have partitions for these two as well.
    starts = {one.offset: one.filesystem for one in facts.partitions}
    if not facts.filesystem and starts.get(0) != "iso9660":
        yield Partition(0, 0, facts.size, "", "", "iso9660")
    catalogue = read_catalogue(Window(disk, 0, disk.size))
    image = catalogue.image("uefi") if catalogue else None
    if image and starts.get(image.place.offset) != "vfat":
        yield Partition(0, image.place.offset, image.place.length, EFI_SYSTEM, "", "vfat")


def _may_be_root(partition: Partition) -> bool:
    return partition.type != EFI_SYSTEM and partition.filesystem not in _NO_ROOT


def _config_file(trees: Collection[Tree], release: str) -> Mapping[str, str] | None:
    """Return the configuration that distributions put beside the kernel of RELEASE."""
    if not release or "/" in release:
        return None
    for tree in trees:
        for path in (f"boot/config-{release}", f"config-{release}", f"usr/lib/modules/{release}/config"):
            text = read_text(tree, path, _MOST_LIST)
            if text and (found := config.parse(text)):
                return found
    return None


def _root(tree: Tree, release: str, drivers: Collection[Driver], agents: Sequence[Agent]) -> Root | None:
    """Return the root file system that TREE is; None if it is none."""
    if not any(tree.has(path) for path in ("etc/os-release", "usr/lib/os-release", "sbin/init", "etc/passwd")):
        return None
    found = {agent.name for agent in agents if any(True for path in agent.paths for _ in matching(tree, path))}
    folder = next((one for one in _module_folders(release) if tree.names(one)), "")
    builtin = read_text(tree, f"{folder}/modules.builtin", _MOST_LIST) if folder else None
    text = read_text(tree, "etc/os-release") or read_text(tree, "usr/lib/os-release") or ""
    names = dict(line.partition("=")[::2] for line in text.splitlines())
    return Root(
        modules=_modules(tree, folder, drivers) if release else None,
        builtin=frozenset(listed(builtin)) if builtin else None,
        agents=frozenset(found),
        system=printable((names.get("PRETTY_NAME") or names.get("NAME") or "").strip("\"'")),
        whole=not tree.exhausted,
    )


def _module_folders(release: str) -> Iterator[str]:
    if release and "/" not in release and release not in (".", ".."):
        yield from (f"{base}/{release}" for base in ("lib/modules", "usr/lib/modules"))


def _modules(tree: Tree, folder: str, drivers: Collection[Driver]) -> frozenset[str] | None:
    """Return which of DRIVERS are modules below FOLDER: those of modules.dep whose files are there.

    None if there are modules and no list of them.
    """
    if not folder:
        return frozenset()
    text = read_text(tree, f"{folder}/modules.dep", _MOST_LIST)
    if text is None:
        return None
    wanted = {driver.module for driver in drivers}
    found: set[str] = set()
    for line in text.splitlines():
        path = line.partition(":")[0].strip()
        for name in listed(line):
            if name in wanted and tree.has(path if path.startswith("/") else f"{folder}/{path}"):
                found.add(name)
    return frozenset(found)
