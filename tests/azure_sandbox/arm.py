# SPDX-License-Identifier: Apache-2.0
"""The SDK's own clients of the stand-in's Azure Resource Manager, requests of none, and VHDs to make things of."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
import urllib3
from azure.core.exceptions import HttpResponseError
from azure.mgmt.compute import ComputeManagementClient, models
from azure.storage.blob import BlobClient, ContainerClient

from lkcloud_azure.sandbox import AzureStandIn, vhd_footer
from lkcloud_azure.sandbox.access import ARM
from lkcloud_azure.sandbox.cloud import SUBSCRIPTION
from lkcloud_azure.session import Session

GROUP = "tests"
PLACE = "westeurope"
MIB = 1 << 20
SIZE = 20 * MIB
"""Bytes of the smallest disk that can be uploaded."""
QUICK = {"polling_interval": 0.002}
COMPUTE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute"


def vhd(size: int = SIZE, **changes: bytes) -> tuple[bytes, bytes]:
    """Return the first pages and the footer of a fixed VHD; CHANGES are bytes of the footer by their place, `at8`."""
    footer = bytearray(vhd_footer.footer(size))
    for place, data in changes.items():
        at = int(place.removeprefix("at"))
        footer[at : at + len(data)] = data
    if changes and "at64" not in changes:
        footer[64:68] = bytes(4)
        footer[64:68] = (~sum(footer) & 0xFFFF_FFFF).to_bytes(4, "big")
    return b"some data of a disk" + bytes(512 - 19), bytes(footer)


@dataclass(frozen=True)
class Arm:
    """The clients of one test, in which there is a resource group GROUP in PLACE."""

    cloud: AzureStandIn
    session: Session

    @property
    def compute(self) -> ComputeManagementClient:
        return self.session.compute

    @cached_property
    def account(self) -> str:
        """The id of the storage account that a new sandbox has."""
        found = self.session.storage.storage_accounts.get_properties("lkcloud-sandbox", "lkcloudsandbox")
        return str(found.id)

    def disk(self, name: str = "disk", **properties: Any) -> models.Disk:
        """Make a disk; for an upload if nothing else is said."""
        sent = {"creationData": {"createOption": "Upload", "uploadSizeBytes": SIZE + 512}, **properties}
        place, tags = sent.pop("location", PLACE), sent.pop("tags", {})
        body = {"location": place, "tags": tags, "properties": sent}
        return self.compute.disks.begin_create_or_update(GROUP, name, body, **QUICK).result()

    def grant(self, name: str = "disk", access: str = "Write", seconds: int = 600) -> str:
        """Return a URL for the bytes of a disk."""
        body = {"access": access, "durationInSeconds": seconds}
        return str(self.compute.disks.begin_grant_access(GROUP, name, body, **QUICK).result().access_sas)

    def revoke(self, name: str = "disk") -> None:
        self.compute.disks.begin_revoke_access(GROUP, name, **QUICK).result()

    def uploaded(self, name: str = "disk", **properties: Any) -> models.Disk:
        """Make a disk and upload a VHD into it."""
        self.disk(name, **properties)
        with BlobClient.from_blob_url(self.grant(name)) as blob:
            for offset, data in zip((0, SIZE), vhd(), strict=True):
                blob.upload_page(data, offset, len(data))
        self.revoke(name)
        return self.compute.disks.get(GROUP, name)

    def blob(self, name: str = "disk.vhd", *, size: int = SIZE, footer: bytes | None = None) -> str:
        """Put a page blob with a VHD into the container `disks`, and return its URL."""
        endpoint = self.cloud.environment()["LKCLOUD_AZURE_STORAGE_ACCOUNT"]
        url = self.cloud.holdings.blobs.endpoint(endpoint)
        with ContainerClient(url, "disks", credential=self.session.credential) as container:
            if not container.exists():
                container.create_container()
            with container.get_blob_client(name) as blob:
                blob.create_page_blob(size + 512)
                first, last = vhd(size // MIB * MIB)
                blob.upload_page(first, 0, len(first))
                if footer != b"":
                    blob.upload_page(footer or last, size, 512)
                return str(blob.url)

    def image(
        self, name: str = "image", *, location: str = PLACE, generation: str | None = None, **disk: Any
    ) -> models.Image:
        """Make a managed image; DISK is what is said of its disk."""
        os_disk = {"osType": "Linux", "osState": "Generalized", **disk}
        properties: dict[str, Any] = {"storageProfile": {"osDisk": os_disk}}
        if generation is not None:
            properties["hyperVGeneration"] = generation
        body = {"location": location, "properties": properties}
        return self.compute.images.begin_create_or_update(GROUP, name, body, **QUICK).result()

    def gallery(self, name: str = "gallery", **properties: Any) -> models.Gallery:
        body = {"location": PLACE, "properties": properties}
        return self.compute.galleries.begin_create_or_update(GROUP, name, body, **QUICK).result()

    def definition(
        self,
        name: str = "definition",
        *,
        security: str | None = "Standard",
        features: Mapping[str, str] = {},
        gallery: str = "gallery",
        location: str = PLACE,
        **properties: Any,
    ) -> models.GalleryImage:
        """Make an image definition, in a gallery that is there."""
        wanted = ({"SecurityType": security} if security else {}) | dict(features)
        sent = {
            "osType": "Linux",
            "osState": "Generalized",
            "hyperVGeneration": "V2",
            "identifier": {"publisher": "p", "offer": "o", "sku": name},
            "features": [{"name": key, "value": value} for key, value in wanted.items()],
            **properties,
        }
        body = {"location": location, "properties": {key: value for key, value in sent.items() if value is not None}}
        return self.compute.gallery_images.begin_create_or_update(GROUP, gallery, name, body, **QUICK).result()

    def version(
        self,
        name: str = "1.0.0",
        *,
        storage: Mapping[str, Any] | None = None,
        definition: str = "definition",
        location: str = PLACE,
        **properties: Any,
    ) -> models.GalleryImageVersion:
        """Make a version, of the blob `disk.vhd` if nothing else is said, in a definition that is there."""
        if storage is None:
            url = f"{self.cloud.holdings.blobs.endpoint('lkcloudsandbox')}/disks/disk.vhd"
            storage = {"osDiskImage": {"source": {"storageAccountId": self.account, "uri": url}}}
        body = {"location": location, "properties": {"storageProfile": storage, **properties}}
        return self.compute.gallery_image_versions.begin_create_or_update(
            GROUP, "gallery", definition, name, body, **QUICK
        ).result()

    def raw(
        self, method: str, path: str, body: object = None, *, version: str | None = None, **headers: str
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Send a request as it is, signed in, and return status, document and headers."""
        sent = {"Authorization": f"Bearer {self.cloud.holdings.tokens.issue(ARM)}", **headers}
        url = f"{self.session.endpoint}{path}" if path.startswith("/") else path
        if version is not None:
            url += f"{'&' if '?' in url else '?'}api-version={version}"
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        bundle = self.cloud.environment()["REQUESTS_CA_BUNDLE"]
        with urllib3.PoolManager(ca_certs=bundle, retries=False) as pool:
            answer = pool.request(method, url, body=data, headers={"Content-Type": "application/json", **sent})
            return answer.status, json.loads(answer.data or b"null"), answer.headers


def refused(status: int, code: str, call: Callable[..., Any], *arguments: Any, **parameters: Any) -> str:
    """Call what must be refused, at once (STATUS) or in the end (0), with CODE, and return the message."""
    with pytest.raises(HttpResponseError) as caught:
        _whole(call, *arguments, **parameters)
    error = caught.value
    assert error.error is not None, error
    assert (error.status_code if status else 0, error.error.code) == (status, code), error
    assert error.error.message
    return str(error.error.message)


def _whole(call: Callable[..., Any], *arguments: Any, **parameters: Any) -> None:
    found = call(*arguments, **parameters)
    if hasattr(found, "result"):
        found.result()
