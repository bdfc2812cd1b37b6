# SPDX-License-Identifier: Apache-2.0
"""The contests of writing a disk as an image file of another format, compressed."""

from dataclasses import dataclass
from pathlib import Path

from contests import LKCLOUD, MIB, Contest, Contestant, script
from disks import GIB, TestDisk
from peers import Peers

QEMU_IMG = "qemu-img convert"


@dataclass(frozen=True, slots=True)
class Conversion:
    """A format: FORMAT is lkcloud's name for it, and OPTIONS are what qemu-img is to be told."""

    title: str
    format: str
    options: tuple[str, ...]


CONVERSIONS = {
    "vmdk": Conversion("Stream-optimised VMDK", "vmdk", ("-O", "vmdk", "-o", "subformat=streamOptimized")),
}
"""By the names of the contests."""


def contest(name: str, disk: TestDisk, peers: Peers) -> Contest:
    """Return the contest NAME, one of CONVERSIONS, on DISK. qemu-img runs twice: it takes half a minute, always."""
    wanted = CONVERSIONS[name]
    output = f"disk.{wanted.format}"

    def own(scratch: Path) -> list[str | Path]:
        return [script("lkcloud"), "convert", disk.path, scratch / output, "--format", wanted.format]

    def qemu(scratch: Path) -> list[str | Path]:
        return [peers.qemu_img or "", "convert", "-f", "raw", *wanted.options, disk.path, scratch / output]

    contestants = (Contestant(LKCLOUD, own), Contestant(QEMU_IMG, qemu if peers.qemu_img else None, 2))
    title = f"{wanted.title}, sparse disk of {disk.size / GIB:.0f} GiB"
    return Contest(name, title, contestants, amount=disk.data / MIB, unit="MiB of data", output=output)
