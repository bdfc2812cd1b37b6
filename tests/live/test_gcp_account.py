# SPDX-License-Identifier: Apache-2.0
"""The provider contract against a real project: `LKCLOUD_LIVE_GCP=PROJECT pytest -m live tests/live`.

It makes images and e2-small instances called lkcloud-contract-... and lkcloud-test-..., and deletes them (a few cents).
The bucket is LKCLOUD_LIVE_GCP_BUCKET, else PROJECT-lkcloud, which is made if it is missing and stays. Boot tests run in
LKCLOUD_LIVE_GCP_ZONE, else in the default zone, in the network `default`.
"""

import os
from typing import Literal

import pytest

from lkcloud.provider import Provider
from lkcloud.testing import ProviderContract
from lkcloud_gcp import Gcp, GcpOptions

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        "LKCLOUD_LIVE_GCP" not in os.environ, reason="set LKCLOUD_LIVE_GCP to the id of a project that may be billed"
    ),
]


class LiveGcp(ProviderContract):
    """The contract on a real project, by one METHOD."""

    sdk = ("google",)
    method: Literal["composite", "resumable"]

    @pytest.fixture
    def provider(self) -> Provider:
        """Return the provider for the project, with the application default credentials."""
        chosen = {
            "project": os.environ["LKCLOUD_LIVE_GCP"],
            "bucket": os.environ.get("LKCLOUD_LIVE_GCP_BUCKET"),
            "zone": os.environ.get("LKCLOUD_LIVE_GCP_ZONE"),
        }
        given = {option: value for option, value in chosen.items() if value}
        return Gcp(GcpOptions.model_validate({"method": self.method, **given}))


class TestLiveComposite(LiveGcp):
    method = "composite"


class TestLiveResumable(LiveGcp):
    method = "resumable"
    shows_unfinished = False
