# SPDX-License-Identifier: Apache-2.0
"""Images that boot, and test machines of them."""

from pathlib import Path
from typing import Any

import pytest

from lkcloud.provider import Image
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_azure import AzureOptions
from lkcloud_azure.launch import Launcher, VirtualMachine
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.cloud import LOCATION, Group, Resource
from lkcloud_azure.session import Session
from tests.azure_sandbox.machines import hold_image, hold_version

GROUP = "lkcloud"
DIGEST = "5a" * 32


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    write_tiny_disk(tmp_path / "tiny.raw", message="hello-from-azure")
    return tmp_path / "tiny.raw"


@pytest.fixture
def image(azure: AzureStandIn, disk: Path) -> Image:
    """Return a managed image of generation 1, which boots by BIOS."""
    azure.holdings.groups[GROUP] = Group(GROUP, LOCATION, {})
    return shown(hold_image(azure, disk, GROUP))


def shown(held: Resource) -> Image:
    """Return what the stand-in holds as the provider would."""
    return Image("azure", held.location, str(held.id), "image", digest=DIGEST, state="Succeeded")


def version(azure: AzureStandIn, disk: Path, **said: Any) -> Image:
    """Return a gallery image version."""
    azure.holdings.groups[GROUP] = Group(GROUP, LOCATION, {})
    return shown(hold_version(azure, disk, GROUP, **said))


def launcher(session: Session, image: Image, **options: object) -> Launcher:
    return Launcher(session, AzureOptions.model_validate({"location": LOCATION, **options}), image)


def left(azure: AzureStandIn) -> list[str]:
    """Return the types of all that there is of test machines."""
    with azure.holdings.lock:
        found = list(azure.holdings.every(Resource))  # type: ignore[type-abstract]  # any of them
    return sorted(one.kind.rpartition("/")[2] for one in found if one.name.startswith("lkcloud-test-"))


def request_of(session: Session, machine: VirtualMachine) -> Any:
    """Return what Azure shows of MACHINE."""
    return session.compute.virtual_machines.get(machine.group, machine.name).properties
