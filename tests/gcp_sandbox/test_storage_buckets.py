# SPDX-License-Identifier: Apache-2.0
"""Buckets."""

import json
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import storage

from lkcloud_gcp.sandbox import GcpStandIn
from tests.gcp_sandbox.raw import BUCKET, Raw

PROJECT = "?project=lkcloud-sandbox"


def test_a_bucket_comes_back_with_its_settings(client: storage.Client) -> None:
    made = client.bucket(BUCKET)
    made.iam_configuration.uniform_bucket_level_access_enabled = True
    made.iam_configuration.public_access_prevention = "enforced"
    made.soft_delete_policy.retention_duration_seconds = 0
    made.labels = {"made-by": "lkcloud"}
    made.add_lifecycle_delete_rule(age=7, matches_prefix=["lkcloud/"])
    client.create_bucket(made, location="europe-west3")
    got = client.get_bucket(BUCKET)
    assert (got.location, got.location_type, got.project_number) == ("EUROPE-WEST3", "region", 123456789012)
    assert got.iam_configuration.uniform_bucket_level_access_enabled is True
    assert got.iam_configuration.public_access_prevention == "enforced"
    assert got.soft_delete_policy.retention_duration_seconds == 0
    assert got.labels == {"made-by": "lkcloud"}
    assert [rule["condition"] for rule in got.lifecycle_rules] == [{"age": 7, "matchesPrefix": ["lkcloud/"]}]


def test_the_defaults_are_those_of_a_new_bucket(client: storage.Client) -> None:
    got = client.create_bucket(BUCKET)
    assert (got.location, got.location_type, got.storage_class) == ("US", "multi-region", "STANDARD")
    assert got.iam_configuration.uniform_bucket_level_access_enabled is False
    assert got.soft_delete_policy.retention_duration_seconds == 7 * 24 * 3600


def test_a_change_leaves_the_rest(client: storage.Client, bucket: storage.Bucket) -> None:
    bucket.labels = {"one": "1", "two": "2"}
    bucket.patch()
    bucket.labels = {"two": "2"}
    bucket.iam_configuration.public_access_prevention = "enforced"
    bucket.patch()
    got = client.get_bucket(BUCKET)
    assert (got.labels, got.metageneration) == ({"two": "2"}, 3)
    assert got.iam_configuration.public_access_prevention == "enforced"
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.patch(if_metageneration_match=1)


def test_names_are_taken_once(gcp: GcpStandIn, client: storage.Client, raw: Raw) -> None:
    client.create_bucket(BUCKET)
    assert "you already own it" in raw.refused(409, "conflict", "POST", f"/storage/v1/b{PROJECT}", {"name": BUCKET})
    gcp.windows.foreign_buckets = ("somebodys",)
    assert "not available" in raw.refused(409, "conflict", "POST", f"/storage/v1/b{PROJECT}", {"name": "somebodys"})
    raw.refused(403, "forbidden", "GET", "/storage/v1/b/somebodys")
    raw.refused(403, "AccessDenied", "PUT", "/somebodys/object", b"")


@pytest.mark.parametrize(
    "name",
    ["ab", "A-bucket", "-abc", "abc-", "a" * 64, "goog-disks", "my-google-disks", "192.168.1.1", "a..b", "a/b", "ü12"],
)
def test_names_that_no_bucket_can_have(raw: Raw, name: str) -> None:
    raw.refused(400, "invalid", "POST", f"/storage/v1/b{PROJECT}", {"name": name})


def test_a_name_with_dots_is_a_domain(raw: Raw) -> None:
    raw.refused(403, "forbidden", "POST", f"/storage/v1/b{PROJECT}", {"name": "disks.example.com"})


