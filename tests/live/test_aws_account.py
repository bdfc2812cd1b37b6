# SPDX-License-Identifier: Apache-2.0
"""The provider contract against a real AWS account: `LKCLOUD_LIVE_AWS=REGION pytest -m live tests/live`.

It makes snapshots, images and t3.micro instances called lkcloud-contract-... and deletes them (a few cents). With
LKCLOUD_LIVE_AWS_BUCKET, a bucket in that region, the snapshot import is tried too; it needs the role vmimport.
"""

import os
from typing import Literal

import pytest

from lkcloud.provider import Provider
from lkcloud.testing import ProviderContract
from lkcloud_aws import Aws, AwsOptions

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        "LKCLOUD_LIVE_AWS" not in os.environ, reason="set LKCLOUD_LIVE_AWS to a region of an account that may be billed"
    ),
]


class LiveAws(ProviderContract):
    """The contract on a real account, by one METHOD."""

    sdk = ("boto3", "botocore")
    method: Literal["ebs", "import"]

    @pytest.fixture
    def provider(self) -> Provider:
        """Return the provider for the account that the AWS configuration names."""
        bucket = os.environ.get("LKCLOUD_LIVE_AWS_BUCKET")
        if self.method == "import" and not bucket:
            pytest.skip("set LKCLOUD_LIVE_AWS_BUCKET to a bucket in the region of LKCLOUD_LIVE_AWS")
        return Aws(AwsOptions(region=os.environ["LKCLOUD_LIVE_AWS"], method=self.method, bucket=bucket))


class TestLiveEbs(LiveAws):
    method = "ebs"


class TestLiveImport(LiveAws):
    method = "import"
