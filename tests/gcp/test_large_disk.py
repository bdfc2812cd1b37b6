# SPDX-License-Identifier: Apache-2.0
"""A push of a disk of 64 GiB with 500 MiB of data: the bytes arrive, and memory stays flat."""

from pathlib import Path

import pytest

from lkcloud.disk import open_disk
from lkcloud_gcp.sandbox import GcpStandIn
from tests.huge import DATA, huge, push

__all__ = ["huge"]

MIB = 1024**2


@pytest.mark.long
@pytest.mark.parametrize("method", ["composite", "resumable"])
def test_the_bytes_arrive_and_memory_stays_flat(method: str, huge: Path, gcp: GcpStandIn) -> None:
    assert push("gcp", huge, "--method", method, "--architecture", "X86_64") == "huge"
    # Two digests of two files are equal when their sizes and all that is not zero are.
    with open_disk(huge) as sent, open_disk(gcp.image_file("huge")) as arrived:
        assert arrived.content().digest == sent.content().digest
    assert gcp.traffic.received("objects.put", "objects.chunk") <= DATA + 4 * MIB
