# SPDX-License-Identifier: Apache-2.0
"""What a disk needs to boot in a test machine here (`lkcloud.sandbox.command` has QEMU's options for it)."""

from types import MappingProxyType

from lkcloud.disk.inspect import DiskFacts
from lkcloud.disk.linux.drivers import NVME, PL011, SCSI_DISK, SERIAL_8250, VIRTIO_PCI, VIRTIO_SCSI, Driver
from lkcloud.disk.linux.system import LinuxSystem, Place, look_for_linux
from lkcloud.disk.readiness.needs import Console, Device, Needs, Sizes
from lkcloud.formats.layout import Readable
from lkcloud_qemu.options import Bus

VIRTIO_BLK = Driver("virtio_blk", "CONFIG_VIRTIO_BLK", ("virtblk_probe",))  # drivers/block/virtio_blk.c


def _disk(bus: Bus, drivers: tuple[Driver, ...], root: str) -> Device:
    # A push takes the bus that the system has drivers for, so nobody misses the others.
    return Device(bus, f"machines with --bus {bus}", drivers, root=(root,), minor=True)


BUSES = MappingProxyType[Bus, Device](
    {
        "virtio": _disk("virtio", (VIRTIO_PCI, VIRTIO_BLK), "/dev/vd"),
        "nvme": _disk("nvme", (NVME,), "/dev/nvme0n1"),
        "virtio-scsi": _disk("virtio-scsi", (VIRTIO_PCI, VIRTIO_SCSI, SCSI_DISK), "/dev/sd"),
    }
)
"""How a machine can have its disk; the first is taken where nothing speaks for another."""

NEEDS = Needs(
    title="QEMU",
    firmware=MappingProxyType({"x86_64": ("uefi", "bios"), "arm64": ("uefi",)}),
    # The largest is off_t's: the file system may take less.
    sizes=Sizes(smallest=512, step=512, largest=2**63 - 512),
    disks=tuple(BUSES.values()),
    # A test machine has no network, and nothing in it that an agent could ask.
    networks=(),
    # Of QEMU's `q35` and `virt` machines: https://www.qemu.org/docs/master/system/arm/virt.html has a PL011.
    consoles=MappingProxyType({"x86_64": (Console("ttyS0", SERIAL_8250),), "arm64": (Console("ttyAMA0", PL011),)}),
    agents=(),
)


def bus_for(disk: Readable, facts: DiskFacts) -> Bus:
    """Return the bus on which the system of DISK finds its root file system, as far as that can be seen."""
    drivers = tuple(dict.fromkeys(driver for device in BUSES.values() for driver in device.drivers))
    system = look_for_linux(disk, facts, drivers=drivers, agents=(), unpack=True)
    if system.root_on_disk is False:
        return "virtio"
    return next((bus for bus, device in BUSES.items() if _works(device, system)), "virtio")


def _works(device: Device, system: LinuxSystem) -> bool:
    root = system.command_line.root if system.command_line else ""
    named = any(root.startswith(name) for one in BUSES.values() for name in one.root)
    if named and not root.startswith(device.root):
        return False
    return all(system.early(driver) not in (Place.NOWHERE, Place.UNKNOWN) for driver in device.drivers)
