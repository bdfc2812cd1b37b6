# SPDX-License-Identifier: Apache-2.0
"""What the module for Google Cloud makes."""

import re
from collections.abc import Mapping
from io import StringIO
from typing import Any

import pytest
from ruamel.yaml import YAML

from lkcloud.permissions import actions
from lkcloud_gcp import GcpOptions
from lkcloud_gcp.launch import DEFAULT_TYPES
from lkcloud_gcp.permissions import PERMISSIONS, USES
from tests.terraform.applying import Applied, Refused, Terraform
from tests.terraform.conftest import ACCOUNT, PROJECT

GITHUB = "repo:example/my.os:ref:refs/tags/v*"
GITLAB = "project_path:images/myos:ref_type:tag:ref:v*"
POOL = f"projects/{ACCOUNT}/locations/global/workloadIdentityPools/lkcloud"
NAME = "lkcloud-publisher"
MEMBER = f"serviceAccount:{NAME}@{PROJECT}.iam.gserviceaccount.com"


def apply(terraform: Terraform, *uses: str, **more: Any) -> Applied:
    publisher = {"uses": list(uses), **more.pop("publisher", {"github": [GITHUB]})}
    return terraform.apply("gcp", project=PROJECT, publishers={NAME: publisher}, **more)


def roles(applied: Applied) -> Mapping[str, list[str]]:
    """Return the permissions of the roles that were made, by the last word of their name."""
    return {
        one["role_id"].rpartition("_")[2]: one["permissions"] for one in applied.of("google_project_iam_custom_role")
    }


def test_a_publisher_may_do_what_its_uses_need_and_nothing_else(terraform: Terraform) -> None:
    uses = [use for use in USES if use != "bucket"]
    publishers = {f"lkcloud-{use}": {"uses": [use], "github": [GITHUB]} for use in uses}
    applied = terraform.apply("gcp", project=PROJECT, publishers=publishers, disk_buckets=["disks"])
    made = {one["role_id"]: one["permissions"] for one in applied.of("google_project_iam_custom_role")}
    wanted = {
        f"lkcloud_lkcloud_{use}_{on}": found
        for use in uses
        for on in ("project", "bucket", "source")
        if (found := actions((one for one in PERMISSIONS if one.on == on), [use]))
    }
    assert {name: sorted(found) for name, found in made.items()} == wanted


def test_each_role_is_given_where_it_belongs(terraform: Terraform) -> None:
    applied = apply(terraform, "composite", "disk", disk_buckets=["a", "b"])
    begin = f"projects/{PROJECT}/roles/lkcloud_lkcloud_publisher_"
    assert roles(applied)["source"] == ["storage.objects.get"]
    project = applied.one("google_project_iam_member")
    assert (project["project"], project["role"], project["member"]) == (PROJECT, f"{begin}project", MEMBER)
    buckets = applied.of("google_storage_bucket_iam_member")
    assert sorted((one["bucket"], one["role"], one["member"]) for one in buckets) == [
        ("a", f"{begin}source", MEMBER),
        ("b", f"{begin}source", MEMBER),
        (f"{PROJECT}-lkcloud-disks", f"{begin}bucket", MEMBER),
    ]


def test_a_publisher_without_something_has_no_role_there(terraform: Terraform) -> None:
    applied = apply(terraform, "share")
    assert roles(applied).keys() == {"project"}
    assert applied.of("google_storage_bucket_iam_member") == []


def let_in(provider: Mapping[str, Any], subject: str) -> bool:
    """Tell whether a token with SUBJECT becomes the publisher, as Google evaluates the mapping (RE2, not anchored)."""
    [(attribute, mapping)] = [
        item for item in provider["attribute_mapping"].items() if item[0].startswith("attribute.")
    ]
    assert provider["attribute_condition"] == f'{attribute} == "yes"'
    match = re.fullmatch(r'assertion\.sub\.matches\("(.*)"\) \? "yes" : "no"', mapping)
    assert match is not None
    return re.search(match[1], subject) is not None


def test_jobs_that_are_named_are_let_in_and_no_others(terraform: Terraform) -> None:
    named = {"github": [GITHUB, "repo:example/other:environment:release"], "gitlab": [GITLAB]}
    applied = apply(terraform, "composite", publisher=named, gitlab_url="https://gitlab.example.com")
    found = {
        one["workload_identity_pool_provider_id"]: one
        for one in applied.of("google_iam_workload_identity_pool_provider")
    }
    github, gitlab = found["github"], found["gitlab"]
    assert github["oidc"][0]["issuer_uri"] == "https://token.actions.githubusercontent.com"
    assert gitlab["oidc"][0]["issuer_uri"] == "https://gitlab.example.com"
    assert gitlab["oidc"][0]["allowed_audiences"] == ["https://gitlab.example.com"]
    assert let_in(github, "repo:example/my.os:ref:refs/tags/v1.2.3")
    assert let_in(github, "repo:example/other:environment:release")
    assert let_in(gitlab, "project_path:images/myos:ref_type:tag:ref:v1")
    for subject in (
        "repo:example/my.os:ref:refs/heads/main",
        "repo:example/myxos:ref:refs/tags/v1",
        "xrepo:example/my.os:ref:refs/tags/v1",
        "repo:example/other:environment:release2",
        "repo:stranger/x:environment:repo:example/other:environment:release",
    ):
        assert not let_in(github, subject), subject
    member = applied.one("google_service_account_iam_member")
    assert member["role"] == "roles/iam.workloadIdentityUser"
    assert member["member"] == f"principalSet://iam.googleapis.com/{POOL}/attribute.is_lkcloud_publisher/yes"


