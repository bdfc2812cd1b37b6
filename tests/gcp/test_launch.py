# SPDX-License-Identifier: Apache-2.0
"""Test instances: started once, read as long as they run, and never left behind."""

import json
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
from lkcloud.errors import LkcloudError, NotFound, Refused, UsageError
from lkcloud.provider import Image, Run
from lkcloud.reporting import Meter, Silent
from lkcloud.sandbox.http import DropConnection, Response
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_gcp import GcpOptions, leftovers
from lkcloud_gcp.launch import Instance, Launcher
from lkcloud_gcp.register import Registration
from lkcloud_gcp.sandbox import GcpStandIn, Seen
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.session import Session
from tests.gcp.imaging import hold
from tests.gcp.pushing import Noting, counted, lose_answers, options_of, refuse, source_of, upload

DER = bytes((0x30, 0x04, 0x30, 0x02, 0x05, 0x00))
ZONE = "us-central1-a"


def made_of(session: Session, run: Run, folder: Path, **options: object) -> Image:
    """Push a disk that says hello."""
    path = folder / "tiny.raw"
    write_tiny_disk(path, message="hello-from-compute-engine")
    chosen = options_of(bucket=None, **options)
    with open_disk(path) as disk:
        blob = upload(session, disk, run, bucket=None)
        return Registration(session, chosen, source_of(disk)).register(blob, run)


@pytest.fixture
def image(gcp: GcpStandIn) -> Image:
    """Return an image without an operating system: what is tested is not whether it boots."""
    hold(gcp)
    return Image("gcp", "global", "image", "image", digest="5a" * 32, state="READY", architecture="X86_64")


def launcher(session: Session, image: Image, search: float = 1.0, **options: object) -> Launcher:
    return Launcher(session, GcpOptions.model_validate(options), image, search=search)


def alive(gcp: GcpStandIn) -> list[str]:
    return sorted(name for _, name in gcp.holdings.engine.instances)


def disks(gcp: GcpStandIn) -> list[str]:
    return sorted(name for _, name in gcp.holdings.engine.disks)


def test_it_boots_says_so_and_is_private(gcp: GcpStandIn, session: Session, run: Run, tmp_path: Path) -> None:
    image = made_of(session, run, tmp_path)
    instance = launcher(session, image).launch(run)
    shown = session.instances.get(project=session.project, zone=ZONE, instance=instance.name)
    assert shown.machine_type.endswith("/machineTypes/e2-small")
    assert shown.labels["lkcloud-image"] == "image"
    assert not shown.network_interfaces[0].access_configs
    assert not shown.service_accounts
    assert not shown.metadata.items
    assert not shown.scheduling.automatic_restart
    assert not shown.shielded_instance_config.enable_secure_boot
    assert instance.id == f"projects/{session.project}/zones/{ZONE}/instances/{instance.name}"
    deadline = time.monotonic() + 60
    while "hello-from-compute-engine uefi" not in instance.console():
        assert time.monotonic() < deadline, instance.console()
        assert instance.state() in ("starting", "running", "stopped")
        time.sleep(0.2)
    instance.terminate()
    assert "hello-from-compute-engine uefi" in instance.console()
    instance.terminate()
    assert instance.state() == "stopped"
    assert (alive(gcp), disks(gcp)) == ([], [])


def serial(start: int, contents: str) -> Response:
    end = start + len(contents.encode())
    said = {"contents": contents, "start": str(start), "next": str(end)}
    return Response(200, {"Content-Type": "application/json"}, json.dumps(said).encode())


def test_the_console_is_read_on_from_where_it_was_and_kept(gcp: GcpStandIn, session: Session, image: Image) -> None:
    said = [
        serial(0, "one\ntwo"),
        serial(7, ""),
        serial(7, "\nthree "),
        serial(1 << 20, "after much\n"),
        ApiError(400, "resourceNotReady", "The resource is not ready").json(),
        ApiError(404, "notFound", "The resource was not found").json(),
    ]
    asked: list[str] = []

    def hook(one: Seen) -> Response | None:
        if one.phase != "before" or one.operation != "instances.getSerialPortOutput":
            return None
        asked.append(one.operation)
        return said[len(asked) - 1]

    gcp.traffic.hooks.append(hook)
    instance = Instance(session, ZONE, "lkcloud-test-1")
    texts = [instance.console() for _ in said]
    whole = "one\ntwo\nthree \nafter much\n"
    assert texts == ["one\ntwo", "one\ntwo", "one\ntwo\nthree ", whole, whole, whole]


