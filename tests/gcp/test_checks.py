# SPDX-License-Identifier: Apache-2.0
"""What stands in the way is told before a byte travels, and nothing is made to find out."""

import json
from collections.abc import Callable

import pytest

from lkcloud.disk import Disk
from lkcloud.errors import NotAuthenticated, Unreachable, UsageError
from lkcloud.provider import Finding
from lkcloud.sandbox.http import Response
from lkcloud_gcp import GcpOptions, resource_manager
from lkcloud_gcp.checks import check
from lkcloud_gcp.sandbox import GcpStandIn, Seen
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.session import Session
from tests.gcp.imaging import hold
from tests.gcp.pushing import BUCKET, DiskMaker, counted, refuse, source_of


@pytest.fixture
def disk(make_disk: DiskMaker) -> Disk:
    return make_disk(1 << 20, pieces={0: b"x"})


Look = Callable[..., list[Finding]]


@pytest.fixture
def look(session: Session, disk: Disk) -> Look:
    def ask(**options: object) -> list[Finding]:
        return list(check(session, GcpOptions.model_validate(options), source_of(disk)))

    return ask


def instead(gcp: GcpStandIn, operation: str, document: object) -> None:
    """Let DOCUMENT answer all requests of OPERATION."""

    def hook(seen: Seen) -> Response | None:
        if seen.phase == "before" and seen.operation == operation:
            return Response(200, {"Content-Type": "application/json"}, json.dumps(document).encode())
        return None

    gcp.traffic.hooks.append(hook)


CHANGES = ("insert", "delete", "patch", "put", "compose", "start", "chunk", "setIamPolicy")


@pytest.mark.parametrize("options", [{}, {"bucket": BUCKET}, {"bucket": BUCKET, "method": "resumable"}])
def test_a_good_project_has_no_finding_and_nothing_is_made(
    gcp: GcpStandIn, bucket: str, look: Look, options: dict[str, object]
) -> None:
    gcp.traffic.clear()
    assert look(**options) == []
    made = [name for name in gcp.traffic.operations() if name.partition(".")[2] in CHANGES]
    assert made == []
    assert list(gcp.holdings.store.buckets) == [bucket]


