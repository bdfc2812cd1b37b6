# SPDX-License-Identifier: Apache-2.0
"""Azure keeps the contract of a provider: by both methods, to managed images and into galleries."""

from functools import cache
from typing import ClassVar

import pytest

from lkcloud.provider import Provider
from lkcloud.testing import ProviderContract
from lkcloud_azure import Azure
from lkcloud_azure.sandbox import AzureStandIn
from tests.azure.pushing import options_of


@cache
def serving(manager: str, method: str, gallery: str | None) -> Azure:
    """Return one provider for all tests of a class: making its clients is slow."""
    return Azure(
        options_of(
            resource_manager=manager,
            method=method,
            gallery=gallery,
            definition="contract" if gallery else None,
            create_gallery=bool(gallery),
        )
    )


class InAzure(ProviderContract):
    """The contract by one METHOD, to a managed image or into a GALLERY."""

    sdk = ("azure",)
    method: ClassVar[str] = "disk"
    gallery: ClassVar[str | None] = None

    @pytest.fixture
    def provider(self, azure: AzureStandIn) -> Provider:
        manager = azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"]
        return serving(manager, self.method, self.gallery)


class TestDiskToImage(InAzure):
    pass


@pytest.mark.long
class TestBlobToImage(InAzure):
    method = "blob"


@pytest.mark.long
class TestDiskToVersion(InAzure):
    gallery = "images"


class TestBlobToVersion(InAzure):
    method, gallery = "blob", "images"
