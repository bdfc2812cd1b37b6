# SPDX-License-Identifier: Apache-2.0
"""The bucket: found, made as it should be, and never a stranger's."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lkcloud.errors import LkcloudError, NotFound, Refused, UsageError
from lkcloud.provider import Run
from lkcloud.sandbox.http import Response
from lkcloud_gcp import GcpOptions
from lkcloud_gcp.bucket import default_name, find, prepare
from lkcloud_gcp.sandbox import GcpStandIn, Seen
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.session import Session
from tests.gcp.pushing import DiskMaker, Noting, counted, lose_answers, refuse, source_of

OURS = "lkcloud-sandbox-lkcloud"


@pytest.mark.parametrize(
    ("project", "name"),
    [
        ("my-project-123", "my-project-123-lkcloud"),
        ("example.com:web", "example-"),
        ("a" * 70, "a" * 46),
    ],
)
def test_the_default_name_can_be_a_buckets(project: str, name: str) -> None:
    made = default_name(project)
    assert len(made) <= 63
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert made.partition("-")[0] == name.partition("-")[0]
    assert made.endswith("-lkcloud")
    if project == "my-project-123":
        assert made == name


def test_projects_that_look_alike_have_buckets_of_their_own() -> None:
    assert default_name("example.com:web") != default_name("example-com:web")
    assert default_name("a" * 70) != default_name("a" * 71)


def test_a_bucket_that_is_missing_is_made_private_and_tidy(gcp: GcpStandIn, session: Session, run: Run) -> None:
    told = Noting()
    made = prepare(session, GcpOptions(bucket_location="europe-west3"), replace(run, reporter=told))
    assert (made.name, made.location, made.own) == (OURS, "EUROPE-WEST3", True)
    assert told.notes == [f"made the bucket {OURS} in EUROPE-WEST3"]
    shown = session.storage.get_bucket(OURS)
    assert shown.iam_configuration.uniform_bucket_level_access_enabled is True
    assert shown.iam_configuration.public_access_prevention == "enforced"
    assert shown.soft_delete_policy.retention_duration_seconds == 0
    (rule,) = shown.lifecycle_rules
    assert dict(rule) == {"action": {"type": "Delete"}, "condition": {"age": 7, "matchesPrefix": ["lkcloud/"]}}
    assert shown.labels == {"lkcloud-version": "1"}


def test_it_is_made_once(gcp: GcpStandIn, session: Session, run: Run) -> None:
    assert prepare(session, GcpOptions(), run) == prepare(session, GcpOptions(), run)
    assert counted(gcp, "buckets.insert") == 1


def test_all_objects_are_deleted_where_there_is_no_prefix(gcp: GcpStandIn, session: Session, run: Run) -> None:
    prepare(session, GcpOptions(object_prefix=""), run)
    (rule,) = session.storage.get_bucket(OURS).lifecycle_rules
    assert dict(rule)["condition"] == {"age": 7}


def test_looking_makes_nothing(gcp: GcpStandIn, session: Session) -> None:
    assert find(session, GcpOptions()) is None
    assert find(session, GcpOptions(bucket="not-there")) is None
    assert counted(gcp, "buckets.insert") == 0


def test_a_bucket_that_the_user_names_must_be_there(gcp: GcpStandIn, session: Session, run: Run) -> None:
    with pytest.raises(NotFound, match="no bucket not-there") as caught:
        prepare(session, GcpOptions(bucket="not-there"), run)
    assert "--bucket" in caught.value.hint
    assert counted(gcp, "buckets.insert") == 0


def test_a_bucket_that_the_user_names_may_be_anybodys(gcp: GcpStandIn, session: Session, run: Run) -> None:
    session.storage.create_bucket("shared", location="EU")
    gcp.traffic.clear()
    made = prepare(session, GcpOptions(bucket="shared"), run)
    assert (made.name, made.location, made.own) == ("shared", "EU", False)
    assert counted(gcp, "buckets.list") == 0


def test_a_bucket_that_cannot_be_where_it_should(session: Session, run: Run) -> None:
    with pytest.raises(UsageError):
        prepare(session, GcpOptions(bucket_location="atlantis"), run)


FORBIDDEN = ApiError(403, "forbidden", "no storage.buckets.get access to the Google Cloud Storage bucket.")


def not_in_the_list(one: Seen) -> Response | None:
    """Answer as for a bucket that everybody may see and that is another project's."""
    if one.phase == "before" and one.operation == "buckets.list":
        return Response(200, {"Content-Type": "application/json"}, b'{"kind": "storage#buckets"}')
    return None


