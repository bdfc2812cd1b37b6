# SPDX-License-Identifier: Apache-2.0
"""AWS on this machine, for tests: started once a process, empty for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lkcloud_aws import policy
from lkcloud_aws.permissions import PERMISSIONS, SMALL, USES
from lkcloud_aws.sandbox import AwsStandIn, Windows
from lkcloud_aws.sandbox.moto_side import ACCOUNT

LISTED = "LKCLOUD_TEST_LISTED_PERMISSIONS"
"""Environment variable: if it is set, the identity of the tests is allowed what lkcloud's list has, and no more."""

PLACES = {
    "partition": ("aws",),
    "account": (ACCOUNT,),
    "bucket": ("*",),
    "source": ("*",),
    "role": ("*",),
    "parameter": ("*",),
    "key": ("*",),
    "instance_type": SMALL,
}

OWN: policy.Document = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "ec2:*BlockPublicAccess", "ec2:*EbsEncryptionByDefault", "ec2:ModifyEbsDefaultKmsKeyId",
                "ec2:*LaunchTemplate*", "iam:*", "kms:CreateKey", "kms:*Alias", "kms:DisableKey", "s3:*Bucket*",
                "ssm:*", "servicequotas:*", "account:*",
            ],
            "Resource": "*",
        }
    ],
}  # fmt: skip
"""What tests do themselves beside it, where no user of lkcloud has to."""

SHORT = Windows(
    snapshot_pending=0.05, image_pending=0.05, import_step=0.01, instance_pending=0.05, parameter_validation=0.05
)


if os.environ.get(LISTED):
    SHORT.policies = (policy.document(PERMISSIONS, USES, PLACES), OWN)


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsStandIn]:
    """Return the stand-in that all tests of the process use."""
    stand_in = AwsStandIn(tmp_path_factory.mktemp("aws"))
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def aws(serving: AwsStandIn, monkeypatch: pytest.MonkeyPatch, own_folders: Path) -> Iterator[AwsStandIn]:
    """Return an empty AWS, which the environment leads to; what is set on it lasts for one test."""
    for variable, value in serving.environment().items():
        monkeypatch.setenv(variable, value)
    for name in Windows.__slots__:  # the stand-in's parts share one object
        setattr(serving.windows, name, getattr(SHORT, name))
    serving.reset()  # before it too: moto's state is the process's, and tests of the stand-in itself use it as well
    serving.traffic.clear()
    yield serving
    serving.traffic.hooks.clear()
    serving.expire_credentials(expired=False)
    serving.reset()
