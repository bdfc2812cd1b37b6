# SPDX-License-Identifier: Apache-2.0
"""LinuxKit's `iso-efi` boots as a disk: no initramfs, and the kernel mounts the ISO on the partition as its root."""

from pathlib import Path

import pytest

from tests.assemble.builds import iso_root, need_loaders
from tests.assemble.own_kernel import iso_kernel
from tests.cli.conftest import Command
from tests.images import LINUX_SAYS, SAY_AND_POWER_OFF

SAY_THE_ROOT = f"""
echo "lkcloud-boot-ok root: $(busybox grep ' / ' /proc/mounts)" > /dev/console
echo "lkcloud-boot-ok told: $(busybox cat /proc/cmdline)" > /dev/console
{SAY_AND_POWER_OFF}"""

ON_THE_ISO = ("--expect", "lkcloud-boot-ok root: /dev/root / iso9660 ro", "--expect", "told: .*root=PARTUUID=")


@pytest.mark.long
@pytest.mark.timeout(3600)  # the kernel is built first
def test_an_iso_is_the_root_of_the_disk_that_it_comes_to(lkcloud: Command, tmp_path: Path) -> None:
    need_loaders()  # before the kernel is built for nothing
    iso = iso_root(tmp_path / "os.iso", iso_kernel(), script=SAY_THE_ROOT)
    by_uefi = (*ON_THE_ISO, "--expect", f"{LINUX_SAYS}.*firmware=uefi")
    by_bios = (*ON_THE_ISO, "--expect", f"{LINUX_SAYS}.*firmware=bios")
    done = lkcloud("push", "local", iso, "--bus", "nvme", "--test", *by_uefi)
    assert done.stdout == "os\n"
    lkcloud("test", "local", "os", "--firmware", "bios", "--bus", "virtio", *by_bios)
