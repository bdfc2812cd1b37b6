# SPDX-License-Identifier: Apache-2.0
"""lkcloud_page_blob.py DISK URL: what `lkcloud push azure --method blob` does from the disk to the finished page blob.

URL has a shared access signature, as a managed disk's has: signing in, and the storage account, are left out, here as
for the others. Prints {"bytes", "seconds": {"read", "send"}}: what was sent; waiting for the reading and hashing,
and sending.
"""

import json
import sys

from stages import Stages

import lkcloud
from lkcloud.disk.ahead import reading
from lkcloud.provider import Run
from lkcloud.transfer.journal import Journal
from lkcloud_azure import AzureOptions


def main(path: str, url: str) -> None:
    """Upload the disk at PATH."""
    stages = Stages()
    with lkcloud.open_disk(path) as disk, Journal.open() as journal:
        lkcloud.inspect(disk)
        with reading(disk) as begun:
            import upload_pages  # as a push does: the SDK is loaded, and the cloud asked, while the disk is read

            with stages.stage("read") as meter:
                digest = begun.content(meter).digest
        run = Run(journal, stages)
        upload_pages.upload(disk, digest, url, run, AzureOptions())
    seconds = {"read": stages.seconds["read"], "send": stages.seconds["upload"]}
    print(json.dumps({"bytes": run.tally.sent, "seconds": seconds}))


main(sys.argv[1], sys.argv[2])
