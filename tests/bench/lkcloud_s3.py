# SPDX-License-Identifier: Apache-2.0
"""lkcloud_s3.py DISK raw|vhd [--push]: lkcloud's own upload of a disk to a bucket, as an object of that format.

With --push also what a push does before it: the disk is inspected and its content digest taken. Prints {"bytes",
"seconds": {"read", "send"}}: the size of the object; reading and hashing, and sending.
"""

import json
import sys

from stages import Stages

import lkcloud
from lkcloud.formats import raw, vhd_dynamic
from lkcloud.provider import Run
from lkcloud.transfer.journal import Journal
from lkcloud_aws import AwsOptions
from lkcloud_aws.s3_upload import S3Upload
from lkcloud_aws.session import Session


def main(path: str, form: str, *, push: bool) -> None:
    """Upload the disk at PATH."""
    stages = Stages()
    options = AwsOptions(method="import", bucket="bench")
    with lkcloud.open_disk(path) as disk, Journal.open() as journal, journal.transfer("bench") as transfer:
        if push:
            lkcloud.inspect(disk)
            with stages.stage("read"):
                disk.content()
        layout = vhd_dynamic.dynamic(disk) if form == "vhd" else raw.layout(disk)
        session = Session(options.profile, options.region)
        upload = S3Upload(session, options, bucket="bench", key="object", disk=disk, layout=layout)
        upload.upload(transfer, Run(journal, stages))
    seconds = {"read": stages.seconds.get("read", 0.0), "send": stages.seconds["upload"]}
    print(json.dumps({"bytes": layout.size, "seconds": seconds}))


main(sys.argv[1], sys.argv[2], push="--push" in sys.argv[3:])
