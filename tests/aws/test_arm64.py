# SPDX-License-Identifier: Apache-2.0
"""An arm64 disk becomes an arm64 AMI, whose instance is of an arm64 type and boots by UEFI."""

from pathlib import Path

import pytest

from lkcloud import pipeline
from lkcloud.boot import Expectation, boot_test
from lkcloud.disk import open_disk
from lkcloud.errors import UsageError
from lkcloud.provider import Run
from lkcloud.sandbox.qemu import missing
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_aws import Aws, AwsOptions
from lkcloud_aws.session import Session

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


@needs_arm64
def test_it_boots(session: Session, disk: Path, run: Run) -> None:
    provider = Aws(AwsOptions())
    with open_disk(disk) as opened:
        image = pipeline.push(provider, opened, name="arm", run=run).image
    [shown] = session.ec2.describe_images(ImageIds=[image.id])["Images"]
    assert (shown["Architecture"], shown["BootMode"]) == ("arm64", "uefi")
    boot_test(provider, image, run=run, expectation=SAYS)
    [reservation] = session.ec2.describe_instances()["Reservations"]
    [instance] = reservation["Instances"]
    assert (instance["InstanceType"], instance["Architecture"]) == ("t4g.micro", "arm64")
    assert instance["State"]["Name"] == "terminated"


def test_no_arm64_image_boots_by_bios(session: Session, disk: Path, run: Run) -> None:
    with open_disk(disk) as opened, pytest.raises(UsageError, match="arm64 has no legacy-bios"):
        pipeline.push(Aws(AwsOptions(boot_mode="legacy-bios")), opened, name="arm", run=run)
