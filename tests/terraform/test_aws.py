# SPDX-License-Identifier: Apache-2.0
"""What the module for AWS makes."""

import json
import re
from collections.abc import Mapping
from io import StringIO
from typing import Any

import pytest
from ruamel.yaml import YAML

from lkcloud_aws import AwsOptions, policy
from lkcloud_aws.permissions import IMPORT_ROLE, IMPORT_USES, PERMISSIONS, SMALL, USES
from tests.terraform.applying import Applied, Refused, Terraform
from tests.terraform.conftest import ACCOUNT

GITHUB = "repo:example/myos:ref:refs/tags/v*"
GITLAB = "project_path:images/myos:ref_type:tag:ref:v*"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1b1f6471-1bf0-4dda-aec3-cb9272f09590"
OWN_KEY = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/0b1f6471-1bf0-4dda-aec3-cb9272f09590"

PLACES = {
    "partition": ("aws",),
    "account": (ACCOUNT,),
    "bucket": ("disks",),
    "source": ("a", "b"),
    "role": ("vmimport",),
    "parameter": ("myos/*",),
    "key": (OWN_KEY, KEY),
    "instance_type": SMALL,
}
FULL: Mapping[str, Any] = {
    "bucket": "disks",
    "disk_buckets": ["b", "a"],
    "parameters": ["/myos/*"],
    "encrypted": True,
    "kms_keys": [KEY],
}


def publisher(*uses: str, **more: Any) -> Mapping[str, Any]:
    return {"uses": list(uses), "github": [GITHUB], **more}


