# SPDX-License-Identifier: Apache-2.0
"""What a disk needs to boot on Azure.

https://learn.microsoft.com/azure/virtual-machines/linux/create-upload-generic has the drivers of Hyper-V and says that
hv_vmbus and hv_storvsc must be in the initramfs; https://learn.microsoft.com/azure/virtual-machines/generation-2 the
generations; https://learn.microsoft.com/azure/virtual-machines/enable-nvme-interface that NVMe needs generation 2.
"""

from types import MappingProxyType

from lkcloud.disk.linux import agents
from lkcloud.disk.linux.agents import Agent
from lkcloud.disk.linux.drivers import NVME, PL011, SCSI_DISK, SERIAL_8250, Driver
from lkcloud.disk.readiness.needs import Console, Device, Needs, Sizes
from lkcloud_azure.validation import LEAST_MIB, MAX_GIB, MIB

# drivers/hv/vmbus_drv.c: the first name is that of ACPI's driver before Linux 6.3, the second since.
VMBUS = Driver("hv_vmbus", "CONFIG_HYPERV", ("vmbus_acpi_add", "vmbus_platform_driver_probe"))
STORVSC = Driver("hv_storvsc", "CONFIG_HYPERV_STORAGE", ("storvsc_probe",))  # drivers/scsi/storvsc_drv.c
NETVSC = Driver("hv_netvsc", "CONFIG_HYPERV_NET", ("netvsc_probe",))  # drivers/net/hyperv/netvsc_drv.c
HYPERV_PCI = Driver("pci_hyperv", "CONFIG_PCI_HYPERV", ("hv_pci_probe",))  # drivers/pci/controller/pci-hyperv.c
MANA = Driver("mana", "CONFIG_MICROSOFT_MANA", ("mana_gd_probe",))  # drivers/net/ethernet/microsoft/mana/gdma_main.c

WAAGENT = Agent.at("waagent", "usr/sbin/waagent", "usr/bin/waagent", "usr/share/oem/bin/waagent")
AZURE_INIT = Agent.at("azure-init", "usr/bin/azure-init", "usr/lib/systemd/system/azure-init.service")

NEEDS = Needs(
    title="Azure",
    # Generation 1 boots by BIOS and generation 2 by UEFI; Arm64 has generation 2 only.
    firmware=MappingProxyType({"x86_64": ("uefi", "bios"), "arm64": ("uefi",)}),
    sizes=Sizes(smallest=LEAST_MIB * MIB, step=MIB, largest=MAX_GIB * 1024**3),
    disks=(
        Device("SCSI", "sizes up to v5", (VMBUS, STORVSC, SCSI_DISK), root=("/dev/sda",)),
        # Sizes from v6 on have NVMe alone (skypilot-org/skypilot#10375, kubermatic/machine-controller#1980); its
        # controller is behind a PCI bus of Hyper-V's.
        Device("NVMe", "sizes from v6 on", (VMBUS, HYPERV_PCI, NVME), firmware=("uefi",), root=("/dev/nvme0n1",)),
    ),
    networks=(
        Device("Hyper-V", "every size", (VMBUS, NETVSC)),
        # https://learn.microsoft.com/azure/virtual-network/accelerated-networking-mana-overview: it is there beside
        # Hyper-V's, which carries the traffic where its driver is missing.
        Device("MANA", "the fast network of newer sizes", (VMBUS, NETVSC, HYPERV_PCI, MANA), minor=True),
    ),
    consoles=MappingProxyType(
        {
            "x86_64": (Console("ttyS0", SERIAL_8250),),
            # osbuild/image-builder#1455, platforms.yaml of coreos/fedora-coreos-config.
            "arm64": (Console("ttyAMA0", PL011),),
        }
    ),
    # Ignition and Afterburn report to Azure that the machine is ready (`afterburn --check-in`).
    agents=(WAAGENT, agents.CLOUD_INIT, AZURE_INIT, agents.AFTERBURN, agents.IGNITION, agents.LINUXKIT),
    # Azure/WALinuxAgent#664, nanovms/nanos#1319.
    without_agent="Azure waits 40 minutes for the machine to report that it is ready, and calls it failed then",
)
