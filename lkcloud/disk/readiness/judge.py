# SPDX-License-Identifier: Apache-2.0
"""Hold a disk against what a cloud needs."""

from collections.abc import Iterator

from lkcloud.disk.inspect.facts import LOADERS, Architecture, DiskFacts, Firmware
from lkcloud.disk.linux.system import LinuxSystem
from lkcloud.disk.readiness import devices
from lkcloud.disk.readiness.needs import Needs
from lkcloud.disk.readiness.verdict import Check, Verdict

_GPT_SECTOR = 512
"""Bytes of a sector of the boot disks of all clouds that are known here; a disk for others has its table elsewhere."""

_TEST = "boot it, here first: lkcloud push CLOUD IMAGE --sandbox --test"


def judge(cloud: str, needs: Needs, facts: DiskFacts, system: LinuxSystem) -> Verdict:
    """Return whether a disk with FACTS, which boots SYSTEM, does so on CLOUD, which has NEEDS."""
    machine = facts.architecture or (system.kernel.architecture if system.kernel else None)
    usable = _usable_firmware(needs, facts, machine)
    checks = [
        *_size(needs, facts),
        _firmware(needs, facts, machine, usable),
        *_kernel(facts, system),
        *devices.disk(needs, system, machine, usable),
        *(devices.network(needs, system, machine) if needs.networks else ()),
        devices.console(needs, system, machine),
        *((devices.agent(needs, system),) if needs.agents else ()),
    ]
    return Verdict(cloud, needs.title, tuple(checks))


def _size(needs: Needs, facts: DiskFacts) -> Iterator[Check]:
    sizes, filled = needs.sizes, needs.sizes.filled(facts.size)
    if not facts.size:
        yield Check("size", "fault", "the disk is empty", "give a disk image with at least one byte")
    elif facts.size > sizes.largest:
        yield Check(
            "size",
            "fault",
            f"the disk has {facts.size} bytes and {needs.title} takes {sizes.largest}",
            "make the disk smaller: a machine can make it larger again",
        )
    elif cut := next((one for one in facts.partitions if one.end > filled), None):
        yield Check(
            "size",
            "fault",
            f"partition {cut.number} ends {cut.end - facts.size} bytes behind the end of the disk, which was cut short",
            "build or copy the disk again",
        )
    elif filled != facts.size:
        behind = ", and the second header of its GPT is then not at the end" if facts.table == "gpt" else ""
        yield Check("size", "ok", f"it is filled up with zeros to {filled} bytes{behind}")
    else:
        yield Check("size", "ok", "it can stay as it is")


def _usable_firmware(needs: Needs, facts: DiskFacts, machine: Architecture | None) -> tuple[Firmware, ...]:
    """Return what the disk boots by on the cloud; UEFI in front, which a push takes if there is a choice."""
    if machine is None or facts.sector_size != _GPT_SECTOR:
        return ()
    loader = next(name for name, architecture in LOADERS.items() if architecture == machine)
    found: list[Firmware] = ["uefi"] if loader in facts.efi_loaders else []
    if facts.bios and machine == "x86_64":
        found.append("bios")
    return tuple(one for one in found if one in needs.firmware.get(machine, ()))


def _firmware(needs: Needs, facts: DiskFacts, machine: Architecture | None, usable: tuple[Firmware, ...]) -> Check:
    if facts.sector_size != _GPT_SECTOR:
        return Check(
            "firmware",
            "fault",
            f"the GPT is for sectors of {facts.sector_size} bytes, and boot disks of {needs.title} have {_GPT_SECTOR}",
            "build the disk for sectors of 512 bytes",
        )
    if usable:
        return Check("firmware", "ok", " and ".join({"uefi": "UEFI", "bios": "BIOS"}[one] for one in usable))
    if machine is None or (facts.cd_firmware and not facts.firmware):
        return _nothing_for_a_machine(facts)
    if machine not in needs.firmware:
        return Check("firmware", "fault", f"{needs.title} has no machines for {machine}", "build it for another")
    loader = next(name for name, architecture in LOADERS.items() if architecture == machine)
    ways = needs.firmware[machine]
    missing = [f"EFI/BOOT/{loader}"] if "uefi" in ways else []
    missing += ["BIOS boot code"] if "bios" in ways else []
    others = [name for name in facts.efi_loaders if name in LOADERS]
    beside = f"; there is {', '.join(others)}" if others else ""
    return Check(
        "firmware",
        "fault",
        f"for {machine} there is no {' and no '.join(missing)}{beside}",
        f"put a loader for {machine} at {missing[0]} of an EFI system partition",
    )


def _nothing_for_a_machine(facts: DiskFacts) -> Check:
    """Say what is wrong with a disk that no machine of any cloud starts, or that is for no known processor."""
    if facts.firmware:
        return Check("firmware", "unknown", "which processor the disk is for cannot be told")
    if facts.cd_firmware:
        return Check(
            "firmware",
            "fault",
            "it is an ISO image that boots as a CD only, and machines of a cloud start from disks",
            "build a disk image, or a hybrid ISO, which boots as a disk too",
        )
    return Check(
        "firmware",
        "fault",
        "there is nothing to start: no BIOS boot code and no " + " or ".join(f"EFI/BOOT/{name}" for name in LOADERS),
        "put a loader into an EFI system partition; look at the disk with `lkcloud inspect`",
    )


def _kernel(facts: DiskFacts, system: LinuxSystem) -> Iterator[Check]:
    boot, kernel = system.boot, system.kernel
    if boot is None or kernel is None:
        reason = next((one for one in system.unread if "kernel" in one or "named" in one), "no Linux kernel was found")
        yield Check("kernel", "unknown", reason, _TEST)
    elif None not in (kernel.architecture, facts.architecture) and kernel.architecture != facts.architecture:
        yield Check(
            "kernel",
            "fault",
            f"the kernel is for {kernel.architecture}, and what starts it for {facts.architecture}",
            "put a kernel and a loader for the same processor on the disk",
        )
    elif not boot.loader:
        yield Check("kernel", "unknown", f"whether {boot.kernel_path} is what a loader starts is not known", _TEST)
    else:
        yield Check("kernel", "ok", kernel.release or "of unknown version")
        for path in boot.missing:
            yield Check("kernel", "unknown", f"the initramfs {path} was not found")
        if system.initramfs is not None and system.initramfs.problem:
            # What starts is in it, or not: drivers that the kernel has built in are of no help then.
            yield Check(
                "kernel", "unknown", f"the initramfs was not read to its end: {system.initramfs.problem}", _TEST
            )
