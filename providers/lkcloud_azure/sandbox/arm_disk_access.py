# SPDX-License-Identifier: Apache-2.0
"""Access to the bytes of managed disks: granted and taken back, and what an upload must be when it is.

https://learn.microsoft.com/rest/api/compute/disks/grant-access and .../revoke-access
"""

import time

from azure.mgmt.compute import models

from lkcloud_azure.sandbox import vhd_footer
from lkcloud_azure.sandbox.arm_call import Answer, Call, Route, invalid
from lkcloud_azure.sandbox.arm_disks import PATH
from lkcloud_azure.sandbox.arm_model import body
from lkcloud_azure.sandbox.arm_operations import Operation, OperationFailed, started
from lkcloud_azure.sandbox.arm_versions import DISKS
from lkcloud_azure.sandbox.disk import Disk
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.grants import BLOB

_LONGEST = 60 * 24 * 3600
"""Seconds: since February 2025 a URL is good for at most 60 days
(https://learn.microsoft.com/azure/virtual-machines/linux/download-vhd)."""


def _grant(call: Call) -> Answer:
    disk = call.find(Disk)
    sent = body(call, models.GrantAccessData)
    access, seconds = sent["access"], sent["durationInSeconds"]
    if access not in ("Read", "Write"):
        raise invalid("grantAccessData.access", access)
    if not 0 < seconds <= _LONGEST:
        raise invalid("grantAccessData.durationInSeconds", seconds, f"It must be between 1 and {_LONGEST}.")
    _check_grant(disk, access)
    cloud = call.cloud

    def work(operation: Operation) -> None:
        # A second request is answered with the URL of the first as long as that is good.
        if not disk.active(cloud):
            disk.revoke(cloud)
            pages = disk.upload or disk.exported(cloud.file("disks"))
            url = cloud.grants.issue(pages, access, seconds)
            with cloud.lock:
                disk.url, disk.access, disk.until = url, access, time.monotonic() + seconds
                disk.export = None if disk.upload else pages
        operation.output = {"accessSAS": disk.url}

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation, result=True))


def _check_grant(disk: Disk, access: str) -> None:
    if disk.state != "Succeeded":
        message = f"Disk {disk.name} is in provisioning state {disk.state}."
        raise ApiError(409, "OperationNotAllowed", message)
    if disk.disk_state == "Attached":
        # microsoft/AzureStorageExplorer#5994
        message = (
            f"Access not permitted because disk {disk.name} is currently attached to running VM {disk.managed_by}."
        )
        raise ApiError(409, "OperationNotAllowed", message)
    if (access == "Write") != (disk.upload is not None):
        # DiskState of the SDK: a token for writing is issued for a disk that is made for upload, and for no other.
        message = f"Access {access} is not permitted because disk {disk.name} is in state {disk.disk_state}."
        raise ApiError(409, "OperationNotAllowed", message)
    for name, value in (("networkAccessPolicy", "DenyAll"), ("publicNetworkAccess", "Disabled")):
        if disk.properties()[name] == value:
            message = f"Access not permitted because the {name} of disk {disk.name} is {value}."
            raise ApiError(409, "OperationNotAllowed", message)


def _revoke(call: Call) -> Answer:
    disk, cloud = call.find(Disk), call.cloud

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            uploading = disk.upload if disk.access == "Write" else None
        disk.revoke(cloud)
        if uploading is not None:
            _finish(disk)
            uploading.resize(disk.size)
        with cloud.lock:
            disk.access, disk.upload = None, None if uploading else disk.upload

    return Answer(None, 202, started(call, work, seconds=cloud.windows.operation, result=True))


def _finish(disk: Disk) -> None:
    """Raise OperationFailed if what was uploaded is no VHD; the disk then stays as it is."""
    blob = disk.url.partition("?")[0]
    try:
        vhd_footer.check(disk.file, BLOB, blob)
    except vhd_footer.UnusableVhd as error:
        raise OperationFailed(error.code, error.message) from None


ROUTES = (
    Route("POST", f"{PATH}/beginGetAccess", "Disks.GrantAccess", DISKS, _grant),
    Route("POST", f"{PATH}/endGetAccess", "Disks.RevokeAccess", DISKS, _revoke),
)
