# SPDX-License-Identifier: Apache-2.0
"""The flags for a kernel with its initramfs, and for an ISO: what the disk is put together from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from lkcloud.disk.assemble.order import Wanted

IMAGE_HELP = (
    "A raw disk; or .gz, .xz, .zst, qcow2, VMDK, VHD(X); a kernel or the NAME of NAME-kernel (see --initrd); an ISO."
)

Starting = Literal["both", "uefi", "bios"]

Initrd = Annotated[
    list[Path],
    typer.Option(
        "--initrd",
        metavar="FILE",
        help="For a kernel: its initramfs; can be repeated. [default: NAME-initrd.img beside NAME-kernel]",
        show_default=False,
    ),
]
Cmdline = Annotated[
    str | None,
    typer.Option(
        "--cmdline",
        metavar="TEXT",
        help="For a kernel or an ISO: what the kernel is told. [default: NAME-cmdline, or what the ISO's loader says]",
        show_default=False,
    ),
]
BootsBy = Annotated[
    Starting | None,
    typer.Option(
        "--boots-by",
        help="For a kernel or an ISO: what is to start it. [default: both; uefi on arm64]",
        show_default=False,
    ),
]


def wanted(initrd: list[Path], cmdline: str | None, boots_by: Starting | None) -> "Wanted | None":
    """Return what the flags say; None if they say nothing."""
    if not initrd and cmdline is None and boots_by is None:
        return None  # a disk needs nothing of what this imports
    from lkcloud.disk.assemble.order import Wanted

    return Wanted.said(initrd, cmdline, boots_by)
