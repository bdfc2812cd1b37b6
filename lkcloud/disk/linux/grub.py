# SPDX-License-Identifier: Apache-2.0
"""Read grub.cfg: not a shell that runs it, but its entries, with the variables that it sets to fixed words.

Source: https://www.gnu.org/software/grub/manual/grub/grub.html, and for `blscfg` Fedora's blscfg.c.
"""

import re
import shlex
from collections.abc import Mapping
from types import MappingProxyType

from lkcloud.disk.linux.menus import MOST_ENTRIES, MenuEntry

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'")
_DOLLAR = "\0"  # one between single quotes, which begins no variable
_DEVICE = re.compile(r"^\([^/]*")
_MOST_LINES = 20_000
_LONGEST_LINE, _LONGEST_VALUE = 16_384, 4_096  # variables of variables must not double for ever
_KERNEL_COMMANDS = ("linux", "linux16", "linuxefi")
_INITRD_COMMANDS = ("initrd", "initrd16", "initrdefi")
ENVIRONMENT = "grubenv"
"""The file beside grub.cfg that keeps variables from one boot to the next."""


def environment(text: str) -> dict[str, str]:
    """Return the variables of a grubenv file: NAME=value a line, filled up with `#`."""
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, equals, value in pairs if equals}


class Configuration:
    """What TEXT, a grub.cfg, says; SAVED are variables of grubenv."""

    def __init__(self, text: str, saved: Mapping[str, str] = MappingProxyType({})) -> None:
        self.variables = dict(saved)
        self.uses_entries = False
        """Whether it asks for the entries of loader/entries as well."""
        self._parsed: list[tuple[tuple[int, ...], MenuEntry]] = []
        self._path: list[int] = []
        """How many entries were begun at each level of the menu that is open."""
        self._open: list[str] = []
        self._counts = [0]
        self._kernel: tuple[str, str, bool] | None = None
        self._initrds: list[str] = []
        for line in text.splitlines()[:_MOST_LINES]:
            self._line(line[:_LONGEST_LINE])
        self._finish_entry()

    @property
    def entries(self) -> tuple[MenuEntry, ...]:
        """The entries, the one that is started by itself first."""
        default = self.variables.get("default", "0")
        wanted = tuple(int(part) for part in default.split(">")) if re.fullmatch(r"\d+(>\d+)*", default) else (0,)
        first = [entry for place, entry in self._parsed if place[: len(wanted)] == wanted]
        return tuple(dict.fromkeys([*first, *(entry for _, entry in self._parsed)]))

    def expand(self, text: str) -> tuple[str, bool]:
        """Return TEXT with variables replaced, and whether all of them are known."""
        known = True

        def value(found: re.Match[str]) -> str:
            nonlocal known
            name = found[1] or found[2]
            known = known and name in self.variables
            return self.variables.get(name, "")

        return _VARIABLE.sub(value, text).replace(_DOLLAR, "$"), known

    def _line(self, line: str) -> None:
        line = _QUOTED.sub(lambda one: one[0].replace("$", _DOLLAR) if one[0].startswith("'") else one[0], line)
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            words = line.split()
        if not words:
            return
        command, rest = words[0], words[1:]
        if command in ("menuentry", "submenu"):
            self._begin(command)
        elif command == "}":
            self._end()
        elif command == "function" or (command.endswith("{") and command != "{"):
            self._open.append("other")
        elif command == "set" and rest:
            name, equals, value = rest[0].partition("=")
            expanded, known = self.expand(value)
            # `if` is not followed: of a variable that is set in several ways the first fixed one counts.
            if equals and known and 0 < len(expanded) <= _LONGEST_VALUE:
                self.variables.setdefault(name, expanded)
        elif command == "blscfg":
            self.uses_entries = True
        elif (command in _KERNEL_COMMANDS or command.startswith("linux$")) and rest:
            path, _ = self.expand(rest[0])
            # Words with blanks have quotes for the kernel, whichever the configuration has.
            options, known = self.expand(" ".join(f'"{word}"' if " " in word else word for word in rest[1:]))
            self._kernel = _plain(path), options.strip(), known
            self._initrds = []
        elif command in _INITRD_COMMANDS or command.startswith("initrd$"):
            self._initrds = [_plain(self.expand(path)[0]) for path in rest]

    def _begin(self, kind: str) -> None:
        self._finish_entry()
        self._open.append(kind)
        self._path.append(self._counts[-1])
        self._counts[-1] += 1
        self._counts.append(0)

    def _end(self) -> None:
        if self._open and self._open.pop() != "other":
            self._finish_entry()
            self._path.pop()
            self._counts.pop()

    def _finish_entry(self) -> None:
        if self._kernel is not None and len(self._parsed) < MOST_ENTRIES:
            kernel, options, complete = self._kernel
            self._parsed.append((tuple(self._path), MenuEntry(kernel, tuple(self._initrds), options, complete)))
        self._kernel, self._initrds = None, []


def _plain(path: str) -> str:
    return _DEVICE.sub("", path).strip("/")