def in_order(document: Mapping[str, Any]) -> list[str]:
    """Return the statements of a policy, whose order, and that of what they list, means nothing."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        return sorted(map(str, value)) if isinstance(value, list | tuple) else value

    return sorted(json.dumps(plain(one), sort_keys=True) for one in document["Statement"])


def allowed(applied: Applied, name: str = "lkcloud") -> list[str]:
    [found] = [one["policy"] for one in applied.of("aws_iam_role_policy") if one["name"] == name]
    return in_order(json.loads(found))


def test_a_publisher_may_do_what_its_uses_need_and_nothing_else(terraform: Terraform) -> None:
    publishers = {use: publisher(use) for use in USES}
    publishers["all"] = publisher(*USES)
    applied = terraform.apply("aws", publishers=publishers, **FULL)
    for name, said in applied.outputs["policies"].items():
        uses = USES if name == "all" else [name]
        assert in_order(json.loads(said)) == in_order(policy.document(PERMISSIONS, uses, PLACES)), name
    assert len(applied.outputs["policies"]["all"]) < 6144  # IAM's limit of a managed policy, less than of a role's own


def test_what_is_not_there_is_not_in_the_policy(terraform: Terraform) -> None:
    applied = terraform.apply("aws", publishers={"p": publisher("import", "encrypt", "disk", "promote", "delete")})
    said = applied.outputs["policies"]["p"]
    assert not re.search(r"s3:|kms:|iam:|ssm:", said)
    assert applied.of("aws_s3_bucket") == []
    assert [one["name"] for one in applied.of("aws_iam_role")] == ["p"]


def test_the_role_of_vm_import(terraform: Terraform) -> None:
    applied = terraform.apply("aws", publishers={"p": publisher("import")}, **FULL)
    [role] = [one for one in applied.of("aws_iam_role") if one["name"] == "vmimport"]
    assert json.loads(role["assume_role_policy"]) == policy.TRUST
    [said] = [one["policy"] for one in applied.of("aws_iam_role_policy") if one["role"] == "vmimport"]
    assert in_order(json.loads(said)) == in_order(policy.document(IMPORT_ROLE, IMPORT_USES, PLACES))


def test_boot_tests_have_bounds_that_no_other_policy_can_move(terraform: Terraform) -> None:
    applied = terraform.apply("aws", publishers={"p": publisher("test")}, instance_types=["t3.nano"])
    said = allowed(applied, "lkcloud-boundary")
    assert len(said) == 3
    assert all('"Effect": "Deny"' in one and "ec2:RunInstances" in one for one in said)
    assert any('"ec2:InstanceType": ["t3.nano"]' in one for one in said)
    assert any('"ec2:MetadataHttpTokens": "required"' in one for one in said)
    assert any('"ec2:AssociatePublicIpAddress": "true"' in one for one in said)


def test_jobs_and_people_that_are_named_are_trusted_and_nobody_else(terraform: Terraform) -> None:
    people = [f"arn:aws:iam::{ACCOUNT}:user/jane"]
    named = publisher("ebs", gitlab=[GITLAB], principals=people)
    applied = terraform.apply("aws", publishers={"p": named}, gitlab_url="https://gitlab.example.com")
    github, gitlab, person = json.loads(applied.one("aws_iam_role")["assume_role_policy"])["Statement"]
    assert github["Condition"] == {
        "StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"},
        "StringLike": {"token.actions.githubusercontent.com:sub": [GITHUB]},
    }
    assert gitlab["Condition"] == {
        "StringEquals": {"gitlab.example.com:aud": "https://gitlab.example.com"},
        "StringLike": {"gitlab.example.com:sub": [GITLAB]},
    }
    assert (github["Action"], gitlab["Action"]) == ("sts:AssumeRoleWithWebIdentity",) * 2
    assert person["Principal"] == {"AWS": people}
    made = {one["url"]: one["client_id_list"] for one in applied.of("aws_iam_openid_connect_provider")}
    assert made == {
        "https://token.actions.githubusercontent.com": ["sts.amazonaws.com"],
        "https://gitlab.example.com": ["https://gitlab.example.com"],
    }


def test_a_provider_of_tokens_that_is_there_is_used(terraform: Terraform) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
    applied = terraform.apply("aws", publishers={"p": publisher("ebs")}, github_provider_arn=arn)
    assert applied.of("aws_iam_openid_connect_provider") == []
    assert arn in applied.one("aws_iam_role")["assume_role_policy"]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"uses": ["fly"], "github": [GITHUB]}, "does not know"),
        ({"uses": ["ebs"], "github": ["*"]}, "name a project"),
        ({"uses": ["ebs"], "github": ["repo:*/myos:ref:refs/heads/main"]}, "name a project"),
        ({"uses": ["ebs"], "github": ["repo:example/*"]}, "name a project"),
        ({"uses": ["ebs"], "gitlab": ["project_path:images/*:ref_type:tag:ref:v1"]}, "name a project"),
        ({"uses": ["ebs"]}, "is somebody"),
    ],
)
def test_what_would_let_in_anybody_is_refused(terraform: Terraform, named: Mapping[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        terraform.apply("aws", publishers={"p": named})


def test_the_bucket_is_private_and_empties_itself(terraform: Terraform) -> None:
    applied = terraform.apply("aws", publishers={"p": publisher("import")}, bucket="disks", leftover_days=5)
    closed = applied.one("aws_s3_bucket_public_access_block")
    words = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    assert all(closed[word] for word in words)
    leftovers, unfinished = applied.one("aws_s3_bucket_lifecycle_configuration")["rule"]
    assert leftovers["filter"][0]["prefix"] == AwsOptions().key_prefix
    assert leftovers["expiration"][0]["days"] == 5
    assert leftovers["noncurrent_version_expiration"][0]["noncurrent_days"] == 1
    assert unfinished["abort_incomplete_multipart_upload"][0]["days_after_initiation"] == 5
    [rule] = applied.one("aws_s3_bucket_server_side_encryption_configuration")["rule"]
    assert rule["apply_server_side_encryption_by_default"][0]["sse_algorithm"] == "AES256"
    [denied] = json.loads(applied.one("aws_s3_bucket_policy")["policy"])["Statement"]
    assert (denied["Effect"], denied["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_key_is_for_the_account_and_those_it_is_shared_with(terraform: Terraform) -> None:
    applied = terraform.apply(
        "aws", publishers={"p": publisher("ebs", "encrypt")}, encrypted=True, key_users=["210987654321"]
    )
    key = applied.one("aws_kms_key")
    assert key["enable_key_rotation"] is True
    account, users, services = json.loads(key["policy"])["Statement"]
    assert account["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert users["Principal"] == services["Principal"] == {"AWS": ["arn:aws:iam::210987654321:root"]}
    assert users["Action"] == ["kms:Decrypt", "kms:DescribeKey", "kms:ReEncrypt*"]
    assert services["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}


def test_images_can_be_public_where_that_is_said(terraform: Terraform) -> None:
    assert terraform.apply("aws", publishers={"p": publisher("share")}).of("aws_ec2_image_block_public_access") == []
    applied = terraform.apply("aws", publishers={"p": publisher("share")}, public_images=True)
    assert applied.one("aws_ec2_image_block_public_access")["state"] == "unblocked"


def test_the_outputs_are_options_of_a_target(terraform: Terraform) -> None:
    applied = terraform.apply("aws", publishers={"p": publisher("import", "encrypt")}, **FULL)
    target = YAML(typ="safe").load(StringIO(applied.outputs["target"]))
    assert target == {"cloud": "aws", "options": applied.outputs["options"]}
    options = AwsOptions.model_validate(target["options"])
    assert (options.region, options.bucket, options.role) == ("eu-central-1", "disks", "vmimport")
    assert (options.encrypted, options.kms_key) == (True, OWN_KEY)
    assert terraform.apply("aws", publishers={"p": publisher("ebs")}).outputs["options"] == {"region": "eu-central-1"}
