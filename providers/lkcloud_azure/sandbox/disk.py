# SPDX-License-Identifier: Apache-2.0
"""A managed disk: what it was made from, its bytes, and who holds it."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lkcloud_azure.sandbox import sparse, vhd_footer
from lkcloud_azure.sandbox.cloud import Cloud, Resource
from lkcloud_azure.sandbox.grants import Access
from lkcloud_azure.sandbox.page_file import PageFile

GIB = 1 << 30
_PIECE = 1 << 20


@dataclass(kw_only=True)
class Disk(Resource):
    """A managed disk of SIZE bytes; FILE has them raw, but while it is uploaded they are the pages of UPLOAD.

    SENT is what was asked for in `properties`, SKU such as `Standard_LRS`.
    """

    sent: Mapping[str, Any]
    sku: str
    size: int
    file: Path
    zones: tuple[str, ...] = ()
    upload: PageFile | None = None
    """The VHD with its footer, until endGetAccess."""
    export: PageFile | None = None
    """The VHD that a URL for reading gives access to."""
    url: str = ""
    """The URL that was granted last."""
    access: Access | None = None
    """What was granted and not taken back."""
    until: float = 0.0
    """When (time.monotonic) that ends."""
    managed_by: str = ""
    """The id of the virtual machine that it is attached to."""
    machine_runs: bool = True
    """Whether that machine is allocated."""
    source_unique_id: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    """What follows from its source: osType, hyperVGeneration and so on, where SENT does not say it."""

    @property
    def disk_state(self) -> Literal["Attached", "Reserved", "ReadyToUpload", "ActiveUpload", "ActiveSAS", "Unattached"]:
        """The state, as https://learn.microsoft.com/rest/api/compute/disks/get#diskstate has it."""
        if self.managed_by:
            return "Attached" if self.machine_runs else "Reserved"
        if self.upload is not None:
            # What becomes of an upload whose URL has ended, before it is taken back, is not known; it stays one here.
            return "ActiveUpload" if self.access else "ReadyToUpload"
        return "ActiveSAS" if self.access and time.monotonic() < self.until else "Unattached"

    def active(self, cloud: Cloud) -> bool:
        """Tell whether some URL gives access to it now."""
        pages = self.upload or self.export
        return pages is not None and cloud.grants.granted(pages)

    def blocked(self, cloud: Cloud) -> bool:
        """Tell whether a URL keeps it from being deleted (Azure/azure-cli#6927)."""
        return self.active(cloud)

    def top(self) -> dict[str, Any]:
        """Return what its document has beside `properties`."""
        tier = self.sku.partition("_")[0].removesuffix("SSD")
        said: dict[str, Any] = {"sku": {"name": self.sku, "tier": tier}}
        if self.zones:
            said["zones"] = list(self.zones)
        if self.managed_by:
            said["managedBy"] = self.managed_by
        return said

    def properties(self) -> dict[str, Any]:
        """Return its properties."""
        creation = dict(self.sent["creationData"])
        if self.source_unique_id:
            creation["sourceUniqueId"] = self.source_unique_id
        return {
            **self.extra,
            **{name: value for name, value in self.sent.items() if name != "creationData"},
            "creationData": creation,
            "diskSizeGB": -(-self.size // GIB),
            "diskSizeBytes": self.size,
            "encryption": self.sent.get("encryption", {"type": "EncryptionAtRestWithPlatformKey"}),
            "networkAccessPolicy": self.sent.get("networkAccessPolicy", "AllowAll"),
            "publicNetworkAccess": self.sent.get("publicNetworkAccess", "Enabled"),
            "timeCreated": self.created.isoformat(),
            "diskState": self.disk_state,
            "uniqueId": self.unique,
        }

    def exported(self, path: Path) -> PageFile:
        """Return a new page file at PATH with the disk as a fixed VHD."""
        pages = PageFile(path, self.size + vhd_footer.SIZE)
        with self.file.open("rb") as file:
            for start, end in sparse.extents(file.fileno(), self.size):
                # Holes of the file system need not end at pages.
                first, last = start // 512 * 512, -(-end // 512) * 512
                for at in range(first, last, _PIECE):
                    pages.write(at, os.pread(file.fileno(), min(_PIECE, last - at), at))
        pages.write(self.size, vhd_footer.footer(self.size))
        return pages

    def revoke(self, cloud: Cloud) -> None:
        """Let no URL give access to it any more."""
        for pages in (self.upload, self.export):
            if pages is not None:
                cloud.grants.revoke(pages)
        if self.export is not None:
            self.export.remove()
            self.export = None

    def removed(self, cloud: Cloud) -> None:
        """Give its bytes back."""
        self.revoke(cloud)
        if self.upload is not None:
            self.upload.remove()
        self.file.unlink(missing_ok=True)
