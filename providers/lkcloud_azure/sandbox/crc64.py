# SPDX-License-Identifier: Apache-2.0
"""The checksum of x-ms-content-crc64.

Azure Storage's polynomial is that of NVM Express, and the value is sent little-endian: StorageCrc64HashAlgorithm of
Azure/azure-sdk-for-net, and the SDK's calculate_crc64_bytes.
"""

import anycrc

_CRC64 = anycrc.Model("CRC64-NVME")


def crc64(data: bytes) -> bytes:
    """Return the CRC of DATA as eight bytes."""
    return int(_CRC64.calc(data)).to_bytes(8, "little")