def test_the_console_that_may_not_be_read_is_told(gcp: GcpStandIn, session: Session) -> None:
    said = "Required 'compute.instances.getSerialPortOutput' permission for 'projects/p/zones/z/instances/i'"
    refuse(gcp, "instances.getSerialPortOutput", ApiError(403, "forbidden", said))
    with pytest.raises(Refused) as raised:
        Instance(session, ZONE, "i").console()
    assert "allow compute.instances.getSerialPortOutput" in raised.value.hint


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PROVISIONING", "starting"),
        ("STAGING", "starting"),
        ("RUNNING", "running"),
        ("STOPPING", "stopped"),
        ("TERMINATED", "stopped"),
        ("SUSPENDED", "stopped"),
        ("REPAIRING", "failed: the instance is being repaired"),
    ],
)
def test_states_are_told_in_the_houses_words(gcp: GcpStandIn, session: Session, status: str, state: str) -> None:
    def hook(one: Seen) -> Response | None:
        if one.phase == "before" and one.operation == "instances.get":
            return Response(200, {"Content-Type": "application/json"}, json.dumps({"status": status}).encode())
        return None

    gcp.traffic.hooks.append(hook)
    assert Instance(session, ZONE, "i").state() == state


def test_an_instance_that_does_not_exist_is_stopped_and_silent(gcp: GcpStandIn, session: Session) -> None:
    gone = Instance(session, ZONE, "lkcloud-test-gone")
    assert (gone.state(), gone.console()) == ("stopped", "")
    gone.terminate()


def failed(code: str, message: str) -> Response:
    """Return an operation that has ended badly."""
    operation = {
        "name": "operation-1",
        "status": "DONE",
        "operationType": "insert",
        "zone": f"https://www.googleapis.com/compute/v1/projects/lkcloud-sandbox/zones/{ZONE}",
        "httpErrorStatusCode": 503,
        "httpErrorMessage": "SERVICE UNAVAILABLE",
        "error": {"errors": [{"code": code, "message": message}]},
    }
    return Response(200, {"Content-Type": "application/json"}, json.dumps(operation).encode())


