# SPDX-License-Identifier: Apache-2.0
"""Azure: disks become managed images, or versions in an Azure Compute Gallery."""

from lkcloud_azure.options import AzureOptions
from lkcloud_azure.provider import Azure

__all__ = ["Azure", "AzureOptions"]
