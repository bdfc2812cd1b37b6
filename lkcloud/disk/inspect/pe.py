# SPDX-License-Identifier: Apache-2.0
"""Read the headers of an EFI program: the machine that it is for, and its sections.

Source: https://learn.microsoft.com/windows/win32/debug/pe-format
"""

import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from lkcloud.disk.inspect.facts import Architecture

_MACHINES = MappingProxyType[int, Architecture]({0x8664: "x86_64", 0xAA64: "arm64"})
_MOST_SECTIONS = 96  # the format's limit
_SECTION = 40


class Bytes(Protocol):
    """Something to read pieces of: a file on a FAT volume is one."""

    def read(self, offset: int, length: int) -> bytes:
        """Return LENGTH bytes from OFFSET on, fewer if it ends before."""
        ...


@dataclass(frozen=True, slots=True)
class Section:
    """LENGTH bytes from OFFSET of the file on; the padding of the last sector is not counted."""

    name: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class EfiProgram:
    """What the headers say; ARCHITECTURE is None for one that no cloud has, such as 32-bit x86."""

    file: Bytes
    machine: int
    sections: tuple[Section, ...]

    @property
    def architecture(self) -> Architecture | None:
        """The architecture of the machine that it is for."""
        return _MACHINES.get(self.machine)

    def section(self, name: str) -> Section | None:
        """Return the first section NAME (of a UKI with profiles that is the one of the base)."""
        return next((section for section in self.sections if section.name == name), None)

    def content(self, name: str, limit: int) -> bytes:
        """Return the first LIMIT bytes of section NAME; b"" if there is none."""
        section = self.section(name)
        return self.file.read(section.offset, min(section.length, limit)) if section else b""


def efi_program(file: Bytes) -> EfiProgram | None:
    """Return what the headers of FILE say, None if it is not a PE file."""
    dos = file.read(0, 64)
    if len(dos) < 64 or dos[:2] != b"MZ":
        return None
    (start,) = struct.unpack_from("<I", dos, 60)
    coff = file.read(start, 24)
    if len(coff) < 24 or coff[:4] != b"PE\0\0":
        return None
    machine, count = struct.unpack_from("<HH", coff, 4)
    (optional_header,) = struct.unpack_from("<H", coff, 20)
    table = file.read(start + 24 + optional_header, min(count, _MOST_SECTIONS) * _SECTION)
    sections = []
    for position in range(0, len(table) - _SECTION + 1, _SECTION):
        name, in_memory, _address, in_file, offset = struct.unpack_from("<8sIIII", table, position)
        length = min(in_memory, in_file) if in_memory else in_file
        sections.append(Section(name.rstrip(b"\0").decode("ascii", "replace"), offset, length))
    return EfiProgram(file, machine, tuple(sections))