@pytest.mark.parametrize("code", ["ZONE_RESOURCE_POOL_EXHAUSTED", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"])
def test_a_zone_without_room_is_told_with_what_to_do(
    gcp: GcpStandIn, session: Session, image: Image, run: Run, code: str
) -> None:
    said = f"The zone 'projects/p/zones/{ZONE}' does not have enough resources available to fulfill the request."

    def hook(one: Seen) -> Response | None:
        return failed(code, said) if one.phase == "before" and one.operation == "instances.insert" else None

    gcp.traffic.hooks.append(hook)
    began = time.monotonic()
    with pytest.raises(Refused, match="not have enough resources") as raised:
        launcher(session, image, search=60.0).launch(run)
    assert "--zone" in raised.value.hint
    assert not getattr(raised.value, "__notes__", [])
    assert time.monotonic() - began < 30  # nothing is looked for that Google says is not there


@pytest.mark.parametrize(
    ("options", "kind", "hint"),
    [
        ({"machine_type": "e2-gigantic"}, UsageError, "--machine-type"),
        ({"machine_type": "t2a-standard-1"}, UsageError, "--machine-type"),
        ({"zone": "us-central1-q"}, UsageError, "--zone"),
        ({"network": "none"}, UsageError, "--network"),
        ({"subnetwork": "none"}, UsageError, "--subnetwork"),
    ],
)
def test_what_the_project_does_not_have_is_told(
    gcp: GcpStandIn,
    session: Session,
    image: Image,
    run: Run,
    options: dict[str, str],
    kind: type[LkcloudError],
    hint: str,
) -> None:
    with pytest.raises(kind) as raised:
        launcher(session, image, 1.0, **options).launch(run)
    assert hint in raised.value.hint
    assert alive(gcp) == []
    assert counted(gcp, "instances.delete") == 0


def test_a_network_that_is_not_found_is_told(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    said = "The resource 'projects/p/global/networks/default' was not found"
    refuse(gcp, "instances.insert", ApiError(404, "notFound", said))
    with pytest.raises(NotFound) as raised:
        launcher(session, image).launch(run)
    assert "--network" in raised.value.hint


def test_an_image_that_is_gone_is_told(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    with pytest.raises(NotFound):
        launcher(session, replace(image, id="gone")).launch(run)
    assert counted(gcp, "instances.insert") == 0


def request_of(session: Session, image: Image, **options: object) -> Any:
    made = launcher(session, image, 1.0, **options)
    return made._request(Instance(session, made.options.zone, "lkcloud-test-1")).instance_resource


def test_networks_are_names_or_urls_and_a_subnetwork_tells_its_network(session: Session, image: Image) -> None:
    assert request_of(session, image, network="net").network_interfaces[0].network == "global/networks/net"
    [one] = request_of(session, image, network="projects/host/global/networks/net").network_interfaces
    assert one.network == "projects/host/global/networks/net"
    [two] = request_of(session, image, subnetwork="sub", zone="europe-west3-b").network_interfaces
    assert (two.network, two.subnetwork) == ("", "regions/europe-west3/subnetworks/sub")
    [three] = request_of(session, image, subnetwork="projects/host/regions/r/subnetworks/s").network_interfaces
    assert three.subnetwork == "projects/host/regions/r/subnetworks/s"


def test_arm_gets_an_arm_type(session: Session, image: Image) -> None:
    assert request_of(session, image).machine_type.endswith("/e2-small")
    assert request_of(session, replace(image, architecture="ARM64")).machine_type.endswith("/t2a-standard-1")
    assert request_of(session, image, machine_type="c3-standard-4").machine_type.endswith("/c3-standard-4")


def test_an_image_with_keys_is_tested_with_secure_boot(session: Session, run: Run, tmp_path: Path) -> None:
    key = tmp_path / "key.der"
    key.write_bytes(DER)
    image = made_of(session, run, tmp_path, platform_key=key, key_exchange_key=(key,), signature_db=(key,))
    assert request_of(session, image).shielded_instance_config.enable_secure_boot


def test_a_lost_answer_starts_one_instance(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    lose_answers(gcp, "instances.insert")
    instance = launcher(session, image).launch(run)
    assert alive(gcp) == [instance.name]
    instance.terminate()
    assert alive(gcp) == []


def test_an_instance_that_nobody_heard_of_is_removed(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    lose_answers(gcp, "instances.insert")
    refuse(gcp, "instances.insert", ApiError(403, "forbidden", "you may not"), skip=1)
    with pytest.raises(LkcloudError, match="you may not"):
        launcher(session, image).launch(run)
    assert counted(gcp, "instances.insert") == 2
    assert alive(gcp) == []


def test_a_start_that_cannot_be_watched_leaves_nothing(
    gcp: GcpStandIn, session: Session, image: Image, run: Run
) -> None:
    refuse(gcp, "zoneOperations.get", ApiError(403, "forbidden", "you may not look"))
    with pytest.raises(Refused, match="you may not look"):
        launcher(session, image).launch(run)
    assert alive(gcp) == []


def test_terminate_waits_for_what_goes_on_there(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    instance = launcher(session, image).launch(run)
    refuse(gcp, "instances.delete", ApiError(400, "resourceNotReady", "The resource is not ready"), times=3)
    instance.terminate()
    assert alive(gcp) == []


class InterruptingTheEnd(Silent):
    """A reporter that is interrupted while it tells the end of a stage."""

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        with super().stage(title) as meter:
            yield meter
        raise KeyboardInterrupt


def test_ctrl_c_while_the_start_is_told_leaves_nothing(
    gcp: GcpStandIn, session: Session, image: Image, run: Run
) -> None:
    with pytest.raises(KeyboardInterrupt):
        launcher(session, image).launch(replace(run, reporter=InterruptingTheEnd()))
    assert counted(gcp, "instances.insert") == 1
    assert alive(gcp) == []


def interrupt(gcp: GcpStandIn, operation: str, phase: str) -> None:
    """Let Ctrl-C come while the answer to OPERATION is waited for."""

    def hook(seen: Seen) -> Response | None:
        if seen.operation == operation and seen.phase == phase:
            os.kill(os.getpid(), signal.SIGINT)
            raise DropConnection
        return None

    gcp.traffic.hooks.append(hook)


def test_ctrl_c_while_it_starts_leaves_nothing(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    gcp.windows.instance_start = 0.5
    interrupt(gcp, "instances.insert", "after")
    with pytest.raises(KeyboardInterrupt):
        launcher(session, image, search=15.0).launch(run)
    assert counted(gcp, "instances.insert") == 1
    assert alive(gcp) == []


def test_an_instance_that_is_shown_late_is_looked_for(
    gcp: GcpStandIn, session: Session, image: Image, run: Run
) -> None:
    interrupt(gcp, "instances.insert", "after")
    refuse(gcp, "instances.delete", ApiError(404, "notFound", "The resource was not found"), times=2)
    with pytest.raises(KeyboardInterrupt):
        launcher(session, image, search=15.0).launch(run)
    assert alive(gcp) == []


def test_an_instance_that_is_not_found_is_named(gcp: GcpStandIn, session: Session, image: Image, run: Run) -> None:
    interrupt(gcp, "instances.insert", "before")
    reporter = Noting()
    with pytest.raises(KeyboardInterrupt) as raised:
        launcher(session, image, search=0.2).launch(replace(run, reporter=reporter))
    [note] = raised.value.__notes__
    assert f"zones/{ZONE}/instances/lkcloud-test-" in note
    assert reporter.warnings == [note]


def test_ctrl_c_in_a_boot_test_ends_the_instance(gcp: GcpStandIn, image: Image, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lkcloud", "test", "gcp", image.id, "--expect", "never-said"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while counted(gcp, "instances.insert") == 0:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) != 0
    assert counted(gcp, "instances.insert") == 1
    assert alive(gcp) == []


def test_an_instance_that_is_left_is_found_and_removed(
    gcp: GcpStandIn, session: Session, image: Image, run: Run
) -> None:
    left = launcher(session, image).launch(run)
    [blob] = leftovers.leftovers(session, GcpOptions(), "image")
    assert (blob.id, blob.kind, blob.name, blob.digest) == (left.id, "instance", "image", image.digest)
    leftovers.delete(session, GcpOptions(), blob)
    leftovers.delete(session, GcpOptions(), blob)
    assert alive(gcp) == []
