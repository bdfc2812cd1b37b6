# SPDX-License-Identifier: Apache-2.0
"""`lkcloud inspect --for`: the table, the document, the exit code; and what a push says of the same."""

import json
from pathlib import Path

import pytest

from lkcloud.sandbox.tinydisk import write_tiny_disk
from tests.assemble.builds import kernel_and_initrd
from tests.cli.conftest import Command
from tests.images import debian_uki
from tests.readiness import disks

CLOUDS = ["aws", "azure", "gcp", "local"]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return disks.for_another_processor(tmp_path_factory.mktemp("broken") / "broken.raw")


def test_a_table_and_a_row_for_each_thing(lkcloud: Command, tmp_path: Path) -> None:
    disk = debian_uki(tmp_path / "good.raw")
    lines = lkcloud("inspect", disk, "--for", "all").stdout.splitlines()
    assert [line.split()[:2] for line in lines if line.endswith("  ok") or "boots" in line] == [
        [cloud, "boots"] for cloud in CLOUDS
    ]
    assert "aws           console: ttyS0" in lines
    assert "gcp           disk: not needed: the initramfs is the whole system" in lines


def test_one_that_will_not_boot_ends_with_1(lkcloud: Command, broken: Path) -> None:
    done = lkcloud("inspect", broken, "--for", "aws, gcp, local", "--for", "azure", "--json", code=1)
    document = json.loads(done.stdout)
    assert sorted(cloud["cloud"] for cloud in document["clouds"]) == CLOUDS
    assert {cloud["verdict"] for cloud in document["clouds"]} == {"will not boot"}
    checks = document["clouds"][0]["checks"]
    assert all(check["hint"] for check in checks if check["state"] == "fault")
    assert document["system"]["kernel_architecture"] == "x86_64"
    assert document["architecture"] == "arm64"


def test_what_cannot_be_told_is_no_failure(lkcloud: Command, tmp_path: Path) -> None:
    write_tiny_disk(tmp_path / "tiny.raw")
    done = lkcloud("inspect", "tiny.raw", "--for", "gcp")
    assert "gcp    cannot tell  ok" in done.stdout
    assert "not read      no Linux kernel was found" in done.stdout


def test_an_initramfs_that_is_none(lkcloud: Command, tmp_path: Path) -> None:
    build = kernel_and_initrd(tmp_path, real=True)
    (tmp_path / "os-initrd.img").write_text("no archive\n")
    document = json.loads(lkcloud("inspect", build, "--for", "all", "--json").stdout)
    assert {cloud["verdict"] for cloud in document["clouds"]} == {"cannot tell"}
    [check] = [
        one for one in document["clouds"][0]["checks"] if one["state"] == "unknown" and one["aspect"] == "kernel"
    ]
    assert check["what"].startswith("the initramfs was not read to its end: there is something else than cpio")
    assert "lkcloud push CLOUD IMAGE --sandbox --test" in check["hint"]


def test_a_cloud_that_is_not_installed(lkcloud: Command, tmp_path: Path) -> None:
    write_tiny_disk(tmp_path / "tiny.raw")
    done = lkcloud("inspect", "tiny.raw", "--for", "nimbus", code=2)
    assert done.stderr.startswith("error: there is no cloud called nimbus\n")


@pytest.mark.usefixtures("aws")
def test_a_push_says_what_shows_at_once(lkcloud: Command, tmp_path: Path) -> None:
    disk = disks.silent(tmp_path / "silent.raw")
    document = json.loads(lkcloud("push", "aws", disk, "--dry-run", "--json").stdout)
    said = [finding for finding in document["findings"] if finding["problem"].startswith("console: ")]
    assert len(said) == 1
    assert "no console=ttyS0" in said[0]["problem"]
    assert not said[0]["obstacle"]
    good = json.loads(lkcloud("push", "aws", debian_uki(tmp_path / "good.raw"), "--dry-run", "--json").stdout)
    assert good["findings"] == []
