# SPDX-License-Identifier: Apache-2.0
"""Releases on a Dask cluster: a real scheduler and real worker processes, against the stand-ins."""

import json
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_gcp.sandbox import GcpStandIn
from tests.cluster.conftest import Publish
from tests.cluster.processes import Grid, plain
from tests.images import tiny_bios
from tests.release.conftest import Write
from tests.release.test_run import TWO_CLOUDS, fail, manifest

UNTESTED = TWO_CLOUDS.replace("test: {expect: release-boot-ok, timeout: 60}", "test: false")


def test_published_tested_shared_and_promoted_and_again(
    grid: Grid, aws: AwsStandIn, gcp: GcpStandIn, write: Write, publish: Publish, disk: Path, tmp_path: Path
) -> None:
    path = write(TWO_CLOUDS)
    done = publish(path).end()
    assert (done.code, done.error) == (0, "")
    made = manifest(tmp_path)
    assert made.complete
    assert made.problems == ()
    assert [(one.target, one.arch, one.tested, one.shared, one.promoted) for one in made.images] == [
        ("aws", "x86_64", True, True, True),
        ("gcp", "x86_64", True, True, True),
    ]
    assert [(one.image, one.file, one.size) for one in made.artifacts] == [("x86", "disk.raw", 4 << 20)]
    phases = [event["phase"] for event in done.events if event["type"] == "phase-ended"]
    assert phases == ["make", "make", "share", "share", "promote", "promote"]
    stages = {event["stage"] for event in done.events if event["type"] == "stage-ended" and event["target"] == "gcp"}
    assert {"check", "read", "upload", "boot test"} <= stages
    assert any("release-boot-ok" in text for text in done.said("console"))
    assert done.said("warning") == []

    before = (tmp_path / "release.json").read_bytes()
    aws.traffic.clear()
    again = publish(path).end()
    assert again.code == 0
    assert (tmp_path / "release.json").read_bytes() == before
    assert [end for end in again.ends() if end[1] == "make"] == [
        ("aws/x86", "make", "there"),
        ("gcp/x86", "make", "there"),
    ]
    assert not {"StartSnapshot", "RunInstances"} & {*aws.traffic.operations()}


@pytest.mark.long
def test_a_target_that_fails_leaves_the_others(
    grid: Grid, aws: AwsStandIn, gcp: GcpStandIn, write: Write, publish: Publish, disk: Path, tmp_path: Path
) -> None:
    gcp.traffic.hooks.append(fail("images.insert"))
    done = publish(write(UNTESTED)).end()
    assert done.code == 3
    assert done.ends() == [("aws/x86", "make", "made"), ("aws/x86", "share", "held"), ("gcp/x86", "make", "failed")]
    (problem,) = manifest(tmp_path).problems
    assert problem.target == "gcp"
    assert problem.error.startswith("gcp: ")
    assert problem.hint


@pytest.mark.long
def test_a_boot_test_that_fails(
    grid: Grid, aws: AwsStandIn, gcp: GcpStandIn, write: Write, publish: Publish, disk: Path, tmp_path: Path
) -> None:
    text = TWO_CLOUDS.replace("expect: release-boot-ok, timeout: 60", "expect: never said, timeout: 1")
    done = publish(write(text), "--only", "gcp").end()
    assert done.code == 5
    assert not gcp.holdings.engine.instances


def test_what_cannot_be_is_told_before_a_byte_travels(
    grid: Grid, aws: AwsStandIn, gcp: GcpStandIn, write: Write, publish: Publish, disk: Path, tmp_path: Path
) -> None:
    done = publish(write(UNTESTED.replace("os-{image}", "OS-{image}"))).end()
    assert done.code == 2
    assert "gcp/x86: " in done.error
    assert aws.traffic.operations() == []
    assert not (tmp_path / "release.json").exists()


def test_a_path_that_the_workers_do_not_have(grid: Grid, write: Write, publish: Publish) -> None:
    done = publish(write(UNTESTED)).end()
    assert done.code == 2
    assert "there is no file" in done.error
    assert any(f"on the worker {worker.address}" in done.error for worker in grid.workers)
    assert "a path that all workers share" in done.error


