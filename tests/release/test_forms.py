# SPDX-License-Identifier: Apache-2.0
"""The manifest in other forms: each against what its readers look for, and whole against a golden file."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field

from lkcloud.errors import UsageError
from lkcloud.release import manifest as manifests
from lkcloud.release.forms import coreos, flatcar, hcl, packer, simplestreams, talos
from lkcloud.release.manifest import Manifest, Published

GOLDEN = Path(__file__).parent / "golden"


def published(cloud: str, region: str, arch: str, kind: str, image_id: str, **more: str) -> Published:
    said = {
        "cloud": cloud,
        "region": region,
        "arch": arch,
        "type": kind,
        "id": image_id,
        "name": f"os-{arch}",
        "account": {"aws": "123456789012", "gcp": "images-123456", "azure": "00000000-0000-0000-0000-000000000001"}[
            cloud
        ],
        "family": "",
        "version": "1.2",
        "state": "available",
        "created": datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC),
        "digest": "ab" * 32,
        "target": cloud,
        "image": arch,
        "tested": True,
        "shared": True,
        "promoted": True,
        **more,
    }
    return Published.model_validate(said)


VERSION_ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/images/os/versions/1.2.0"
MANIFEST = Manifest(
    version="1.2",
    complete=True,
    images=(
        published("aws", "eu-central-1", "arm64", "ami", "ami-0a"),
        published("aws", "eu-central-1", "x86_64", "ami", "ami-0b"),
        published("aws", "us-east-1", "x86_64", "ami", "ami-0c"),
        published("azure", "westeurope", "x86_64", "gallery-image-version", VERSION_ID, family="os"),
        published("gcp", "global", "x86_64", "compute-image", "os-x86-64", family="os", name="os-x86-64"),
    ),
)
X86 = manifests.only(MANIFEST, arch="x86_64")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("talos.json", json.dumps(talos.talos(MANIFEST), indent=2) + "\n"),
        ("coreos.json", json.dumps(coreos.coreos(MANIFEST, stream="stable"), indent=2) + "\n"),
        ("packer.json", json.dumps(packer.packer(MANIFEST), indent=2) + "\n"),
        ("flatcar.json", json.dumps(flatcar.flatcar(X86), indent=2) + "\n"),
        (
            "simplestreams.json",
            json.dumps(simplestreams.simplestreams(MANIFEST, content_id="com.example.os:released"), indent=2) + "\n",
        ),
        ("images.tf", hcl.hcl(MANIFEST)),
    ],
)
def test_whole(name: str, text: str) -> None:
    assert text == (GOLDEN / name).read_text()


def test_talos_is_picked_as_terraform_modules_do() -> None:
    found = [one["id"] for one in talos.talos(MANIFEST) if one["region"] == "eu-central-1" and one["arch"] == "amd64"]
    assert found == ["ami-0b"]


class _Part(BaseModel):
    """A struct of stream.go in github.com/coreos/stream-metadata-go: these keys, of these types, and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Region(_Part):
    release: str
    image: str


class Aws(_Part):
    regions: dict[str, Region]


class Gcp(_Part):
    release: str
    project: str
    family: str = ""
    name: str


class Images(_Part):
    aws: Aws | None = None
    gcp: Gcp | None = None


class Arch(_Part):
    artifacts: dict[str, object]
    images: Images


class Metadata(_Part):
    last_modified: Annotated[str, Field(alias="last-modified")]
    generator: str


class Stream(_Part):
    stream: str
    metadata: Metadata
    architectures: dict[str, Arch]


def test_coreos_keeps_the_stream_schema() -> None:
    stream = Stream.model_validate_json(json.dumps(coreos.coreos(MANIFEST, stream="stable")))
    assert set(stream.architectures) == {"x86_64", "aarch64"}
    assert datetime.fromisoformat(stream.metadata.last_modified) == datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)


def test_packer_as_ci_scripts_read_it() -> None:
    builds = packer.packer(MANIFEST)["builds"]
    assert builds[1]["artifact_id"] == "eu-central-1:ami-0b,us-east-1:ami-0c"
    assert packer.packer(MANIFEST, run_uuid="u")["last_run_uuid"] == "u"
    assert {build["packer_run_uuid"] for build in builds} == {packer.packer(MANIFEST)["last_run_uuid"]}


def test_forms_without_room_say_so() -> None:
    with pytest.raises(UsageError) as caught:
        flatcar.flatcar(MANIFEST)
    assert "eu-central-1" in caught.value.message
    assert "--arch" in caught.value.hint
    twice = MANIFEST.model_copy(update={"images": (*MANIFEST.images, MANIFEST.images[0])})
    for form in (lambda: coreos.coreos(twice, stream="s"), lambda: hcl.hcl(twice)):
        with pytest.raises(UsageError):
            form()


def test_texts_of_terraform_are_quoted() -> None:
    odd = MANIFEST.model_copy(update={"version": 'a"${b}\\%{c}\n'})
    assert 'lkcloud_version = "a\\"$${b}\\\\%%{c}\\n"' in hcl.hcl(odd)


def test_an_empty_manifest_has_every_form() -> None:
    empty = Manifest(version="1", complete=False)
    assert talos.talos(empty) == []
    assert coreos.coreos(empty, stream="s")["architectures"] == {}
    assert packer.packer(empty)["builds"] == []
    assert flatcar.flatcar(empty) == {"amis": []}
    assert simplestreams.simplestreams(empty, content_id="c")["products"] == {}
    assert "lkcloud_images = {\n  }" in hcl.hcl(empty)
