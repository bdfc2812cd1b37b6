# SPDX-License-Identifier: Apache-2.0
"""One configuration, and a session for each region of it."""

import pytest

from lkcloud.errors import UsageError
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.session import Session


def test_each_region_has_one_session(session: Session) -> None:
    west = session.at("us-west-2")
    assert west.region == "us-west-2"
    assert session.at("us-west-2") is west
    assert session.at("us-east-1") is session
    assert west.at("us-east-1") is session
    assert west.at("eu-west-1") is session.at("eu-west-1")


def test_a_session_elsewhere_changes_nothing_here(aws: AwsStandIn, session: Session) -> None:
    west = session.at("us-west-2")
    assert west.ec2.meta.region_name == "us-west-2"
    assert (session.region, session.ec2.meta.region_name) == ("us-east-1", "us-east-1")
    assert west.boto is session.boto
    assert west.ca == session.ca


@pytest.mark.usefixtures("aws")
def test_a_region_that_aws_does_not_have() -> None:
    with pytest.raises(UsageError, match="no region 'us-wst-2'") as raised:
        _ = Session().at("us-wst-2").ec2
    assert "us-west-2" in raised.value.hint
