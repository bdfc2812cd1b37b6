# SPDX-License-Identifier: Apache-2.0
"""What Azure would refuse, or never boot, as far as it can be known without asking Azure."""

from collections.abc import Iterator

from lkcloud.provider import Finding, Source
from lkcloud_azure.options import AzureOptions


def validate(options: AzureOptions, source: Source) -> Iterator[Finding]:
    """Yield what stands in the way of making SOURCE an image with OPTIONS."""
    if not source.disk.size:
        yield Finding("the image is empty", "give a disk image with at least one byte")
    if options.method == "blob" and not options.storage_account:
        yield Finding("--method blob needs a storage account", "give --storage-account, or leave --method out")
