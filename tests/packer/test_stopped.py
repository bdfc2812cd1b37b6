# SPDX-License-Identifier: Apache-2.0
"""Packer is told to end, by a signal to it alone or by Ctrl-C: it waits for nothing, and lkcloud ends in order."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import boto3
import pytest

from lkcloud_aws.sandbox import AwsStandIn, Seen
from tests.images import tiny_bios
from tests.packer.conftest import CHAINS, MANIFEST, Template, chain, in_short, left, rows, shell


def states(aws: AwsStandIn) -> list[str]:
    settings = aws.environment()
    ec2 = boto3.client(
        "ec2",
        endpoint_url=settings["AWS_ENDPOINT_URL"],
        region_name=settings["AWS_REGION"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
    )
    return [one["State"]["Name"] for many in ec2.describe_instances()["Reservations"] for one in many["Instances"]]


def running(word: str) -> bool:
    """Return whether there is a process with WORD among its arguments."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in process.read_bytes().split(b"\0"):
                return True
        except OSError:
            continue  # it has ended
    return False


def start(template: Path) -> "subprocess.Popen[bytes]":
    """Start Packer in a group of its own, as a terminal's shell does."""
    command = ["packer", "build", "-color=false", template.name]
    with (template.parent / "packer.log").open("w") as log:
        return subprocess.Popen(
            command, cwd=template.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


@pytest.mark.parametrize(
    ("number", "group", "moment"),
    [
        (signal.SIGINT, True, "GetConsoleOutput"),
        (signal.SIGTERM, False, "RunInstances"),
        pytest.param(signal.SIGINT, True, "RunInstances", marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, False, "GetConsoleOutput", marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, True, "RunInstances", marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, True, "GetConsoleOutput", marks=pytest.mark.long),
    ],
)
def test_the_test_machine_is_removed(
    folder: Path, template: Template, aws: AwsStandIn, moment: str, number: signal.Signals, group: bool
) -> None:
    """Also where the signal comes together with the loss of the reader, which must not break off the removal."""
    tiny_bios(folder / "base.raw", message="myos is up", stays_on=True)
    name = f"unmistakable-{os.getpid()}"
    stopped = threading.Event()
    looks = 0

    def stop(seen: Seen) -> None:
        nonlocal looks
        if stopped.is_set():
            looks += seen.operation == "GetConsoleOutput"
        elif (seen.operation, seen.phase) == (moment, "after"):
            stopped.set()
            (os.killpg if group else os.kill)(packer.pid, number)
            packer.wait(60)

    aws.traffic.hooks.append(stop)
    command = f"lkcloud post-process aws --name {name} --test --expect never"
    packer = start(template([chain(MANIFEST, shell(command))]))
    assert stopped.wait(120), (folder / "packer.log").read_text()
    deadline = time.monotonic() + 120
    while running(name) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(name)
    # Nobody has waited for the end of the test, for which the console is looked at every two seconds.
    assert looks < 5
    assert states(aws) == ["terminated"]
    assert left(folder) == "kept"
    assert not (folder / "lkcloud-manifest.json").exists()


@pytest.mark.parametrize("row", in_short(rows()))
def test_what_is_left_of_the_disk(folder: Path, template: Template, row: list[str]) -> None:
    """Of a script's process that would go on for long, nothing is waited for."""
    chains, _, after_stop = row
    packer = start(template(CHAINS[chains](shell("touch begun; exec sleep 60"))))
    deadline = time.monotonic() + 60
    while not (folder / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left(folder) == "kept"
    os.killpg(packer.pid, signal.SIGINT)
    assert packer.wait(60) == 1
    assert left(folder) == after_stop
