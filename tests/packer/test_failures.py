# SPDX-License-Identifier: Apache-2.0
"""What Packer makes of a failure, what is left of the disk, and how to go on; as docs/packer.md says."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lkcloud_aws.sandbox import AwsStandIn
from tests.packer.conftest import CHAINS, MANIFEST, Build, Template, chain, in_short, left, post_processor, rows, shell

UNKEPT = post_processor("manifest", "keep_input_artifact = false")
FAILS = shell("lkcloud post-process aws --image missing.raw")
SUCCEEDS = shell("lkcloud post-process aws --image base.raw --dry-run")


def test_the_table_has_these_rows() -> None:
    assert [row[0] for row in rows()] == list(CHAINS)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("row", in_short(rows()))
def test_what_is_left_of_the_disk(folder: Path, build: Build, template: Template, row: list[str]) -> None:
    chains, after_success, after_failure = row
    build(template(CHAINS[chains](SUCCEEDS)))
    assert left(folder) == after_success
    done = build(template(CHAINS[chains](FAILS)), "-force", code=1)
    assert left(folder) == after_failure
    assert "error: there is no file missing.raw" in done.stdout
    assert "hint: " in done.stdout
    assert "Script exited with non-zero exit status: 2" in done.stdout


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("chains", "arguments", "expected"),
    [
        ([chain(UNKEPT, FAILS)], (), "kept"),
        ([FAILS], ("-on-error=abort",), "removed"),
        ([shell("true"), FAILS], (), "kept"),
        ([chain(MANIFEST, FAILS), shell("echo the next chain")], (), "kept"),
    ],
)
def test_what_is_left_of_the_disk_after_other_failures(
    folder: Path, build: Build, template: Template, chains: list[str], arguments: tuple[str, ...], expected: str
) -> None:
    done = build(template(chains), *arguments, code=1)
    assert left(folder) == expected
    assert ("(shell-local): the next chain" in done.stdout) == ("the next chain" in "".join(chains))


@pytest.mark.usefixtures("aws")
def test_the_last_of_a_chain_can_remove_the_disk(folder: Path, build: Build, template: Template) -> None:
    build(template([chain(MANIFEST, SUCCEEDS, shell("rm -r output"))]))
    assert left(folder) == "removed"


def push(*options: str) -> str:
    return shell(shlex.join(["lkcloud", "post-process", "aws", "--name", "myos", *options]))


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("options", "code", "error", "hint"),
    [
        (["--volume-size", "0"], 2, "--volume-size", "lkcloud post-process aws --help"),
        (["--nonsense"], 2, "--nonsense", "lkcloud post-process aws --help"),
        (["other.json"], 1, "there is no Packer manifest other.json", "--image"),
    ],
)
def test_a_bad_option_fails_the_build(
    folder: Path, build: Build, template: Template, options: list[str], code: int, error: str, hint: str
) -> None:
    done = build(template([chain(MANIFEST, push(*options))]), code=1)
    said = re.search(r"error: (.*)\n.*hint: (.*)\n", done.stdout)
    assert said is not None
    assert error in said[1]
    assert hint in said[2]
    assert f"non-zero exit status: {code}" in done.stdout
    assert not (folder / "lkcloud-manifest.json").exists()


def test_after_a_boot_test_that_failed_the_same_command_goes_on(
    folder: Path, build: Build, template: Template, aws: AwsStandIn
) -> None:
    done = build(
        template([chain(MANIFEST, push("--test", "--expect", "never", "--timeout", "1"))]),
        code=1,
    )
    ami = re.search(r"(ami-\w+) is private and can be removed: lkcloud delete aws ami-\w+", done.stdout)
    assert ami is not None
    assert "non-zero exit status: 5" in done.stdout
    assert not (folder / "lkcloud-manifest.json").exists()
    assert left(folder) == "kept"

    aws.traffic.clear()
    command = [sys.executable, "-m", "lkcloud", "post-process", "aws", "--name", "myos", "--test", "--expect", "is up"]
    again = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=120)
    assert again.stdout.split() == [ami[1]]
    assert "StartSnapshot" not in aws.traffic.operations()
    packers = json.loads((folder / "packer-manifest.json").read_text())
    ours = json.loads((folder / "lkcloud-manifest.json").read_text())
    assert [(one["name"], one["packer_run_uuid"]) for one in ours["builds"]] == [("aws/myos", packers["last_run_uuid"])]
