# SPDX-License-Identifier: Apache-2.0
"""An image's way to others as a user goes it: copied, shared, promoted, protected, and taken back."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from lkcloud_aws.sandbox import AwsStandIn
from tests.cli.conftest import Command
from tests.images import tiny_bios

ALLY = "111111111111"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.raw"
    tiny_bios(path, message="command-line-boot-ok")
    return path


def client(service: str, region: str = "us-east-1") -> Any:
    return boto3.client(service, region_name=region)  # type: ignore[call-overload]  # its overloads know literal names


def launchers(image: str, region: str = "us-east-1") -> list[dict[str, str]]:
    asked = {"ImageId": image, "Attribute": "launchPermission"}
    found: list[dict[str, str]] = client("ec2", region).describe_image_attribute(**asked)["LaunchPermissions"]
    return found


def test_a_push_goes_all_the_way_in_order(lkcloud: Command, tiny: Path, aws: AwsStandIn) -> None:
    """Booted before it is copied, copied before it is shared, shared before anything leads to it, protected last."""
    way = ("--copy-to", "eu-west-1", "--share-with", ALLY, "--share-snapshot", "--ssm-parameter", "/os/stable")
    way += ("--deregistration-protection", "on", "--expect", "command-line-boot-ok")
    done = lkcloud("push", "aws", tiny, *way)
    image, copy = done.stdout.split()
    assert f"{image} is copied to eu-west-1 as {copy}" in done.stderr
    operations = aws.traffic.operations()
    steps = (
        "TerminateInstances",
        "CopyImage",
        "ModifySnapshotAttribute",
        "ModifyImageAttribute",
        "PutParameter",
        "EnableImageDeregistrationProtection",
    )
    made = [number for number, name in enumerate(operations) if name in steps and not _is_dry(aws, number)]
    order = list(dict.fromkeys(operations[number] for number in made))
    assert order == list(steps)
    for found, region in ((image, "us-east-1"), (copy, "eu-west-1")):
        assert launchers(found, region) == [{"UserId": ALLY}]
        [parameter] = client("ssm", region).get_parameters(Names=["/os/stable"])["Parameters"]
        assert parameter["Value"] == found

    again = lkcloud("push", "aws", tiny, *way, "--json")
    document = json.loads(again.stdout)
    assert (document["id"], document["made"]) == (image, False)
    assert [(one["id"], one["region"]) for one in document["copies"]] == [(copy, "eu-west-1")]
    assert aws.traffic.operations().count("PutParameter") == 2


def _is_dry(aws: AwsStandIn, number: int) -> bool:
    """Tell whether a request came before the upload: what asks only whether we may."""
    return number < aws.traffic.operations().index("CompleteSnapshot")


def test_nothing_leaves_the_region_that_does_not_boot(lkcloud: Command, tiny: Path, aws: AwsStandIn) -> None:
    way = ("--copy-to", "eu-west-1", "--ssm-parameter", "/os/stable")
    lkcloud("push", "aws", tiny, *way, "--expect", "never", "--timeout", "5", code=5)
    assert aws.holdings.region("eu-west-1").images == {}
    assert "PutParameter" not in aws.traffic.operations()


def test_what_stands_in_the_way_is_told_before_the_upload(lkcloud: Command, tiny: Path, aws: AwsStandIn) -> None:
    blocked = lkcloud("push", "aws", tiny, "--public", code=1)
    assert "error: block public access for images is on in us-east-1" in blocked.stderr
    assert "disable-image-block-public-access --region us-east-1" in blocked.stderr
    closed = lkcloud("push", "aws", tiny, "--copy-to", "ap-east-1", "--dry-run", code=1)
    assert "the region ap-east-1 is not enabled" in closed.stdout
    assert "cannot be public" in lkcloud("push", "aws", tiny, "--public", "--encrypted", code=2).stderr
    assert "12 digits" in lkcloud("push", "aws", tiny, "--share-with", "me", code=2).stderr
    assert "StartSnapshot" not in aws.traffic.operations()


@pytest.mark.long
@pytest.mark.usefixtures("aws")
def test_an_image_is_led_to_others_step_by_step(lkcloud: Command, tiny: Path) -> None:
    image = lkcloud("push", "aws", tiny).stdout.strip()
    copy = lkcloud("copy", "aws", "tiny", "--copy-to", "eu-west-1").stdout.strip()
    [listed] = json.loads(lkcloud("copy", "aws", image, "--copy-to", "eu-west-1", "--json").stdout)
    assert (listed["id"], listed["region"]) == (copy, "eu-west-1")

    lkcloud("share", "aws", "tiny", "--share-with", ALLY)
    lkcloud("copy", "aws", "tiny", "--copy-to", "eu-west-1")
    assert launchers(copy, "eu-west-1") == [{"UserId": ALLY}]

    lkcloud("promote", "aws", "tiny", "--region", "eu-west-1", "--ssm-parameter", "/os/stable")
    [parameter] = client("ssm", "eu-west-1").get_parameters(Names=["/os/stable"])["Parameters"]
    assert parameter["Value"] == copy

    lkcloud("protect", "aws", "tiny", "--deregistration-protection", "on")
    refused = lkcloud("delete", "aws", image, "--yes", code=1)
    assert f"{image} is protected from deregistration" in refused.stderr
    lkcloud("protect", "aws", image, "--region", "us-east-1", "--deregistration-protection", "off")
    lkcloud("delete", "aws", image, "--yes")

    shown = json.loads(lkcloud("list", "aws", "--region", "eu-west-1", "--json").stdout)
    assert [one["id"] for one in shown] == [copy]
    lkcloud("delete", "aws", "tiny", "--region", "eu-west-1", "--yes")
    assert lkcloud("list", "aws", "--region", "eu-west-1").stdout == ""


@pytest.mark.usefixtures("aws")
def test_an_image_grows_old(lkcloud: Command, tiny: Path) -> None:
    lkcloud("push", "aws", tiny, "--name", "old")
    new = lkcloud("push", "aws", tiny, "--name", "new").stdout.strip()
    done = lkcloud("deprecate", "aws", "old", "--replacement", "new")
    assert "is deprecated from" in done.stderr
    tags = json.loads(lkcloud("show", "aws", "old", "--json").stdout)["tags"]
    assert tags["lkcloud:replacement"] == new
    told = lkcloud("deprecate", "aws", "new", "--deprecated-on", "2030-01-01", code=2)
    assert "--status active" in told.stderr
    lkcloud("deprecate", "aws", "new", "--status", "active", "--deprecated-on", "2030-01-01")
    lkcloud("deprecate", "aws", "old", "--status", "obsolete")
    assert json.loads(lkcloud("show", "aws", "old", "--json").stdout)["state"] == "disabled"


@pytest.mark.long
@pytest.mark.usefixtures("aws")
def test_replacing_replaces_the_copies_too(lkcloud: Command, tiny: Path) -> None:
    way = ("--copy-to", "eu-west-1", "--no-test")
    old = lkcloud("push", "aws", tiny, *way).stdout.split()
    tiny_bios(tiny, message="changed")
    new = lkcloud("push", "aws", tiny, *way, "--replace").stdout.split()
    assert not set(old) & set(new)
    listed = json.loads(lkcloud("list", "aws", "--region", "eu-west-1", "--json").stdout)
    assert [one["id"] for one in listed] == new[1:]


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("copy", "no place is named"),
        ("share", "nobody is named"),
        ("promote", "no name is given"),
        ("protect", "not said how"),
    ],
)
def test_a_verb_without_its_options(lkcloud: Command, verb: str, words: str) -> None:
    done = lkcloud(verb, "aws", "image", code=2)
    assert words in done.stderr
    assert f"see lkcloud {verb} aws --help" in done.stderr
