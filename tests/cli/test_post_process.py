# SPDX-License-Identifier: Apache-2.0
"""`lkcloud post-process` as Packer's script calls it; tests/packer does so with Packer itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from lkcloud.sandbox.http import Response
from lkcloud_aws.sandbox import AwsStandIn, Seen
from lkcloud_aws.sandbox.errors import ApiError, render
from tests.cli.conftest import Command
from tests.images import tiny_bios

RUN = "f9f82569-ca94-0ccc-29d8-9801dbeab07c"
LIMIT = ApiError("ResourceLimitExceeded", "You have reached your quota of AMIs.", 400)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Packer's script finds: a disk, a manifest that names it, and the build in the environment."""
    disk = tmp_path / "output" / "myos.raw"
    disk.parent.mkdir()
    tiny_bios(disk, message="command-line-boot-ok")
    files = [{"name": "output/myos.raw", "size": 4194304}]
    build = {"name": "base", "builder_type": "qemu", "files": files, "artifact_id": "VM", "packer_run_uuid": RUN}
    (tmp_path / "packer-manifest.json").write_text(json.dumps({"builds": [build], "last_run_uuid": RUN}))
    monkeypatch.setenv("PACKER_BUILD_NAME", "base")
    monkeypatch.setenv("PACKER_BUILDER_TYPE", "qemu")
    monkeypatch.setenv("PACKER_RUN_UUID", RUN)
    return disk


def made(path: Path) -> list[dict[str, Any]]:
    document = json.loads(path.read_text())
    assert document["last_run_uuid"] == document["builds"][-1]["packer_run_uuid"]
    builds: list[dict[str, Any]] = document["builds"]
    return builds


@pytest.mark.usefixtures("aws", "built")
def test_the_disk_of_the_build_becomes_an_image(lkcloud: Command, tmp_path: Path) -> None:
    planned = lkcloud("post-process", "aws", "--dry-run", "--replace")
    assert planned.stdout.startswith("+ myos: 4.0 MiB")
    assert not (tmp_path / "lkcloud-manifest.json").exists()

    done = lkcloud("post-process", "aws", "--test", "--expect", "boot-ok")
    assert "it booted: command-line-boot-ok" in done.stderr
    [build] = made(tmp_path / "lkcloud-manifest.json")
    assert build["artifact_id"] == f"us-east-1:{done.stdout.strip()}"
    shown = json.loads(lkcloud("show", "aws", "myos", "--json").stdout)
    assert {**build, "artifact_id": "", "build_time": 0} == {
        "name": "aws/base",
        "builder_type": "lkcloud.aws",
        "build_time": 0,
        "files": None,
        "artifact_id": "",
        "packer_run_uuid": RUN,
        "custom_data": {"arch": "x86_64", "digest": shown["digest"]},
    }

    # Done again, it is the same image, and the same entry.
    assert lkcloud("post-process", "aws", "packer-manifest.json").stdout == done.stdout
    assert made(tmp_path / "lkcloud-manifest.json") == [build]


@pytest.mark.usefixtures("aws", "built")
def test_copies_are_in_the_artifact(lkcloud: Command, tmp_path: Path) -> None:
    options = ["--copy-to", "eu-west-1", "--no-test", "--output", "images.json", "--json"]
    document = json.loads(lkcloud("post-process", "aws", *options).stdout)
    [build] = made(tmp_path / "images.json")
    assert build["artifact_id"] == f"us-east-1:{document['id']},eu-west-1:{document['copies'][0]['id']}"


@pytest.mark.usefixtures("gcp", "built")
def test_the_name_of_an_image_elsewhere(lkcloud: Command, tmp_path: Path) -> None:
    lkcloud("post-process", "gcp", "--name", "os-1")
    assert [(one["name"], one["artifact_id"]) for one in made(tmp_path / "lkcloud-manifest.json")] == [
        ("gcp/base", "os-1")
    ]


@pytest.mark.usefixtures("aws")
def test_a_disk_by_name_without_packer(
    lkcloud: Command, tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packer-manifest.json").unlink()
    for variable in ("PACKER_BUILD_NAME", "PACKER_BUILDER_TYPE", "PACKER_RUN_UUID"):
        monkeypatch.delenv(variable)
    ami = lkcloud("post-process", "aws", "--image", built, "--name", "by hand").stdout.strip()
    [build] = made(tmp_path / "lkcloud-manifest.json")
    assert (build["name"], build["artifact_id"]) == ("aws/by hand", f"us-east-1:{ami}")


@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (["missing.json"], 1, "there is no Packer manifest missing.json", 'post-processor "manifest"'),
        (["output/myos.raw"], 2, "output/myos.raw is no manifest of Packer", 'post-processor "manifest"'),
        (["packer-manifest.json", "--image", "output/myos.raw"], 2, "both a manifest", "leave one"),
        (["--image", "missing.raw"], 2, "missing.raw", "path"),
        (["--output", "packer-manifest.json"], 2, "Packer's own file", "--output"),
        (["--output", "missing/images.json"], 2, "missing/images.json cannot be written", "--output"),
        (["--output", "output/myos.raw"], 2, "output/myos.raw is no manifest of Packer", 'post-processor "manifest"'),
        (["--expect", "x"], 2, "--test", "add --test"),
        (["--volume-size", "0"], 2, "--volume-size", "see lkcloud post-process aws --help"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_made(
    lkcloud: Command,
    tmp_path: Path,
    built: Path,
    aws: AwsStandIn,
    arguments: list[str],
    code: int,
    error: str,
    hint: str,
) -> None:
    before = built.read_bytes()
    said, advice = lkcloud("post-process", "aws", *arguments, code=code).stderr.splitlines()[-2:]
    assert said.startswith("error: ")
    assert advice.startswith("hint: ")
    assert error in said
    assert hint in advice
    assert aws.traffic.operations() == []
    assert built.read_bytes() == before
    assert not (tmp_path / "lkcloud-manifest.json").exists()


@pytest.mark.usefixtures("built")
def test_what_fails_on_the_way_is_in_no_manifest(lkcloud: Command, tmp_path: Path, aws: AwsStandIn) -> None:
    def refuse(seen: Seen) -> Response | None:
        refused = seen.phase == "before" and seen.operation == "CompleteSnapshot"
        return render(seen.service, LIMIT, "refused") if refused else None

    aws.traffic.hooks.append(refuse)
    lkcloud("post-process", "aws", code=1)
    assert not (tmp_path / "lkcloud-manifest.json").exists()
    aws.traffic.hooks.clear()
    lkcloud("post-process", "aws")
    assert len(made(tmp_path / "lkcloud-manifest.json")) == 1


@pytest.mark.usefixtures("aws", "built")
def test_errors_are_json_when_json_is_asked_for(lkcloud: Command) -> None:
    document = json.loads(lkcloud("post-process", "aws", "missing.json", "--json", code=1).stderr)
    assert "missing.json" in document["error"]
