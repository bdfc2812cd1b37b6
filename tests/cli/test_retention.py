# SPDX-License-Identifier: Apache-2.0
"""`prune`, `sweep` and the filters of `list`, as a user meets them."""

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lkcloud_aws.naming import FAMILY
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.session import Session as AwsSession
from lkcloud_azure.naming import CREATED
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.gallery import Version
from lkcloud_azure.sandbox.image import Image
from lkcloud_azure.session import Session as AzureSession
from lkcloud_gcp.sandbox import GcpStandIn
from tests.aws.imaging import hold as hold_aws
from tests.aws.imaging import known, snapshots_in, standing_images
from tests.azure.imaging import hold_image, hold_version, make_definition, make_gallery
from tests.cli.conftest import Command
from tests.gcp.imaging import hold as hold_gcp

NOW = datetime.now(UTC)
GUID = "11111111-2222-3333-4444-555555555555"


def row(aws: AwsStandIn, number: int) -> list[str]:
    """Let AWS hold so many images of one family, a day between two, and return their ids, oldest first."""
    session = AwsSession()
    return [
        hold_aws(aws, session, f"os-{day}", tags={FAMILY: "os"}, created=NOW - timedelta(days=number - day, hours=1)).id
        for day in range(number)
    ]


def test_prune_is_dry_until_a_yes(aws: AwsStandIn, lkcloud: Command) -> None:
    ids = row(aws, 4)
    done = lkcloud("prune", "aws", "--keep", "2")
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        ["delete", ids[0], "os-0"],
        ["delete", ids[1], "os-1"],
        ["keep", ids[2], "os-2"],
        ["keep", ids[3], "os-3"],
    ]
    assert "give --yes" in done.stderr
    assert lkcloud("prune", "aws", "--keep", "2", "--yes", "--dry-run").stdout == done.stdout
    assert standing_images(aws, "us-east-1") == sorted(ids)
    assert "2 of 2 done" in lkcloud("prune", "aws", "--keep", "2", "--yes").stderr
    assert standing_images(aws, "us-east-1") == sorted(ids[2:])
    assert len(snapshots_in(aws, "us-east-1")) == 2
    assert "no image is too many" in lkcloud("prune", "aws", "--keep", "2", "--yes").stderr


def test_prune_in_two_steps_and_back(aws: AwsStandIn, lkcloud: Command) -> None:
    ids, session = row(aws, 3), AwsSession()
    two_steps = ("prune", "aws", "--keep", "1", "--older-than", "60h", "--withdraw-for", "14d", "--yes")
    assert "1 of 1 done" in lkcloud(*two_steps).stderr
    assert known(session, ids[0]).withdrawn is not None
    listed = lkcloud("list", "aws").stdout.splitlines()
    assert ["withdrawn" in line for line in listed] == [True, False, False]
    # Done again it waits, and nobody is led to it.
    done = lkcloud(*two_steps)
    assert f"keep      {ids[0]}  os-0  was withdrawn on" in done.stdout
    assert "was withdrawn" in lkcloud("share", "aws", ids[0], "--public", code=1).stderr
    lkcloud("deprecate", "aws", ids[0], "--status", "active")
    assert known(session, ids[0]).withdrawn is None
    lkcloud(*two_steps)
    lkcloud("prune", "aws", "--keep", "1", "--withdraw-for", "0s", "--yes")
    assert ids[0] not in standing_images(aws, "us-east-1")
    assert known(session, ids[1]).withdrawn is not None


def test_prune_tells_why_something_stays_and_what_failed(aws: AwsStandIn, lkcloud: Command) -> None:
    ids, session = row(aws, 4), AwsSession()
    session.ec2.create_launch_template(LaunchTemplateName="app", LaunchTemplateData={"ImageId": ids[0]})
    hold_aws(aws, session, "stray", created=NOW - timedelta(days=99))
    aws.holdings.region("us-east-1").images[ids[1]].protected_until = float("inf")  # as after a cooldown
    done = lkcloud("prune", "aws", "--keep", "1", "--yes", "--json", code=3)
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert [found[f"os-{number}"]["act"] for number in range(4)] == ["keep", "delete", "delete", "keep"]
    assert "is used by the launch template" in found["os-0"]["reason"]
    assert (found["os-1"]["done"], "protected" in found["os-1"]["error"]["message"]) == (False, True)
    assert (found["os-2"]["done"], found["os-2"]["error"]) == (True, None)
    assert found["stray"]["reason"] == "is in no family"
    assert "protected" in done.stderr
    # What is left to do fails alone, and says so itself.
    assert "protected" in lkcloud("prune", "aws", "--keep", "1", "--yes", code=1).stderr


