# SPDX-License-Identifier: Apache-2.0
"""AWS keeps the contract of a provider, by both methods."""

import pytest

from lkcloud.provider import Provider
from lkcloud.testing import ProviderContract
from lkcloud_aws import Aws, AwsOptions
from lkcloud_aws.sandbox import AwsStandIn

SDK = ("boto3", "botocore", "s3transfer")
BUCKET = "pushes"


@pytest.fixture(scope="module")
def by_ebs() -> Aws:
    """One provider for all tests: making its clients is slow."""
    return Aws(AwsOptions(workers=2))


@pytest.fixture(scope="module")
def by_import() -> Aws:
    return Aws(AwsOptions(method="import", bucket=BUCKET))


class TestEbsDirect(ProviderContract):
    sdk = SDK

    @pytest.fixture
    def provider(self, aws: AwsStandIn, by_ebs: Aws) -> Provider:
        return by_ebs

    @pytest.fixture
    def copying(self, aws: AwsStandIn) -> Provider:
        return Aws(AwsOptions(copy_to=("eu-west-1", "us-west-2")))


@pytest.mark.long
class TestImport(ProviderContract):
    sdk = SDK

    @pytest.fixture
    def provider(self, aws: AwsStandIn, bucket: str, by_import: Aws) -> Provider:
        assert bucket == BUCKET
        return by_import
