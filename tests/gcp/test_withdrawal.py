# SPDX-License-Identifier: Apache-2.0
"""Images that are withdrawn, what that keeps others from, and how it is taken back; and dates that are due."""

from datetime import UTC, datetime, timedelta

import pytest
from google.cloud import compute_v1

from lkcloud.errors import Conflict, NotFound, Refused
from lkcloud.provider import Deprecation, Image, Run, Status
from lkcloud_gcp import Gcp, GcpOptions, images, labels, lifecycle, naming, sharing, sweeping, withdrawal
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.image import Deprecation as HeldDeprecation
from lkcloud_gcp.session import Session
from tests.gcp.imaging import hold
from tests.gcp.pushing import Noting, counted, lose_answers, refuse

JANE = "user:jane@example.com"


@pytest.fixture
def image(gcp: GcpStandIn, session: Session, run: Run) -> Image:
    hold(gcp, family="stable")
    sharing.share(session, GcpOptions(share_with=(JANE,), public=True), found(session), run)
    return found(session)


def found(session: Session, name: str = "image") -> Image:
    image = images.find(session, name)
    assert image is not None
    return image


def withdraw(session: Session, image: Image, run: Run) -> Noting:
    noting = Noting()
    withdrawal.withdraw(session, image, Run(run.journal, noting))
    return noting


def bindings(session: Session, name: str = "image") -> list[str]:
    policy = session.images.get_iam_policy(project=session.project, resource=name)
    return [f"{binding.role} {member}" for binding in policy.bindings for member in binding.members]


