# SPDX-License-Identifier: Apache-2.0
"""The part of lkcloud_page_blob.py that needs the SDK."""

import os

from azure.storage.blob import BlobClient, ContainerClient

from lkcloud.disk import Disk
from lkcloud.provider import Run
from lkcloud_azure import AzureOptions
from lkcloud_azure.data_plane import DataPlane, SharedAccess
from lkcloud_azure.page_blobs import BlobPlace
from lkcloud_azure.page_upload import PageUpload
from lkcloud_azure.pages import Plan
from lkcloud_azure.session import Session


def upload(disk: Disk, digest: str, url: str, run: Run, options: AzureOptions) -> None:
    """Make the page blob at URL and write DISK into it."""
    session, trusted = Session(), os.environ["SSL_CERT_FILE"]
    blob = BlobClient.from_blob_url(url, connection_verify=trusted)
    container = ContainerClient.from_container_url(url.rpartition("/")[0])  # not used: the container is there
    place, plan = BlobPlace(session, container, blob), Plan(disk)
    with run.journal.transfer("bench") as transfer:
        made = place.make(size=plan.size, image="bench", digest=digest)
        transfer.begin(str(made.number))
        conditions = {"x-ms-if-sequence-number-eq": str(made.number)}
        with DataPlane(SharedAccess(lambda: url), options.workers, trusted, conditions) as plane:
            pages = PageUpload(session, options, disk, plan, plane, "the page blob", run, clears=True)
            place.mark_complete(made, pages.write(transfer))
