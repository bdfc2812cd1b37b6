# SPDX-License-Identifier: Apache-2.0
"""Page blobs that become images: which can be named, and whether what they hold is a VHD that Azure takes."""

from pathlib import Path
from urllib.parse import urlsplit

from lkcloud_azure.sandbox import vhd_footer
from lkcloud_azure.sandbox.arm_call import Call, invalid
from lkcloud_azure.sandbox.arm_operations import OperationFailed
from lkcloud_azure.sandbox.cloud import Cloud
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.storage_account import StorageAccount, account_of


def check_url(call: Call, url: str, place: str, target: str) -> StorageAccount:
    """Return the account of the page blob at URL. Raises ApiError if none in PLACE can be named so by TARGET."""
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.query:
        raise invalid(target, url, "It must be the https URL of a blob, without a shared access signature.")
    account = account_of(call.cloud, url)
    if account is None:
        message = f"Source blob {url} does not belong to a storage account in subscription {call.id.subscription}."
        raise ApiError(400, "BadRequest", message)
    _, _, blob = url.removeprefix(f"{account.endpoint}/").partition("/")
    if "/" in blob:
        # chagarw/MDPP#22
        message = f"The blob name in URL {url} contains a slash. This is presently not supported for disks."
        raise ApiError(400, "InvalidParameter", message, target=target)
    if not blob.endswith(".vhd"):
        # Azure/azure-cli#9899
        message = f'Blob name in URL {url} must end with ".vhd" extension.'
        raise ApiError(400, "InvalidParameter", message, target=target)
    if account.location != place:
        # microsoft/DefendTheFlag#1, which is of disks
        raise ApiError(400, "BadRequest", f"The source blob {url} does not belong to the same region as the disk.")
    return account


def fetch(cloud: Cloud, url: str, file: Path) -> int:
    """Make FILE the raw disk in the VHD at URL, and return its size. Raises OperationFailed."""
    found = cloud.blobs.find(url)
    if found is None:
        raise OperationFailed("BlobNotFound", f"The specified blob {url} does not exist.", "disks")
    if found.kind != "PageBlob":
        # Azure/azure-xplat-cli#1689
        raise OperationFailed("InvalidParameter", f"The blob {url} is no page blob.", "disks")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        cloud.blobs.fetch(url, file)
        size = vhd_footer.check(file, url.rpartition("/")[2], url)
    except KeyError:
        raise OperationFailed("BlobNotFound", f"The specified blob {url} does not exist.", "disks") from None
    except vhd_footer.UnusableVhd as error:
        # The code and the target: osbuild/osbuild-composer#111
        raise OperationFailed("InvalidParameter", error.message, "disks") from None
    with file.open("r+b") as raw:
        raw.truncate(size)
    return size
