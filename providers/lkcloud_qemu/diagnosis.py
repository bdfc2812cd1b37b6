# SPDX-License-Identifier: Apache-2.0
"""Whether this machine is ready: a folder that can be written to, and QEMU with its firmware."""

from collections.abc import Iterator, Sequence

from lkcloud.diagnosis import Diagnosis, Health, Purpose, Remedy
from lkcloud.sandbox.firmware import Architecture
from lkcloud.sandbox.qemu import missing
from lkcloud_qemu.folder import Folder
from lkcloud_qemu.validation import unusable

_ARCHITECTURES: tuple[Architecture, ...] = ("x86_64", "arm64")


def diagnose(folder: Folder, purposes: Sequence[Purpose]) -> Iterator[Diagnosis]:
    """Yield how the folder stands and, where machines are to be started, whether they can be."""
    found = list(unusable(folder))
    for one in found:
        yield Diagnosis("folder", Health.PROBLEM, one.problem, "no image can be kept there", Remedy(do=one.hint))
    if not found:
        yield Diagnosis("folder", Health.GOOD, str(folder.path))
    if Purpose.TEST in purposes:
        yield from map(_emulator, _ARCHITECTURES)


def _emulator(architecture: Architecture) -> Diagnosis:
    packages = missing(architecture, "uefi")
    if not packages:
        return Diagnosis("qemu", Health.GOOD, f"machines for {architecture} can be started")
    return Diagnosis(
        "qemu",
        Health.NOTE,
        f"QEMU for {architecture} machines with UEFI is not installed",
        f"`lkcloud test` of an image for {architecture} ends with that error",
        Remedy(commands=(f"apt install {' '.join(packages)}",)),
    )
