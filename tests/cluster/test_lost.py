# SPDX-License-Identifier: Apache-2.0
"""What goes away in the middle of a release: a worker, the command, the scheduler; and Ctrl-C."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from distributed import Client

from lkcloud.sandbox.http import DropConnection, Response
from lkcloud.sandbox.traffic import Seen, Traffic
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session as AzureSession
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.session import Session as GcpSession
from tests.cluster.conftest import Publish
from tests.cluster.processes import Command, Grid, Worker
from tests.release.conftest import Write
from tests.release.test_run import TWO_CLOUDS, manifest

THREE_CLOUDS = """\
    name: os-{image}
    version: "1"
    images:
      - {id: one, file: one.raw}
      - {id: two, file: two.raw}
    targets:
      - cloud: aws
        options: {region: eu-central-1, boot_mode: legacy-bios, workers: 2}
      - cloud: gcp
        options: {workers: 2, guest_os_feature: GVNIC}
      - cloud: azure
        options: {resource_group: lkcloud, location: westeurope, workers: 2}
    defaults:
      test: false
"""
LABELS = [f"{cloud}/{image}" for cloud in ("aws", "azure", "gcp") for image in ("one", "two")]
NEVER = TWO_CLOUDS.replace("expect: release-boot-ok, timeout: 60", "expect: never said, timeout: 240")


@pytest.fixture
def disks(tmp_path: Path, disk: Path) -> None:
    """Two disks whose data makes several parts everywhere."""
    for seed, name in enumerate(("one", "two")):
        data = random.Random(seed)
        with (tmp_path / f"{name}.raw").open("wb") as file:
            file.write(disk.read_bytes()[:512])
            file.truncate(64 << 20)
            for index in range(1, 13):
                file.seek(index * 4 << 20)
                file.write(data.randbytes(1 << 20))


@pytest.fixture
def onlooker(grid: Grid) -> "Iterator[Client]":
    with grid.client() as client:
        yield client


class Fate:
    """A hook that kills the worker that is at the job of a target, at the NUMBER-th request of OPERATION."""

    def __init__(self, grid: Grid, onlooker: "Client", target: str, operation: str, number: int) -> None:
        self.killed: list[Worker] = []
        self._grid, self._onlooker = grid, onlooker
        self._target, self._operation, self._number = target, operation, number
        self._seen = 0
        self._lock = threading.Lock()

    def __call__(self, seen: Seen) -> Response | None:
        with self._lock:
            if seen.operation != self._operation or seen.phase == "before" or self.killed:
                return None
            self._seen += 1
            if self._seen < self._number:
                return None
            busy = self._onlooker.processing()
            at_it = {one for one, keys in busy.items() if any(f"make-{self._target}-" in key for key in keys)}
            worker = next(one for one in self._grid.workers if one.address in at_it)
            worker.kill()
            self.killed.append(worker)
            raise DropConnection


def images_there(azure: AzureSession) -> list[str]:
    """Return what the clouds themselves list, sorted."""
    ec2 = boto3.client("ec2", region_name="eu-central-1")
    found = [f"aws {image['Name']} {image['ImageId']}" for image in ec2.describe_images(Owners=["self"])["Images"]]
    snapshots = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    ec2.close()
    assert [snapshot["State"] for snapshot in snapshots] == ["completed"] * len(found)
    google = GcpSession()
    found += [f"gcp {image.name} {image.name}" for image in google.images.list(project=google.project)]
    found += [f"azure {image.name} {image.id}" for image in azure.compute.images.list()]
    return sorted(line.lower() for line in found)  # Azure writes names of groups as it likes


@pytest.mark.usefixtures("disks")
@pytest.mark.parametrize(
    ("target", "operation", "number"),
    [
        ("aws", "PutSnapshotBlock", 9),
        pytest.param("aws", "RegisterImage", 1, marks=pytest.mark.long),
        pytest.param("azure", "PutPage", 5, marks=pytest.mark.long),
        pytest.param("gcp", "images.insert", 1, marks=pytest.mark.long),
    ],
)
def test_a_worker_that_is_killed_is_replaced_by_another_and_nothing_is_made_twice(
    grid: Grid,
    onlooker: "Client",
    aws: AwsStandIn,
    gcp: GcpStandIn,
    azure: AzureStandIn,
    session: AzureSession,
    write: Write,
    publish: Publish,
    tmp_path: Path,
    target: str,
    operation: str,
    number: int,
) -> None:
    fate = Fate(grid, onlooker, target, operation, number)
    clouds: dict[str, Any] = {"aws": aws, "gcp": gcp, "azure": azure}
    clouds[target].traffic.hooks.append(fate)
    done = publish(write(THREE_CLOUDS)).end()
    (killed,) = fate.killed
    assert (done.code, done.error) == (0, "")
    assert [end for end in done.ends() if end[1] == "promote"] == [(label, "promote", "done") for label in LABELS]
    (other,) = (worker for worker in grid.workers if worker.alive)
    again = f"the worker {killed.address} has gone: {other.address} does its work again"
    assert again in done.said("warning")
    assert any(event["target"] == target for event in done.events if event.get("text") == again)
    made = manifest(tmp_path)
    assert made.complete
    assert made.problems == ()
    assert sorted(f"{one.cloud} {one.name} {one.id}".lower() for one in made.images) == images_there(session)
    assert [f"{one.target}/{one.image}" for one in made.images] == LABELS


@pytest.mark.long
@pytest.mark.usefixtures("disks")
def test_workers_of_one_machine_share_a_journal(
    clouds: Mapping[str, str], aws: AwsStandIn, write: Write, tmp_path: Path
) -> None:
    own = Grid(tmp_path / "own")
    own.folder.mkdir()
    try:
        own.start()
        for _ in range(2):
            own.add({**clouds, "LKCLOUD_STATE_DIR": str(tmp_path / "state")})
        with own.client() as onlooker:
            fate = Fate(own, onlooker, "aws", "PutSnapshotBlock", 40)
            aws.traffic.hooks.append(fate)
            done = Command(write(THREE_CLOUDS), own.address, "--only", "aws").end()
        assert (done.code, done.error, len(fate.killed)) == (0, "", 1)
        # Two images of 25 blocks; of each the part that each of two workers was at is sent again.
        assert aws.traffic.operations().count("PutSnapshotBlock") <= 2 * (25 + 2)
    finally:
        own.stop()


def asked(traffic: Traffic, operation: str) -> threading.Semaphore:
    """Return what is released each time that OPERATION has been asked for."""
    come = threading.Semaphore(0)

    def hook(seen: Seen) -> Response | None:
        if (seen.operation, seen.phase) == (operation, "after"):
            come.release()
        return None

    traffic.hooks.append(hook)
    return come


@pytest.fixture
def booting(aws: AwsStandIn, gcp: GcpStandIn) -> Callable[[], None]:
    """Return what waits until the consoles of machines on both clouds have been looked at."""
    looks = (asked(aws.traffic, "GetConsoleOutput"), asked(gcp.traffic, "instances.getSerialPortOutput"))

    def wait() -> None:
        for look in looks:
            assert look.acquire(timeout=60)

    return wait


def removed(aws: AwsStandIn, gcp: GcpStandIn) -> bool:
    """Tell whether all test machines have been removed that were made."""
    asked_for = aws.traffic.operations()
    return not gcp.holdings.engine.instances and asked_for.count("TerminateInstances") == asked_for.count(
        "RunInstances"
    )


def comes_true(look: Callable[[], bool]) -> bool:
    """Wait for what is not told to anybody."""
    deadline = time.monotonic() + 60
    while not look() and time.monotonic() < deadline:
        time.sleep(0.05)
    return look()


def test_ctrl_c_stops_the_jobs_and_leaves_no_machine(
    aws: AwsStandIn,
    gcp: GcpStandIn,
    booting: Callable[[], None],
    write: Write,
    publish: Publish,
    staying: Path,
    tmp_path: Path,
) -> None:
    command = publish(write(NEVER))
    booting()
    command.interrupt()
    done = command.end()
    assert done.code == 130
    assert removed(aws, gcp)  # by the time that the command has ended
    left = manifest(tmp_path)
    assert not left.complete
    assert [(one.target, one.tested, one.shared) for one in left.images] == [
        ("aws", False, False),
        ("gcp", False, False),
    ]
    tests = [event for event in done.events if (event["type"], event.get("stage")) == ("stage-ended", "boot test")]
    assert sorted((event["target"], event["failed"]) for event in tests) == [("aws", True), ("gcp", True)]


@pytest.mark.long
def test_what_waits_for_its_turn_is_not_begun_after_ctrl_c(
    grid: Grid,
    aws: AwsStandIn,
    gcp: GcpStandIn,
    write: Write,
    publish: Publish,
    staying: Path,
) -> None:
    looked = asked(gcp.traffic, "instances.getSerialPortOutput")
    more = "".join(
        f"      - {{cloud: gcp, id: later-{number}, name: os-{number}, options: {{guest_os_feature: GVNIC}}}}\n"
        for number in range(4)
    )
    command = publish(write(NEVER.replace("    defaults:", f"{more}    defaults:")))
    assert looked.acquire(timeout=60)
    command.interrupt()
    done = command.end()
    assert done.code == 130
    assert removed(aws, gcp)
    begun = {event["target"] for event in done.events if event["type"] == "stage-began"}
    assert 1 <= len(begun) <= 4  # of six: there are two workers with two threads each


@pytest.mark.long
def test_without_the_command_the_jobs_stop_by_themselves(
    aws: AwsStandIn, gcp: GcpStandIn, booting: Callable[[], None], write: Write, publish: Publish, staying: Path
) -> None:
    command = publish(write(NEVER))
    booting()
    command.kill()
    assert comes_true(lambda: removed(aws, gcp))


@pytest.mark.long
def test_a_worker_that_is_to_end_leaves_its_jobs_to_others(
    grid: Grid,
    onlooker: "Client",
    aws: AwsStandIn,
    gcp: GcpStandIn,
    write: Write,
    publish: Publish,
    staying: Path,
    tmp_path: Path,
) -> None:
    looked = asked(gcp.traffic, "instances.getSerialPortOutput")
    command = publish(write(NEVER), "--only", "gcp")
    assert looked.acquire(timeout=60)
    (address,) = (one for one, keys in onlooker.processing().items() if keys)
    worker = next(one for one in grid.workers if one.address == address)
    machines = {*gcp.holdings.engine.instances}
    assert worker.terminate() == 0
    assert machines
    assert not machines & {*gcp.holdings.engine.instances}
    assert looked.acquire(timeout=60)
    command.interrupt()
    done = command.end()
    assert any(f"the worker {address} has gone" in text for text in done.said("warning")), done
    assert not gcp.holdings.engine.instances


@pytest.mark.long
def test_the_scheduler_goes(
    clouds: Mapping[str, str],
    aws: AwsStandIn,
    gcp: GcpStandIn,
    booting: Callable[[], None],
    write: Write,
    staying: Path,
    tmp_path: Path,
) -> None:
    own = Grid(tmp_path / "own")
    own.folder.mkdir()
    try:
        own.start()
        worker = own.add(clouds)
        command = Command(write(NEVER), own.address)
        booting()
        own.stop_scheduler()
        done = command.end()
        assert done.code == 1
        assert [end[2] for end in done.ends()] == ["failed", "failed"]
        (problem, _) = manifest(tmp_path).problems
        assert problem.error == "the scheduler of the cluster has gone"
        assert "run the same command again" in problem.hint
        worker.process.wait(60)  # a worker without a scheduler ends
        assert removed(aws, gcp)
    finally:
        own.stop()
