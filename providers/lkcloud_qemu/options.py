# SPDX-License-Identifier: Apache-2.0
"""What a user can choose on this machine: one field is one flag, one environment variable and one line of the docs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lkcloud.provider import Meaning, Options, Used

if TYPE_CHECKING:
    from lkcloud.disk.inspect import DiskFacts

Architecture = Literal["x86_64", "arm64"]
Firmware = Literal["bios", "uefi"]
Bus = Literal["virtio", "nvme", "virtio-scsi"]


class LocalOptions(Options):
    """The options of this machine; what a push says of the hardware is kept with the image."""

    folder: Annotated[
        Path | None,
        Used.EVERYWHERE,
        Meaning.ACCOUNT,
        Field(description="Folder of the images; if not given, `lkcloud/images` in the user's data folder (XDG)."),
    ] = None
    family: Annotated[
        str | None,
        Used.PROMOTE,
        Field(description="Family; the image joins it last, after its boot test if there is one.", min_length=1),
    ] = None
    architecture: Annotated[
        Architecture | None, Used.LAUNCH, Field(description="Architecture; the disk tells if not given.")
    ] = None
    firmware: Annotated[
        Firmware | None,
        Used.LAUNCH,
        Field(description="What the machine boots by; the disk tells if not given, and `uefi` if it has both."),
    ] = None
    bus: Annotated[
        Bus | None,
        Used.LAUNCH,
        Field(description="How the machine has its disk; if not given, the first for which the disk has drivers."),
    ] = None
    memory: Annotated[int, Used.LAUNCH, Field(description="MiB of memory of the machine.", ge=64)] = 1024

    def machine(self, facts: "DiskFacts") -> tuple[Architecture, Firmware]:
        """Return what the machine of a disk is: as the options say, else as FACTS do; UEFI where there is a choice.

        Where nothing can be told x86_64 is tried.
        """
        architecture = self.architecture or facts.architecture or "x86_64"
        only_bios = facts.firmware == ("bios",) and architecture == "x86_64"
        return architecture, self.firmware or ("bios" if only_bios else "uefi")
