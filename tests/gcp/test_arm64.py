# SPDX-License-Identifier: Apache-2.0
"""An arm64 disk becomes an ARM64 image with UEFI_COMPATIBLE, which boots on a machine of the series t2a."""

from pathlib import Path

import pytest

from lkcloud import pipeline
from lkcloud.boot import Expectation, boot_test
from lkcloud.disk import open_disk
from lkcloud.errors import UsageError
from lkcloud.provider import Run
from lkcloud.sandbox.qemu import missing
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_gcp import Gcp, GcpOptions
from lkcloud_gcp.sandbox import GcpStandIn, Seen
from lkcloud_gcp.session import Session

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


@pytest.mark.long
@needs_arm64
def test_it_boots(gcp: GcpStandIn, session: Session, disk: Path, run: Run) -> None:
    types: list[str] = []

    def look(seen: Seen) -> None:
        if seen.phase == "after" and seen.operation == "instances.insert":
            types.extend(one.specification.machine_type.name for one in gcp.holdings.engine.instances.values())

    gcp.traffic.hooks.append(look)
    provider = Gcp(GcpOptions(workers=2))
    with open_disk(disk) as opened:
        image = pipeline.push(provider, opened, name="arm", run=run).image
    shown = session.images.get(project=session.project, image="arm")
    assert shown.architecture == "ARM64"
    assert "UEFI_COMPATIBLE" in [feature.type_ for feature in shown.guest_os_features]
    boot_test(provider, image, run=run, expectation=SAYS)
    assert types == ["t2a-standard-1"]


def test_no_arm64_image_boots_by_bios(gcp: GcpStandIn, disk: Path, run: Run) -> None:
    provider = Gcp(GcpOptions(guest_os_feature=("GVNIC",)))
    with open_disk(disk) as opened, pytest.raises(UsageError, match="ARM64 boots by UEFI only"):
        pipeline.push(provider, opened, name="arm", run=run)
