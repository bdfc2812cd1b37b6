# SPDX-License-Identifier: Apache-2.0
"""A kernel with its initramfs, and an ISO, pushed to each cloud of the sandbox boot there."""

import json
from pathlib import Path

import pytest

from tests.assemble.builds import iso_bios, kernel_and_initrd
from tests.cli.conftest import Command
from tests.images import LINUX_SAYS

# Linux boots, and others may boot beside it.
pytestmark = pytest.mark.timeout(900)

CLOUDS = [
    ("aws", (), "uefi"),
    ("gcp", (), "uefi"),
    ("azure", ("--hyper-v-generation", "V1"), "bios"),
]


@pytest.mark.parametrize(("cloud", "options", "firmware"), CLOUDS, ids=[cloud for cloud, _, _ in CLOUDS])
def test_what_linuxkit_puts_out_boots_in_the_cloud(
    lkcloud: Command,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    cloud: str,
    options: tuple[str, ...],
    firmware: str,
) -> None:
    request.getfixturevalue(cloud)
    expect = ("--test", "--expect", f"{LINUX_SAYS}.*firmware={firmware}", "--timeout", "600", "--json")
    for image in (kernel_and_initrd(tmp_path, name="build", real=True), iso_bios(tmp_path / "medium.iso")):
        made = json.loads(lkcloud("push", cloud, image, *options, *expect).stdout)
        assert made["name"] == image.stem
        assert LINUX_SAYS in made["boot"]["line"]
