# SPDX-License-Identifier: Apache-2.0
"""What a disk needs to boot on Compute Engine.

https://cloud.google.com/compute/docs/images/building-custom-os has the devices that a kernel must know;
https://cloud.google.com/compute/docs/disks/about-scsi-nvme says which machine series have which disks.
"""

from types import MappingProxyType

from lkcloud.disk.linux import agents
from lkcloud.disk.linux.agents import Agent
from lkcloud.disk.linux.drivers import (
    NVME,
    PL011,
    SCSI_DISK,
    SERIAL_8250,
    VIRTIO_NET,
    VIRTIO_PCI,
    VIRTIO_SCSI,
    Driver,
)
from lkcloud.disk.readiness.needs import Console, Device, Needs, Sizes
from lkcloud_gcp.validation import GIB, MAX_GIB

GVNIC = Driver("gve", "CONFIG_GVE", ("gve_probe",))  # drivers/net/ethernet/google/gve/gve_main.c
GUEST_AGENT = Agent.at("Google's guest agent", "usr/bin/google_guest_agent*", "usr/bin/google_guest_agent_manager")

_OLD = "machine series of the first and second generation (E2, N1, N2, N2D, T2D, C2)"
_NEW = "machine series of the third generation and later, and on Arm (C3, N4, C4, C4A, T2A)"

NEEDS = Needs(
    title="Google Cloud",
    # https://cloud.google.com/compute/docs/instances/arm-on-compute: Arm machines boot by UEFI.
    firmware=MappingProxyType({"x86_64": ("uefi", "bios"), "arm64": ("uefi",)}),
    # A tarball's disk.raw has whole GiB, to which a push fills it up (see `tarball`).
    sizes=Sizes(smallest=GIB, step=GIB, largest=MAX_GIB * GIB),
    disks=(
        Device(
            "virtio-scsi",
            _OLD,
            (VIRTIO_PCI, VIRTIO_SCSI, SCSI_DISK),
            architectures=("x86_64",),
            root=("/dev/sda",),
        ),
        Device("NVMe", _NEW, (NVME,), root=("/dev/nvme0n1",)),
    ),
    networks=(
        Device("virtio-net", _OLD, (VIRTIO_PCI, VIRTIO_NET), architectures=("x86_64",)),
        # "gVNIC is required for ... Tau T2A, and all third generation" series, says the first page above.
        Device("gVNIC", _NEW, (GVNIC,)),
    ),
    consoles=MappingProxyType(
        {
            # https://cloud.google.com/compute/docs/troubleshooting/viewing-serial-port-output: port 1 is ttyS0.
            "x86_64": (Console("ttyS0", SERIAL_8250),),
            # Which of the two an Arm machine has is not documented; images with either are about.
            "arm64": (Console("ttyS0", SERIAL_8250), Console("ttyAMA0", PL011)),
        }
    ),
    agents=(
        GUEST_AGENT,
        agents.CLOUD_INIT,
        agents.IGNITION,
        agents.AFTERBURN,
        agents.TINY_CLOUD,
        agents.LINUXKIT,
    ),
)
