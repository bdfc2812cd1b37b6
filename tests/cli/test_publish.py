# SPDX-License-Identifier: Apache-2.0
"""`lkcloud publish` as its users meet it: plans, results, errors, a terminal, and Ctrl-C."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from lkcloud.sandbox.qemu import missing
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_gcp.sandbox import GcpStandIn
from tests.cli.conftest import Command
from tests.cli.test_terminal import on_a_terminal, screen
from tests.images import tiny_bios

needs_qemu = pytest.mark.skipif(bool(missing("x86_64", "bios")), reason="needs apt install qemu-system-x86")

RELEASE = """\
name: os-{image}-{version_dashed}
version: 1.0
images:
  - {id: x86, file: disk.raw}
targets:
  - cloud: aws
    options: {region: us-east-1, boot_mode: legacy-bios, ssm_parameter: /os/latest}
  - cloud: gcp
    options: {guest_os_feature: GVNIC, family: os}
defaults:
  test: {expect: publish-boot-ok, timeout: 60}
"""

GCP = "  - cloud: gcp\n    options: {guest_os_feature: GVNIC, family: os}\n"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a disk, and the release file with some words in the place of others."""

    def write_it(**replaced: str) -> Path:
        tiny_bios(tmp_path / "disk.raw", message="publish-boot-ok")
        text = RELEASE
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "release.yaml"
        path.write_text(text)
        return path

    return write_it


def manifest(folder: Path) -> Any:
    return json.loads((folder / "release.json").read_bytes())


@needs_qemu
@pytest.mark.usefixtures("aws")
def test_from_the_plan_to_the_end(program: Command, write: Write, tmp_path: Path) -> None:
    release = write(**{GCP: ""})
    planned = program("publish", release, "--dry-run")
    assert re.fullmatch(r"\+ aws/x86: os-x86-1-0 on aws: 4.0 MiB, .* of data, [0-9a-f]{12}\n", planned.stdout)
    assert planned.stderr == ""
    assert not (tmp_path / "release.json").exists()

    done = program("publish", release)
    [image] = [one["id"] for one in manifest(tmp_path)["images"]]
    assert done.stdout == f"aws/x86  us-east-1  {image}\n"
    assert "aws/x86: | publish-boot-ok bios\n" in done.stderr
    assert f"aws/x86: done: {image}\n" in done.stderr
    assert not re.search("error|hint|Traceback|warning", done.stderr)

    [plan] = json.loads(program("publish", release, "--json", "--dry-run").stdout)
    assert (plan["target"], plan["image"], plan["existing"]["id"]) == ("aws", "x86", image)

    heard = [json.loads(line) for line in program("publish", release, "--events").stdout.splitlines()]
    assert [one["type"] for one in heard[:2]] == ["version", "job"]
    [promoted] = [one for one in heard if one.get("phase") == "promote"]
    assert (promoted["outcome"], promoted["id"]) == ("done", image)

    quiet = program("--quiet", "publish", release, "--json", "-o", "elsewhere.json")
    assert json.loads(quiet.stdout) == json.loads((tmp_path / "elsewhere.json").read_bytes()) == manifest(tmp_path)
    assert quiet.stderr == ""


@pytest.mark.long
@pytest.mark.usefixtures("gcp")
def test_a_part_of_a_release(lkcloud: Command, write: Write, tmp_path: Path, aws: AwsStandIn) -> None:
    release = write(**{"{expect: publish-boot-ok, timeout: 60}": "false"})
    done = lkcloud("publish", release, "--only", "gcp")
    assert done.stdout == "gcp/x86  global  os-x86-1-0\n"
    assert aws.traffic.operations() == []
    assert manifest(tmp_path)["complete"] is False
    unknown = lkcloud("publish", release, "--only", "gpc", code=2)
    assert unknown.stderr == "error: --only gpc: the release has no such cloud or target\nhint: there are: aws, gcp\n"
    rest = lkcloud("publish", release, "--only", "aws")
    assert [line.split()[0] for line in rest.stdout.splitlines()] == ["aws/x86"]
    assert [one["target"] for one in manifest(tmp_path)["images"]] == ["aws", "gcp"]


