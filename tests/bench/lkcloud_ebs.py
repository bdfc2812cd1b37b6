# SPDX-License-Identifier: Apache-2.0
"""lkcloud_ebs.py DISK: what `lkcloud push aws` does up to the finished snapshot, EBS direct.

Prints {"blocks", "seconds": {"read", "send"}}: reading and hashing, and sending.
"""

import json
import sys

from stages import Stages

import lkcloud
from lkcloud.provider import Run, Source
from lkcloud.transfer.journal import Journal
from lkcloud_aws import Aws


def main(path: str) -> None:
    """Upload the disk at PATH."""
    stages = Stages()
    with lkcloud.open_disk(path) as disk, Journal.open() as journal:
        facts = lkcloud.inspect(disk)
        with stages.stage("read"):
            content = disk.content()
        source = Source(disk=disk, name="bench", facts=facts, digest=content.digest)
        Aws().upload(source, Run(journal, stages))
    seconds = {"read": stages.seconds["read"], "send": stages.seconds["upload"]}
    print(json.dumps({"blocks": len(content), "seconds": seconds}))


main(sys.argv[1])
