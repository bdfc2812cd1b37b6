# SPDX-License-Identifier: Apache-2.0
"""The policies that the module for AWS makes, in force in the sandbox."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from lkcloud.errors import Refused
from lkcloud.provider import Run
from lkcloud_aws import Aws, AwsOptions
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.session import Session
from tests.aws.conftest import connected, run, session
from tests.aws.imaging import hold
from tests.standin import aws, serving
from tests.terraform.applying import Terraform

__all__ = ["aws", "connected", "run", "serving", "session"]

EVERYTHING: Mapping[str, Any] = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
"""What an administrator may have given beside it."""


def test_small_machines_without_an_address_only(
    aws: AwsStandIn, session: Session, run: Run, terraform: Terraform
) -> None:
    publisher = {"uses": ["test"], "github": ["repo:example/myos:ref:refs/heads/main"]}
    made = terraform.apply("aws", publishers={"p": publisher}).of("aws_iam_role_policy")
    image = hold(aws, session)
    aws.windows.policies = (*(json.loads(one["policy"]) for one in made), EVERYTHING)
    small, large = (Aws(AwsOptions(instance_type=name)) for name in (None, "m5.large"))
    for provider in (small, large):
        provider.__dict__["_session"] = session
    machine = small.launch(image, run)
    machine.terminate()
    with pytest.raises(Refused, match="explicit deny"):
        large.launch(image, run)
    request: dict[str, Any] = {"ImageId": image.id, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    tokens = {"HttpTokens": "required", "HttpEndpoint": "enabled"}
    public = [{"DeviceIndex": 0, "AssociatePublicIpAddress": True}]
    for wrong in (
        {"MetadataOptions": tokens, "NetworkInterfaces": public},
        {"NetworkInterfaces": [{"DeviceIndex": 0}]},
    ):
        with pytest.raises(Exception, match="explicit deny"):
            session.ec2.run_instances(**request, **wrong)