@pytest.mark.parametrize(
    ("old", "new", "said", "hint"),
    [
        ("name: os", "name: [os", "release.yaml:1:11: expected ',' or ']', but got '{'", "mend the YAML there"),
        ("version: 1.0", "version: 1.0\nname: b", "release.yaml:3:1: found duplicate key", "give it once"),
        ("boot_mode", "bootmode", "release.yaml:7:34: bootmode is not known here", "did you mean boot_mode?"),
        ("legacy-bios", "bios", "release.yaml:7:34: boot_mode: should be 'legacy-bios', 'uefi'", "Boot mode"),
        ("cloud: gcp", "cloud: gpc", "release.yaml:8:5: there is no cloud called gpc", "did you mean gcp?"),
        (
            "disk.raw",
            "disc.raw",
            "release.yaml:4:15: there is no file ",
            "check the path of the image, and that it was built",
        ),
        ("{version_dashed}", "{versoin}", "release.yaml:1:1: {versoin} stands for nothing", "write one of those words"),
        ("1.0", "${OS_VERSION}", "release.yaml:2:1: ${OS_VERSION} is not set", "set it, or write ${NAME:-default}"),
        ("os-{image}", "OS-{image}", "gcp/x86: ", "give `name` os-x86-1-0"),
    ],
)
@pytest.mark.usefixtures("gcp")
def test_a_mistake_is_told_before_anything_is_made(
    lkcloud: Command, write: Write, tmp_path: Path, aws: AwsStandIn, old: str, new: str, said: str, hint: str
) -> None:
    write(**{old: new})
    done = lkcloud("publish", "release.yaml", code=2)
    error, told = done.stderr.splitlines()
    assert error.startswith(f"error: {said}")
    assert told.startswith(f"hint: {hint}")
    assert done.stdout == ""
    assert aws.traffic.operations() == []
    assert not (tmp_path / "release.json").exists()


