# SPDX-License-Identifier: Apache-2.0
"""Short names of partition types, and the types that tell a processor architecture.

Sources: UEFI Specification 2.10, table 5.7; Discoverable Partitions Specification
(https://uapi-group.org/specifications/specs/discoverable_partitions_specification/); for the others the manuals of
the systems that use them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

from lkcloud.disk.inspect.facts import Architecture

EFI_SYSTEM = "EFI system"

_GPT: Mapping[str, str] = MappingProxyType(
    {
        "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": EFI_SYSTEM,
        "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
        "bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux extended boot",
        "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
        "b921b045-1df0-41c3-af44-4c6f280d3fae": "Linux root (ARM64)",
        "44479540-f297-41b2-9af7-d131d5f0458a": "Linux root (x86)",
        "8484680c-9521-48c6-9c11-b0720656f69e": "Linux /usr (x86-64)",
        "b0e01050-ee5f-4390-949a-9101b17104e9": "Linux /usr (ARM64)",
        "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5": "Linux root verity (x86-64)",
        "df3300ce-d69f-4c92-978c-9bfb0f38d820": "Linux root verity (ARM64)",
        "77ff5f63-e7b6-4633-acf4-1565b864c0e6": "Linux /usr verity (x86-64)",
        "6e11a4e7-fbca-4ded-b9e9-e1a512bb664e": "Linux /usr verity (ARM64)",
        "41092b05-9fc8-4523-994f-2def0408b176": "Linux root verity signature (x86-64)",
        "6db69de6-29f4-4758-a7a5-962190f00ce3": "Linux root verity signature (ARM64)",
        "e7bb33fb-06cf-4e81-8273-e543b413e2e2": "Linux /usr verity signature (x86-64)",
        "c23ce4ff-44bd-4b00-b2d4-b41b3419e02a": "Linux /usr verity signature (ARM64)",
        "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux filesystem",
        "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
        "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
        "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
        "ca7d7ccb-63ed-4c53-861c-1742536059cc": "Linux LUKS",
        "933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux /home",
        "3b8f8425-20e0-4f3b-907f-1a25a76f98e8": "Linux /srv",
        "4d21b016-b534-45c2-a9fb-5c16e091fd2d": "Linux /var",
        "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft basic data",
        "e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
    }
)

_MBR: Mapping[int, str] = MappingProxyType(
    {
        0x01: "FAT12",
        0x04: "FAT16",
        0x05: "Extended",
        0x06: "FAT16",
        0x07: "NTFS or exFAT",
        0x0B: "FAT32",
        0x0C: "FAT32 (LBA)",
        0x0E: "FAT16 (LBA)",
        0x0F: "Extended (LBA)",
        0x82: "Linux swap",
        0x83: "Linux",
        0x85: "Linux extended",
        0x8E: "Linux LVM",
        0xEE: "GPT protective",
        0xEF: EFI_SYSTEM,
        0xFD: "Linux RAID",
    }
)


def gpt_type(guid: UUID) -> str:
    """Return the short name of a GPT partition type, or the GUID."""
    return _GPT.get(str(guid), str(guid))


def mbr_type(byte: int) -> str:
    """Return the short name of an MBR partition type, or its `0x..` byte."""
    return _MBR.get(byte, f"0x{byte:02x}")


def is_extended(partition_type: str) -> bool:
    """Return whether a type's short name is that of a box for logical partitions."""
    return partition_type in ("Extended", "Extended (LBA)", "Linux extended")


def architecture_of(partition_type: str) -> Architecture | None:
    """Return the architecture that a type's short name tells, None for a type that goes with any."""
    if partition_type.endswith("(x86-64)"):
        return "x86_64"
    if partition_type.endswith("(ARM64)"):
        return "arm64"
    return None
