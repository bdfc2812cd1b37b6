# SPDX-License-Identifier: Apache-2.0
"""GRUB for a BIOS: the boot code, and the core image for a BIOS boot partition.

The images come from GRUB's own package and its `grub-mkimage`; what `grub-install` would then write into them, which
sectors come next, is written here (the offsets are those of GRUB 2's boot.S and diskboot.S), so no device is needed.
"""

import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lkcloud.disk.assemble.gpt import SECTOR
from lkcloud.errors import LkcloudError, UnusableImage

FOLDERS = (Path("/usr/lib/grub/i386-pc"), Path("/usr/share/grub2/i386-pc"))
"""Where distributions put GRUB's images; the second is openSUSE's."""

_PROGRAMS = ("grub-mkimage", "grub2-mkimage")
_FOLDER = "grub"
CONFIGURATION = f"{_FOLDER}/grub.cfg"
"""Where on its file system GRUB reads what to start."""

_MODULES = ("normal", "biosdisk", "part_gpt", "fat", "linux", "serial", "terminal")
_BOOT_CODE = 440
_CORE_SECTOR_AT = 0x5C
_DRIVE_CHECK_AT = 0x66
_TWO_NOPS = 0x9090
_BLOCK_LIST_AT = 0x1F4
_CORE_SEGMENT = 0x820

_WORD = re.compile(r'(?:[^\s"]|"[^"]*(?:"|$))+')
_SAME_TO_LINUX = re.compile(r'[^"]+|"[^"]+"|[^"=]+="[^"]*"')
"""Words whose quotes GRUB may leave out or put around all of it: next_arg() in Linux's lib/cmdline.c takes off those
around a word or a value, and keeps all others."""


@dataclass(frozen=True, slots=True)
class Grub:
    """BOOT_CODE for the master boot record, and CORE for the sector that it names."""

    boot_code: bytes
    core: bytes


def grub(*, partition: int, sector: int) -> Grub:
    """Return GRUB that reads CONFIGURATION of the file system on GPT PARTITION; its core is at SECTOR of the disk.

    Raises UnusableImage if GRUB is not installed, and LkcloudError if it cannot make its image.
    """
    program, folder = _installed()
    core = bytearray(_core(program, folder, partition))
    boot = bytearray((folder / "boot.img").read_bytes()[:_BOOT_CODE])
    struct.pack_into("<Q", boot, _CORE_SECTOR_AT, sector)
    struct.pack_into("<H", boot, _DRIVE_CHECK_AT, _TWO_NOPS)  # take the drive that the BIOS names
    rest = -(-len(core) // SECTOR) - 1
    struct.pack_into("<QHH", core, _BLOCK_LIST_AT, sector + 1, rest, _CORE_SEGMENT)
    return Grub(bytes(boot), bytes(core))


def images() -> tuple[Path, ...]:
    """Return the files of GRUB's that its images are made of. Raises UnusableImage if GRUB is not installed."""
    _, folder = _installed()
    names = ("boot.img", "diskboot.img", "kernel.img", *(f"{module}.mod" for module in _MODULES))
    return tuple(folder / name for name in names)


def in_front(kernel: str) -> str:
    """Return what GRUB puts in front of the command line of KERNEL."""
    return f"BOOT_IMAGE={kernel} "


def configuration(kernel: str, initrds: tuple[str, ...], command_line: str) -> str:
    """Return what starts KERNEL with INITRDS, absolute paths, and COMMAND_LINE.

    GRUB reads words as a shell does, and joins them anew for the kernel: those with blanks get double quotes around
    them, and quotes and backslashes a backslash in front, which the kernel keeps (grub-core/lib/cmdline.c). So
    `a="b c"` becomes `"a=b c"`, which is the same to the kernel. Raises UnusableImage for what would not be.
    """
    words = _WORD.findall(command_line)
    if any(set("\\'") & set(word) for word in words):
        raise _not_passed_on("a backslash or a single quote")
    if odd := next((word for word in words if not _SAME_TO_LINUX.fullmatch(word)), None):
        raise _not_passed_on(f"double quotes around anything but a word or the value of a NAME=: {odd}")
    words = [word.replace('"', "") for word in words]
    quoted = " ".join(f"'{word}'" for word in words)
    return "\n".join(
        (
            "set timeout=0",
            "if serial --unit=0 --speed=115200; then",
            "  terminal_output console serial",
            "fi",
            "menuentry 'Linux' {",
            f"  linux {kernel} {quoted}".rstrip(),
            *([f"  initrd {' '.join(initrds)}"] if initrds else []),
            "}\n",
        )
    )


def _not_passed_on(what: str) -> UnusableImage:
    return UnusableImage(
        f"GRUB cannot give the kernel a command line with {what}",
        hint="leave it out, or make a disk for UEFI alone: --boots-by uefi",
    )


def _installed() -> tuple[str, Path]:
    program = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
    folder = next((one for one in FOLDERS if (one / "boot.img").is_file()), None)
    if program is None or folder is None:
        raise UnusableImage(
            "there is no GRUB for BIOS on this machine",
            hint="install the Debian packages grub-pc-bin and grub-common, or make a disk for UEFI alone: "
            "--boots-by uefi",
        )
    return program, folder


def _core(program: str, folder: Path, partition: int) -> bytes:
    command = [program, "-O", "i386-pc", "-d", str(folder), "-p", f"(,gpt{partition})/{_FOLDER}", *_MODULES]
    with tempfile.TemporaryFile() as output:  # which has no name that a killed run could leave; a pipe will not do
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise LkcloudError(
                f"{Path(program).name} failed: {said[-1] if said else 'it gives no reason'}",
                hint="install the Debian packages grub-pc-bin and grub-common anew",
            )
        output.seek(0)
        return output.read()