@pytest.mark.parametrize("use", [find, lambda session, options: prepare(session, options, Run(None))])  # type: ignore[arg-type]
def test_a_bucket_of_ours_that_a_stranger_has(
    gcp: GcpStandIn, session: Session, use: Callable[[Session, GcpOptions], object]
) -> None:
    session.storage.create_bucket(OURS)
    gcp.traffic.hooks.append(not_in_the_list)
    with pytest.raises(Refused, match="belongs to another project") as caught:
        use(session, GcpOptions())
    assert "--bucket" in caught.value.hint


def test_a_bucket_of_ours_that_a_stranger_hides(gcp: GcpStandIn, session: Session, run: Run) -> None:
    refuse(gcp, "buckets.get", FORBIDDEN, 9)
    with pytest.raises(Refused, match="belongs to another project, or"):
        prepare(session, GcpOptions(), run)


def test_a_name_that_is_taken_when_it_is_asked_for(gcp: GcpStandIn, session: Session, run: Run) -> None:
    gcp.windows.foreign_buckets = (OURS,)
    with pytest.raises(Refused, match="another project") as caught:
        prepare(session, GcpOptions(), run)
    assert "--bucket" in caught.value.hint


def test_nothing_goes_to_a_stranger(gcp: GcpStandIn, session: Session, run: Run, make_disk: DiskMaker) -> None:
    from lkcloud_gcp.upload import upload

    session.storage.create_bucket(OURS)
    gcp.traffic.hooks.append(not_in_the_list)
    with pytest.raises(Refused):
        upload(session, GcpOptions(), source_of(make_disk(1 << 20, blocks=(0,))), run)
    assert gcp.holdings.store.buckets[OURS].objects == {}


def test_whose_it_is_must_be_seen(gcp: GcpStandIn, session: Session, run: Run) -> None:
    prepare(session, GcpOptions(), run)
    refuse(gcp, "buckets.list", ApiError(403, "forbidden", "no storage.buckets.list access"), 9)
    with pytest.raises(Refused, match="cannot be seen") as caught:
        prepare(session, GcpOptions(), run)
    assert "storage.buckets.list" in caught.value.hint


@pytest.mark.parametrize("phase", ["lost answer", "another run"])
def test_two_runs_that_make_it_at_once(gcp: GcpStandIn, session: Session, run: Run, phase: str) -> None:
    if phase == "lost answer":
        lose_answers(gcp, "buckets.insert")
    else:

        def be_quicker(one: Seen) -> Response | None:
            if one.phase == "before" and one.operation == "buckets.insert":
                gcp.traffic.hooks.clear()
                session.storage.create_bucket(OURS, location="EU")
            return None

        gcp.traffic.hooks.append(be_quicker)
    made = prepare(session, GcpOptions(), run)
    assert (made.name, made.own) == (OURS, True)


def test_a_bucket_in_use_of_a_policy(gcp: GcpStandIn, session: Session, run: Run) -> None:
    refuse(gcp, "buckets.insert", ApiError(412, "conditionNotMet", "constraints/gcp.resourceLocations violated"))
    with pytest.raises(LkcloudError, match="resourceLocations"):
        prepare(session, GcpOptions(), run)