def test_it_is_private_obsolete_and_then_labelled(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    gcp.traffic.clear()
    noting = withdraw(session, image, run)
    now = found(session)
    assert bindings(session) == []
    assert gcp.holdings.engine.images["image"].deprecation.state == "OBSOLETE"
    assert now.withdrawn is not None
    assert datetime.now(UTC) - now.withdrawn < timedelta(minutes=5)
    assert (now.family, now.digest) == ("stable", image.digest)
    assert noting.notes == ["image is obsolete, and no longer shared with anybody"]
    steps = ["images.setIamPolicy", "images.deprecate", "images.setLabels"]
    assert [one for one in gcp.traffic.operations() if one in steps] == steps
    with pytest.raises(NotFound):
        session.call("x", lambda **how: session.images.get_from_family(project=session.project, family="stable", **how))


def test_other_roles_dates_and_the_replacement_stay(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    hold(gcp, "next")
    told = Deprecation(replacement="next", deleted=datetime(2030, 1, 1, tzinfo=UTC))
    lifecycle.deprecate(session, image, told, run)
    policy = session.images.get_iam_policy(project=session.project, resource="image")
    policy.bindings.append(compute_v1.Binding(role="roles/compute.admin", members=[JANE]))
    session.images.set_iam_policy(
        project=session.project,
        resource="image",
        global_set_policy_request_resource=compute_v1.GlobalSetPolicyRequest(policy=policy),
    )
    withdraw(session, image, run)
    assert bindings(session) == [f"roles/compute.admin {JANE}"]
    status = session.images.get(project=session.project, image="image").deprecated
    assert (status.state, status.replacement.rpartition("/")[2], status.deleted) == (
        "OBSOLETE",
        "next",
        "2030-01-01T00:00:00+00:00",
    )


def test_again_it_keeps_its_date(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    withdraw(session, image, run)
    since = found(session).withdrawn
    gcp.traffic.clear()
    assert withdraw(session, image, run).notes == ["image is withdrawn already"]
    assert (found(session).withdrawn, counted(gcp, "images.setLabels")) == (since, 0)


@pytest.mark.parametrize("operation", ["images.setIamPolicy", "images.deprecate", "images.setLabels"])
def test_an_interruption_is_gone_on_from(
    gcp: GcpStandIn, session: Session, image: Image, run: Run, operation: str
) -> None:
    refuse(gcp, operation, ApiError(403, "forbidden", "Required 'compute.images.x' permission for 'i'"))
    with pytest.raises(Refused):
        withdraw(session, image, run)
    assert found(session).withdrawn is None
    withdraw(session, image, run)
    assert found(session).withdrawn is not None


@pytest.mark.parametrize("operation", ["images.setIamPolicy", "images.deprecate", "images.setLabels"])
def test_with_a_lost_answer(gcp: GcpStandIn, session: Session, image: Image, run: Run, operation: str) -> None:
    lose_answers(gcp, operation)
    withdraw(session, image, run)
    assert found(session).withdrawn is not None
    assert bindings(session) == []


def test_another_who_labels_at_the_same_time_is_not_written_over(gcp: GcpStandIn, session: Session, run: Run) -> None:
    hold(gcp)
    once = [True]

    def label(seen: object) -> None:
        if once and getattr(seen, "operation", "") == "images.setLabels" and getattr(seen, "phase", "") == "before":
            once.clear()
            gcp.holdings.engine.images["image"].labels["theirs"] = "yes"

    gcp.traffic.hooks.append(label)
    labels.put(session, "image", "ours", "too")
    assert {"theirs": "yes", "ours": "too"}.items() <= dict(found(session).tags).items()
    labels.put(session, "image", "theirs", "")
    assert "theirs" not in dict(found(session).tags)
    with pytest.raises(NotFound):
        labels.put(session, "none", "ours", "too")


def test_nobody_new_comes_to_it(session: Session, image: Image, run: Run) -> None:
    withdraw(session, image, run)
    provider = Gcp(GcpOptions(public=True, family="stable"))
    for lead in (provider.share, provider.promote):
        with pytest.raises(Conflict, match="was withdrawn on") as raised:
            lead(found(session), run)
        assert "lkcloud deprecate gcp image --status active" in raised.value.hint


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.DEPRECATED])
def test_it_is_taken_back(gcp: GcpStandIn, session: Session, image: Image, run: Run, status: Status) -> None:
    """The label goes first: whoever dies in between leaves an image that nobody will delete for it."""
    withdraw(session, image, run)
    gcp.traffic.clear()
    lifecycle.deprecate(session, found(session), Deprecation(status), run)
    assert found(session).withdrawn is None
    done = gcp.traffic.operations()
    assert done.index("images.setLabels") < done.index("images.deprecate")


@pytest.mark.parametrize("status", [Status.OBSOLETE, Status.DELETED])
def test_what_is_obsolete_keeps_the_mark(session: Session, image: Image, run: Run, status: Status) -> None:
    withdraw(session, image, run)
    lifecycle.deprecate(session, found(session), Deprecation(status), run)
    assert found(session).withdrawn is not None


def test_what_a_label_says(gcp: GcpStandIn, session: Session) -> None:
    hold(gcp)
    when = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)
    gcp.holdings.engine.images["image"].labels[naming.WITHDRAWN] = naming.time_label(when)
    assert found(session).withdrawn is None  # somebody has made it active, and not by lkcloud
    gcp.holdings.engine.images["image"].deprecation = HeldDeprecation("OBSOLETE")
    assert found(session).withdrawn == when
    gcp.holdings.engine.images["image"].labels[naming.WITHDRAWN] = "yesterday"
    assert found(session).withdrawn is None


def test_dates_are_due_one_after_the_other(gcp: GcpStandIn, session: Session, run: Run) -> None:
    hold(gcp)
    hold(gcp, "without-dates")
    hold(gcp, "theirs", digest="")
    first = datetime(2026, 1, 1, tzinfo=UTC)
    dates = {
        name: first + timedelta(days=days) for name, days in (("deprecated", 0), ("obsolete", 30), ("deleted", 60))
    }
    for name in ("image", "theirs"):
        lifecycle.deprecate(session, found(session, name), Deprecation(Status.ACTIVE, **dates), run)  # type: ignore[arg-type]  # by name
    seen = []
    for days in (-1, 1, 31, 61, 62):
        for due in sweeping.due(session, first + timedelta(days=days)):
            assert due.image.id == "image"
            seen.append((days, due.deprecation and due.deprecation.status, due.ends))
            if due.deprecation is not None:
                lifecycle.deprecate(session, due.image, due.deprecation, run)
    assert seen == [
        (1, Status.DEPRECATED, False),
        (31, Status.OBSOLETE, False),
        (61, Status.DELETED, True),
        (62, None, True),
    ]
    said = gcp.holdings.engine.images["image"].deprecation
    assert (said.state, said.deprecated[:10], said.deleted[:10]) == ("DELETED", "2026-01-01", "2026-03-02")
