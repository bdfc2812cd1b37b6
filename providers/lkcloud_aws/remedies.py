# SPDX-License-Identifier: Apache-2.0
"""What mends an account, as commands of the AWS CLI and as Terraform.

Terraform's resources are those of the provider hashicorp/aws, https://registry.terraform.io/providers/hashicorp/aws
"""

import json
import re
import shlex

from lkcloud.diagnosis import Remedy
from lkcloud_aws.policy import TRUST, Document

_ATTACHMENTS = {"role": "aws_iam_role_policy_attachment", "user": "aws_iam_user_policy_attachment"}


def command(*words: str) -> str:
    """Return a command of the AWS CLI, quoted for a shell."""
    return shlex.join(["aws", *words])


def policy(name: str, document: Document, *, kind: str, holder: str) -> Remedy:
    """Give the user or role (KIND) HOLDER a policy called NAME."""
    label = re.sub(r"\W", "_", name)
    text = json.dumps(document, indent=2)
    return Remedy(
        do=f"give the {kind} {holder} the policy that --fix prints",
        terraform=f'''resource "aws_iam_policy" "{label}" {{
  name   = "{name}"
  policy = <<-EOT
{text}
  EOT
}}

resource "{_ATTACHMENTS[kind]}" "{label}" {{
  {kind:10} = "{holder}"
  policy_arn = aws_iam_policy.{label}.arn
}}''',
    )


def enable_region(region: str) -> Remedy:
    """Opt in to a region."""
    return Remedy(
        commands=(command("account", "enable-region", "--region-name", region),),
        terraform=f'''resource "aws_account_region" "{region}" {{
  region_name = "{region}"
  enabled     = true
}}''',
    )


def make_role(name: str, document: Document) -> Remedy:
    """Make the role of VM Import, which DOCUMENT allows what it does."""
    words = ("--role-name", name, "--assume-role-policy-document", json.dumps(TRUST))
    allowing = allow_role(name, document)
    return Remedy(
        commands=(command("iam", "create-role", *words), *allowing.commands),
        terraform=f"{_role(name)}\n\n{allowing.terraform}",
    )


def trust(name: str) -> Remedy:
    """Let VM Import assume a role that is there."""
    words = ("--role-name", name, "--policy-document", json.dumps(TRUST))
    return Remedy(
        commands=(command("iam", "update-assume-role-policy", *words),),
        terraform=f'''import {{
  to = aws_iam_role.import
  id = "{name}"
}}

{_role(name)}''',
    )


def allow_role(name: str, document: Document) -> Remedy:
    """Allow a role that is there what VM Import does with it."""
    words = ("--role-name", name, "--policy-name", "lkcloud", "--policy-document", json.dumps(document))
    return Remedy(commands=(command("iam", "put-role-policy", *words),), terraform=_role_policy(name, document))


def _role(name: str) -> str:
    return f'''resource "aws_iam_role" "import" {{
  name               = "{name}"
  assume_role_policy = <<-EOT
{json.dumps(TRUST, indent=2)}
  EOT
}}'''


def _role_policy(name: str, document: Document) -> str:
    return f'''resource "aws_iam_role_policy" "import" {{
  name   = "lkcloud"
  role   = "{name}"
  policy = <<-EOT
{json.dumps(document, indent=2)}
  EOT
}}'''


def make_bucket(name: str, region: str) -> Remedy:
    """Make a bucket that nobody can make public; in us-east-1 alone a region must not be named."""
    place = () if region == "us-east-1" else ("--create-bucket-configuration", f"LocationConstraint={region}")
    return Remedy(
        commands=(command("s3api", "create-bucket", "--bucket", name, *place, "--region", region),),
        terraform=f'''resource "aws_s3_bucket" "disks" {{
  bucket = "{name}"
  region = "{region}"
}}

{_closed(name, region)}''',
    )


def close_bucket(name: str, region: str) -> Remedy:
    """Keep a bucket from being made public."""
    words = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    setting = ",".join(f"{word}=true" for word in words)
    return Remedy(
        commands=(
            command(
                "s3api", "put-public-access-block", "--bucket", name,
                "--public-access-block-configuration", setting, "--region", region,
            ),
        ),
        terraform=_closed(name, region),
    )  # fmt: skip


def _closed(name: str, region: str) -> str:
    return f'''resource "aws_s3_bucket_public_access_block" "disks" {{
  bucket                  = "{name}"
  region                  = "{region}"
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}}'''


def raise_quota(service: str, code: str, wanted: int, region: str) -> Remedy:
    """Ask for a higher quota."""
    words = ("--service-code", service, "--quota-code", code, "--desired-value", str(wanted), "--region", region)
    return Remedy(
        do="delete what is not needed, or ask for more, which AWS looks at first",
        commands=(command("service-quotas", "request-service-quota-increase", *words),),
        terraform=f'''resource "aws_servicequotas_service_quota" "{service}" {{
  service_code = "{service}"
  quota_code   = "{code}"
  value        = {wanted}
  region       = "{region}"
}}''',
    )


def unblock(kind: str, region: str) -> Remedy:
    """Let what is of a KIND (`image`, `snapshot`) be public; it can take ten minutes."""
    resource = "aws_ec2_image_block_public_access" if kind == "image" else "aws_ebs_snapshot_block_public_access"
    return Remedy(
        commands=(command("ec2", f"disable-{kind}-block-public-access", "--region", region),),
        terraform=f'''resource "{resource}" "{region}" {{
  state  = "unblocked"
  region = "{region}"
}}''',
    )


def encrypt_nothing_by_default(region: str) -> Remedy:
    """Let snapshots be encrypted only where that is asked for."""
    return Remedy(
        do="or name a key of your own: --encrypted --kms-key",
        commands=(command("ec2", "disable-ebs-encryption-by-default", "--region", region),),
        terraform=f'''resource "aws_ebs_encryption_by_default" "{region}" {{
  enabled = false
  region  = "{region}"
}}''',
    )
