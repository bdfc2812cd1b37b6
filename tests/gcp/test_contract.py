# SPDX-License-Identifier: Apache-2.0
"""Google Cloud keeps the contract of a provider, by both methods."""

import pytest

from lkcloud.provider import Provider
from lkcloud.testing import ProviderContract
from lkcloud_gcp import Gcp, GcpOptions
from lkcloud_gcp.sandbox import GcpStandIn

SDK = ("google",)


@pytest.fixture(scope="module")
def by_composing() -> Gcp:
    """One provider for all tests: making its clients is slow."""
    return Gcp(GcpOptions(workers=2))


@pytest.fixture(scope="module")
def by_one_stream() -> Gcp:
    return Gcp(GcpOptions(method="resumable"))


class TestComposite(ProviderContract):
    sdk = SDK

    @pytest.fixture
    def provider(self, gcp: GcpStandIn, by_composing: Gcp) -> Provider:
        return by_composing


@pytest.mark.long
class TestResumable(ProviderContract):
    sdk = SDK
    shows_unfinished = False

    @pytest.fixture
    def provider(self, gcp: GcpStandIn, by_one_stream: Gcp) -> Provider:
        return by_one_stream
