# SPDX-License-Identifier: Apache-2.0
"""A disk on its way to Azure: into a managed disk or a page blob, by the method of the options."""

from lkcloud.errors import UsageError
from lkcloud.provider import Blob, Run, Source
from lkcloud_azure import resource_group, storage
from lkcloud_azure.blob_upload import BlobUpload
from lkcloud_azure.disk_upload import DiskUpload
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.session import Session


def upload(session: Session, options: AzureOptions, source: Source, run: Run) -> Blob:
    """Return where the bytes are: there already, begun by an earlier run, or uploaded now.

    The resource group, and the container of a page blob, are made where they are missing. Raises ImageChanged if the
    disk was written to meanwhile; then nothing is left of the upload. After any other error, and after Ctrl-C, what was
    written stays for the next run, of this machine or another.
    """
    region = resource_group.location(session, options)
    if options.method == "disk":
        resource_group.ensure(session, options.resource_group, region, options.tags)
        return DiskUpload(session, options, source, region).upload(run)
    account = storage.account(session, options)
    if account.location != region:
        raise UsageError(
            f"azure: the storage account {options.storage_account} is in {account.location}, and the image in {region}",
            hint="Azure makes images of what is in the same region: give another --storage-account or --location",
        )
    if account.hierarchical:
        raise UsageError(
            f"azure: the storage account {options.storage_account} has a hierarchical namespace, and no page blobs",
            hint="give an account of kind StorageV2 without hierarchical namespace, or --method disk",
        )
    resource_group.ensure(session, options.resource_group, region, options.tags)  # for the image
    return BlobUpload(session, options, source, account).upload(run)
