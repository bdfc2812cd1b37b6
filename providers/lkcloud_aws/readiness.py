# SPDX-License-Identifier: Apache-2.0
"""What a disk needs to boot on EC2.

Every instance type of today is built on the Nitro System, where volumes are NVMe and the network is ENA
(https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-nitro-instances.html,
https://docs.aws.amazon.com/ebs/latest/userguide/nvme-ebs-volumes.html); the types in front of them have Xen's.
"""

from types import MappingProxyType

from lkcloud.disk.linux import agents
from lkcloud.disk.linux.drivers import NVME, SERIAL_8250, Driver
from lkcloud.disk.readiness.needs import Console, Device, Needs, Sizes
from lkcloud_aws.options import MAX_GIB

_GIB = 1024**3

ENA = Driver("ena", "CONFIG_ENA_ETHERNET", ("ena_probe",))  # drivers/net/ethernet/amazon/ena/ena_netdev.c
XEN_DISK = Driver("xen_blkfront", "CONFIG_XEN_BLKDEV_FRONTEND", ("blkfront_probe",))  # drivers/block/xen-blkfront.c
XEN_NETWORK = Driver("xen_netfront", "CONFIG_XEN_NETDEV_FRONTEND", ("netfront_probe",))  # drivers/net/xen-netfront.c

_OLD = "instance types with Xen (T2, M4, C4 and older)"

NEEDS = Needs(
    title="AWS",
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-boot.html: Graviton boots by UEFI only.
    firmware=MappingProxyType({"x86_64": ("uefi", "bios"), "arm64": ("uefi",)}),
    # A volume has whole GiB; what the image does not fill of it is zeros.
    sizes=Sizes(smallest=_GIB, step=_GIB, largest=MAX_GIB * _GIB),
    disks=(
        Device("NVMe", "instance types with Nitro", (NVME,), root=("/dev/nvme0n1",)),
        Device("Xen", _OLD, (XEN_DISK,), architectures=("x86_64",), root=("/dev/xvda",), minor=True),
    ),
    networks=(
        Device("ENA", "instance types with Nitro", (ENA,)),
        Device("Xen", _OLD, (XEN_NETWORK,), architectures=("x86_64",), minor=True),
    ),
    # The platforms.yaml of coreos/fedora-coreos-config has ttyS0 for both architectures.
    consoles=MappingProxyType({"x86_64": (Console("ttyS0", SERIAL_8250),), "arm64": (Console("ttyS0", SERIAL_8250),)}),
    agents=(agents.CLOUD_INIT, agents.IGNITION, agents.AFTERBURN, agents.TINY_CLOUD, agents.LINUXKIT),
)
