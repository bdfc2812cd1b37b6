# SPDX-License-Identifier: Apache-2.0
"""The provider contract against a real subscription: `LKCLOUD_LIVE_AZURE=SUBSCRIPTION_ID pytest -m live tests/live`.

It makes disks, images, gallery versions and small machines called lkcloud-..., and deletes them (a few cents). They are
in the resource group LKCLOUD_LIVE_AZURE_GROUP, else lkcloud-contract, which is made if it is missing and stays; the
region is LKCLOUD_LIVE_AZURE_LOCATION, else westeurope. LKCLOUD_LIVE_AZURE_ACCOUNT is a storage account in that region
for the way by page blobs, and LKCLOUD_LIVE_AZURE_GALLERY the name of a gallery, which is made if it is missing and
stays with its image definition.
"""

import os
from typing import Literal

import pytest

from lkcloud.provider import Provider
from lkcloud.testing import ProviderContract
from lkcloud_azure import Azure, AzureOptions

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(
        "LKCLOUD_LIVE_AZURE" not in os.environ,
        reason="set LKCLOUD_LIVE_AZURE to the id of a subscription that may be billed",
    ),
]


class LiveAzure(ProviderContract):
    """The contract on a real subscription, by one METHOD, to a managed image or into a GALLERY."""

    sdk = ("azure",)
    method: Literal["disk", "blob"] = "disk"
    gallery: str | None = None

    @pytest.fixture
    def provider(self) -> Provider:
        """Return the provider for the subscription, with what DefaultAzureCredential finds."""
        chosen = {
            "subscription": os.environ["LKCLOUD_LIVE_AZURE"],
            "resource_group": os.environ.get("LKCLOUD_LIVE_AZURE_GROUP") or "lkcloud-contract",
            "location": os.environ.get("LKCLOUD_LIVE_AZURE_LOCATION") or "westeurope",
            "storage_account": os.environ.get("LKCLOUD_LIVE_AZURE_ACCOUNT"),
            "gallery": self.gallery,
        }
        given = {option: value for option, value in chosen.items() if value}
        if self.gallery:
            given |= {"definition": "lkcloud-contract", "create_gallery": "true", "replication_mode": "Shallow"}
        return Azure(AzureOptions.model_validate({"method": self.method, **given}))


class TestLiveDisk(LiveAzure):
    """Managed disks to managed images."""


@pytest.mark.skipif(
    not os.environ.get("LKCLOUD_LIVE_AZURE_ACCOUNT"), reason="set LKCLOUD_LIVE_AZURE_ACCOUNT to a storage account"
)
class TestLiveBlob(LiveAzure):
    """Page blobs to managed images."""

    method = "blob"


@pytest.mark.skipif(
    not os.environ.get("LKCLOUD_LIVE_AZURE_GALLERY"), reason="set LKCLOUD_LIVE_AZURE_GALLERY to the name of a gallery"
)
class TestLiveGallery(LiveAzure):
    """Managed disks to versions in a gallery."""

    gallery = os.environ.get("LKCLOUD_LIVE_AZURE_GALLERY")
