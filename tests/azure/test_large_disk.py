# SPDX-License-Identifier: Apache-2.0
"""A push of a disk of 64 GiB with 500 MiB of data: the bytes arrive, and memory stays flat."""

from pathlib import Path

import pytest

from lkcloud.disk import open_disk
from lkcloud_azure.sandbox import AzureStandIn
from tests.huge import DATA, huge, push

__all__ = ["huge"]


@pytest.mark.long
@pytest.mark.parametrize("method", ["disk", "blob"])
def test_the_bytes_arrive_and_memory_stays_flat(method: str, huge: Path, azure: AzureStandIn) -> None:
    image = push("azure", huge, "--method", method, "--architecture", "x64")
    # Two digests of two files are equal when their sizes and all that is not zero are.
    with open_disk(huge) as sent, open_disk(azure.image_file(image)) as arrived:
        assert arrived.content().digest == sent.content().digest
    assert azure.traffic.received("PutPage") == DATA + 512
