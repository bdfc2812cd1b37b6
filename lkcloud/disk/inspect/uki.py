# SPDX-License-Identifier: Apache-2.0
"""Read a unified kernel image: os-release, kernel version and command line.

Source: https://uapi-group.org/specifications/specs/unified_kernel_image/
"""

import shlex
import struct

from lkcloud.disk.inspect.facts import Uki
from lkcloud.disk.inspect.pe import EfiProgram
from lkcloud.disk.inspect.window import printable

_MOST_TEXT = 64 * 1024
_MOST_PAIRS = 100


def uki(path: str, program: EfiProgram) -> Uki | None:
    """Return what the image at PATH says, None if PROGRAM carries no kernel."""
    if program.section(".linux") is None:
        return None
    return Uki(
        path=path,
        os_release=_os_release(_text(program.content(".osrel", _MOST_TEXT))),
        kernel_version=printable(_text(program.content(".uname", 256))) or _kernel_version(program),
        command_line=printable(_text(program.content(".cmdline", _MOST_TEXT)).replace("\n", " ")),
    )


def _text(content: bytes) -> str:
    return content.partition(b"\0")[0].decode("utf-8", "replace")


def _os_release(text: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of os-release(5): NAME=value a line, the value as a shell would read it."""
    pairs = []
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if not equals or name.startswith("#") or not name.isidentifier():
            continue
        pairs.append((printable(name), printable(_unquoted(value))))
    return tuple(pairs[:_MOST_PAIRS])


def _unquoted(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:  # a quote that is never closed
        return value


def _kernel_version(program: EfiProgram) -> str:
    """Return the version in the header of an x86 kernel, `""` if there is none.

    Source: https://docs.kernel.org/arch/x86/boot.html, field kernel_version: its value + 0x200 is the offset of a text
    that begins with the release.
    """
    section = program.section(".linux")
    if section is None:
        return ""
    header = program.file.read(section.offset + 0x202, 14)
    if len(header) < 14 or header[:4] != b"HdrS":
        return ""
    (offset,) = struct.unpack_from("<H", header, 0x20E - 0x202)
    if not offset:
        return ""
    words = _text(program.file.read(section.offset + 0x200 + offset, 256)).split()
    return printable(words[0]) if words else ""
