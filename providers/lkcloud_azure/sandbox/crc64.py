# SPDX-License-Identifier: Apache-2.0
"""The checksum of x-ms-content-crc64.

Azure Storage's polynomial is that of NVM Express, and the value is sent little-endian: StorageCrc64HashAlgorithm of
Azure/azure-sdk-for-net, and the SDK's calculate_crc64_bytes.
"""

from awscrt.checksums import crc64nvme


def crc64(data: bytes) -> bytes:
    """Return the CRC of DATA as eight bytes."""
    return crc64nvme(data).to_bytes(8, "little")
