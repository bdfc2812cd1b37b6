# SPDX-License-Identifier: Apache-2.0
"""A disk's bytes written straight into a managed disk, by the URL that Azure gives for it.

https://learn.microsoft.com/azure/virtual-machines/linux/disks-upload-vhd-to-managed-disk-cli. The disk is there from
the first request on, in state ActiveUpload, and any machine can go on with it; it costs what a standard disk of its
size costs, until it is deleted. The URL is good for a day, whatever becomes of the run.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lkcloud.errors import Conflict, ImageChanged, LkcloudError, Unreachable, UnusableImage
from lkcloud.polling import poll
from lkcloud.provider import Blob, Run, Source
from lkcloud.transfer.journal import Transfer
from lkcloud_azure import features, managed_disks, naming, operations
from lkcloud_azure.data_plane import DataPlane, SharedAccess
from lkcloud_azure.errors import code_of
from lkcloud_azure.managed_disks import ManagedDisk
from lkcloud_azure.meanings import CLOSED_DISK
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.page_upload import SCHEME, PageUpload
from lkcloud_azure.pages import Plan
from lkcloud_azure.session import Session
from lkcloud_azure.validation import LEAST_MIB, MIB

if TYPE_CHECKING:
    from azure.mgmt.compute import models

KIND = "disk"
"""Kind of a Blob that is a managed disk; its id is the disk's resource id."""

LEAST = LEAST_MIB * MIB
"""Bytes of the smallest disk that Azure takes an upload for."""

_SKU = "Standard_LRS"
"""The cheapest: the disk lasts no longer than until the image is made."""

_SETTLED = 300.0
"""Seconds for a disk that another run makes or closes."""

_SHOWN = 60.0
"""Seconds until a disk that was made is to be seen, and until one that was closed says so."""

_CLOSED = ("AuthorizationFailure", "PublicAccessNotPermitted", "AuthorizationSourceIPMismatch")
"""Codes of a network that is not let in; the SAS was taken then, or not looked at
(https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes)."""

_RESTING = (operations.SUCCEEDED.lower(), operations.FAILED.lower(), operations.CANCELED.lower())


