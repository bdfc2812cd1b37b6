# SPDX-License-Identifier: Apache-2.0
"""Who may use an image: added to, never written over."""

from typing import Any

import pytest

from lkcloud.errors import LkcloudError, Refused
from lkcloud.provider import Image, Run
from lkcloud.sandbox.http import Response
from lkcloud_gcp import GcpOptions, images, sharing
from lkcloud_gcp.sandbox import GcpStandIn, Seen
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.session import Session
from tests.gcp.imaging import hold
from tests.gcp.pushing import Noting, counted, lose_answers, refuse

ALICE, OPS = "user:alice@example.com", "group:ops@example.com"


@pytest.fixture
def image(gcp: GcpStandIn, session: Session) -> Image:
    hold(gcp)
    found = images.find(session, "image")
    assert found is not None
    return found


def share(session: Session, image: Image, run: Run, **options: object) -> Noting:
    noting = Noting()
    sharing.share(session, GcpOptions.model_validate(options), image, Run(run.journal, noting))
    return noting


def policy(session: Session) -> Any:
    from google.cloud import compute_v1

    request = compute_v1.GetIamPolicyImageRequest(
        project=session.project, resource="image", options_requested_policy_version=3
    )
    return session.images.get_iam_policy(request=request)


def bindings(session: Session) -> list[tuple[str, list[str], str]]:
    found = policy(session).bindings
    return sorted((one.role, sorted(one.members), one.condition.expression) for one in found)


def write(session: Session, *wanted: Any) -> None:
    from google.cloud import compute_v1

    new = compute_v1.Policy(version=3, etag=policy(session).etag, bindings=list(wanted))
    session.images.set_iam_policy(
        project=session.project,
        resource="image",
        global_set_policy_request_resource=compute_v1.GlobalSetPolicyRequest(policy=new),
    )


def binding(role: str, *members: str, condition: str = "") -> Any:
    from google.cloud import compute_v1

    made = compute_v1.Binding(role=role, members=list(members))
    if condition:
        made.condition = compute_v1.Expr(expression=condition, title="some")
    return made


def test_nobody_named_nothing_asked(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    share(session, image, run)
    assert counted(gcp, "images.getIamPolicy") == 0


def test_members_and_everybody(session: Session, image: Image, run: Run) -> None:
    noting = share(session, image, run, share_with=(ALICE, OPS, ALICE), public=True)
    assert bindings(session) == [("roles/compute.imageUser", ["allAuthenticatedUsers", OPS, ALICE], "")]
    assert noting.notes == [f"image can now be used by {ALICE}, {OPS}, allAuthenticatedUsers"]


def test_what_was_there_stays(session: Session, image: Image, run: Run) -> None:
    until = "request.time < timestamp('2027-01-01T00:00:00Z')"
    write(
        session,
        binding("roles/compute.imageUser", "user:bob@example.com", condition=until),
        binding("roles/compute.admin", "user:carol@example.com"),
        binding("roles/compute.imageUser", "user:dave@example.com"),
    )
    share(session, image, run, share_with=(ALICE,))
    assert bindings(session) == [
        ("roles/compute.admin", ["user:carol@example.com"], ""),
        ("roles/compute.imageUser", [ALICE, "user:dave@example.com"], ""),
        ("roles/compute.imageUser", ["user:bob@example.com"], until),
    ]


def test_again_writes_nothing(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    share(session, image, run, share_with=(ALICE,), public=True)
    noting = share(session, image, run, share_with=("user:Alice@Example.com",), public=True)
    assert counted(gcp, "images.setIamPolicy") == 1
    assert noting.notes == []


def test_names_that_have_cases_are_compared_with_them(session: Session, image: Image, run: Run) -> None:
    pool = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/"
    share(session, image, run, share_with=(f"{pool}A",))
    share(session, image, run, share_with=(f"{pool}a",))
    assert bindings(session) == [("roles/compute.imageUser", [f"{pool}A", f"{pool}a"], "")]


def test_a_lost_answer_adds_once(session: Session, gcp: GcpStandIn, image: Image, run: Run) -> None:
    lose_answers(gcp, "images.setIamPolicy")
    share(session, image, run, share_with=(ALICE,))
    assert bindings(session) == [("roles/compute.imageUser", [ALICE], "")]


def test_somebody_else_who_changes_the_policy_meanwhile(
    gcp: GcpStandIn, session: Session, image: Image, run: Run
) -> None:
    raced: list[bool] = []

    def race(seen: Any) -> None:
        if seen.phase == "before" and seen.operation == "images.setIamPolicy" and not raced:
            raced.append(True)
            write(session, binding("roles/compute.imageUser", OPS))

    gcp.traffic.hooks.append(race)
    share(session, image, run, share_with=(ALICE,))
    assert bindings(session) == [("roles/compute.imageUser", [OPS, ALICE], "")]


@pytest.mark.parametrize("status", [400, 412])
def test_a_policy_of_the_organisation(status: int, gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    """It may come with the status of a lost race; asking again for a minute would not help."""
    said = "One or more users named in the policy do not belong to a permitted customer."
    asked: list[int] = []

    def refused(seen: Seen) -> Response | None:
        if seen.phase == "after" or seen.operation != "images.setIamPolicy":
            return None
        asked.append(seen.number)
        return ApiError(status, "conditionNotMet", said).json()

    gcp.traffic.hooks.append(refused)
    with pytest.raises(Refused, match="permitted customer") as raised:
        share(session, image, run, public=True)
    assert "iam.allowedPolicyMemberDomains" in raised.value.hint
    assert len(asked) == 1


def test_a_member_that_google_does_not_know(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    refuse(gcp, "images.setIamPolicy", ApiError(400, "invalid", f"Invalid value: User {ALICE} does not exist."))
    with pytest.raises(LkcloudError, match="does not exist") as raised:
        share(session, image, run, share_with=(ALICE,))
    assert "--share-with" in raised.value.hint
