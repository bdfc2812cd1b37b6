# SPDX-License-Identifier: Apache-2.0
"""lkcloud_page_blob.py DISK: what `lkcloud push azure --method blob` does up to the finished page blob.

Prints {"bytes", "seconds": {"read", "send"}}: what was sent; reading and hashing, and sending.
"""

import json
import os
import sys

from stages import Stages

import lkcloud
from lkcloud.provider import Run, Source
from lkcloud.transfer.journal import Journal
from lkcloud_azure import Azure, AzureOptions


def main(path: str) -> None:
    """Upload the disk at PATH."""
    stages = Stages()
    options = AzureOptions(
        method="blob",
        resource_manager=os.environ["LKCLOUD_AZURE_RESOURCE_MANAGER"],
        location=os.environ["LKCLOUD_AZURE_LOCATION"],
        storage_account=os.environ["LKCLOUD_AZURE_STORAGE_ACCOUNT"],
    )
    with lkcloud.open_disk(path) as disk, Journal.open() as journal:
        facts = lkcloud.inspect(disk)
        with stages.stage("read"):
            content = disk.content()
        run = Run(journal, stages)
        Azure(options).upload(Source(disk=disk, name="bench", facts=facts, digest=content.digest), run)
    seconds = {"read": stages.seconds["read"], "send": stages.seconds["upload"]}
    print(json.dumps({"bytes": run.tally.sent, "seconds": seconds}))


main(sys.argv[1])
