# SPDX-License-Identifier: Apache-2.0
"""What a disk needs to boot in a test machine here (`lkcloud.sandbox.command` has QEMU's options for it)."""

from types import MappingProxyType

from lkcloud.disk.linux.drivers import NVME, PL011, SCSI_DISK, SERIAL_8250, VIRTIO_PCI, VIRTIO_SCSI, Driver
from lkcloud.disk.readiness.needs import Console, Device, Needs, Sizes

VIRTIO_BLK = Driver("virtio_blk", "CONFIG_VIRTIO_BLK", ("virtblk_probe",))  # drivers/block/virtio_blk.c

NEEDS = Needs(
    title="QEMU",
    firmware=MappingProxyType({"x86_64": ("uefi", "bios"), "arm64": ("uefi",)}),
    # The largest is off_t's: the file system may take less.
    sizes=Sizes(smallest=512, step=512, largest=2**63 - 512),
    disks=(
        Device("virtio", "machines with --bus virtio, the default", (VIRTIO_PCI, VIRTIO_BLK), root=("/dev/vd",)),
        # Whoever has no driver for these does not choose them.
        Device("NVMe", "machines with --bus nvme", (NVME,), root=("/dev/nvme0n1",), minor=True),
        Device(
            "virtio-scsi",
            "machines with --bus virtio-scsi",
            (VIRTIO_PCI, VIRTIO_SCSI, SCSI_DISK),
            root=("/dev/sd",),
            minor=True,
        ),
    ),
    # A test machine has no network, and nothing in it that an agent could ask.
    networks=(),
    # Of QEMU's `q35` and `virt` machines: https://www.qemu.org/docs/master/system/arm/virt.html has a PL011.
    consoles=MappingProxyType({"x86_64": (Console("ttyS0", SERIAL_8250),), "arm64": (Console("ttyAMA0", PL011),)}),
    agents=(),
)
