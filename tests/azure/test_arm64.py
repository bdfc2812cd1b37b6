# SPDX-License-Identifier: Apache-2.0
"""An arm64 disk becomes a gallery version of an Arm64 definition, which boots on a machine of an Arm64 size."""

from pathlib import Path

import pytest

from lkcloud import pipeline
from lkcloud.boot import Expectation, boot_test
from lkcloud.disk import open_disk
from lkcloud.errors import UsageError
from lkcloud.provider import Run
from lkcloud.sandbox.qemu import missing
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_azure import Azure
from lkcloud_azure.sandbox import AzureStandIn, Seen
from lkcloud_azure.sandbox.vm_machine import Machine
from lkcloud_azure.session import Session
from tests.azure.pushing import options_of

needs_arm64 = pytest.mark.skipif(
    bool(missing("arm64", "uefi")), reason="needs apt install qemu-system-arm qemu-efi-aarch64"
)
SAYS = Expectation(("arm64-boot-ok uefi",), timeout=120, every=0.1)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk that boots on arm64 alone."""
    path = tmp_path / "arm64.raw"
    write_tiny_disk(path, message="arm64-boot-ok", architecture="arm64")
    return path


def azure_of(azure: AzureStandIn, **options: object) -> Azure:
    return Azure(options_of(resource_manager=azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"], **options))


@pytest.mark.long
@needs_arm64
def test_it_boots(azure: AzureStandIn, session: Session, disk: Path, run: Run) -> None:
    sizes: list[str] = []

    def look(seen: Seen) -> None:
        if seen.phase == "after" and seen.operation == "VirtualMachines.CreateOrUpdate":
            sizes.extend(one.size for one in azure.holdings.every(Machine))

    azure.traffic.hooks.append(look)
    provider = azure_of(azure, gallery="images", definition="arm", create_gallery=True)
    with open_disk(disk) as opened:
        image = pipeline.push(provider, opened, name="arm", run=run).image
    definition = session.compute.gallery_images.get("lkcloud", "images", "arm").properties
    assert definition is not None
    assert (definition.architecture, definition.hyper_v_generation) == ("Arm64", "V2")
    boot_test(provider, image, run=run, expectation=SAYS)
    assert sizes == ["Standard_B2pls_v2"]


def test_no_managed_image_is_for_arm64(azure: AzureStandIn, disk: Path, run: Run) -> None:
    with open_disk(disk) as opened, pytest.raises(UsageError, match="a managed image cannot be for Arm64"):
        pipeline.push(azure_of(azure), opened, name="arm", run=run)
