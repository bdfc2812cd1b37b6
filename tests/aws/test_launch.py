# SPDX-License-Identifier: Apache-2.0
"""Test instances: started once, elsewhere if there is no room, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lkcloud.disk import open_disk
from lkcloud.errors import LkcloudError, Refused
from lkcloud.provider import Image, Run
from lkcloud.reporting import Meter, Silent
from lkcloud.sandbox.http import DropConnection, Response
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_aws import AwsOptions, leftovers
from lkcloud_aws.launch import Instance, Launcher
from lkcloud_aws.register import Registration
from lkcloud_aws.sandbox import AwsStandIn, Seen
from lkcloud_aws.sandbox.errors import ApiError, render
from lkcloud_aws.session import Session
from tests.aws.pushing import Noting, counted, lose_answers, refuse, source_of, upload


@pytest.fixture
def image(session: Session, run: Run, tmp_path: Path) -> Image:
    path = tmp_path / "tiny.raw"
    write_tiny_disk(path, message="hello-from-ec2")
    with open_disk(path) as disk:
        made = upload(session, disk, run)
        return Registration(session, AwsOptions(), source_of(disk)).register(made.id, run)


def instances(session: Session) -> list[Any]:
    answer = session.ec2.describe_instances()
    return [found for reservation in answer["Reservations"] for found in reservation["Instances"]]


def alive(session: Session) -> list[str]:
    ended = ("shutting-down", "terminated")
    return [found["InstanceId"] for found in instances(session) if found["State"]["Name"] not in ended]


def test_it_boots_says_so_and_is_private(session: Session, image: Image, run: Run) -> None:
    instance = Launcher(session, AwsOptions(), image).launch(run)
    [shown] = instances(session)
    assert shown["InstanceType"] == "t3.micro"
    assert shown["MetadataOptions"]["HttpTokens"] == "required"
    assert "PublicIpAddress" not in shown
    tags = {tag["Key"]: tag["Value"] for tag in shown["Tags"]}
    assert (tags["lkcloud:name"], tags["Name"]) == ("image", "lkcloud test of image")
    deadline = time.monotonic() + 60
    while "hello-from-ec2 uefi" not in instance.console():
        assert time.monotonic() < deadline, instance.console()
        assert not instance.state().startswith("failed")
        time.sleep(0.2)
    instance.terminate()
    instance.terminate()
    assert instance.state() == "stopped"
    assert alive(session) == []


def test_a_zone_without_room_is_left_for_another(aws: AwsStandIn, session: Session, image: Image, run: Run) -> None:
    refuse(aws, "RunInstances", ApiError("InsufficientInstanceCapacity", "no room", 500), times=2)
    instance = Launcher(session, AwsOptions(), image).launch(run)
    assert alive(session) == [instance.id]
    assert counted(aws, "RunInstances") == 3
    instance.terminate()


def test_no_room_anywhere_is_told(aws: AwsStandIn, session: Session, image: Image, run: Run) -> None:
    refuse(aws, "RunInstances", ApiError("InsufficientInstanceCapacity", "no room", 500), times=99)
    with pytest.raises(Refused, match="no room") as raised:
        Launcher(session, AwsOptions(), image).launch(run)
    assert "--instance-type" in raised.value.hint


def test_a_lost_answer_starts_one_instance(aws: AwsStandIn, session: Session, image: Image, run: Run) -> None:
    lose_answers(aws, "RunInstances")
    instance = Launcher(session, AwsOptions(), image).launch(run)
    assert alive(session) == [instance.id]
    instance.terminate()


def test_an_instance_that_nobody_heard_of_is_terminated(
    aws: AwsStandIn, session: Session, image: Image, run: Run
) -> None:
    lose_answers(aws, "RunInstances")
    calls = [0]

    def deny_the_second(seen: Any) -> Any:
        calls[0] += seen.operation == "RunInstances" and seen.phase == "before"
        if seen.operation == "RunInstances" and seen.phase == "before" and calls[0] == 2:
            return render("ec2", ApiError("UnauthorizedOperation", "you may not", 403), "r")
        return None

    aws.traffic.hooks.append(deny_the_second)
    with pytest.raises(LkcloudError, match="you may not"):
        Launcher(session, AwsOptions(), image).launch(run)
    assert len(instances(session)) == 1
    assert alive(session) == []


def test_a_wrong_instance_type_is_told(session: Session, image: Image, run: Run) -> None:
    with pytest.raises(LkcloudError) as raised:
        Launcher(session, AwsOptions(instance_type="t4g.micro"), image).launch(run)
    assert raised.value.hint
    assert alive(session) == []


def test_an_instance_that_does_not_exist_is_stopped_and_silent(session: Session) -> None:
    gone = Instance(session, "i-0123456789abcdef0", started=-1e9)
    assert gone.state() == "stopped"
    assert gone.console() == ""
    gone.terminate()


class InterruptingTheEnd(Silent):
    """A reporter that is interrupted while it tells the end of a stage."""

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        with super().stage(title) as meter:
            yield meter
        raise KeyboardInterrupt


def test_ctrl_c_while_the_start_is_told_leaves_nothing(session: Session, image: Image, run: Run) -> None:
    with pytest.raises(KeyboardInterrupt):
        Launcher(session, AwsOptions(), image).launch(replace(run, reporter=InterruptingTheEnd()))
    assert len(instances(session)) == 1
    assert alive(session) == []


def interrupt_while_starting(aws: AwsStandIn, phase: str) -> None:
    """Let Ctrl-C come while the answer to RunInstances is waited for."""

    def interrupt(seen: Seen) -> Response | None:
        if seen.operation == "RunInstances" and seen.phase == phase:
            os.kill(os.getpid(), signal.SIGINT)
            raise DropConnection
        return None

    aws.traffic.hooks.append(interrupt)


def test_an_instance_that_is_shown_late_is_looked_for(
    aws: AwsStandIn, session: Session, image: Image, run: Run
) -> None:
    interrupt_while_starting(aws, "after")
    refuse(aws, "DescribeInstances", ApiError("InternalError", "later", 500), times=2)
    with pytest.raises(KeyboardInterrupt):
        Launcher(session, AwsOptions(), image).launch(run)
    assert counted(aws, "RunInstances") == 1
    assert len(instances(session)) == 1
    assert alive(session) == []


def test_what_may_still_come_to_be_is_named(aws: AwsStandIn, session: Session, image: Image, run: Run) -> None:
    interrupt_while_starting(aws, "before")
    reporter = Noting()
    with pytest.raises(KeyboardInterrupt) as raised:
        Launcher(session, AwsOptions(), image, search=0.2).launch(replace(run, reporter=reporter))
    assert "client token" in raised.value.__notes__[0]
    assert reporter.warnings == raised.value.__notes__


def test_ctrl_c_in_a_boot_test_ends_the_instance(
    aws: AwsStandIn, session: Session, image: Image, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "lkcloud", "test", "aws", image.id, "--expect", "never-said"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while counted(aws, "RunInstances") == 0:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) != 0
    assert len(instances(session)) == 1
    assert alive(session) == []


def test_a_type_that_needs_ena_is_told_with_one_that_does_not(session: Session, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "tiny.raw"
    write_tiny_disk(path)
    options = AwsOptions(ena=False)
    with open_disk(path) as disk:
        made = upload(session, disk, run, ena=False)
        image = Registration(session, options, source_of(disk)).register(made.id, run)
    with pytest.raises(Refused, match="Elastic Network Adapter") as raised:
        Launcher(session, options, image).launch(run)
    assert "--instance-type t2.micro" in raised.value.hint


def test_an_instance_that_is_left_is_found_and_removed(session: Session, image: Image, run: Run) -> None:
    left = Launcher(session, AwsOptions(), image).launch(run)
    options = AwsOptions()
    assert list(leftovers.leftovers(session, options, "another")) == []
    [blob] = leftovers.leftovers(session, options, "image")
    assert blob.created is not None
    assert [found.id for found in leftovers.leftovers(session, options, "")] == [blob.id]
    assert (blob.id, blob.kind, blob.name, blob.digest) == (left.id, "instance", "image", image.digest)
    leftovers.delete(session, blob)
    leftovers.delete(session, blob)
    assert alive(session) == []
    assert list(leftovers.leftovers(session, options, "image")) == []
