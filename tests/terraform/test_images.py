# SPDX-License-Identifier: Apache-2.0
"""Image ids of a release, for Terraform."""

import json
from pathlib import Path
from typing import Any

import pytest

from lkcloud.release.manifest import Manifest, Published, write
from tests.terraform.applying import Refused, Terraform


def published(cloud: str, region: str, identity: str, **said: Any) -> Published:
    """Return an entry of the manifest."""
    entry = {
        **dict.fromkeys(Published.model_fields, ""),
        "created": None,
        "tested": True,
        "shared": True,
        "promoted": True,
        "cloud": cloud,
        "region": region,
        "id": identity,
        "arch": "x86_64",
        "image": "x86",
        "target": cloud,
    }
    return Published.model_validate({**entry, **said})


RELEASE = (
    published("aws", "eu-central-1", "ami-1"),
    published("aws", "eu-central-1", "ami-2", arch="arm64", image="arm"),
    published("aws", "us-east-1", "ami-3"),
    published("gcp", "global", "myos-1-2-3"),
    published("azure", "westeurope", "/subscriptions/s", tested=False),
)


def manifest(*images: Published, complete: bool = True, lkcloud: str = "1") -> Any:
    """Return a manifest as `lkcloud publish` writes it, decoded."""
    path = Path("release.json")
    write(path, Manifest(version="1.2.3", complete=complete, images=images))
    return json.loads(path.read_text()) | {"lkcloud": lkcloud}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_ids_by_cloud_region_and_architecture(terraform: Terraform) -> None:
    outputs = terraform.apply("images", manifest=manifest(*RELEASE)).outputs
    assert outputs["ids"] == {
        "aws": {"eu-central-1": {"arm64": "ami-2", "x86_64": "ami-1"}, "us-east-1": {"x86_64": "ami-3"}},
        "gcp": {"global": {"x86_64": "myos-1-2-3"}},
    }
    assert outputs["version"] == "1.2.3"


def test_what_did_not_boot_is_left_out_unless_it_is_asked_for(terraform: Terraform) -> None:
    outputs = terraform.apply("images", manifest=manifest(*RELEASE), tested=False).outputs
    assert outputs["ids"]["azure"] == {"westeurope": {"x86_64": "/subscriptions/s"}}


def test_some_images_and_targets_only(terraform: Terraform) -> None:
    chosen = terraform.apply("images", manifest=manifest(*RELEASE), image="arm").outputs["ids"]
    assert chosen == {"aws": {"eu-central-1": {"arm64": "ami-2"}}}
    assert terraform.apply("images", manifest=manifest(*RELEASE), targets=["gcp"]).outputs["ids"].keys() == {"gcp"}


def test_a_release_that_is_not_whole_is_refused_unless_that_is_said(terraform: Terraform) -> None:
    part = manifest(*RELEASE, complete=False)
    with pytest.raises(Refused, match=r"Something of the release 1\.2\.3 is missing"):
        terraform.apply("images", manifest=part)
    assert terraform.apply("images", manifest=part, complete=False).outputs["ids"]["gcp"]


def test_two_images_for_one_place_are_told(terraform: Terraform) -> None:
    two = manifest(*RELEASE, published("gcp", "global", "other-1-2-3", image="other"))
    with pytest.raises(Refused, match="gcp global x86_64"):
        terraform.apply("images", manifest=two)
    assert terraform.apply("images", manifest=two, image="other").outputs["ids"]["gcp"]["global"] == {
        "x86_64": "other-1-2-3"
    }


def test_a_manifest_of_another_form_is_refused(terraform: Terraform) -> None:
    with pytest.raises(Refused, match="another form"):
        terraform.apply("images", manifest=manifest(*RELEASE, lkcloud="2"))
