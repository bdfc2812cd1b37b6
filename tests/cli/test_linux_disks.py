# SPDX-License-Identifier: Apache-2.0
"""Real Linux disks, made from Debian packages, from the file to a machine that says that it is up."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.session import Session
from tests.cli.conftest import Command
from tests.images import LINUX_SAYS, debian_bios, debian_uki

PANIC = "echo 'going down' > /dev/console; echo c > /proc/sysrq-trigger; sleep 60"


@pytest.mark.parametrize(
    ("make", "boot_mode", "method"),
    [
        (debian_uki, "uefi", "ebs"),
        # In the short form Linux boots by BIOS from what tests/cli/test_push_kernel.py pushes.
        pytest.param(debian_bios, "legacy-bios", "import", marks=pytest.mark.long),
    ],
)
def test_linux_boots_from_what_was_pushed(
    lkcloud: Command, tmp_path: Path, aws: AwsStandIn, make: Callable[[Path], None], boot_mode: str, method: str
) -> None:
    disk = tmp_path / "linux.raw"
    make(disk)
    session = Session()
    session.s3.create_bucket(Bucket="linux-disks")
    options = ("--method", method, "--bucket", "linux-disks")
    done = lkcloud("push", "aws", disk, *options, "--test", "--expect", LINUX_SAYS, "--timeout", "120", "--json")
    document = json.loads(done.stdout)
    assert LINUX_SAYS in document["boot"]["line"]
    (image,) = session.ec2.describe_images(ImageIds=[document["id"]])["Images"]
    assert (image["BootMode"], image["Architecture"]) == (boot_mode, "x86_64")


@pytest.mark.long
@pytest.mark.usefixtures("aws")
def test_a_kernel_that_panics_fails_the_push(lkcloud: Command, tmp_path: Path) -> None:
    disk = tmp_path / "panic.raw"
    debian_uki(disk, script=PANIC)
    done = lkcloud("push", "aws", disk, "--test", "--expect", "never said", "--timeout", "120", code=5)
    assert "| going down" in done.stderr
    assert "error: the kernel panicked: " in done.stderr
