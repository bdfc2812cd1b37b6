# SPDX-License-Identifier: Apache-2.0
"""Take a kernel command line apart (https://docs.kernel.org/admin-guide/kernel-parameters.html)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lkcloud.disk.linux.modules import normal

_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')
_INITRD = re.compile(r"(?<!\S)initrd=\S*\s*")
_IN_MEMORY = ("/dev/ram", "ram")
_ELSEWHERE = ("/dev/nfs", "nfs", "nbd", "/dev/nbd", "iscsi", "http", "live:", "9p", "virtiofs", "tmpfs", "cifs")
_BLACKLISTS = ("module_blacklist", "modprobe.blacklist", "rd.driver.blacklist")
# Without one, systemd's generators take the partition that the Discoverable Partitions Specification names.
_AUTOMATIC = ("gpt-auto",)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command line; TEXT is as the loader gives it, COMPLETE unless parts of it could not be worked out."""

    text: str
    complete: bool = True

    @property
    def without_initrd(self) -> str:
        """TEXT without `initrd=PATH`, for another loader: UEFI's stub would look for a file by that name."""
        return _INITRD.sub("", self.text).strip()

    def values(self, name: str) -> tuple[str, ...]:
        """Return the values of each `NAME=value`, in their order."""
        return tuple(value for key, value in self._pairs() if key == name)

    @property
    def consoles(self) -> tuple[str, ...]:
        """The devices that are consoles, such as `ttyS0`; the last one is that of /dev/console."""
        return tuple(value.partition(",")[0] for value in self.values("console"))

    @property
    def root(self) -> str:
        """What the root file system is on, `""` if it is not said or found by itself."""
        roots = self.values("root")
        return "" if not roots or roots[-1] in _AUTOMATIC else roots[-1]

    @property
    def root_is_elsewhere(self) -> bool:
        """Whether the root file system is said to be in memory or on the network."""
        return self.root.startswith((*_IN_MEMORY, *_ELSEWHERE))

    @property
    def blacklist(self) -> frozenset[str]:
        """The modules that are not to be loaded; drivers that are built in are, all the same."""
        return frozenset(normal(one) for name in _BLACKLISTS for value in self.values(name) for one in value.split(","))

    def _pairs(self) -> Iterator[tuple[str, str]]:
        for word in _WORD.findall(self.text):
            if word == "--":  # the rest is for init
                return
            name, equals, value = word.replace('"', "").partition("=")
            if equals:
                yield name.replace("-", "_") if name.startswith("module") else name, value
