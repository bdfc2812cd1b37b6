# SPDX-License-Identifier: Apache-2.0
"""Test machines are never left behind, however their start or their test ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lkcloud.errors import Refused, UsageError
from lkcloud.provider import Image, Run
from lkcloud.reporting import Meter, Silent
from lkcloud.sandbox.http import DropConnection, Response
from lkcloud_azure import AzureOptions, leftovers
from lkcloud_azure.sandbox import AzureStandIn, Seen
from lkcloud_azure.sandbox.cloud import LOCATION
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.session import Session
from tests.azure.launching import GROUP, disk, image, launcher, left
from tests.azure.pushing import Noting, counted, refuse
from tests.azure_sandbox.machines import needs_qemu

__all__ = ["disk", "image"]


def interrupt(azure: AzureStandIn, operation: str, phase: str) -> None:
    """Let Ctrl-C come while the answer to OPERATION is waited for."""

    def hook(seen: Seen) -> Response | None:
        if seen.operation == operation and seen.phase == phase:
            azure.traffic.hooks.remove(hook)
            os.kill(os.getpid(), signal.SIGINT)
            raise DropConnection
        return None

    azure.traffic.hooks.append(hook)


@needs_qemu
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize(
    "operation",
    ["VirtualNetworks.CreateOrUpdate", "NetworkInterfaces.CreateOrUpdate", "VirtualMachines.CreateOrUpdate"],
)
def test_ctrl_c_while_it_starts_leaves_nothing(
    azure: AzureStandIn, session: Session, image: Image, run: Run, operation: str, phase: str
) -> None:
    interrupt(azure, operation, phase)
    with pytest.raises(KeyboardInterrupt):
        launcher(session, image).launch(run)
    assert left(azure) == []


class InterruptingTheEnd(Silent):
    """A reporter that is interrupted while it tells the end of a stage."""

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        with super().stage(title) as meter:
            yield meter
        raise KeyboardInterrupt


@needs_qemu
def test_ctrl_c_while_the_start_is_told_leaves_nothing(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    with pytest.raises(KeyboardInterrupt):
        launcher(session, image).launch(replace(run, reporter=InterruptingTheEnd()))
    assert counted(azure, "VirtualMachines.CreateOrUpdate") == 1
    assert left(azure) == []


@needs_qemu
def test_what_cannot_be_removed_is_named(azure: AzureStandIn, session: Session, image: Image, run: Run) -> None:
    azure.windows.denied_actions = ("Microsoft.Compute/virtualMachines/delete",)
    refuse(azure, "VirtualMachines.InstanceView", ApiError(403, "AuthorizationFailed", "you may not look"))
    reporter = Noting()
    with pytest.raises(Refused, match="you may not look") as raised:
        launcher(session, image).launch(replace(run, reporter=reporter))
    [note] = raised.value.__notes__
    assert "/virtualMachines/lkcloud-test-" in note
    assert reporter.warnings == [note]


@needs_qemu
def test_a_machine_that_is_left_is_found_and_removed(
    azure: AzureStandIn, session: Session, image: Image, run: Run
) -> None:
    options = AzureOptions()
    machine = launcher(session, image).launch(run)
    assert list(leftovers.leftovers(session, options, "other")) == []
    [blob] = leftovers.leftovers(session, options, "image")
    assert (blob.id, blob.kind, blob.name, blob.region) == (machine.id, "test-machine", "image", LOCATION)
    assert blob.created is not None
    assert datetime.now(UTC) - blob.created < timedelta(minutes=5)
    # What is left of one is found too, and goes under the same id.
    session.compute.virtual_machines.begin_delete(GROUP, machine.name).result()
    assert [(one.id, one.created) for one in leftovers.leftovers(session, options, "")] == [(machine.id, blob.created)]
    leftovers.delete(session, options, blob)
    leftovers.delete(session, options, blob)
    assert left(azure) == []
    with pytest.raises(UsageError):
        leftovers.delete(session, options, replace(blob, id=blob.id.replace("lkcloud-test-", "other-")))


@needs_qemu
def test_ctrl_c_in_a_boot_test_ends_the_machine(azure: AzureStandIn, image: Image, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lkcloud", "test", "azure", image.id, "--expect", "never-said"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while counted(azure, "VirtualMachines.CreateOrUpdate") == 0:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) != 0
    assert counted(azure, "VirtualMachines.CreateOrUpdate") == 1
    assert left(azure) == []
