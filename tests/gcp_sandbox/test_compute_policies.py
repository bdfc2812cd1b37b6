# SPDX-License-Identifier: Apache-2.0
"""Who may use an image, and what is there beside images and instances."""

from pathlib import Path
from typing import Any

import google.auth.transport.requests
import pytest
from google.cloud import compute_v1
from google.cloud.compute_v1 import Binding, Expr, Policy

from lkcloud_gcp.sandbox import GcpStandIn
from tests.gcp_sandbox.computing import ZONE, Computing, refused

USER = "roles/compute.imageUser"


@pytest.fixture
def engine(gcp: GcpStandIn, tmp_path: Path) -> Computing:
    return Computing.of(gcp, tmp_path)


@pytest.fixture
def shared(engine: Computing) -> Computing:
    """Return an engine with an image."""
    engine.image()
    return engine


def policy(engine: Computing) -> Policy:
    return engine.images.get_iam_policy(project=engine.project, resource="image", retry=None)


def share(engine: Computing, *members: str, etag: str = "", role: str = USER, **fields: Any) -> Policy:
    binding = Binding(role=role, members=members, **fields.pop("binding", {}))
    chosen = Policy(bindings=[binding], etag=etag or None, **fields)
    request = compute_v1.GlobalSetPolicyRequest(policy=chosen)
    return engine.images.set_iam_policy(
        project=engine.project, resource="image", global_set_policy_request_resource=request, retry=None
    )


def test_a_policy_is_guarded_by_its_etag(shared: Computing) -> None:
    empty = policy(shared)
    assert (list(empty.bindings), empty.etag, empty.version) == ([], "ACAB", 1)
    first = share(shared, "user:a@example.com", "allAuthenticatedUsers", etag=empty.etag)
    assert first == policy(shared)
    assert first.bindings[0].role == USER
    assert set(first.bindings[0].members) == {"user:a@example.com", "allAuthenticatedUsers"}
    refused(409, "aborted", share, shared, "user:b@example.com", etag=empty.etag)
    assert policy(shared) == first
    second = share(shared, "group:b@example.com", etag=first.etag)
    # Without an etag the policy is overwritten, whatever it has become.
    third = share(shared, "domain:example.com")
    assert len({empty.etag, first.etag, second.etag, third.etag}) == 4
    assert list(policy(shared).bindings[0].members) == ["domain:example.com"]


@pytest.mark.parametrize(
    "member",
    [
        "serviceAccount:a@p.iam.gserviceaccount.com",
        "projectEditor:p",
        "principalSet://iam.googleapis.com/locations/global/workforcePools/w/*",
        "deleted:user:a@example.com?uid=1",
    ],
)
def test_members_that_are_taken(shared: Computing, member: str) -> None:
    assert list(share(shared, member).bindings[0].members) == [member]


@pytest.mark.parametrize(
    "member", ["allUsers", "a@example.com", "user:a", "USER:a@example.com", "project:p", "domain:x", "user: a@b.c", ""]
)
def test_members_that_are_refused(shared: Computing, member: str) -> None:
    refused(400, "invalid", share, shared, member)
    assert list(policy(shared).bindings) == []


def test_other_policies_that_are_refused(shared: Computing) -> None:
    one = "user:a@example.com"
    refused(400, "invalid", share, shared)
    refused(400, "invalid", share, shared, one, role="imageUser")
    refused(400, "invalid", share, shared, one, version=2)
    condition = Expr(expression="true", title="always")
    refused(400, "invalid", share, shared, one, version=1, binding={"condition": condition})
    refused(400, "invalid", share, shared, one, version=3, binding={"condition": condition})
    kept = share(shared, one, version=3, etag="ACAB", binding={"condition": condition})
    assert kept.bindings[0].condition.title == "always"
    flat = compute_v1.GlobalSetPolicyRequest(bindings=[Binding(role=USER, members=[one])])
    parameters = {"project": shared.project, "resource": "image", "retry": None}
    refused(400, "required", shared.images.set_iam_policy, **parameters, global_set_policy_request_resource=flat)


