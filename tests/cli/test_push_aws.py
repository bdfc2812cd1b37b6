# SPDX-License-Identifier: Apache-2.0
"""Pushing to AWS as a user does, with good and with bad input."""

import gzip
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

from lkcloud.sandbox.http import Response
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_aws.sandbox import AwsStandIn, Seen
from lkcloud_aws.sandbox.errors import ApiError, render
from tests.cli.conftest import Command

UNAUTHORIZED = ApiError("UnauthorizedOperation", "You are not authorized to perform this operation.", 403)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.raw"
    write_tiny_disk(path, message="command-line-boot-ok")
    return path


@pytest.fixture
def staying(tiny: Path) -> Path:
    """The same disk, whose machine stays on: where its program for UEFI called ResetSystem it halts."""
    content = tiny.read_bytes()
    reset, halt = bytes.fromhex("ff5068"), bytes.fromhex("f4ebfd")
    assert content.count(reset) == 1
    tiny.write_bytes(content.replace(reset, halt))
    return tiny


def hint_of(done: "subprocess.CompletedProcess[str]") -> tuple[str, str]:
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    return error, hint


@pytest.mark.usefixtures("aws")
def test_an_image_lives_and_dies(program: Command, tiny: Path) -> None:
    planned = json.loads(program("push", "aws", tiny, "--dry-run", "--json").stdout)
    assert (planned["done"], planned["findings"]) == (False, [])
    assert program("push", "aws", tiny, "--dry-run").stdout.startswith("+ tiny: 4.0 MiB")

    first = program("push", "aws", tiny)
    assert first.stdout.startswith("ami-")
    image = first.stdout.strip()
    assert f"next: lkcloud test aws {image}" in first.stderr

    again = program("push", "aws", tiny)
    assert again.stdout == first.stdout
    assert "there already" in again.stderr
    assert program("push", "aws", tiny, "--dry-run").stdout.startswith("= tiny")

    listed = json.loads(program("list", "aws", "--json").stdout)
    assert [found["id"] for found in listed] == [image]
    assert image in program("list", "aws").stdout
    shown = json.loads(program("show", "aws", "tiny", "--json").stdout)
    assert shown["digest"] == planned["digest"] == listed[0]["digest"]
    assert "snapshot:" in program("show", "aws", image).stdout

    tested = program("test", "aws", image, "--expect", "command-line-boot-ok")
    assert "booted in" in tested.stdout
    assert "| command-line-boot-ok uefi" in tested.stderr

    assert program("delete", "aws", image, "--dry-run").stdout.startswith(image)
    program("delete", "aws", image, "--yes")
    assert "nothing called" in program("delete", "aws", image, "--yes").stderr
    assert program("list", "aws").stdout == ""


@pytest.mark.usefixtures("aws")
def test_a_boot_that_fails_has_its_own_exit_code(lkcloud: Command, tiny: Path) -> None:
    error, hint = hint_of(lkcloud("push", "aws", tiny, "--test", "--expect", "never", "--timeout", "20", code=5))
    assert "command-line-boot-ok" in error
    assert "lkcloud delete aws ami-" in hint


@pytest.mark.usefixtures("aws")
def test_json_has_the_boot(lkcloud: Command, tiny: Path) -> None:
    done = lkcloud("push", "aws", tiny, "--json", "--test", "--expect", "boot-ok")
    document = json.loads(done.stdout)
    assert document["made"] is True
    assert document["size"] == tiny.stat().st_size
    assert 0 < document["sent"] <= document["size"]
    assert document["seconds"] > 0
    assert document["boot"]["line"] == "command-line-boot-ok uefi"
    assert document["blobs"][0]["id"].startswith("snap-")