def test_people_that_are_named_may_act_as_the_publisher(terraform: Terraform) -> None:
    applied = apply(terraform, "list", publisher={"principals": ["group:release@example.com"]})
    one = applied.one("google_service_account_iam_member")
    assert (one["role"], one["member"]) == ("roles/iam.serviceAccountTokenCreator", "group:release@example.com")
    assert applied.of("google_iam_workload_identity_pool") == []


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"uses": ["fly"]}, "does not know"),
        ({"uses": ["bucket"]}, "is made here"),
        ({"uses": ["test"], "github": ["*"]}, "name a project"),
        ({"uses": ["test"], "github": ["repo:*/myos:ref:refs/heads/main"]}, "name a project"),
        ({"uses": ["test"], "github": ['repo:a/b:ref:x") || true || ("']}, "name a project"),
        ({"uses": ["test"], "gitlab": ["project_path:a/b:.*|x"]}, "name a project"),
    ],
)
def test_what_would_let_in_anybody_is_refused(terraform: Terraform, named: Mapping[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        terraform.apply("gcp", project=PROJECT, publishers={NAME: named})


def test_the_bucket_is_private_and_empties_itself(terraform: Terraform) -> None:
    bucket = apply(terraform, "composite", leftover_days=5).one("google_storage_bucket")
    assert bucket["uniform_bucket_level_access"] is True
    assert bucket["public_access_prevention"] == "enforced"
    assert bucket["soft_delete_policy"][0]["retention_duration_seconds"] == 0
    leftovers, unfinished = bucket["lifecycle_rule"]
    assert leftovers["action"][0]["type"] == "Delete"
    assert leftovers["condition"][0]["matches_prefix"] == [GcpOptions().object_prefix]
    assert unfinished["action"][0]["type"] == "AbortIncompleteMultipartUpload"
    assert leftovers["condition"][0]["age"] == unfinished["condition"][0]["age"] == 5
    assert bucket["encryption"] == []


def test_the_key_is_for_google_s_own_agents(terraform: Terraform) -> None:
    applied = apply(terraform, "composite", encrypted=True, location="EU")
    assert applied.one("google_kms_key_ring")["location"] == "europe"
    key = applied.one("google_kms_crypto_key")
    assert key["rotation_period"] == "7776000s"
    assert sorted(one["member"] for one in applied.of("google_kms_crypto_key_iam_member")) == [
        f"serviceAccount:service-{ACCOUNT}@compute-system.iam.gserviceaccount.com",
        f"serviceAccount:service-{ACCOUNT}@gs-project-accounts.iam.gserviceaccount.com",
    ]
    assert applied.one("google_storage_bucket")["encryption"][0]["default_kms_key_name"] == key["id"]
    assert "cloudkms.googleapis.com" in [one["service"] for one in applied.of("google_project_service")]


def test_boot_tests_are_in_a_network_that_nothing_gets_out_of(terraform: Terraform) -> None:
    applied = apply(terraform, "test", test_zone="europe-west3-a")
    assert applied.one("google_compute_network")["auto_create_subnetworks"] is False
    assert applied.one("google_compute_subnetwork")["region"] == "europe-west3"
    rule = applied.one("google_compute_firewall")
    assert (rule["direction"], rule["destination_ranges"]) == ("EGRESS", ["0.0.0.0/0"])
    assert rule["deny"][0]["protocol"] == "all"


def test_an_organization_lets_small_machines_be_made_only(terraform: Terraform) -> None:
    assert apply(terraform, "test").of("google_org_policy_policy") == []
    applied = apply(terraform, "test", organization="123")
    constraint, policy = applied.one("google_org_policy_custom_constraint"), applied.one("google_org_policy_policy")
    assert policy["name"] == f"projects/{PROJECT}/policies/{constraint['name']}"
    assert policy["spec"][0]["rules"][0]["enforce"] == "TRUE"
    for name in DEFAULT_TYPES.values():
        assert f"resource.machineType.endsWith('machineTypes/{name}')" in constraint["condition"]


def test_the_outputs_are_options_of_a_target(terraform: Terraform) -> None:
    applied = apply(terraform, "composite", "test", encrypted=True, test_zone="europe-west3-a", location="EU")
    target = YAML(typ="safe").load(StringIO(applied.outputs["target"]))
    assert target == {"cloud": "gcp", "options": applied.outputs["options"]}
    options = GcpOptions.model_validate(target["options"])
    assert (options.project, options.bucket) == (PROJECT, f"{PROJECT}-lkcloud-disks")
    assert (options.zone, options.subnetwork) == ("europe-west3-a", "lkcloud-tests")
    assert options.kms_key == options.object_kms_key == applied.one("google_kms_crypto_key")["id"]
    assert applied.outputs["service_accounts"] == {NAME: MEMBER.removeprefix("serviceAccount:")}
