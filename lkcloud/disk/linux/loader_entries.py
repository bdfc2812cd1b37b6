# SPDX-License-Identifier: Apache-2.0
"""Read the entries of loader/entries, which systemd-boot and, on Fedora and its like, GRUB start.

Source: https://uapi-group.org/specifications/specs/boot_loader_specification/
"""

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from lkcloud.disk.linux.menus import MOST_ENTRIES, MenuEntry

FOLDER = "loader/entries"


def entry(text: str, expand: Callable[[str], tuple[str, bool]] | None = None) -> MenuEntry | None:
    """Return the entry that TEXT is, None if it starts no kernel; EXPAND replaces variables as GRUB does."""
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, value = (*line.split(None, 1), "", "")[:2]
        value = value.strip()
        # systemd-boot takes such quotes away, and GRUB does not.
        if not expand and len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if value and not name.startswith("#"):
            fields.setdefault(name, []).append(value)
    kernels = fields.get("linux") or fields.get("efi") or fields.get("uki") or []
    if not kernels:
        return None
    options, complete = " ".join(fields.get("options", [])), True
    initrds = " ".join(fields.get("initrd", []))
    if expand:
        options, complete = expand(options)
        initrds, _ = expand(initrds)
    return MenuEntry(kernels[0].strip("/"), tuple(path.strip("/") for path in initrds.split()), options, complete)


def ordered(names: Mapping[str, MenuEntry], configuration: str) -> tuple[MenuEntry, ...]:
    """Return the entries by the NAMES of their files, first what CONFIGURATION (loader.conf) prefers, then the newest.

    That is the order of the names as versions; what an entry says of its own place is not looked at.
    """
    defaults = [line.split()[1] for line in configuration.splitlines() if re.match(r"\s*default\s+\S", line)]
    newest = sorted(names, key=_version, reverse=True)
    preferred = [name for pattern in defaults for name in newest if _matches(name, pattern)]
    return tuple(names[name] for name in dict.fromkeys([*preferred, *newest]))[:MOST_ENTRIES]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.rpartition(".")[0], pattern)


def _version(name: str) -> tuple[tuple[int, str], ...]:
    parts = re.findall(r"\d+|[^\d]+", name.lower())
    return tuple((int(part), "") if part.isdecimal() and len(part) < 20 else (-1, part) for part in parts)