def test_a_kernel_that_the_workers_have_and_its_initramfs_not(
    grid: Grid, write: Write, publish: Publish, tmp_path: Path
) -> None:
    kernel = bytearray(1024)
    kernel[0x1FE:0x206] = b"\x55\xaa\0\0HdrS"
    (tmp_path / "build-kernel").write_bytes(kernel)
    done = publish(write(UNTESTED.replace("disk.raw", str(tmp_path / "build")))).end()
    assert done.code == 2
    assert "there is no initramfs with it" in done.error
    wanted = f"{tmp_path / 'build'}, initrd: absent.img"
    done = publish(write(UNTESTED.replace("disk.raw", wanted))).end()
    assert done.code == 2
    assert f"there is no file {tmp_path / 'absent.img'} on the worker" in done.error


def test_a_worker_that_is_nobody(
    grid: Grid, aws: AwsStandIn, write: Write, publish: Publish, disk: Path, tmp_path: Path
) -> None:
    aws.expire_credentials()
    done = publish(write(UNTESTED), "--only", "aws").end()
    assert done.code == 4
    assert manifest(tmp_path).problems[0].error.startswith("aws: ")


@pytest.mark.long
def test_an_image_by_the_url_of_an_object_is_fetched_once_by_each_worker(
    grid: Grid, aws: AwsStandIn, gcp: GcpStandIn, write: Write, publish: Publish, tmp_path: Path
) -> None:
    local = tmp_path / "elsewhere.raw"
    tiny_bios(local, message="release-boot-ok")
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="builds")
    s3.upload_file(str(local), "builds", "night/disk.raw")
    s3.close()
    local.unlink()
    aws.traffic.clear()
    done = publish(write(UNTESTED.replace("disk.raw", "s3://builds/night/disk.raw"))).end()
    assert (done.code, done.error) == (0, "")
    assert [(one.file, one.size) for one in manifest(tmp_path).artifacts] == [("disk.raw", 4 << 20)]
    fetches = [e for e in done.events if e["type"] == "stage-ended" and e["stage"] == "fetch disk.raw"]
    assert 1 <= len(fetches) <= len(grid.workers)
    assert fetches[0]["target"] == ""
    assert sum(seen.status == 206 for seen in aws.traffic.log) == len(fetches)


@pytest.mark.long
def test_no_more_jobs_at_a_time_than_told(
    grid: Grid, aws: AwsStandIn, gcp: GcpStandIn, write: Write, publish: Publish, disk: Path
) -> None:
    done = publish(write(UNTESTED), "--jobs", "1").end()
    assert done.code == 0
    makes = [
        (event["type"], event["target"])
        for event in done.events
        if event.get("stage") in ("check", "read", "upload", "register") and event["type"] != "stage-moved"
    ]
    targets = [target for _, target in makes]
    assert targets == sorted(targets)


def test_a_plan_is_made_by_the_workers(
    grid: Grid, aws: AwsStandIn, gcp: GcpStandIn, write: Write, disk: Path, tmp_path: Path
) -> None:
    path = write(UNTESTED)
    out = subprocess.run(
        [sys.executable, "-m", "lkcloud", "publish", path, "--scheduler", grid.address, "--dry-run", "--json"],
        env=plain({"HOME": str(tmp_path)}),
        check=True,
        capture_output=True,
        text=True,
    )
    assert [(one["target"], one["name"], one["size"], one["done"]) for one in json.loads(out.stdout)] == [
        ("aws", "os-x86", 4 << 20, False),
        ("gcp", "os-x86", 4 << 20, False),
    ]
    assert not (tmp_path / "release.json").exists()
    assert "StartSnapshot" not in aws.traffic.operations()


@pytest.mark.usefixtures("aws", "gcp")
def test_what_is_not_asked_for_does_not_import_dask() -> None:
    code = (
        "import sys, lkcloud, lkcloud.cli.main, lkcloud.cli.publish, lkcloud.release.run, lkcloud.release.job\n"
        "print(*sorted({'distributed', 'dask', 'tornado'} & {*sys.modules}))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == ""
