# SPDX-License-Identifier: Apache-2.0
"""The contests of writing a disk as an image file of another format, compressed."""

from dataclasses import dataclass
from pathlib import Path

from contests import LKCLOUD, MIB, Contest, Contestant, script
from disks import GIB, TestDisk
from peers import Peers

PEER = "qemu-img convert"
WAIT = ("-t", "writeback")
"""What makes qemu-img wait until the file is on the disk."""

FLUSHED = f"{PEER} {' '.join(WAIT)}"


@dataclass(frozen=True, slots=True)
class Conversion:
    """A format: FORMAT is lkcloud's name for it, and OPTIONS are what qemu-img is to be told.

    ROUNDS is the most that qemu-img runs, where it takes half a minute, always.
    """

    title: str
    format: str
    options: tuple[str, ...]
    rounds: int | None = None


_QCOW2 = ("-c", "-O", "qcow2", "-m", "8", "-W", "-o")

CONVERSIONS = {
    "vmdk": Conversion("Stream-optimised VMDK", "vmdk", ("-O", "vmdk", "-o", "subformat=streamOptimized"), 2),
    "qcow2-zlib": Conversion("qcow2, deflate", "qcow2-zlib", (*_QCOW2, "compression_type=zlib"), 2),
    "qcow2-zstd": Conversion("qcow2, Zstandard", "qcow2-zstd", (*_QCOW2, "compression_type=zstd")),
}
"""By the names of the contests."""


def contest(name: str, disk: TestDisk, peers: Peers) -> Contest:
    """Return the contest NAME, one of CONVERSIONS, on DISK.

    By itself qemu-img leaves the writing to the kernel, as lkcloud does; FLUSHED is told to wait for it.
    """
    wanted = CONVERSIONS[name]
    output = f"disk.{wanted.format}"

    def own(scratch: Path) -> list[str | Path]:
        return [script("lkcloud"), "convert", disk.path, scratch / output, "--format", wanted.format]

    def qemu(name: str, *options: str) -> Contestant:
        def command(scratch: Path) -> list[str | Path]:
            words = ("-f", "raw", *options, *wanted.options)
            return [peers.qemu_img or "", "convert", *words, disk.path, scratch / output]

        return Contestant(name, command if peers.qemu_img else None, wanted.rounds)

    contestants = (Contestant(LKCLOUD, own), qemu(PEER), qemu(FLUSHED, *WAIT))
    title = f"{wanted.title}, sparse disk of {disk.size / GIB:.0f} GiB"
    return Contest(name, title, contestants, amount=disk.data / MIB, unit="MiB of data", output=output)
