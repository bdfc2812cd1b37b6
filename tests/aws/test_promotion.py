# SPDX-License-Identifier: Apache-2.0
"""Parameters of Systems Manager: written only where they differ, and read back."""

from typing import Any

import pytest

from lkcloud.errors import Conflict, Refused, Unreachable
from lkcloud.provider import Image, Run
from lkcloud_aws import Aws, AwsOptions, promotion
from lkcloud_aws.sandbox import AwsStandIn, Seen
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.session import Session
from tests.aws.imaging import hold
from tests.aws.pushing import Noting, counted, lose_answers, refuse

STABLE = "/my-os/stable"


@pytest.fixture
def image(aws: AwsStandIn, session: Session) -> Image:
    return hold(aws, session)


def promote(session: Session, image: Image, *names: str, patience: float = 20.0) -> Noting:
    noting = Noting()
    run = Run(journal=None, reporter=noting)  # type: ignore[arg-type]  # nothing is remembered
    promotion.promote(session, AwsOptions(ssm_parameter=names), image, run, patience=patience)
    return noting


def shown(session: Session, name: str = STABLE) -> Any:
    [found] = session.ssm.get_parameters(Names=[name])["Parameters"]
    return found


def test_no_parameter_nothing_asked(aws: AwsStandIn, session: Session, image: Image) -> None:
    aws.traffic.clear()
    promote(session, image)
    assert aws.traffic.operations() == []


def test_a_parameter_is_made_and_then_left_alone(aws: AwsStandIn, session: Session, image: Image) -> None:
    noting = promote(session, image, STABLE, "my-os-1.2")
    assert (shown(session)["Value"], shown(session)["DataType"]) == (image.id, "aws:ec2:image")
    assert shown(session, "my-os-1.2")["Value"] == image.id
    assert noting.notes == [
        f"the parameter {STABLE} in us-east-1 names {image.id}",
        f"the parameter my-os-1.2 in us-east-1 names {image.id}",
    ]
    assert promote(session, image, STABLE).notes == [f"the parameter {STABLE} in us-east-1 names {image.id} already"]
    assert counted(aws, "PutParameter") == 2


def test_a_parameter_leads_to_the_next_image(aws: AwsStandIn, session: Session, image: Image) -> None:
    promote(session, image, STABLE)
    new = hold(aws, session, "new")
    promote(session, new, STABLE)
    assert (shown(session)["Value"], shown(session)["Version"]) == (new.id, 2)


def test_the_region_is_that_of_the_image(aws: AwsStandIn, session: Session, run: Run) -> None:
    there = hold(aws, session, region="eu-west-1")
    Aws(AwsOptions(ssm_parameter=(STABLE,))).promote(there, run)
    assert shown(session.at("eu-west-1"))["Value"] == there.id
    assert session.ssm.get_parameters(Names=[STABLE])["Parameters"] == []


def test_a_value_that_aws_does_not_take_is_told(aws: AwsStandIn, session: Session, image: Image) -> None:
    """It says yes first, and nothing at all later."""
    session.ec2.deregister_image(ImageId=image.id)
    with pytest.raises(Refused, match=f"AWS accepted {image.id} for the parameter {STABLE} in us-east-1") as raised:
        promote(session, image, STABLE, patience=0.5)
    assert "ec2:DescribeImages" in raised.value.hint


@pytest.mark.parametrize(("kind", "data_type"), [("String", "text"), ("StringList", "text")])
def test_a_parameter_of_another_kind_is_not_touched(
    kind: Any, data_type: str, aws: AwsStandIn, session: Session, image: Image
) -> None:
    session.ssm.put_parameter(Name=STABLE, Type=kind, Value="other", DataType=data_type)
    with pytest.raises(Conflict, match="cannot become that") as raised:
        promote(session, image, STABLE)
    assert "--ssm-parameter" in raised.value.hint
    assert shown(session)["Value"] == "other"
    [finding] = promotion.check(session, AwsOptions(ssm_parameter=(STABLE,)))
    assert finding.obstacle


def test_somebody_else_who_makes_the_parameter_meanwhile(aws: AwsStandIn, session: Session, image: Image) -> None:
    other = hold(aws, session, "other")

    def race(seen: Seen) -> None:
        if seen.phase == "before" and seen.operation == "PutParameter":
            aws.traffic.hooks.clear()
            promote(session, other, STABLE)

    aws.traffic.hooks.append(race)
    with pytest.raises(Conflict, match=f"somebody else made the parameter {STABLE}"):
        promote(session, image, STABLE)
    assert shown(session)["Value"] == other.id


def test_somebody_else_who_sets_the_parameter_after_us(aws: AwsStandIn, session: Session, image: Image) -> None:
    other = hold(aws, session, "other")
    aws.windows.parameter_validation = 0

    def race(seen: Seen) -> None:
        if seen.phase == "after" and seen.operation == "PutParameter":
            aws.traffic.hooks.clear()
            promote(session, other, STABLE)

    aws.traffic.hooks.append(race)
    with pytest.raises(Conflict, match=f"somebody else set the parameter {STABLE} in us-east-1 to {other.id}"):
        promote(session, image, STABLE)


def test_lost_answers_and_throttles(aws: AwsStandIn, session: Session, image: Image) -> None:
    aws.windows.parameter_validation = 0
    promote(session, hold(aws, session, "old"), STABLE)
    lose_answers(aws, "PutParameter")
    aws.traffic.throttle("GetParameters", 1)
    refuse(aws, "PutParameter", ApiError("TooManyUpdates", "There are concurrent updates for a resource."))
    promote(session, image, STABLE)
    assert shown(session)["Value"] == image.id


def test_a_lost_answer_of_a_new_parameter(aws: AwsStandIn, session: Session, image: Image) -> None:
    aws.windows.parameter_validation = 0
    lose_answers(aws, "PutParameter")
    promote(session, image, STABLE)
    assert (shown(session)["Value"], shown(session)["Version"]) == (image.id, 1)


def test_who_may_not_is_told_what_to_allow(aws: AwsStandIn, session: Session, image: Image) -> None:
    refuse(
        aws, "PutParameter", ApiError("AccessDeniedException", "User is not authorized to perform: ssm:PutParameter")
    )
    with pytest.raises(Refused, match="writing the parameter") as raised:
        promote(session, image, STABLE)
    assert "ssm:PutParameter" in raised.value.hint
    refuse(
        aws, "GetParameters", ApiError("AccessDeniedException", "User is not authorized to perform: ssm:GetParameters")
    )
    [finding] = promotion.check(session, AwsOptions(ssm_parameter=(STABLE,)))
    assert "ssm:GetParameters" in finding.hint


def test_a_parameter_with_too_many_versions(aws: AwsStandIn, session: Session, image: Image) -> None:
    refuse(aws, "PutParameter", ApiError("ParameterMaxVersionLimitExceeded", "You attempted to create a new version"))
    with pytest.raises(Refused) as raised:
        promote(session, image, STABLE)
    assert "oldest version" in raised.value.hint


def test_a_service_that_stays_away(aws: AwsStandIn, session: Session, image: Image) -> None:
    refuse(aws, "GetParameters", ApiError("InternalServerError", "", 500), times=6)
    with pytest.raises(Unreachable):
        promote(session, image, STABLE)
