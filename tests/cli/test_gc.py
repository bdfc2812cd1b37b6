# SPDX-License-Identifier: Apache-2.0
"""`gc`: what dead runs have left, on several clouds."""

import json
from pathlib import Path

import pytest

from lkcloud.paths import cache_dir
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.session import Session as AwsSession
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.session import Session as GcpSession
from tests.aws.imaging import hold as hold_aws
from tests.aws.imaging import snapshots_in
from tests.cli.conftest import Command
from tests.gcp.imaging import BUCKET, is_there, put

NAMED = ("--gcp-bucket", BUCKET)


@pytest.fixture
def two_clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKCLOUD_PROVIDERS", "aws,gcp")


@pytest.mark.usefixtures("two_clouds")
def test_what_is_old_goes_from_all_clouds(aws: AwsStandIn, gcp: GcpStandIn, lkcloud: Command) -> None:
    session = AwsSession()
    image = hold_aws(aws, session)
    session.ec2.deregister_image(ImageId=image.id)
    kept = hold_aws(aws, session, "kept")
    left, [snapshot] = put(GcpSession(), b"left"), image.blobs
    found = json.loads(lkcloud("gc", *NAMED, "--json").stdout)
    assert found["problems"] == []
    assert [(one["id"], one["act"]) for one in found["leftovers"]] == [(snapshot.id, "keep"), (left.id, "keep")]
    assert "aws, gcp: nothing to remove" in lkcloud("gc", *NAMED, "--yes").stderr
    dry = lkcloud("gc", *NAMED, "--older-than", "0s")
    assert [line.split()[:4] for line in dry.stdout.splitlines()] == [
        ["remove", "aws", snapshot.id, "snapshot"],
        ["remove", "gcp", left.id, "object"],
    ]
    assert is_there(gcp, left)
    done = json.loads(lkcloud("gc", *NAMED, "--older-than", "0s", "--yes", "--json").stdout)
    assert [one["done"] for one in done["leftovers"]] == [True, True]
    assert (is_there(gcp, left), snapshots_in(aws, "us-east-1")) == (False, [kept.blobs[0].id])


@pytest.mark.usefixtures("two_clouds", "gcp")
def test_a_cloud_out_of_reach_does_not_keep_the_others_waiting(
    aws: AwsStandIn, lkcloud: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.expire_credentials(expired=True)
    left = put(GcpSession(), b"left")
    done = lkcloud("gc", *NAMED, "--older-than", "0s", "--yes", code=3)
    assert left.id in done.stdout
    assert "1 of 1 done" in done.stderr
    assert "error: aws: " in done.stderr
    found = json.loads(lkcloud("gc", *NAMED, "--json", code=3).stdout)
    assert [one["cloud"] for one in found["problems"]] == ["aws"]
    # Alone, its error is the command's.
    assert lkcloud("gc", "aws", code=4).stderr.splitlines()[-2].startswith("error: aws: ")


@pytest.mark.usefixtures("gcp")
def test_what_cannot_be_removed_is_told(lkcloud: Command, gcp: GcpStandIn) -> None:
    from lkcloud_gcp.sandbox.errors import ApiError
    from tests.gcp.pushing import refuse

    first, second = put(GcpSession(), b"1"), put(GcpSession(), b"2", name="other")
    refuse(gcp, "objects.delete", ApiError(403, "forbidden", "does not have storage.objects.delete access"))
    done = lkcloud("gc", "gcp", *NAMED, "--older-than", "0s", "--yes", code=3)
    assert "error: gcp: " in done.stderr
    assert [is_there(gcp, first), is_there(gcp, second)] == [True, False]
    refuse(gcp, "objects.delete", ApiError(403, "forbidden", "does not have storage.objects.delete access"))
    assert "storage.objects.delete" in lkcloud("gc", "gcp", *NAMED, "--older-than", "0s", "--yes", code=3).stderr


@pytest.mark.usefixtures("aws")
def test_what_is_on_this_machine_goes_only_if_that_is_wanted(lkcloud: Command) -> None:
    entry = cache_dir() / "unpacked" / "entry"
    entry.mkdir(parents=True)
    (entry / "disk.raw").write_bytes(b"disk")
    assert lkcloud("gc", "aws", "--older-than", "0s", "--yes").stdout == ""
    assert "keep    this-machine" in lkcloud("gc", "aws", "--local", "--yes").stdout
    assert entry.exists()
    assert "remove  this-machine" in lkcloud("gc", "aws", "--local", "--older-than", "0s", "--yes").stdout
    assert not entry.exists()


def test_bad_input(lkcloud: Command) -> None:
    assert "there is no cloud called hetzner" in lkcloud("gc", "hetzner", code=2).stderr
    assert "--aws-region" in lkcloud("gc", "--help").stdout
    assert "--gcp-object-prefix" in lkcloud("gc", "--help").stdout
    assert "no such option" in lkcloud("gc", "--bucket", "x", code=2).stderr


def test_a_cloud_whose_sdk_is_not_installed_is_left_out(
    aws: AwsStandIn, lkcloud: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_cloud.py").write_text(
        "from dataclasses import dataclass, field\n"
        "from lkcloud.provider import Options\n"
        "@dataclass(frozen=True)\n"
        "class Half:\n"
        "    options: Options = field(default_factory=Options)\n"
        "    name = 'half'\n"
        "    def leftovers(self, name):\n"
        "        import half_an_sdk\n"
    )
    (tmp_path / "half-1.dist-info").mkdir()
    (tmp_path / "half-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: half\nVersion: 1\n")
    (tmp_path / "half-1.dist-info" / "entry_points.txt").write_text("[lkcloud.providers]\nhalf = half_cloud:Half\n")
    monkeypatch.setenv("LKCLOUD_PROVIDERS", "aws,half")
    assert "half is left out: the Python package half_an_sdk is not installed" in lkcloud("gc").stderr
    assert "needs the Python package half_an_sdk" in lkcloud("gc", "half", code=1).stderr
