# SPDX-License-Identifier: Apache-2.0
"""The templates of docs/packer.md are built as they stand there, and what they make boots."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lkcloud.sandbox import client
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_gcp.sandbox import GcpStandIn
from tests.images import tiny_bios
from tests.packer.conftest import Build, documented


def made(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "lkcloud-manifest.json").read_text())
    return document


def lkcloud(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "lkcloud", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=120).stdout


def test_the_qemu_builder_ends_with_an_image_in_the_sandbox_that_boots(folder: Path) -> None:
    """As the page has it, command by command, with the sandbox that Packer's script starts."""
    (folder / "base.raw").unlink()
    (folder / "myos.pkr.hcl").write_text(documented("file: myos.pkr.hcl", "hcl"))
    commands = documented("commands: myos.pkr.hcl", "console").replace("$ ", "")
    try:
        done = subprocess.run(
            ["bash", "-ec", commands],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout
        region, _, ami = made(folder)["builds"][0]["artifact_id"].partition(":")
        shown = json.loads(lkcloud(folder, "show", "aws", "myos-1.2", "--json", "--sandbox", "--region", region))
        tested = lkcloud(folder, "test", "aws", ami, "--sandbox", "--region", region, "--expect", "myos is up uefi")
    finally:
        client.down("aws")
    assert (shown["id"], shown["state"]) == (ami, "available")
    assert "it booted: myos is up uefi" in done.stdout
    assert "booted" in tested
    assert "Created artifact from files: lkcloud-manifest.json" in done.stdout
    # What the machine of the builder has left, which artifice hides but does not remove.
    assert (folder / "output" / "myos.raw").stat().st_size == 4 << 20
    packers = json.loads((folder / "packer-manifest.json").read_text())
    assert made(folder) == {
        "builds": [
            {
                "name": "aws/myos",
                "builder_type": "lkcloud.aws",
                "build_time": made(folder)["builds"][0]["build_time"],
                "files": None,
                "artifact_id": f"{region}:{ami}",
                "packer_run_uuid": packers["last_run_uuid"],
                "custom_data": {"arch": "x86_64", "digest": shown["digest"]},
            }
        ],
        "last_run_uuid": packers["last_run_uuid"],
    }


@pytest.fixture
def ready(folder: Path) -> Path:
    tiny_bios(folder / "base.raw", message="myos is up")
    path = folder / "ready.pkr.hcl"
    path.write_text(documented("file: ready.pkr.hcl", "hcl"))
    return path


def test_a_disk_that_is_there_goes_to_two_clouds(
    folder: Path, ready: Path, build: Build, aws: AwsStandIn, gcp: GcpStandIn
) -> None:
    done = build(ready)
    assert done.stdout.count("it booted: myos is up") == 2
    first, second = made(folder)["builds"]
    assert (first["name"], second["name"]) == ("aws/myos", "gcp/myos")
    assert first["artifact_id"].split(":")[1] in lkcloud(folder, "list", "aws")
    assert second["artifact_id"] == "myos-1-2"
    assert "myos-1-2" in lkcloud(folder, "list", "gcp")
    assert first["packer_run_uuid"] == second["packer_run_uuid"] == made(folder)["last_run_uuid"]

    # A second run makes nothing, and is added.
    aws.traffic.clear()
    again = build(ready)
    assert "StartSnapshot" not in aws.traffic.operations()
    assert again.stdout.count("is there already as") == 2
    assert [one["artifact_id"] for one in made(folder)["builds"]] == [first["artifact_id"], "myos-1-2"] * 2
    assert made(folder)["builds"][:2] == [first, second]
    assert made(folder)["last_run_uuid"] == made(folder)["builds"][2]["packer_run_uuid"] != first["packer_run_uuid"]


@pytest.mark.long
def test_a_cloud_that_fails_does_not_keep_the_other(
    folder: Path, ready: Path, build: Build, aws: AwsStandIn, gcp: GcpStandIn
) -> None:
    aws.expire_credentials()
    done = build(ready, code=1)
    assert "error: aws: " in done.stdout
    assert "expired" in done.stdout
    assert "Script exited with non-zero exit status: 4" in done.stdout
    assert [one["name"] for one in made(folder)["builds"]] == ["gcp/myos"]

    # What the page calls the next step of a job; the file of the two is the same.
    aws.expire_credentials(expired=False)
    command = next(line for line in ready.read_text().splitlines() if "post-process aws" in line)
    words = shlex.split(command.partition('["')[2].partition('"]')[0])
    assert words[0] == "lkcloud"
    lkcloud(folder, *words[1:])
    assert [one["name"] for one in made(folder)["builds"]] == ["gcp/myos", "aws/myos-1-2"]
