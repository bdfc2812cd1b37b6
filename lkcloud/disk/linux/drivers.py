# SPDX-License-Identifier: Apache-2.0
"""Drivers of the kernel, and how one sees that a kernel has them.

For each: the module it can be built as, the option of its configuration, and functions of it, one of which is among
the kernel's symbols if it is built in. Of each function the address is taken, so no compiler leaves it out.
Sources: the Kconfig, Makefile and C files of Linux named beside each.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver; MODULE has `_` for `-`."""

    module: str
    option: str
    functions: tuple[str, ...]


NVME = Driver("nvme", "CONFIG_BLK_DEV_NVME", ("nvme_probe",))  # drivers/nvme/host/pci.c
SCSI_DISK = Driver("sd_mod", "CONFIG_BLK_DEV_SD", ("sd_probe",))  # drivers/scsi/sd.c
VIRTIO_PCI = Driver("virtio_pci", "CONFIG_VIRTIO_PCI", ("virtio_pci_probe",))  # drivers/virtio/virtio_pci_common.c
VIRTIO_SCSI = Driver("virtio_scsi", "CONFIG_SCSI_VIRTIO", ("virtscsi_probe",))  # drivers/scsi/virtio_scsi.c
VIRTIO_NET = Driver("virtio_net", "CONFIG_VIRTIO_NET", ("virtnet_probe",))  # drivers/net/virtio_net.c

SERIAL_8250 = Driver("8250", "CONFIG_SERIAL_8250_CONSOLE", ("univ8250_console_setup",))
"""The console ttyS0 (drivers/tty/serial/8250/8250_core.c)."""
PL011 = Driver("amba_pl011", "CONFIG_SERIAL_AMBA_PL011_CONSOLE", ("pl011_console_setup",))
"""The console ttyAMA0 (drivers/tty/serial/amba-pl011.c)."""