def test_a_file_that_is_none(lkcloud: Command, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.yaml").touch()
    for name, said in (
        ("nowhere.yaml", "nowhere.yaml cannot be read: no such file or directory"),
        ("folder", "folder cannot be read: is a directory"),
        ("empty.yaml", "empty.yaml holds no release"),
    ):
        assert lkcloud("publish", name, code=2).stderr.startswith(f"error: {said}\nhint: ")
    assert "missing argument 'RELEASE.yaml'" in lkcloud("publish", code=2).stderr


@pytest.mark.parametrize("other", ["--json", "--dry-run"])
def test_what_cannot_both_be_printed(lkcloud: Command, write: Write, other: str) -> None:
    done = lkcloud("publish", write(), "--events", other, code=2)
    assert f"--events and {other} do not go together" in done.stderr


def test_nobody_is_signed_in(lkcloud: Command, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    done = lkcloud("publish", write(), code=4)
    assert done.stdout == ""
    assert "aws/x86: error: aws: unable to locate credentials\naws/x86: hint: sign in " in done.stderr
    assert "gcp/x86: error: gcp: there are no application default credentials\ngcp/x86: hint: sign in " in done.stderr
    assert done.stderr.splitlines()[-2:] == [
        "error: 2 of 2 images failed, and nothing was shared or promoted: aws/x86, gcp/x86",
        f"hint: {tmp_path / 'release.json'} says what is there; the same command goes on",
    ]
    assert [one["target"] for one in manifest(tmp_path)["problems"]] == ["aws", "gcp"]
    planned = lkcloud("publish", "release.yaml", "--dry-run", "--only", "aws", code=4)
    assert planned.stdout.startswith("! aws/x86: aws: unable to locate credentials\n  hint: sign in ")
    [error] = lkcloud("publish", "release.yaml", "--only", "aws", "--json", code=4).stderr.splitlines()[-1:]
    assert json.loads(error)["exit_code"] == 4


@pytest.mark.usefixtures("gcp")
def test_a_manifest_that_cannot_be_written(lkcloud: Command, write: Write, tmp_path: Path, aws: AwsStandIn) -> None:
    release = write()
    for place, said in (
        ("nowhere/release.json", "the manifest nowhere/release.json cannot be written: no such file or directory"),
        ("disk.raw/release.json", "disk.raw/release.json cannot be read: not a directory"),
        ("release.yaml", "release.yaml is no manifest of a release: "),
        (".", ". cannot be read: is a directory"),
    ):
        done = lkcloud("publish", release, "-o", place, code=1 if place.startswith("nowhere") else 2)
        assert done.stderr.startswith(f"error: {said}")
        assert len(done.stderr.splitlines()) == 2
    assert aws.traffic.operations() == []


@pytest.mark.long
def test_options_of_the_environment(
    lkcloud: Command, write: Write, aws: AwsStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are for what the file does not say."""
    release = write(**{GCP: ""})
    monkeypatch.setenv("LKCLOUD_AWS_REGION", "eu-west-1")
    monkeypatch.setenv("LKCLOUD_AWS_TAG", "team=images\nuse=tests of ours")
    lkcloud("publish", release)
    [shown] = boto3.client("ec2", region_name="us-east-1").describe_images(Owners=["self"])["Images"]
    assert {"team": "images", "use": "tests of ours"}.items() <= {t["Key"]: t["Value"] for t in shown["Tags"]}.items()
    monkeypatch.setenv("LKCLOUD_AWS_WORKERS", "many")
    done = lkcloud("publish", release, code=2)
    assert done.stderr.startswith("error: LKCLOUD_AWS_WORKERS: input should be a valid integer")
    assert done.stderr.splitlines()[1] == "hint: unset it, or give `workers:` in the release file"


@pytest.fixture
def sandbox(lkcloud: Command) -> Iterator[None]:
    """End the sandboxes that the test has started."""
    yield
    lkcloud("sandbox", "down")


@pytest.mark.long
@pytest.mark.usefixtures("sandbox")
def test_the_sandbox_has_accounts_of_its_own(lkcloud: Command, write: Write) -> None:
    """So a release file can be tried as it is."""
    release = write(**{"boot_mode": "profile: releases, boot_mode", "family: os": "family: os, project: os-images-7"})
    done = lkcloud("publish", release, "--sandbox", "--dry-run")
    assert [line[:9] for line in done.stdout.splitlines()] == ["+ aws/x86", "+ gcp/x86"]
    assert "profile" in lkcloud("publish", release, "--dry-run", "--only", "aws", code=2).stdout


@needs_qemu
@pytest.mark.usefixtures("gcp")
def test_ctrl_c_ends_it_in_order_once(write: Write, tmp_path: Path, aws: AwsStandIn) -> None:
    write(**{"expect: publish-boot-ok": "expect: never said", "  - cloud: gcp": "  - cloud: gcp\n    test: false"})
    tiny_bios(tmp_path / "disk.raw", message="publish-boot-ok", stays_on=True)
    command = [sys.executable, "-m", "lkcloud", "publish", "release.yaml", "--events"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        waited = {("aws", "console"), ("gcp", "made")}
        for line in running.stdout:
            event = json.loads(line)
            waited.discard((event.get("target"), event.get("kind", event.get("outcome"))))
            if not waited:
                break
        running.send_signal(signal.SIGINT)
        for _ in range(3):
            running.send_signal(signal.SIGTERM)
        _, error = running.communicate(timeout=60)
    assert running.returncode == 130
    assert error.splitlines() == [
        "error: interrupted",
        "hint: the same command goes on where it stopped: lkcloud publish release.yaml --events",
    ]
    operations = aws.traffic.operations()
    assert operations.count("TerminateInstances") == 1
    found = [(one["target"], one["tested"]) for one in manifest(tmp_path)["images"]]
    assert found == [("aws", False), ("gcp", False)]


@needs_qemu
@pytest.mark.usefixtures("aws")
def test_on_a_terminal(write: Write, tmp_path: Path, gcp: GcpStandIn) -> None:
    write(**{"family: os}": "family: os}\n    test: {expect: never said, timeout: 1}"})
    code, out, shown = on_a_terminal("publish", "release.yaml", folder=tmp_path)
    assert code == 5
    lines = screen(shown)
    found = {one["target"]: one["id"] for one in manifest(tmp_path)["images"]}
    assert out.splitlines() == [f"aws/x86  us-east-1  {found['aws']}", "gcp/x86  global  os-x86-1-0"]
    for target in ("aws", "gcp"):
        assert f"{target}/x86 | publish-boot-ok bios" in lines
    assert "gcp/x86: there is os-x86-1-0 all the same" in lines
    held, failed, error, hint = lines[-4:]
    assert re.fullmatch(rf"aws/x86  held +{found['aws']}", held)
    assert re.match(r"gcp/x86  failed +\.\.\./lkcloud-test-\w+ did not show within 1 seconds ", failed)
    assert len(failed) <= 100
    assert error == "error: 1 of 2 images failed, and nothing was shared or promoted: gcp/x86"
    assert hint == "hint: release.json says what is there; the same command goes on"
    assert not gcp.holdings.engine.instances