@pytest.mark.parametrize(
    "settings",
    [
        {"location": "MARS"},
        {"location": "europe"},
        {"softDeletePolicy": {"retentionDurationSeconds": 3600}},
        {"retentionPolicy": {"retentionPeriod": 0}},
        {"iamConfiguration": {"publicAccessPrevention": "yes"}},
        {"labels": {"Upper": "x"}},
        {"labels": {"x": "y" * 64}},
        {"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {}}]}},
        {"lifecycle": {"rule": [{"action": {"type": "Destroy"}, "condition": {"age": 1}}]}},
        {
            "lifecycle": {
                "rule": [{"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"isLive": True}}]
            }
        },
        {"lifecycle": []},
        {"encryption": {"defaultKmsKeyName": "a-key"}},
    ],
)
def test_settings_that_are_refused(raw: Raw, settings: dict[str, Any]) -> None:
    raw.refused(400, "invalid", "POST", f"/storage/v1/b{PROJECT}", {"name": BUCKET, **settings})
    raw.refused(404, "notFound", "GET", f"/storage/v1/b/{BUCKET}")


def test_the_project_must_be_ones_own(raw: Raw) -> None:
    raw.refused(400, "required", "POST", "/storage/v1/b", {"name": BUCKET})
    raw.refused(403, "forbidden", "POST", "/storage/v1/b?project=other", {"name": BUCKET})


def test_buckets_are_listed_in_pages(gcp: GcpStandIn, client: storage.Client) -> None:
    for name in ("disks-c", "disks-a", "other", "disks-b"):
        client.create_bucket(name)
    gcp.windows.objects_page = 2
    assert [one.name for one in client.list_buckets(prefix="disks-")] == ["disks-a", "disks-b", "disks-c"]


def test_only_an_empty_bucket_is_deleted(bucket: storage.Bucket) -> None:
    bucket.blob("x").upload_from_string("x")
    with pytest.raises(exceptions.Conflict):
        bucket.delete()
    bucket.blob("x").delete()
    bucket.delete()
    assert not bucket.exists()


def test_permissions(gcp: GcpStandIn, bucket: storage.Bucket, raw: Raw) -> None:
    wanted = ["storage.objects.create", "storage.objects.delete"]
    assert bucket.test_iam_permissions(wanted) == wanted
    gcp.windows.denied_permissions = ("storage.objects.delete",)
    assert bucket.test_iam_permissions(wanted) == wanted[:1]
    raw.refused(400, "invalid", "GET", f"/storage/v1/b/{BUCKET}/iam/testPermissions?permissions=everything")


def test_policies(bucket: storage.Bucket) -> None:
    policy = bucket.get_iam_policy()
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {"allUsers"}})
    bucket.set_iam_policy(policy)
    assert [binding["role"] for binding in bucket.get_iam_policy().bindings] == ["roles/storage.objectViewer"]
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.set_iam_policy(policy)  # its etag is that of the first one
    bucket.iam_configuration.public_access_prevention = "enforced"
    bucket.patch()
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.set_iam_policy(bucket.get_iam_policy())


def test_keys_must_be_where_the_bucket_is(client: storage.Client, raw: Raw) -> None:
    key = "projects/p/locations/{}/keyRings/r/cryptoKeys/k"
    made = client.bucket(BUCKET)
    made.default_kms_key_name = key.format("europe")
    client.create_bucket(made, location="EU")
    blob = made.blob("x")
    blob.upload_from_string("x")
    assert blob.kms_key_name == key.format("europe") + "/cryptoKeyVersions/1"
    wrong = key.format("us-east1")
    raw.refused(400, "invalid", "PATCH", f"/storage/v1/b/{BUCKET}", {"encryption": {"defaultKmsKeyName": wrong}})
    path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=y&kmsKeyName={wrong}"
    raw.refused(400, "invalid", "POST", path, b"y")
    raw.refused(400, "InvalidArgument", "PUT", f"/{BUCKET}/y", b"y", {"x-goog-encryption-kms-key-name": wrong})


def test_what_is_not_there(raw: Raw) -> None:
    raw.refused(404, "notFound", "GET", "/storage/v1/nothing")
    raw.refused(501, "NotImplemented", "GET", f"/{BUCKET}?location")
    answer = raw("GET", "/storage/v1/projects/lkcloud-sandbox/serviceAccount")
    assert json.loads(answer.data)["email_address"].startswith("service-123456789012@")