def test_what_is_in_no_family_goes_by_its_name(aws: AwsStandIn, lkcloud: Command) -> None:
    session = AwsSession()
    for day in range(3):
        hold_aws(aws, session, f"os-{day}", created=NOW - timedelta(days=9 - day))
    hold_aws(aws, session, "other", created=NOW - timedelta(days=99))
    lkcloud("prune", "aws", "--keep", "1", "--name", "os-*", "--yes")
    assert [one["name"] for one in json.loads(lkcloud("list", "aws", "--json").stdout)] == ["other", "os-2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("prune", "aws"), "not said which images are too many"),
        (("prune", "aws", "--keep", "-1"), "--keep"),
        (("prune", "aws", "--older-than", "soon"), "'soon' is no age"),
        (("list", "aws", "--older-than", "1y"), "'1y' is no age"),
    ],
)
@pytest.mark.usefixtures("aws")
def test_bad_input(lkcloud: Command, arguments: tuple[str, ...], words: str) -> None:
    error, hint = lkcloud(*arguments, code=2).stderr.splitlines()[-2:]
    assert words in error
    assert hint.startswith("hint: ")


def test_lists_can_be_of_some_images_only(aws: AwsStandIn, lkcloud: Command) -> None:
    row(aws, 3)
    hold_aws(aws, AwsSession(), "other")

    def names(*arguments: str) -> list[str]:
        return [one["name"] for one in json.loads(lkcloud("list", "aws", "--json", *arguments).stdout)]

    assert names("--family", "os", "--older-than", "30h") == ["os-0", "os-1"]
    assert names("--name", "o[st]*") == ["os-0", "os-1", "os-2", "other"]
    shown = json.loads(lkcloud("show", "aws", "os-0", "--json").stdout)
    assert (shown["family"], shown["withdrawn"]) == ("os", None)


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 1), ("n", 1, 2)])
def test_at_a_terminal_it_asks(aws: AwsStandIn, tmp_path: Path, answer: str, code: int, left: int) -> None:
    ids = row(aws, 2)
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "lkcloud", "prune", "aws", "--keep", "1"]
    with subprocess.Popen(command, stdin=child, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as run:
        os.close(child)
        os.write(parent, f"{answer}\n".encode())
        out, error = run.communicate(timeout=240)
    os.close(parent)
    assert run.returncode == code, error
    assert ids[0] in out.decode()
    assert "do this?" in error.decode()
    assert len(standing_images(aws, "us-east-1")) == left


def test_families_of_google_cloud_keep_what_they_lead_to(gcp: GcpStandIn, lkcloud: Command) -> None:
    images = gcp.holdings.engine.images
    for day in range(4):
        hold_gcp(gcp, f"os-{day}", family="os")
        images[f"os-{day}"].created = NOW - timedelta(days=9 - day)
    for day in (1, 2, 3):  # someone has found the newer ones to be bad
        lkcloud("deprecate", "gcp", f"os-{day}")
    done = lkcloud("prune", "gcp", "--keep", "1", "--withdraw-for", "14d", "--yes")
    assert "keep      os-0  os-0  is what the family os leads to" in done.stdout
    states = {name: image.deprecation.state for name, image in images.items()}
    assert states == {"os-0": "", "os-1": "OBSOLETE", "os-2": "OBSOLETE", "os-3": "DEPRECATED"}


@pytest.mark.long
def test_dates_of_google_cloud_are_carried_out(gcp: GcpStandIn, lkcloud: Command) -> None:
    for name in ("old", "older", "led-to"):
        hold_gcp(gcp, name, family="os" if name == "led-to" else "")
    yesterday = f"{NOW - timedelta(days=1):%Y-%m-%d}"
    lkcloud("deprecate", "gcp", "old", "--status", "active", "--deprecated-on", yesterday)
    lkcloud("deprecate", "gcp", "older", "--deleted-on", yesterday)
    lkcloud("deprecate", "gcp", "led-to", "--status", "active", "--obsolete-on", yesterday)
    dry = lkcloud("sweep", "gcp").stdout
    assert [line.split()[:2] for line in sorted(dry.splitlines())] == [
        ["keep", "led-to"],
        ["mark", "old"],
        ["mark", "older"],
    ]
    assert "is what the family os leads to" in dry
    lkcloud("sweep", "gcp", "--yes")
    images = gcp.holdings.engine.images
    assert {name: image.deprecation.state for name, image in images.items()} == {
        "old": "DEPRECATED",
        "older": "DELETED",
        "led-to": "ACTIVE",
    }
    assert "is not deleted unless that is asked for" in lkcloud("sweep", "gcp", "--yes").stdout
    done = json.loads(lkcloud("sweep", "gcp", "--delete", "--yes", "--json").stdout)
    came = {one["name"]: (one["act"], one["done"]) for one in done}
    assert came == {"older": ("delete", True), "led-to": ("keep", False)}
    assert sorted(images) == ["led-to", "old"]


def test_dates_of_aws_are_carried_out(aws: AwsStandIn, lkcloud: Command) -> None:
    ids = row(aws, 2)
    yesterday = f"{NOW - timedelta(days=1):%Y-%m-%d}"
    lkcloud("deprecate", "aws", ids[0], "--status", "active", "--obsolete-on", yesterday)
    lkcloud("deprecate", "aws", ids[1], "--status", "active", "--deleted-on", yesterday)
    dry = lkcloud("sweep", "aws", "--delete").stdout
    assert [line.split()[:2] for line in dry.splitlines()] == [["mark", ids[0]], ["delete", ids[1]]]
    lkcloud("sweep", "aws", "--delete", "--yes")
    assert standing_images(aws, "us-east-1") == [ids[0]]
    assert known(AwsSession(), ids[0]).state == "disabled"
    assert "no date is due" in lkcloud("sweep", "aws", "--delete", "--yes").stderr


@pytest.mark.long
def test_versions_of_azure_live_and_end(azure: AzureStandIn, lkcloud: Command) -> None:
    session = AzureSession("AzureCloud", azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"], None)
    make_gallery(session)
    make_definition(session)
    held = [hold_version(azure, f"1.0.{number}", name=f"os-{number}", excluded=False) for number in range(4)]
    for number, one in enumerate(held):
        one.published = NOW - timedelta(days=9 - number)
    gallery = ("--gallery", "gal")
    two_steps = ("prune", "azure", *gallery, "--keep", "1", "--withdraw-for", "14d", "--yes")
    lkcloud("prune", "azure", *gallery, "--keep", "1", "--older-than", "200h", "--yes")
    assert [one.name for one in azure.holdings.every(Version)] == ["1.0.1", "1.0.2", "1.0.3"]
    lkcloud(*two_steps)
    assert [one.excluded for one in azure.holdings.every(Version)] == [True, True, False]
    assert "goes on" in lkcloud(*two_steps).stdout
    lkcloud("deprecate", "azure", *gallery, str(held[1].id), "--status", "active")
    listed = json.loads(lkcloud("list", "azure", *gallery, "--family", "image", "--json").stdout)
    assert [one["withdrawn"] is None for one in listed] == [True, False, True]

    held[3].end_of_life = held[2].end_of_life = f"{NOW - timedelta(days=1):%Y-%m-%d}T00:00:00+00:00"
    done = lkcloud("sweep", "azure", *gallery, "--delete", "--yes").stdout.splitlines()
    assert [line.split()[0] for line in done] == ["delete", "keep"]
    assert "is what `latest` of image leads to" in done[1]
    assert [one.name for one in azure.holdings.every(Version)] == ["1.0.1", "1.0.3"]


def test_managed_images_of_azure_have_families_by_tags(azure: AzureStandIn, lkcloud: Command) -> None:
    for number in range(3):
        created = (NOW - timedelta(days=9 - number)).isoformat()
        hold_image(azure, f"os-{number}").tags.update({CREATED: created, "lkcloud-family": "os"})
    prune = ("prune", "azure", "--keep", "1", "--family", "os", "--yes")
    lkcloud(*prune, "--withdraw-for", "0s")
    assert [bool(one.tags.get("lkcloud-withdrawn")) for one in azure.holdings.every(Image)] == [True, True, False]
    assert "was withdrawn" in lkcloud("share", "azure", "os-0", "--share-with", GUID, code=1).stderr
    lkcloud("deprecate", "azure", "os-0", "--status", "active")
    lkcloud(*prune)
    assert [one.name for one in azure.holdings.every(Image)] == ["os-2"]
