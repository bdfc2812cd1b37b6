# SPDX-License-Identifier: Apache-2.0
"""Who is not allowed something is refused, in Google's words, and nothing comes of it."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.cloud import compute_v1, storage

from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox.access import EMAIL
from lkcloud_gcp.session import Session
from tests.gcp_sandbox.computing import ZONE, Computing
from tests.gcp_sandbox.raw import BUCKET, Raw

OBJECTS = f"/storage/v1/b/{BUCKET}/o"
UPLOADS = f"/upload{OBJECTS}"


def allow(gcp: GcpStandIn, *permissions: str, **in_bucket: str) -> None:
    """Allow PERMISSIONS on the project, and one on each bucket IN_BUCKET, whose name has no hyphens here."""
    gcp.windows.allowed = frozenset(permissions)
    gcp.windows.allowed_in_bucket = {name.replace("_", "-"): frozenset([one]) for name, one in in_bucket.items()}


def refused(raw: Raw, permission: str, *request: object, kind: str = "object") -> None:
    said = raw.refused(403, "forbidden", *request)
    assert said == (
        f"{EMAIL} does not have {permission} access to the Google Cloud Storage {kind}. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )


@pytest.fixture
def engine(gcp: GcpStandIn, tmp_path: Path) -> Computing:
    return Computing.of(gcp, tmp_path)


def test_an_image_needs_a_permission_and_one_for_its_labels(gcp: GcpStandIn, engine: Computing) -> None:
    source = engine.small()
    allow(gcp)
    place = "'projects/lkcloud-sandbox/global/images/image'"
    with pytest.raises(exceptions.Forbidden, match=f"Required 'compute.images.create' permission for {place}"):
        engine.insert("image", source)
    allow(gcp, "compute.images.create", "compute.globalOperations.get")
    with pytest.raises(exceptions.Forbidden, match=f"Required 'compute.images.setLabels' permission for {place}"):
        engine.insert("image", source, labels={"a": "b"})
    assert gcp.holdings.engine.images == {}
    engine.done(engine.insert("image", source))
    with pytest.raises(exceptions.Forbidden, match=f"Required 'compute.images.get' permission for {place}"):
        engine.get()
    with pytest.raises(exceptions.Forbidden, match=r"'compute.images.list' permission for 'projects/[^/]+'"):
        list(engine.images.list(project=engine.project, retry=None))


@pytest.mark.parametrize(
    ("missing", "place"),
    [
        ("instances.create", f"zones/{ZONE}/instances/one"),
        ("instances.setLabels", f"zones/{ZONE}/instances/one"),
        ("instances.setMetadata", f"zones/{ZONE}/instances/one"),
        ("disks.create", f"zones/{ZONE}/disks/one"),
        ("disks.setLabels", f"zones/{ZONE}/disks/one"),
        ("images.useReadOnly", "global/images/image"),
        ("subnetworks.use", "regions/us-central1/subnetworks/default"),
        ("subnetworks.useExternalIp", "regions/us-central1/subnetworks/default"),
    ],
)
def test_an_instance_needs_what_its_fields_need(gcp: GcpStandIn, engine: Computing, missing: str, place: str) -> None:
    disk = compute_v1.AttachedDiskInitializeParams(source_image="global/images/image", labels={"a": "b"})
    access = compute_v1.AccessConfig(name="external")
    resource = compute_v1.Instance(
        name="one",
        machine_type=f"zones/{ZONE}/machineTypes/e2-small",
        labels={"a": "b"},
        metadata=compute_v1.Metadata(items=[compute_v1.Items(key="a", value="b")]),
        disks=[compute_v1.AttachedDisk(boot=True, initialize_params=disk)],
        network_interfaces=[compute_v1.NetworkInterface(network="global/networks/default", access_configs=[access])],
    )
    gcp.windows.denied_permissions = (f"compute.{missing}",)
    with pytest.raises(exceptions.Forbidden, match=f"'compute.{missing}' permission for 'projects/[^/]+/{place}'"):
        engine.instances.insert_unary(project=engine.project, zone=ZONE, instance_resource=resource, retry=None)
    assert gcp.holdings.engine.instances == {}


def test_a_role_on_a_bucket_is_one_on_that_bucket_only(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    bucket.client.create_bucket("another")
    allow(gcp, lkcloud_disks="storage.objects.list")
    assert raw("GET", OBJECTS).status == 200
    refused(raw, "storage.objects.list", "GET", "/storage/v1/b/another/o", kind="bucket")
    wanted = ["storage.objects.list", "storage.objects.get"]
    assert bucket.test_iam_permissions(wanted) == wanted[:1]
    assert bucket.client.bucket("another").test_iam_permissions(wanted) == []
    said = raw.refused(403, "forbidden", "GET", "/storage/v1/b?project=lkcloud-sandbox")
    assert "storage.buckets.list access to the Google Cloud project" in said


def test_a_role_on_the_project_is_one_on_all_of_its_buckets(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    allow(gcp, "storage.objects.list")
    assert raw("GET", OBJECTS).status == 200
    # That a bucket is not there is told to who could list it, and to nobody else.
    raw.refused(404, "notFound", "GET", "/storage/v1/b/not-there/o")
    refused(raw, "storage.objects.get", "GET", "/storage/v1/b/not-there/o/x")


def test_who_replaces_an_object_deletes_one(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    allow(gcp, "storage.objects.create")
    media = ("POST", f"{UPLOADS}?uploadType=media&name=x", b"first")
    assert raw(*media).status == 200
    refused(raw, "storage.objects.delete", "POST", f"{UPLOADS}?uploadType=media&name=x", b"second")
    # Whether it is there may be asked without it.
    raw.refused(412, "conditionNotMet", "POST", f"{UPLOADS}?uploadType=media&name=x&ifGenerationMatch=0", b"third")
    refused(raw, "storage.objects.get", "POST", f"{OBJECTS}/y/compose", {"sourceObjects": [{"name": "x"}]})
    refused(raw, "storage.objects.update", "PATCH", f"{OBJECTS}/x", {"metadata": {"a": "b"}})
    assert b"".join(gcp.holdings.store.buckets[BUCKET].objects["x"].pieces()) == b"first"
    allow(gcp, "storage.objects.create", "storage.objects.delete")
    assert raw("POST", f"{UPLOADS}?uploadType=media&name=x", b"second").status == 200


def test_who_may_not_list_is_not_told_what_is_not_there(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    allow(gcp, "storage.objects.get")
    refused(raw, "storage.objects.list", "GET", f"{OBJECTS}/x", kind="bucket")
    allow(gcp, "storage.objects.get", "storage.objects.list")
    raw.refused(404, "notFound", "GET", f"{OBJECTS}/x")


def test_the_xml_api_says_it_in_its_details(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    allow(gcp)
    said = raw.refused(403, "AccessDenied", "PUT", f"/{BUCKET}/x", b"x")
    assert "<Message>Access denied.</Message>" in said
    assert f"<Details>{EMAIL} does not have storage.objects.create access to the Google Cloud Storage object." in said
    assert gcp.holdings.store.buckets[BUCKET].objects == {}
    allow(gcp, "storage.objects.create")
    assert raw("PUT", f"/{BUCKET}/x", b"x").status == 200
    assert "storage.multipartUploads.create" in raw.refused(403, "AccessDenied", "POST", f"/{BUCKET}/y?uploads")


def test_a_session_that_was_begun_is_a_right_in_itself(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    url = raw.start("x")
    allow(gcp)
    assert raw.chunk(url, "0-4/5", b"bytes").status == 200


def test_what_one_may_is_told_by_the_project_and_by_an_image(gcp: GcpStandIn, engine: Computing, raw: Raw) -> None:
    engine.image()
    wanted = ["compute.images.get", "compute.images.list"]
    allow(gcp, "compute.images.list")
    path = "/v1/projects/lkcloud-sandbox:testIamPermissions"
    assert json.loads(raw("POST", path, {"permissions": wanted}).data) == {"permissions": ["compute.images.list"]}
    request = compute_v1.TestPermissionsRequest(permissions=wanted)
    asked = {"project": engine.project, "resource": "image", "test_permissions_request_resource": request}
    assert list(engine.images.test_iam_permissions(**asked, retry=None).permissions) == wanted[1:]
    allow(gcp)
    assert json.loads(raw("POST", path, {"permissions": wanted}).data) == {}
    with pytest.raises(exceptions.Forbidden, match=r"compute.images.list"):
        engine.images.test_iam_permissions(**asked, retry=None)


@pytest.mark.parametrize(
    ("service", "request_"),
    [
        ("compute.googleapis.com", ("GET", "/compute/v1/projects/lkcloud-sandbox/global/images")),
        ("storage.googleapis.com", ("GET", "/storage/v1/b?project=lkcloud-sandbox")),
        (
            "cloudresourcemanager.googleapis.com",
            ("POST", "/v1/projects/lkcloud-sandbox:testIamPermissions", {"permissions": []}),
        ),
    ],
)
def test_an_api_that_is_not_enabled(gcp: GcpStandIn, raw: Raw, service: str, request_: tuple[object, ...]) -> None:
    assert raw(*request_).status == 200  # type: ignore[arg-type]  # a method, a path, and what is sent
    gcp.windows.disabled_services = (service,)
    said = raw.refused(403, "accessNotConfigured", *request_)
    assert "has not been used in project 123456789012 before or it is disabled" in said
    error = json.loads(raw(*request_).data)["error"]  # type: ignore[arg-type]  # see above
    assert error["status"] == "PERMISSION_DENIED"
    [info] = error["details"]
    assert (info["reason"], info["metadata"]) == ("SERVICE_DISABLED", {"service": service})


def test_a_key_signs_with_the_right_time(gcp: GcpStandIn, raw: Raw) -> None:
    gcp.set_clock(120)
    Session().credentials.refresh(Request())
    gcp.set_clock(-3600)
    with pytest.raises(RefreshError, match="in a reasonable timeframe"):
        Session().credentials.refresh(Request())
    answer = raw("GET", "/storage/v1/b?project=lkcloud-sandbox")  # with a token of before
    assert answer.status == 200
    away = datetime.now(UTC) - parsedate_to_datetime(answer.headers["Date"])
    assert timedelta(minutes=59) < away < timedelta(minutes=61)
