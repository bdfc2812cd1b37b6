# SPDX-License-Identifier: Apache-2.0
"""OVF: the description of a machine with one disk, which vSphere, VirtualBox and AWS import.

Format: DMTF DSP0243 1.1.0 and its schemas DSP8023 (the envelope) and those of CIM, whose elements stand in the order
of the alphabet. Elements of VMware's namespace are marked as not required, so that others pass over them.
"""

from dataclasses import dataclass

NAME = "image"
"""The name of the machine, until the importer gives it another."""

PROCESSORS = 2
MEMORY = 2048
"""MiB. Both can be changed where the machine is imported."""

_HARDWARE = "vmx-13"  # ESXi 6.5: the first that checks manifests of SHA-256
_SIZE_DIGITS = 20  # of 2^64 - 1

_ENVELOPE = "http://schemas.dmtf.org/ovf/envelope/1"
_CIM = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2"
_FORMAT = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine for x86-64 whose disk has CAPACITY bytes, of which about POPULATED are not zero.

    It starts by UEFI or by BIOS.
    """

    capacity: int
    populated: int
    uefi: bool


def descriptor(machine: Machine, file: str, size: int) -> bytes:
    """Return the descriptor of MACHINE whose disk is FILE, of SIZE bytes: as long for every SIZE."""
    stated = f'"{size}"'.ljust(_SIZE_DIGITS + 2)  # spaces may stand behind an attribute
    firmware = "efi" if machine.uefi else "bios"
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="{_ENVELOPE}" xmlns:ovf="{_ENVELOPE}" \
xmlns:rasd="{_CIM}/CIM_ResourceAllocationSettingData" xmlns:vssd="{_CIM}/CIM_VirtualSystemSettingData" \
xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:id="file1" ovf:href="{file}" ovf:size={stated}/>
  </References>
  <DiskSection>
    <Info>The disks</Info>
    <Disk ovf:diskId="disk1" ovf:fileRef="file1" ovf:format="{_FORMAT}" ovf:capacity="{machine.capacity}" \
ovf:capacityAllocationUnits="byte" ovf:populatedSize="{machine.populated}"/>
  </DiskSection>
  <NetworkSection>
    <Info>The networks</Info>
    <Network ovf:name="VM Network">
      <Description>The network of the machine</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{NAME}">
    <Info>A machine</Info>
    <Name>{NAME}</Name>
    <OperatingSystemSection ovf:id="101" vmw:osType="other3xLinux64Guest">
      <Info>The operating system</Info>
      <Description>Linux, 64-bit</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>The hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{NAME}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>{_HARDWARE}</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>
        <rasd:Description>Number of virtual CPUs</rasd:Description>
        <rasd:ElementName>{PROCESSORS} virtual CPUs</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>{PROCESSORS}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
        <rasd:Description>Memory size</rasd:Description>
        <rasd:ElementName>{MEMORY} MB of memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>{MEMORY}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:Description>SCSI controller</rasd:Description>
        <rasd:ElementName>SCSI controller 0</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType>
        <rasd:ResourceType>6</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:ElementName>Hard disk 1</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/disk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>7</rasd:AddressOnParent>
        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
        <rasd:Connection>VM Network</rasd:Connection>
        <rasd:Description>Ethernet adapter</rasd:Description>
        <rasd:ElementName>Ethernet 1</rasd:ElementName>
        <rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>
        <rasd:ResourceType>10</rasd:ResourceType>
      </Item>
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="{firmware}"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""
    return text.encode()
