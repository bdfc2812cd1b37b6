# SPDX-License-Identifier: Apache-2.0
"""lkcloud_page_blob.py DISK URL: what `lkcloud push azure --method blob` does from the disk to the finished page blob.

URL has a shared access signature, as a managed disk's has: signing in, and the storage account, are left out, here as
for the others. Prints {"bytes", "seconds": {"read", "send"}}: what was sent; reading and hashing, and sending.
"""

import json
import os
import sys

from azure.storage.blob import BlobClient, ContainerClient
from stages import Stages

import lkcloud
from lkcloud.provider import Run
from lkcloud.transfer.journal import Journal
from lkcloud_azure import AzureOptions
from lkcloud_azure.data_plane import DataPlane, SharedAccess
from lkcloud_azure.page_blobs import BlobPlace
from lkcloud_azure.page_upload import PageUpload
from lkcloud_azure.pages import Plan
from lkcloud_azure.session import Session


def main(path: str, url: str) -> None:
    """Upload the disk at PATH."""
    stages, options, session = Stages(), AzureOptions(), Session()
    trusted = os.environ["SSL_CERT_FILE"]
    blob = BlobClient.from_blob_url(url, connection_verify=trusted)
    container = ContainerClient.from_container_url(url.rpartition("/")[0])  # not used: the container is there
    place = BlobPlace(session, container, blob)
    with lkcloud.open_disk(path) as disk, Journal.open() as journal:
        lkcloud.inspect(disk)
        with stages.stage("read"):
            digest = disk.content().digest
        run, plan = Run(journal, stages), Plan(disk)
        with journal.transfer("bench") as transfer:
            made = place.make(size=plan.size, image="bench", digest=digest)
            transfer.begin(str(made.number))
            conditions = {"x-ms-if-sequence-number-eq": str(made.number)}
            with DataPlane(SharedAccess(lambda: url), options.workers, trusted, conditions) as plane:
                pages = PageUpload(session, options, disk, plan, plane, "the page blob", run, clears=True)
                place.mark_complete(made, pages.write(transfer))
    seconds = {"read": stages.seconds["read"], "send": stages.seconds["upload"]}
    print(json.dumps({"bytes": run.tally.sent, "seconds": seconds}))


main(sys.argv[1], sys.argv[2])
