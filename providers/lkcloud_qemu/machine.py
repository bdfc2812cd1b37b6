# SPDX-License-Identifier: Apache-2.0
"""A test machine: QEMU, with the image as a disk that nothing is written to."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from lkcloud.errors import NotFound
from lkcloud.provider import Image, Run
from lkcloud.sandbox.qemu import Drive, VirtualMachine
from lkcloud_qemu.folder import CLOUD, DISK, Folder, damage, read
from lkcloud_qemu.options import LocalOptions


@dataclass(frozen=True, slots=True)
class LocalMachine:
    """A machine, whose files are in HOME; it ends with this process, however that ends."""

    id: str
    machine: VirtualMachine
    folder: Folder

    def console(self) -> str:
        """Return all that the serial console has shown."""
        return self.machine.console().decode(errors="replace")

    def state(self) -> str:
        """Return `running`, `stopped` or `failed: ` and QEMU's reason."""
        return self.machine.state()

    def kept(self) -> str:
        """Return where its files are when they are not removed; the machine itself ends with this process."""
        return f"the console of the machine in {self.home}; the machine itself ends with this command"

    def advice(self) -> str:
        """Return what to do when QEMU has failed."""
        return "look at --memory, --bus and --architecture, or try LKCLOUD_ACCEL=tcg; --keep keeps QEMU's log"

    def terminate(self) -> None:
        """End the machine and remove its files; again is no error."""
        self.machine.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def home(self) -> Path:
        """The folder of its console, QEMU's log and its copy of the firmware."""
        return self.folder.work / self.id


def launch(folder: Folder, options: LocalOptions, image: Image, run: Run) -> LocalMachine:
    """Start a machine; OPTIONS count before what the push has noted.

    Raises UsageError if QEMU or its firmware is not installed, NotFound if the image or its disk is gone.
    """
    with folder.explained(f"starting a machine of {image.id}"), run.reporter.stage("launch") as meter:
        place = folder.image(image.id)
        document = read(place)
        if document is None:
            raise NotFound(f"{CLOUD}: there is no image {image.id} in {folder.path}", hint="see lkcloud list local")
        if wrong := damage(place, document):
            raise NotFound(
                f"{CLOUD}: the image {image.id} is damaged, its disk is {wrong} ({place / DISK})",
                hint=f"push it once more, or remove it: lkcloud delete local {image.id}",
            )
        architecture, firmware = options.architecture or document.architecture, options.firmware or document.firmware
        home = folder.new(image.id, "machine")
        machine = LocalMachine(
            home.name,
            VirtualMachine(
                drives=(Drive(place / DISK),),
                firmware=firmware,
                home=home,
                architecture=architecture,
                memory_mib=options.memory,
                bus=options.bus or document.bus,
            ),
            folder,
        )
        meter.status(f"{architecture}, {firmware}, {options.memory} MiB")
        try:
            machine.machine.start()
        except BaseException:
            machine.terminate()
            raise
        return machine
