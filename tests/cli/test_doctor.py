# SPDX-License-Identifier: Apache-2.0
"""`lkcloud doctor`: what it shows, and its exit codes."""

import json

import pytest

from lkcloud_aws import policy
from lkcloud_aws.permissions import PERMISSIONS
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.session import Session
from tests.cli.conftest import Command
from tests.doctor.printed import blocks

IMPORT = ("doctor", "aws", "--for", "push", "--aws-method", "import", "--aws-bucket", "disks")


@pytest.fixture
def only_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKCLOUD_PROVIDERS", "aws")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.usefixtures("aws", "only_aws")
def test_an_account_that_is_ready(lkcloud: Command) -> None:
    shown = lkcloud("doctor").stdout.splitlines()
    assert shown[0] == "aws"
    assert {line.split()[0] for line in shown[1:]} == {"ok"}
    assert [line.split()[1] for line in shown[1:]] == ["identity", "region", "clock", *["permissions"] * 4, "quota"]
    assert lkcloud("doctor", "aws", "--fix").stdout == ""


@pytest.mark.usefixtures("only_aws")
def test_a_table_a_document_and_terraform(aws: AwsStandIn, lkcloud: Command) -> None:
    Session().s3.create_bucket(Bucket="disks")
    without = [one for one in PERMISSIONS if one.action != "s3:PutObject"]
    places = {**policy.SHOWN, "bucket": ("disks",)}
    aws.windows.policies = (policy.document(without, ["import", "doctor"], places),)

    table = lkcloud(*IMPORT, code=1).stdout
    assert "  PROBLEM permissions  push: not allowed s3:PutObject\n          why: " in table
    assert "\n          do:  give the user lkcloud the policy that --fix prints\n" in table
    assert "  note    bucket       nothing keeps disks from being made public\n" in table
    assert "\n          $ aws s3api put-public-access-block --bucket disks " in table
    assert all(len(line) <= 100 for line in table.splitlines() if "$ aws" not in line)
    assert table.endswith("--fix prints Terraform that mends what Terraform can\n")

    document = json.loads(lkcloud(*IMPORT, "--json", code=1).stdout)
    assert document["problems"] == []
    [problem] = [one for one in document["clouds"]["aws"] if one["health"] == "problem"]
    assert (problem["about"], problem["what"]) == ("permissions", "push: not allowed s3:PutObject")
    assert set(problem) == {"about", "health", "what", "why", "do", "commands", "terraform"}

    fixed = lkcloud(*IMPORT, "--fix", code=1).stdout
    assert fixed.startswith('# push: not allowed s3:PutObject\nresource "aws_iam_policy" "lkcloud_push" {\n')
    assert [kind for kind, _, _ in blocks(fixed)] == [
        "aws_iam_policy",
        "aws_iam_user_policy_attachment",
        "aws_s3_bucket_public_access_block",
    ]


@pytest.mark.usefixtures("only_aws")
def test_what_terraform_cannot_mend_is_told(aws: AwsStandIn, lkcloud: Command) -> None:
    done = lkcloud("doctor", "--for", "push", "--aws-method", "import", "--fix", code=1)
    assert done.stdout == ""
    assert done.stderr.startswith("no Terraform mends it: no bucket is named (give --bucket")


def test_a_cloud_that_nobody_is_signed_in_to(
    aws: AwsStandIn, lkcloud: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LKCLOUD_PROVIDERS", "aws,local")
    aws.expire_credentials()
    both = lkcloud("doctor").stdout
    assert "aws\n  PROBLEM " in both  # it is told, and the other one is ready
    assert lkcloud("doctor", "aws", code=4).stdout.startswith("aws\n  PROBLEM ")
    lkcloud("doctor", "aws", "local", code=1)


@pytest.mark.usefixtures("aws", "only_aws")
def test_bad_input(lkcloud: Command) -> None:
    assert "error: --for: there is no command pull" in lkcloud("doctor", "--for", "push,pull", code=2).stderr
    assert "error: there is no cloud called moon" in lkcloud("doctor", "moon", code=2).stderr
    assert '"error": "--fix prints Terraform, --json a document"' in lkcloud("doctor", "--fix", "--json", code=2).stderr
    elsewhere = ("doctor", "aws", "--aws-region", "eu-wst-1")
    assert "there is no region 'eu-wst-1'" in lkcloud(*elsewhere, code=2).stdout
    assert "error: aws: there is no region 'eu-wst-1'\nhint: did you" in lkcloud(*elsewhere, "--fix", code=2).stderr
