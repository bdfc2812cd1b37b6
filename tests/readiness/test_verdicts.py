# SPDX-License-Identifier: Apache-2.0
"""What follows from what was found on a disk, for a cloud with rules of its own."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from lkcloud.disk.inspect.facts import DiskFacts, Partition
from lkcloud.disk.linux.agents import CLOUD_INIT
from lkcloud.disk.linux.boot import Boot
from lkcloud.disk.linux.command_line import CommandLine
from lkcloud.disk.linux.drivers import NVME, PL011, SERIAL_8250, VIRTIO_NET, VIRTIO_SCSI, Driver
from lkcloud.disk.linux.initramfs import Initramfs
from lkcloud.disk.linux.kernel import Kernel
from lkcloud.disk.linux.system import LinuxSystem, Place, Root
from lkcloud.disk.readiness.judge import judge
from lkcloud.disk.readiness.needs import Console, Device, Needs, Sizes
from lkcloud.disk.readiness.verdict import Verdict
from lkcloud.sandbox.tinydisk import MIB
from tests.readiness.kernels import Bytes

NEEDS = Needs(
    title="A Cloud",
    firmware=MappingProxyType({"x86_64": ("bios",), "arm64": ("uefi",)}),
    sizes=Sizes(smallest=4 * MIB, step=MIB, largest=100 * MIB),
    disks=(
        Device("NVMe", "new ones", (NVME,), root=("/dev/nvme0n1",)),
        Device("virtio", "old ones", (VIRTIO_SCSI,), architectures=("x86_64",), root=("/dev/sda",)),
    ),
    networks=(Device("virtio", "all", (VIRTIO_NET,)),),
    consoles=MappingProxyType(
        {"x86_64": (Console("ttyS0", SERIAL_8250),), "arm64": (Console("ttyAMA0", PL011),)},
    ),
    agents=(CLOUD_INIT,),
    without_agent="it sulks",
)
FACTS = DiskFacts(8 * MIB, "gpt", (), "", True, (), "x86_64", (), ())
RELEASE = "6.1.0"
CONSOLE = "univ8250_console_setup"
KERNEL = Kernel("x86_64", RELEASE, symbols=frozenset({"nvme_probe", CONSOLE}))
INITRAMFS = Initramfs(frozenset(), frozenset(), None, frozenset(), has_init=True)
ROOT = Root(frozenset(), None, frozenset({"cloud-init"}), "A system", whole=True)


def boot(text: str = "root=LABEL=a console=ttyS0", *, initramfs: bool = True, complete: bool = True) -> Boot:
    files = (Bytes(b""),) if initramfs else ()
    return Boot("GRUB", "grub.cfg", "vmlinuz", Bytes(b""), files, (), CommandLine(text, complete))


GOOD = LinuxSystem(boot=boot(), kernel=KERNEL, initramfs=INITRAMFS, root=ROOT, has_root=True)


def verdict(system: LinuxSystem = GOOD, facts: DiskFacts = FACTS) -> Verdict:
    return judge("a", NEEDS, facts, system)


def of(found: Verdict, aspect: str) -> list[tuple[str, str]]:
    return [(check.state, check.what) for check in found.checks if check.aspect == aspect]


def test_a_good_disk() -> None:
    found = verdict()
    assert found.word == "boots"
    assert of(found, "size") == [("ok", "it can stay as it is")]
    assert of(found, "firmware") == [("ok", "BIOS")]
    assert of(found, "kernel") == [("ok", RELEASE)]
    assert of(found, "disk") == [("ok", "NVMe: built in"), ("warning", "not on old ones: virtio_scsi is missing")]
    assert of(found, "network") == [("warning", "for virtio virtio_net is missing")]
    assert of(found, "console") == [("ok", "ttyS0")]
    assert of(found, "agent") == [("ok", "cloud-init")]


@pytest.mark.parametrize(
    ("facts", "aspect", "says"),
    [
        (replace(FACTS, size=0), "size", "the disk is empty"),
        (replace(FACTS, size=101 * MIB), "size", "the disk has 105906176 bytes and A Cloud takes 104857600"),
        (
            replace(FACTS, partitions=(Partition(1, MIB, 9 * MIB, "Linux", "", "ext4"),)),
            "size",
            "partition 1 ends 2097152 bytes behind the end of the disk, which was cut short",
        ),
        (replace(FACTS, sector_size=4096), "firmware", "the GPT is for sectors of 4096 bytes"),
        (
            replace(FACTS, bios=False, efi_loaders=("BOOTX64.EFI",)),
            "firmware",
            "for x86_64 there is no BIOS boot code; there is BOOTX64.EFI",
        ),
        (replace(FACTS, bios=False, architecture=None), "kernel", ""),
        (replace(FACTS, architecture="arm64"), "firmware", "for arm64 there is no EFI/BOOT/BOOTAA64.EFI"),
    ],
)
def test_what_keeps_a_disk_from_booting(facts: DiskFacts, aspect: str, says: str) -> None:
    found = verdict(facts=facts)
    assert found.word == "will not boot"
    if says:
        assert next(what for state, what in of(found, aspect) if state == "fault").startswith(says)
    assert all(check.hint for check in found.checks if check.state == "fault")


def test_a_device_that_few_will_miss_is_told_and_is_no_warning() -> None:
    minor = replace(NEEDS, disks=(NEEDS.disks[0], replace(NEEDS.disks[1], minor=True)))
    found = of(judge("a", minor, FACTS, GOOD), "disk")
    assert found == [("ok", "NVMe: built in"), ("ok", "not on old ones: virtio_scsi is missing")]


def test_a_disk_is_filled_up_to_whole_steps() -> None:
    assert of(verdict(facts=replace(FACTS, size=8 * MIB - 512)), "size") == [
        ("ok", "it is filled up with zeros to 8388608 bytes, and the second header of its GPT is then not at the end")
    ]
    assert of(verdict(facts=replace(FACTS, size=512, table="none")), "size") == [
        ("ok", "it is filled up with zeros to 4194304 bytes")
    ]


def test_the_root_file_system_needs_a_driver_before_it_is_there() -> None:
    without = replace(KERNEL, symbols=frozenset({CONSOLE}))
    on_root = replace(ROOT, modules=frozenset({"nvme", "virtio_scsi", "virtio_net"}))
    system = replace(GOOD, kernel=without, root=on_root)
    assert verdict(system).word == "will not boot"
    assert of(verdict(system), "network") == [("ok", "virtio: on the root file system")]
    held = replace(INITRAMFS, modules=frozenset({"nvme"}), releases=frozenset({RELEASE}))
    assert verdict(replace(system, initramfs=held)).word == "boots"
    # Modules of another kernel are of no use, nor those that may not be loaded.
    assert verdict(replace(system, initramfs=replace(held, releases=frozenset({"5.10"})))).word == "will not boot"
    blacklisted = replace(system, initramfs=held, boot=boot("root=LABEL=a console=ttyS0 module_blacklist=nvme"))
    assert verdict(blacklisted).word == "will not boot"


def test_the_name_of_the_root_device_must_be_the_clouds() -> None:
    on_vda = replace(GOOD, boot=boot("root=/dev/vda1 console=ttyS0"))
    assert verdict(on_vda).word == "will not boot"
    assert "for NVMe root=/dev/vda1 is /dev/nvme0n1… there" in of(verdict(on_vda), "disk")[0][1]
    assert verdict(replace(GOOD, boot=boot("root=/dev/nvme0n1p2 console=ttyS0"))).word == "boots"


def test_without_an_initramfs_there_are_no_labels() -> None:
    system = replace(GOOD, boot=boot("root=LABEL=a console=ttyS0", initramfs=False), initramfs=None)
    assert verdict(system).word == "will not boot"
    assert verdict(replace(system, boot=boot("root=PARTUUID=1 console=ttyS0", initramfs=False))).word == "boots"
    assert verdict(replace(system, boot=boot("console=ttyS0", initramfs=False))).word == "cannot tell"


def test_what_was_not_read_is_no_fault() -> None:
    unknown = replace(KERNEL, symbols=None, problem="it is compressed with LZO, which is not read")
    assert verdict(replace(GOOD, kernel=unknown)).word == "cannot tell"
    broken = replace(INITRAMFS, problem="its cpio archive is broken")
    assert verdict(replace(GOOD, initramfs=broken)).word == "cannot tell"
    without = replace(KERNEL, symbols=frozenset({CONSOLE}))
    assert verdict(replace(GOOD, kernel=without, initramfs=broken)).word == "cannot tell"
    assert verdict(replace(GOOD, kernel=without)).word == "will not boot"
    assert verdict(LinuxSystem(unread=("no Linux kernel was found",))).word == "cannot tell"
    assert of(verdict(LinuxSystem()), "console")[0][0] == "unknown"
    loose = replace(GOOD, boot=replace(boot(), loader=""))
    assert verdict(loose).word == "cannot tell"
    # Without a list of modules the root file system may have them.
    unlisted = replace(GOOD, root=replace(ROOT, modules=None))
    assert of(verdict(unlisted), "network") == [("unknown", "virtio: whether it has virtio_net cannot be told")]


def test_the_configuration_is_believed_before_the_symbols() -> None:
    configured = replace(GOOD, config={NVME.option: "m", VIRTIO_NET.option: "y"})
    assert configured.built_in(NVME) is False
    assert configured.late(VIRTIO_NET) is Place.BUILT_IN
    listed = replace(GOOD, initramfs=replace(INITRAMFS, builtin=frozenset({"virtio_scsi"})))
    assert listed.built_in(VIRTIO_SCSI) is True
    assert listed.built_in(NVME) is False
    assert LinuxSystem(kernel=replace(KERNEL, symbols=None)).built_in(NVME) is None
    other = Driver("x", "CONFIG_X", ("old_name", "nvme_probe"))
    assert GOOD.built_in(other) is True


@pytest.mark.parametrize(
    ("line", "state", "says"),
    [
        ("console=tty0 console=ttyS0", "ok", "ttyS0"),
        ("console=ttyS0 console=tty0", "ok", "ttyS0 shows what the kernel says; init speaks to tty0, named last"),
        ("quiet", "warning", "the command line has no console=ttyS0"),
        ("console=ttyS1", "warning", "the command line has no console=ttyS0"),
    ],
)
def test_consoles(line: str, state: str, says: str) -> None:
    ((found, what),) = of(verdict(replace(GOOD, boot=boot(line))), "console")
    assert (found, what[: len(says)]) == (state, says)


def test_consoles_that_nobody_can_tell_of() -> None:
    assert of(verdict(replace(GOOD, boot=boot("quiet", complete=False))), "console")[0][0] == "unknown"
    arm = replace(FACTS, architecture="arm64", efi_loaders=("BOOTAA64.EFI",), bios=False)
    kernel = replace(KERNEL, architecture="arm64")
    assert of(verdict(replace(GOOD, boot=boot("quiet"), kernel=kernel), arm), "console")[0][0] == "unknown"
    deaf = replace(GOOD, kernel=replace(KERNEL, symbols=frozenset({"nvme_probe"})))
    assert of(verdict(deaf), "console") == [
        ("warning", "the kernel has no driver that prints on ttyS0 (CONFIG_SERIAL_8250_CONSOLE)")
    ]


def test_what_the_kernel_has_built_in_is_part_of_its_command_line() -> None:
    config = {"CONFIG_CMDLINE": "console=ttyS0", NVME.option: "y", SERIAL_8250.option: "y"}
    system = replace(GOOD, boot=boot("root=LABEL=a"), config=config)
    assert of(verdict(system), "console") == [("ok", "ttyS0")]
    assert system.command_line == CommandLine("console=ttyS0 root=LABEL=a")
    only = replace(system, config={**config, "CONFIG_CMDLINE_OVERRIDE": "y"})
    assert only.command_line == CommandLine("console=ttyS0")
    arm = replace(system, kernel=replace(KERNEL, architecture="arm64"))
    assert arm.command_line == CommandLine("root=LABEL=a")


def test_agents() -> None:
    nobody = replace(GOOD, root=replace(ROOT, agents=frozenset()))
    assert of(verdict(nobody), "agent") == [("warning", "none was found: it sulks")]
    assert of(verdict(replace(GOOD, root=None)), "agent") == [("unknown", "the root file system was not read")]


def test_a_system_in_memory_needs_no_disk() -> None:
    system = replace(GOOD, boot=boot("console=ttyS0"), root=None, has_root=False)
    assert system.root_on_disk is False
    assert of(verdict(system), "disk") == [("ok", "not needed: the initramfs is the whole system")]
    for broken in ({"has_init": False}, {"problem": "its cpio archive is broken"}):
        assert verdict(replace(system, initramfs=replace(INITRAMFS, **broken))).word == "cannot tell"
    elsewhere = replace(
        system, boot=boot("console=ttyS0 rdinit=/sbin/init"), initramfs=replace(INITRAMFS, has_init=False)
    )
    assert verdict(elsewhere).word == "boots"
    # With a partition that may be its root file system, nobody can tell; the drivers are there in any case.
    assert replace(system, has_root=True).root_on_disk is None
    assert verdict(replace(system, has_root=True)).word == "boots"
    without = replace(KERNEL, symbols=frozenset({CONSOLE}))
    assert verdict(replace(system, has_root=True, kernel=without)).word == "cannot tell"