def test_no_policy_without_an_image(engine: Computing) -> None:
    refused(404, "notFound", policy, engine)
    refused(404, "notFound", share, engine, "user:a@example.com")


def test_permissions(shared: Computing) -> None:
    def allowed(*permissions: str) -> list[str]:
        request = compute_v1.TestPermissionsRequest(permissions=permissions)
        answer = shared.images.test_iam_permissions(
            project=shared.project, resource="image", test_permissions_request_resource=request, retry=None
        )
        return list(answer.permissions)

    asked = ["compute.images.delete", "compute.images.setIamPolicy"]
    assert allowed(*asked) == asked
    refused(400, "invalid", allowed, "compute.images.fly")


def test_project_zones_types_and_networks(engine: Computing) -> None:
    session = engine.session
    project = session.projects.get(project=engine.project)
    assert {quota.metric: quota.usage for quota in project.quotas}["IMAGES"] == 0
    assert project.name == engine.project
    how: dict[str, Any] = {"credentials": session.credentials, "client_options": {"api_endpoint": address(engine)}}
    zones = compute_v1.ZonesClient(**how)
    assert zones.get(project=engine.project, zone=ZONE).region.endswith("/regions/us-central1")
    assert ZONE in [zone.name for zone in zones.list(project=engine.project)]
    refused(404, "notFound", zones.get, project=engine.project, zone="us-central1-z")
    types = compute_v1.MachineTypesClient(**how)
    place = {"project": engine.project, "zone": ZONE}
    assert types.get(**place, machine_type="t2a-standard-1").architecture == "ARM64"
    assert types.get(**place, machine_type="e2-standard-4").guest_cpus == 4
    for none in ("e2-standard-3", "e3-standard-4", "e2-standard-1", "c3-standard-2"):
        refused(404, "notFound", types.get, **place, machine_type=none)
    networks = compute_v1.NetworksClient(**how)
    assert networks.get(project=engine.project, network="default").auto_create_subnetworks
    refused(404, "notFound", networks.get, project=engine.project, network="other")


def address(engine: Computing) -> str:
    environment = engine.cloud.environment()
    return environment["CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"].removesuffix("/compute/v1/")


def test_another_project(engine: Computing) -> None:
    assert "projects/other" in refused(404, "notFound", engine.images.get, project="other", image="image", retry=None)
    assert engine.images.list(project="123456789012").items == []


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("GET", "global/images?maxresults=1", b"", "badRequest"),
        ("POST", "global/images?requestid=1", b"{}", "badRequest"),
        ("POST", "global/images", b"{", "badRequest"),
        ("POST", "global/images", b"[]", "badRequest"),
        ("POST", "global/images", b'{"name": "a", "labls": {}}', "badRequest"),
        ("POST", "global/images", b'{"name": "a", "rawDisk": {"src": ""}}', "badRequest"),
        ("POST", "global/images", b'{"name": 1}', "badRequest"),
        ("POST", "global/images", b'{"name": "a", "labels": ["b"]}', "badRequest"),
        ("POST", f"zones/{ZONE}/instances", b'{"name": "a", "disk": []}', "badRequest"),
        ("PUT", "global/images/image", b"{}", "notFound"),
        ("GET", "global/snapshots", b"", "notFound"),
        ("GET", f"zones/{ZONE}/images", b"", "notFound"),
        ("GET", f"zones/{ZONE}x/instances", b"", "invalid"),
    ],
)
def test_requests_that_no_client_should_make(
    engine: Computing, method: str, path: str, body: bytes, reason: str
) -> None:
    http = google.auth.transport.requests.AuthorizedSession(engine.session.credentials)
    url = f"{address(engine)}/compute/v1/projects/{engine.project}/{path}"
    answer = http.request(method, url, data=body, headers={"Content-Type": "application/json"})
    error = answer.json()["error"]
    assert error["errors"][0]["reason"] == reason, answer.text
    assert answer.status_code == error["code"] == (404 if reason == "notFound" else 400)