@pytest.mark.usefixtures("aws")
def test_other_content_wants_replace(lkcloud: Command, tiny: Path) -> None:
    image = lkcloud("push", "aws", tiny).stdout
    write_tiny_disk(tiny, message="changed")
    error, hint = hint_of(lkcloud("push", "aws", tiny, code=1))
    assert image.strip() in error
    assert "--replace" in hint
    assert lkcloud("push", "aws", tiny, "--dry-run", code=1).stdout.startswith("! tiny")
    assert lkcloud("push", "aws", tiny, "--replace").stdout != image
    assert len(json.loads(lkcloud("list", "aws", "--json").stdout)) == 1


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (["missing.raw"], 2, "missing.raw", "path"),
        (["."], 2, "folder", "file"),
        (["empty.raw"], 2, "empty", ""),
        (["cut.raw.gz"], 2, "cut.raw.gz", ""),
        (["tiny.raw", "--name", "no;good"], 2, "no;good", ""),
        (["tiny.raw", "--name", "ab"], 2, "ab", ""),
        (["tiny.raw", "--region", "eu-centrl-1"], 2, "no region 'eu-centrl-1'", "did you mean eu-central-1?"),
        (["tiny.raw", "--method", "import"], 2, "bucket", "--bucket"),
        (["tiny.raw", "--method", "import", "--bucket", "nobody-has-it"], 1, "no bucket nobody-has-it", "bucket"),
        (["tiny.raw", "--tpm", "--boot-mode", "legacy-bios"], 2, "tpm", "boot-mode"),
        (["tiny.raw", "--profile", "nobody"], 2, "nobody", "list-profiles"),
    ],
)
def test_bad_input(
    lkcloud: Command, tiny: Path, tmp_path: Path, arguments: list[str], code: int, error: str, hint: str
) -> None:
    (tmp_path / "empty.raw").touch()
    (tmp_path / "cut.raw.gz").write_bytes(gzip.compress(tiny.read_bytes())[:-20])
    said, advice = hint_of(lkcloud("push", "aws", *arguments, code=code))
    assert error.lower() in said.lower()
    assert hint in advice
    assert lkcloud("list", "aws").stdout == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
@pytest.mark.usefixtures("aws")
def test_unreadable_image(lkcloud: Command, tiny: Path) -> None:
    tiny.chmod(0)
    assert "permission" in hint_of(lkcloud("push", "aws", tiny, code=2))[0]


