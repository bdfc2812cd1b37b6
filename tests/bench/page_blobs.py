# SPDX-License-Identifier: Apache-2.0
"""The contest of writing a disk into a page blob of Azure, as a fixed VHD."""

import sys
from collections.abc import Iterator
from pathlib import Path

import disks
import tarballs
from contests import HERE, LKCLOUD, MIB, Contest, Contestant
from disks import GIB, TestDisk
from emulator import BlobServer
from peers import Peers

import lkcloud

PREFIX = "azure-"
"""What the names of these contests begin with; the kind of disk follows."""

SINK = "-sink"
"""What the names of those end with whose server throws the pages away."""

KINDS = {"runs": "long runs of data", "scattered": "scattered data"}
"""Data in a dozen places, and in thousands; and the words for it."""

AZCOPY = "azcopy"
SDK = "upload_blob, 8 threads"


def disk(kind: str, folder: Path, *, quick: bool) -> TestDisk:
    """Return the disk of KIND, one of KINDS, made in FOLDER if it is not there."""
    made = disks.programs(folder, *((GIB, 200 * MIB) if quick else (2 * GIB, 612 * MIB)), tarballs.SOURCES)
    return made if kind == "runs" else disks.aged(made)


def vhd(disk: TestDisk) -> Path:
    """Return the fixed VHD of DISK, which the others must be given; made if it is not there."""
    path = disk.path.with_suffix(".vhd")
    if not path.exists():
        with lkcloud.open_disk(disk.path) as opened:
            lkcloud.convert(opened, path, format="vhd")
    return path


def contest(kind: str, disk: TestDisk, peers: Peers, server: BlobServer, *, thrown_away: bool) -> Contest:
    """Return the contest on DISK, whose kind is KIND."""
    file = vhd(disk)

    def azcopy(scratch: Path) -> list[str | Path]:
        # Without the look for a newer version, which it begins with.
        options = ["--from-to=LocalBlob", "--blob-type=PageBlob", "--skip-version-check", "--output-level=essential"]
        return [peers.azcopy or "", "copy", file, server.url(), *options]

    def sdk(scratch: Path) -> list[str | Path]:
        return [peers.python or "", HERE / "peer_page_blob.py", file, server.url()]

    contestants = (
        Contestant(LKCLOUD, lambda scratch: [sys.executable, HERE / "lkcloud_page_blob.py", disk.path, server.url()]),
        Contestant(AZCOPY, azcopy if peers.azcopy else None),
        Contestant(SDK, sdk if peers.python else None),
    )
    where, suffix = ("thrown away", SINK) if thrown_away else ("to Azurite", "")
    return Contest(
        f"{PREFIX}{kind}{suffix}",
        f"Page blob {where}, disk of {disk.size / GIB:.0f} GiB, {KINDS[kind]}",
        contestants,
        server,
        disk.data / MIB,
        "MiB of data",
        disk.data,
        check=lambda: server.compare(file),
    )


def names() -> Iterator[str]:
    """Yield the names of the contests."""
    for kind in KINDS:
        yield from (f"{PREFIX}{kind}", f"{PREFIX}{kind}{SINK}")
