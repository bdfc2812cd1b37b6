# SPDX-License-Identifier: Apache-2.0
"""The contest of making the tarball that Compute Engine imports: a sparse tar, compressed by gzip."""

import os
from pathlib import Path

import disks
from contests import LKCLOUD, MIB, Contest, Contestant, script
from disks import GIB, TestDisk
from peers import Peers

from lkcloud.formats.gce import MEMBER

PREFIX = "gce-"
"""What the names of these contests begin with; the kind of disk follows."""

KINDS = ("sparse", "dense", "allocated")
"""Little data with holes, much data, and the first with its holes written as zeros."""

OUTPUT = "disk.tar.gz"
GZIP = "tar -z"
PIGZ_6 = "tar | pigz -6"
PIGZ_1 = "tar | pigz -1"
IGZIP = "tar | igzip -1"

# What most machines have much of, in an order that gives each disk a mix of its own; then whatever there is.
_SPARSE = ("/usr/lib/python3*", "/usr/lib/git-core", "/usr/lib/gcc", "/usr/share/doc", "/usr/share/locale")
_DENSE = ("/usr/lib/*-linux-gnu", "/usr/lib/llvm-*", "/usr/lib/jvm", "/usr/lib/gcc", "/usr/lib/python3*", "/usr")

SOURCES = (*_SPARSE, *_DENSE)
"""Where the files of the disk with little data come from."""

_TAR = ("--format=oldgnu", "-S", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=0644")
_PIPE = 'set -o pipefail; output=$1; shift; packer=$1; shift; "$@" | $packer >"$output"'


def disk(kind: str, folder: Path, *, quick: bool) -> TestDisk:
    """Return the disk of KIND, one of KINDS, made in FOLDER if it is not there."""
    if kind == "dense":
        return disks.programs(folder, *((GIB, 700 * MIB) if quick else (2 * GIB, 1700 * MIB)), _DENSE)
    sparse = disks.programs(folder, *((4 * GIB, 300 * MIB) if quick else (8 * GIB, 600 * MIB)), SOURCES)
    return sparse if kind == "sparse" else disks.without_holes(sparse)


def contest(kind: str, disk: TestDisk, peers: Peers) -> Contest:
    """Return the contest on DISK, whose kind is KIND. The slow ones run once or twice: they take minutes, always."""
    tar = [peers.tar or "", *_TAR, f"--transform=s,.*,{MEMBER},", "-C", disk.path.parent]

    def whole(scratch: Path) -> list[str | Path]:
        return [*tar, "-czf", scratch / OUTPUT, disk.path.name]

    def piped(name: str, packer: Path | None, *words: str, rounds: int | None = None) -> Contestant:
        def command(scratch: Path) -> list[str | Path]:
            packing = " ".join([str(packer), *words])
            return ["bash", "-c", _PIPE, "bash", scratch / OUTPUT, packing, *tar, "-cf", "-", disk.path.name]

        return Contestant(name, command if packer and peers.tar else None, rounds)

    contestants = (
        Contestant(LKCLOUD, lambda scratch: [script("lkcloud"), "convert", disk.path, scratch / OUTPUT]),
        Contestant(GZIP, whole if peers.tar else None, 1),
        piped(PIGZ_6, peers.pigz, "-6", rounds=2),
        piped(PIGZ_1, peers.pigz, "-1"),
        piped(IGZIP, peers.igzip, "-1", f"-T{os.cpu_count() or 1}"),
    )
    title = f"Compute Engine tarball, {kind} disk of {disk.size / GIB:.0f} GiB"
    return Contest(f"{PREFIX}{kind}", title, contestants, amount=disk.data / MIB, unit="MiB of data", output=OUTPUT)