@pytest.mark.usefixtures("aws")
def test_qcow2_without_qemu_img_names_the_package(
    lkcloud: Command, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qcow2 = tmp_path / "tiny.qcow2"
    qcow2.write_bytes(b"QFI\xfb\x00\x00\x00\x03" + bytes(104))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing-here"))
    assert "qemu-utils" in hint_of(lkcloud("push", "aws", qcow2, code=2))[1]


def test_no_credentials(lkcloud: Command, tiny: Path) -> None:
    error, hint = hint_of(lkcloud("push", "aws", tiny, "--region", "eu-central-1", code=4))
    assert "credentials" in error
    assert "aws" in hint


def test_wrong_and_expired_credentials(
    lkcloud: Command, tiny: Path, aws: AwsStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.expire_credentials()
    assert "expired" in hint_of(lkcloud("push", "aws", tiny, code=4))[0]
    aws.expire_credentials(expired=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    hint_of(lkcloud("push", "aws", tiny, code=4))


def test_no_region(lkcloud: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch, aws: AwsStandIn) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert "--region" in hint_of(lkcloud("push", "aws", tiny, code=2))[1]
    assert aws.traffic.operations() == []


def test_dead_network(lkcloud: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch, aws: AwsStandIn) -> None:
    for service in ("", "_EC2", "_EBS", "_STS", "_S3", "_IAM"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL{service}", "http://127.0.0.1:9")
    hint_of(lkcloud("push", "aws", tiny, code=1))
    assert aws.traffic.operations() == []


def test_interrupt_stops_and_names_the_command_that_goes_on(tiny: Path, tmp_path: Path, aws: AwsStandIn) -> None:
    with tiny.open("r+b") as file:
        file.truncate(64 << 20)
        for block in range(16, 80):
            file.seek(block << 19)
            file.write(b"data")
    command = [sys.executable, "-m", "lkcloud", "push", "aws", str(tiny), "--workers", "1"]
    pushing = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    puts = 0

    def interrupt(seen: Seen) -> None:
        nonlocal puts
        if seen.operation == "PutSnapshotBlock" and seen.phase == "after":
            puts += 1
            if puts == 20:
                pushing.send_signal(signal.SIGINT)

    aws.traffic.hooks.append(interrupt)
    out, err = pushing.communicate(timeout=60)
    aws.traffic.hooks.clear()
    assert (pushing.returncode, out) == (130, "")
    assert err.splitlines()[-2:] == [
        "error: interrupted",
        f"hint: the same command goes on where it stopped: lkcloud {' '.join(command[3:])}",
    ]
    first = aws.traffic.operations().count("PutSnapshotBlock")
    aws.traffic.clear()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.startswith("ami-")
    second = aws.traffic.operations().count("PutSnapshotBlock")
    # The tiny disk itself has three blocks with data; one put more is the 404 of a new snapshot.
    assert 20 <= first < 60
    assert second <= 64 + 3 - 20 + 1


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(number, marks=pytest.mark.long) for number in (signal.SIGTERM, signal.SIGHUP))],
)
def test_interrupted_boot_test_removes_its_machine(
    staying: Path, tmp_path: Path, aws: AwsStandIn, number: signal.Signals
) -> None:
    """Ctrl-C while the console of a machine is watched that never says the word; and again while it is removed."""
    command = [sys.executable, "-m", "lkcloud", "-v", "push", "aws", str(staying), "--test"]
    command += ["--expect", "never"]
    pushing = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert pushing.stderr is not None
    again = 0

    def impatient(seen: Seen) -> None:
        nonlocal again
        if seen.operation == "TerminateInstances" and seen.phase == "before":
            again += 1
            pushing.send_signal(number)
            time.sleep(0.2)

    aws.traffic.hooks.append(impatient)
    aws.traffic.throttle("TerminateInstances", 1)  # so that it must be asked again, after the second signal
    for line in pushing.stderr:
        if line.startswith("| command-line-boot-ok"):
            break
    pushing.send_signal(number)
    _, err = pushing.communicate(timeout=60)
    assert again > 1
    assert pushing.returncode == 130
    assert err.splitlines()[-2] == "error: interrupted"
    assert "NoneType" not in err
    settings = aws.environment()
    ec2 = boto3.client(
        "ec2",
        endpoint_url=settings["AWS_ENDPOINT_URL"],
        region_name=settings["AWS_REGION"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
    )
    found = [one for many in ec2.describe_instances()["Reservations"] for one in many["Instances"]]
    assert [instance["State"]["Name"] for instance in found] == ["terminated"]


@pytest.mark.usefixtures("aws")
def test_delete_that_is_not_confirmed_does_nothing(lkcloud: Command, tiny: Path) -> None:
    image = lkcloud("push", "aws", tiny).stdout.strip()
    error, hint = hint_of(lkcloud("delete", "aws", image, code=1))
    assert error == "error: nothing was done"
    assert "--yes" in hint
    assert lkcloud("list", "aws").stdout.startswith(image)


@pytest.mark.usefixtures("aws")
def test_a_bad_option_names_the_help_of_its_command(
    lkcloud: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LKCLOUD_AWS_IOPS", "1")
    (tmp_path / "x.raw").touch()
    assert "see lkcloud push aws --help" in hint_of(lkcloud("push", "aws", "x.raw", code=2))[1]


@pytest.mark.long
@pytest.mark.usefixtures("aws")
def test_hints_lead_to_the_same_account(lkcloud: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came by flag is repeated; what came from the environment comes again by itself."""
    monkeypatch.setenv("LKCLOUD_AWS_BUCKET", "unused")
    place = ("--region", "eu-west-1", "--key-prefix", "my images/")
    flags = "--region eu-west-1 --key-prefix 'my images/'"
    pushed = lkcloud("push", "aws", tiny, *place)
    assert pushed.stderr.splitlines()[-1] == f"next: lkcloud test aws {pushed.stdout.strip()} {flags}"
    failed = lkcloud("push", "aws", tiny, *place, "--test", "--expect", "never", "--timeout", "1", code=5)
    assert hint_of(failed)[1].endswith(f"lkcloud delete aws {pushed.stdout.strip()} {flags}")
    assert f"lkcloud list aws {flags} shows" in hint_of(lkcloud("show", "aws", "nothing", *place, code=1))[1]


@pytest.mark.usefixtures("aws")
def test_dry_run_ends_as_the_push_would(lkcloud: Command, tiny: Path) -> None:
    for arguments, code in (
        (["--tpm", "--boot-mode", "legacy-bios"], 2),
        (["--method", "import", "--bucket", "nobody-has-it"], 1),
    ):
        assert lkcloud("push", "aws", tiny, *arguments, "--dry-run", code=code).stdout.startswith("! tiny")
        lkcloud("push", "aws", tiny, *arguments, code=code)


@pytest.mark.usefixtures("aws")
def test_a_list_in_the_environment_has_one_item_a_line(
    lkcloud: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LKCLOUD_AWS_TAG", "owner=Anna and Bob\n\nuse=tests, demos\n")
    lkcloud("push", "aws", tiny)
    tags = json.loads(lkcloud("show", "aws", "tiny", "--json").stdout)["tags"]
    assert (tags["owner"], tags["use"]) == ("Anna and Bob", "tests, demos")


@pytest.mark.usefixtures("aws")
def test_only_a_push_needs_a_state_folder(lkcloud: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = lkcloud("push", "aws", tiny).stdout.strip()
    monkeypatch.setenv("LKCLOUD_ACCEL", "tcg")  # the stand-in is in this process and must not look there either
    monkeypatch.setenv("LKCLOUD_STATE_DIR", "/proc/no-folder-can-be-made-here")
    assert image in lkcloud("list", "aws").stdout
    assert image in lkcloud("show", "aws", "tiny").stdout
    assert lkcloud("push", "aws", tiny, "--dry-run").stdout.startswith("= tiny")
    assert "booted" in lkcloud("test", "aws", image, "--expect", "boot-ok").stdout
    lkcloud("delete", "aws", image, "--yes")
    assert "LKCLOUD_STATE_DIR" in hint_of(lkcloud("push", "aws", tiny, code=1))[1]


def test_an_error_after_the_upload_began_names_what_is_left(lkcloud: Command, tiny: Path, aws: AwsStandIn) -> None:
    def forbid(seen: Seen) -> Response | None:
        forbidden = seen.phase == "before" and seen.operation == "CompleteSnapshot"
        return render(seen.service, UNAUTHORIZED, "forbidden") if forbidden else None

    aws.traffic.hooks.append(forbid)
    _, hint = hint_of(lkcloud("push", "aws", tiny, "--name", "a name", "--region", "eu-central-1", code=1))
    removal = "lkcloud delete aws 'a name' --region eu-central-1"
    assert hint.endswith(f"; run it again to go on, or remove what is left: {removal}")
    lkcloud(*shlex.split(removal)[1:], "--yes")
    assert aws.traffic.operations()[-1] == "DeleteSnapshot"


def test_throttles_are_waited_for(lkcloud: Command, tiny: Path, aws: AwsStandIn) -> None:
    for operation in ("PutSnapshotBlock", "RegisterImage", "DescribeImages", "StartSnapshot"):
        aws.traffic.throttle(operation, 2)
    assert lkcloud("push", "aws", tiny).stdout.startswith("ami-")