def test_no_project_and_no_credentials_are_told_at_once(
    gcp: GcpStandIn, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcp.expire_credentials()
    with pytest.raises(NotAuthenticated):
        list(check(Session(), GcpOptions(), source_of(disk)))
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/dev/null")
    with pytest.raises(NotAuthenticated):
        list(check(Session(), GcpOptions(), source_of(disk)))


def test_a_project_that_is_not_there_is_told(gcp: GcpStandIn, disk: Disk, bucket: str) -> None:
    options = GcpOptions(bucket=bucket)
    [finding] = check(Session("no-such-project"), options, source_of(disk))
    assert finding.obstacle
    assert "projects/no-such-project" in finding.problem
    assert "--project" in finding.hint
    refuse(gcp, "projects.get", ApiError(400, "invalid", "Unknown project id: no-such-project"))
    assert "Unknown project id" in next(iter(check(Session(), options, source_of(disk)))).problem


def test_an_api_that_is_not_enabled_is_told(gcp: GcpStandIn, bucket: str, look: Look) -> None:
    said = "Compute Engine API has not been used in project 1 before or it is disabled."
    refuse(gcp, "projects.get", ApiError(403, "accessNotConfigured", said))
    [finding] = look(bucket=bucket)
    assert finding.obstacle
    assert "gcloud services enable" in finding.hint


def test_who_may_not_look_at_the_project_may_push(gcp: GcpStandIn, bucket: str, look: Look) -> None:
    said = "Required 'compute.projects.get' permission for 'projects/lkcloud-sandbox'"
    refuse(gcp, "projects.get", ApiError(403, "forbidden", said))
    [finding] = look(bucket=bucket)
    assert not finding.obstacle
    assert "allow compute.projects.get" in finding.hint


def test_a_full_project_is_told_unless_the_image_is_there(gcp: GcpStandIn, bucket: str, look: Look) -> None:
    quotas = [{"metric": "SNAPSHOTS", "limit": 5, "usage": 5}, {"metric": "IMAGES", "limit": 100.0, "usage": 100.0}]
    instead(gcp, "projects.get", {"name": "lkcloud-sandbox", "quotas": quotas})
    [finding] = look(bucket=bucket)
    assert finding.obstacle
    assert "has 100 images and may have 100" in finding.problem
    hold(gcp)
    assert look(bucket=bucket) == []


def test_room_for_one_more_image_is_enough(gcp: GcpStandIn, bucket: str, look: Look) -> None:
    instead(gcp, "projects.get", {"quotas": [{"metric": "IMAGES", "limit": 100.0, "usage": 99.0}]})
    assert look(bucket=bucket) == []


def test_missing_permissions_on_the_project_are_told_and_no_obstacle(gcp: GcpStandIn, bucket: str, look: Look) -> None:
    instead(gcp, "projects.testIamPermissions", {})
    [finding] = look(bucket=bucket)
    assert not finding.obstacle
    assert "no permission compute.images.create" in finding.problem
    [shared] = look(bucket=bucket, public=True, family="f")
    assert "compute.images.update" in shared.problem
    assert "compute.images.setIamPolicy" in shared.problem


@pytest.mark.parametrize(
    "error",
    [
        ApiError(403, "accessNotConfigured", "Cloud Resource Manager API has not been used in project 1"),
        ApiError(404, "notFound", "Not Found"),
        ApiError(500, "backendError", "later"),
    ],
)
def test_where_permissions_cannot_be_asked_for_nothing_is_said(
    gcp: GcpStandIn, bucket: str, look: Look, error: ApiError
) -> None:
    refuse(gcp, "projects.testIamPermissions", error, times=99)
    assert look(bucket=bucket) == []


def test_the_usual_resource_manager_is_not_asked_of_another_cloud(
    gcp: GcpStandIn, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER")
    assert resource_manager.missing(session, ["compute.images.create"]) == []
    assert counted(gcp, "projects.testIamPermissions") == 0


def test_a_bucket_that_is_not_there_is_an_obstacle_if_it_was_named(look: Look) -> None:
    assert look() == []
    [finding] = look(bucket="not-there")
    assert finding.obstacle
    assert "no bucket not-there" in finding.problem


def test_a_bucket_of_a_stranger_is_an_obstacle(gcp: GcpStandIn, session: Session, look: Look) -> None:
    gcp.windows.foreign_buckets = ("lkcloud-sandbox-lkcloud",)
    [finding] = look()
    assert finding.obstacle
    assert "another project" in finding.problem
    assert "--bucket" in finding.hint


@pytest.mark.parametrize("permission", ["storage.objects.create", "storage.objects.delete", "storage.objects.list"])
def test_a_missing_permission_on_the_bucket_is_named(gcp: GcpStandIn, bucket: str, look: Look, permission: str) -> None:
    gcp.windows.denied_permissions = (permission,)
    [finding] = look(bucket=bucket)
    assert finding.obstacle
    assert finding.problem.endswith(f"no permission {permission}")
    assert "storage.objectUser" in finding.hint


def test_who_removes_nothing_need_not_be_allowed_to(gcp: GcpStandIn, bucket: str, look: Look) -> None:
    gcp.windows.denied_permissions = ("storage.objects.delete",)
    assert look(bucket=bucket, method="resumable", keep_object=True) == []
    assert look(bucket=bucket, method="composite", keep_object=True) != []


def test_a_bucket_that_keeps_everything_is_an_obstacle(session: Session, bucket: str, look: Look) -> None:
    kept = session.storage.get_bucket(bucket)
    kept.retention_period = 10 * 86_400
    kept.patch()
    [finding] = look(bucket=bucket)
    assert finding.obstacle
    assert "10 days" in finding.problem
    assert look(bucket=bucket, method="resumable", keep_object=True) == []


def test_a_bucket_that_may_be_used_and_not_looked_at_is_used(gcp: GcpStandIn, bucket: str, look: Look) -> None:
    """The usual role for a bucket, storage.objectUser, does not let one look at the bucket itself."""
    said = (
        "lkcloud@p.iam.gserviceaccount.com does not have storage.buckets.get access to the Google Cloud Storage bucket."
    )
    refuse(gcp, "buckets.get", ApiError(403, "forbidden", said), times=99)
    assert look(bucket=bucket) == []
    gcp.windows.denied_permissions = ("storage.objects.create",)
    [finding] = look(bucket=bucket)
    assert finding.problem.endswith("no permission storage.objects.create")


def test_a_project_is_needed(gcp: GcpStandIn, disk: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    path = f"{tmp_path}/user.json"
    with open(path, "w") as file:  # noqa: PTH123
        json.dump({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}, file)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
    with pytest.raises(UsageError, match="no project is known"):
        list(check(Session(), GcpOptions(), source_of(disk)))


def test_who_cannot_be_reached_has_refused_nothing(gcp: GcpStandIn, bucket: str, look: Look) -> None:
    refuse(gcp, "buckets.get", ApiError(503, "backendError", "Backend Error"), 99)
    with pytest.raises(Unreachable):
        look()
