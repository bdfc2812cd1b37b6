# SPDX-License-Identifier: Apache-2.0
"""Azure on this machine: Entra ID, Azure Resource Manager with disks, images, galleries and machines, page blobs."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from lkcloud.errors import UsageError
from lkcloud.sandbox.http import LOOPBACK, Response, Server
from lkcloud.sandbox.traffic import Seen, Traffic
from lkcloud_azure.naming import STORAGE, ResourceId
from lkcloud_azure.sandbox import access, storage_account
from lkcloud_azure.sandbox.access import Tokens
from lkcloud_azure.sandbox.azurite import Azurite
from lkcloud_azure.sandbox.blob_service import BlobService
from lkcloud_azure.sandbox.certificate import Certificate
from lkcloud_azure.sandbox.cloud import FOLDERS, LOCATION, SUBSCRIPTION, Cloud, Group
from lkcloud_azure.sandbox.disk import Disk
from lkcloud_azure.sandbox.dispatch import Dispatcher
from lkcloud_azure.sandbox.errors import busy, throttled
from lkcloud_azure.sandbox.gallery import Version
from lkcloud_azure.sandbox.image import Image
from lkcloud_azure.sandbox.own_blobs import OwnBlobs
from lkcloud_azure.sandbox.windows import Windows

__all__ = ["AzureStandIn", "Seen", "Windows"]

ACCOUNT = "lkcloudsandbox"
"""The storage account that a new sandbox has."""
GROUP = "lkcloud-sandbox"
"""The resource group that it is in."""


def _throttled(seen: Seen) -> Response:
    return busy().xml() if seen.service == "blob" else throttled().json()


def _blob_service(
    home: Path, windows: Windows, traffic: Traffic, tokens: Tokens, certificate: Certificate
) -> BlobService:
    """Return the blob service that LKCLOUD_SANDBOX_BLOBS names: `own`, or `azurite`. Raises UsageError."""
    chosen = os.environ.get("LKCLOUD_SANDBOX_BLOBS") or "own"
    if chosen == "azurite":
        return Azurite(home, windows, traffic, tokens, certificate)
    if chosen != "own":
        raise UsageError(f"LKCLOUD_SANDBOX_BLOBS is {chosen!r}", hint="set it to own or azurite, or unset it")
    return OwnBlobs(home, windows, traffic, tokens, certificate)


class AzureStandIn:
    """The stand-in of Azure.

    For tests in the same process: `windows` sets how long things take, `traffic` logs requests and has the hooks,
    `holdings` is all that is held.
    """

    cloud: ClassVar[str] = "azure"

    def __init__(self, home: Path) -> None:
        self.windows = Windows()
        self.traffic = Traffic(_throttled)
        self._home = home
        self._certificate = Certificate(home)
        tokens = Tokens(self.windows)
        self._blobs = _blob_service(home / "blobs", self.windows, self.traffic, tokens, self._certificate)
        self.holdings = Cloud(home, self.windows, tokens, self._blobs)
        self._dispatcher = Dispatcher(self.holdings, self.traffic)
        self._server: Server | None = None

    def start(self) -> None:
        """Serve on free ports of the loopback address; return when they answer."""
        self._server = Server(self._dispatcher, self._certificate.context)
        self._server.start()
        self._dispatcher.address = self._server.address
        self._blobs.start()
        self._furnish()

    def environment(self) -> Mapping[str, str]:
        """Return the environment variables that lead Azure's libraries and lkcloud here."""
        assert self._server is not None, "start comes first"
        # A proxy of the user's must not be asked for this machine; what it is not asked for already stays so.
        mine = f"{LOOPBACK},localhost"
        direct = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), mine)))
        bundle = str(self._certificate.bundle)
        return {
            "NO_PROXY": direct,
            "no_proxy": direct,
            "REQUESTS_CA_BUNDLE": bundle,
            "SSL_CERT_FILE": bundle,
            "AZURE_TENANT_ID": access.TENANT,
            "AZURE_CLIENT_ID": access.CLIENT,
            "AZURE_CLIENT_SECRET": access.SECRET,
            "AZURE_AUTHORITY_HOST": self._server.address,
            "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
            "LKCLOUD_AZURE_RESOURCE_MANAGER": self._server.address,
            "LKCLOUD_AZURE_LOCATION": LOCATION,
            "LKCLOUD_AZURE_STORAGE_ACCOUNT": ACCOUNT,
        }

    def idle(self) -> float:
        """Return the seconds since the last request; 0 while machines run."""
        return 0.0 if self.holdings.busy() else min(self.traffic.idle(), self._blobs.idle())

    def reset(self) -> None:
        """Empty the cloud: no machines, no images, no bytes. Address, certificate and credentials stay."""
        self.holdings.empty()
        self._blobs.reset()
        for folder in FOLDERS:
            shutil.rmtree(self._home / folder, ignore_errors=True)
        self._furnish()

    def stop(self) -> None:
        """End the servers and every machine."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        self.holdings.empty()
        self._blobs.stop()

    def _furnish(self) -> None:
        """Let there be what a new sandbox has: a resource group with a storage account."""
        with self.holdings.lock:
            self.holdings.groups[GROUP] = Group(GROUP, LOCATION, {})
            account = ResourceId(SUBSCRIPTION, GROUP, STORAGE, ("storageAccounts",), (ACCOUNT,))
            storage_account.add(self.holdings, account, LOCATION).state = "Succeeded"

    def hurry(self) -> None:
        """Let every operation that goes on come to its end now, and return when all have."""
        for operation in tuple(self.holdings.operations.values()):
            operation.hurry()

    def image_file(self, image_id: str) -> Path:
        """Return the raw file with the bytes of a managed image or a gallery image version. Raises KeyError."""
        found = self.holdings.held(image_id)
        if found is None or not isinstance(found, Image | Version):
            raise KeyError(image_id)
        return found.file

    def disk_file(self, disk_id: str) -> Path:
        """Return the file with the bytes of a managed disk: raw, or a VHD while it is uploaded. Raises KeyError."""
        found = self.holdings.get(Disk, disk_id)
        if found is None:
            raise KeyError(disk_id)
        return found.file

    def set_clock(self, skew: float) -> None:
        """Let Azure's clock be SKEW seconds before this machine's, as the Date of Resource Manager's answers has it."""
        assert self._server is not None, "start comes first"
        self._server.clock_skew = skew

    def expire_credentials(self, *, expired: bool = True) -> None:
        """Let no token be good from now on, or let them be good again."""
        self.holdings.tokens.expired = expired