@dataclass(frozen=True)
class DiskUpload:
    """Writes one source into one managed disk in REGION."""

    session: Session
    options: AzureOptions
    source: Source
    region: str

    def upload(self, run: Run) -> Blob:
        """Return the disk, Unattached and whole: one that is there, one that an earlier run began, or a new one.

        Raises ImageChanged if the disk was written to meanwhile; then nothing is left of the upload.
        """
        with run.journal.transfer(f"azure {self.session.endpoint}{str(self._where).lower()}") as transfer:
            disk = self._present() or self._make()
            if disk.writable:
                disk = self._write(disk, transfer, run)
            else:
                run.reporter.note(f"the bytes are there already, in the disk {disk.name}")
            transfer.forget()
        return blob_of(disk, self.source.name, self.source.digest)

    @cached_property
    def _where(self) -> ResourceId:
        source = self.source
        name = naming.upload_name(source.name, source.digest)
        return managed_disks.disk_id(self.session, self.options.resource_group, name)

    @cached_property
    def _plan(self) -> Plan:
        return Plan(self.source.disk, LEAST)

    def _present(self) -> ManagedDisk | None:
        """Return the disk to use or go on with, None if there is none; one of ours that is of no use is deleted."""
        disk = managed_disks.find(self.session, self._where)
        if disk is None:
            return None
        if not disk.is_of(self.source.name, self.source.digest):
            raise Conflict(
                f"azure: there is a disk {disk.name}, and it is none of this image",
                hint="delete it, or give another --name or --resource-group",
            )
        if disk.provisioning.lower() not in _RESTING:
            disk = self._settled()
        if disk is not None and (disk.provisioning.lower() != _RESTING[0] or not self._fits(disk)):
            managed_disks.delete(self.session, self._where)
            return None
        return disk

    def _settled(self) -> ManagedDisk | None:
        """Return the disk when what goes on with it is over, None if it is gone then."""

        def look() -> tuple[ManagedDisk | None] | None:
            disk = managed_disks.find(self.session, self._where)
            return (disk,) if disk is None or disk.provisioning.lower() in _RESTING else None

        what = f"azure: waiting for the disk {self._where.names[-1]}"
        return poll(look, what=what, every=0.5, limit=_SETTLED, hint="run the same command again later")[0]

    def _fits(self, disk: ManagedDisk) -> bool:
        """Tell whether it is what would be made now, as far as Azure says."""
        options, facts = self.options, self.source.facts
        told = (
            (disk.location, self.region),
            (disk.upload_size, self._plan.size),
            (disk.generation, features.generation(options, facts)),
            (disk.architecture, features.architecture(options, facts)),
            (disk.controllers, frozenset(map(str.upper, features.disk_controller_types(options, facts)))),
            (disk.os_type, options.os_type),
        )
        key = (options.disk_encryption_set or "").lower()
        return disk.encryption_set.lower() == key and all(not found or found == wanted for found, wanted in told)

    def _make(self) -> ManagedDisk:
        managed_disks.make(self.session, self._where, self._request())
        what = f"azure: looking at the disk {self._where.names[-1]} that was made"
        return poll(
            lambda: managed_disks.find(self.session, self._where),
            what=what,
            every=0.5,
            limit=_SHOWN,
            hint="run the same command again",
        )

    def _request(self) -> "models.Disk":
        from azure.mgmt.compute import models

        options, source = self.options, self.source
        key = options.disk_encryption_set
        # Without a type it is that of the set, which may encrypt twice; another one is refused
        # (hashicorp/terraform-provider-azurerm#10588).
        encryption = models.Encryption(disk_encryption_set_id=key)
        return models.Disk(
            location=self.region,
            tags=naming.tags_of(source.name, source.digest, options.tags),
            sku=models.DiskSku(name=_SKU),
            properties=models.DiskProperties(
                os_type=options.os_type,
                hyper_v_generation=features.generation(options, source.facts),
                supported_capabilities=models.SupportedCapabilities(
                    architecture=features.architecture(options, source.facts),
                    disk_controller_types=", ".join(features.disk_controller_types(options, source.facts)) or None,
                ),
                creation_data=models.CreationData(
                    create_option=models.DiskCreateOption.UPLOAD, upload_size_bytes=self._plan.size
                ),
                encryption=encryption if key else None,
            ),
        )

    def _write(self, disk: ManagedDisk, transfer: Transfer, run: Run) -> ManagedDisk:
        """Write the disk and close it, unless another run has done so before; return it as it is then."""
        transfer.begin(f"{disk.unique} {SCHEME}")
        access, what = SharedAccess(lambda: self._grant(disk)), f"the disk {disk.name}"
        try:
            with DataPlane(access, self.options.workers, self.session.ca) as plane:
                PageUpload(
                    self.session, self.options, self.source.disk, self._plan, plane, what, run, clears=False
                ).write(transfer)
            managed_disks.revoke(self.session, self._where)
        except ImageChanged:
            # What is there is a part of the old disk, which nobody has any more.
            if self._closed(disk) is None:
                self._remove(transfer, run)
            raise
        except (Unreachable, UnusableImage):
            raise
        except LkcloudError as error:
            if (closed := self._closed(disk)) is None:
                if code_of(error.__cause__) in _CLOSED:
                    error.hint = CLOSED_DISK
                raise
            return closed
        what = f"azure: closing the disk {disk.name}"
        return poll(lambda: self._closed(disk), what=what, every=0.5, limit=_SHOWN, hint="run the same command again")

    def _grant(self, disk: ManagedDisk) -> str:
        """Return a URL for writing to DISK, if it is still to be written."""
        found = managed_disks.find(self.session, self._where)
        if found is None or found.unique != disk.unique or not found.writable:
            raise _gone(self._where)
        return managed_disks.grant(self.session, self._where)

    def _remove(self, transfer: Transfer, run: Run) -> None:
        """Delete the disk; if that fails the user is told."""
        try:
            managed_disks.delete(self.session, self._where)
            transfer.forget()
        except LkcloudError as error:
            run.reporter.warn(f"{self._where} is left behind: {error.message}")

    def _closed(self, disk: ManagedDisk) -> ManagedDisk | None:
        """Return DISK if it is whole and closed, by us, another run or a request whose answer was lost.

        Azure closes none without a footer (microsoft/AzureStorageExplorer#8800), and that is written last.
        """
        found = self._settled()
        return found if found is not None and found.unique == disk.unique and not found.writable else None


def blob_of(disk: ManagedDisk, name: str, digest: str) -> Blob:
    """Return a disk as the house knows it, for the image NAME."""
    kept = naming.tag(disk.tags, naming.KEPT) == "yes"
    return Blob("azure", disk.location, str(disk.id), KIND, name, digest, disk.state, disk.created, kept)


def _gone(where: ResourceId) -> Conflict:
    return Conflict(
        f"azure: the disk {where.names[-1]} is gone, or is no longer to be written",
        hint="wait until the other run that works on it has ended, and run the same command again",
    )
