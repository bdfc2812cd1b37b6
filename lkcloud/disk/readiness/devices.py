# SPDX-License-Identifier: Apache-2.0
"""Whether a system has the drivers for a cloud's disks, network and console, and an agent that knows the cloud."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lkcloud.disk.inspect.facts import Architecture, Firmware
from lkcloud.disk.linux.command_line import CommandLine
from lkcloud.disk.linux.drivers import Driver
from lkcloud.disk.linux.system import LinuxSystem, Place
from lkcloud.disk.readiness.needs import Console, Device, Needs
from lkcloud.disk.readiness.verdict import Aspect, Check, State

_NAMED_DISK = re.compile(r"/dev/(?:sd|hd|vd|xvd|nvme)[a-z0-9]+")
_NEEDS_INITRAMFS = ("LABEL=", "UUID=", "/dev/disk/", "/dev/mapper/", "gpt-auto")
"""What programs in an initramfs find and the kernel alone does not (init/do_mounts.c, block/early-lookup.c)."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found of one device: drivers that are missing, and that nobody can tell of."""

    device: Device
    missing: tuple[Driver, ...]
    unknown: tuple[Driver, ...]
    places: tuple[Place, ...]
    misnamed: str = ""
    """What root= says, if the disk has another name there."""

    @property
    def usable(self) -> bool:
        return not self.missing and not self.unknown and not self.misnamed

    @property
    def excluded(self) -> bool:
        return bool(self.missing or self.misnamed)

    def reason(self) -> str:
        if self.missing:
            return f"{_names(self.missing)} {'is' if len(self.missing) == 1 else 'are'} missing"
        if self.misnamed:
            return f"root={self.misnamed} is {' or '.join(f'{name}…' for name in self.device.root)} there"
        return f"whether it has {_names(self.unknown)} cannot be told"


def disk(
    needs: Needs, system: LinuxSystem, machine: Architecture | None, usable: tuple[Firmware, ...]
) -> Iterator[Check]:
    """Yield whether the root file system is found on the disks of the cloud's machines."""
    if system.boot is None or system.kernel is None:
        return
    line = system.command_line
    if system.root_on_disk is False:
        if system.initramfs is None or system.initramfs.has_init or (line and (line.root or line.values("rdinit"))):
            yield Check("disk", "ok", "not needed: the initramfs is the whole system")
        else:
            yield Check("disk", "unknown", "the initramfs has no /init, and no root= is in the command line")
        return
    root = line.root if line else ""
    if system.initramfs is None and not system.initramfs_unknown and not system.boot.missing:
        if line is not None and not root and line.complete:
            yield Check("disk", "unknown", "there is no initramfs, and no root= in the command line")
            return
        if root.startswith(_NEEDS_INITRAMFS):
            yield Check(
                "disk",
                "fault",
                f"without an initramfs the kernel does not find root={root}",
                "give root=PARTUUID=..., or an initramfs",
            )
            return
    looks = [
        _look(device, system.early, root)
        for device in needs.disks
        if (machine is None or machine in device.architectures) and (not usable or set(usable) & set(device.firmware))
    ]
    known = system.root_on_disk is True
    yield from _devices("disk", looks, "fault" if known else "unknown", "build them into the kernel or its initramfs")


def network(needs: Needs, system: LinuxSystem, machine: Architecture | None) -> Iterator[Check]:
    """Yield whether the system has the network of the cloud's machines."""
    if system.boot is None or system.kernel is None:
        return
    looks = [
        _look(device, system.late, "")
        for device in needs.networks
        if machine is None or machine in device.architectures
    ]
    yield from _devices("network", looks, "warning", "add them to the kernel, its initramfs or the root file system")


def console(needs: Needs, system: LinuxSystem, machine: Architecture | None) -> Check:
    """Return whether the serial console that the cloud shows says anything."""
    line = system.command_line
    if line is None or machine is None:
        return Check("console", "unknown", "the kernel's command line was not found")
    ports = needs.consoles.get(machine, ())
    chosen = next((port for port in ports if port.name in line.consoles), None)
    if chosen is None:
        return _no_console(needs, line, ports, machine)
    if system.built_in(chosen.driver) is False:
        option = chosen.driver.option
        missing = f"the kernel has no driver that prints on {chosen.name} ({option})"
        return Check("console", "warning", missing, f"build it with {option}=y")
    last = line.consoles[-1]
    if all(last != port.name for port in ports):
        return Check("console", "ok", f"{chosen.name} shows what the kernel says; init speaks to {last}, named last")
    return Check("console", "ok", chosen.name)


def _no_console(needs: Needs, line: CommandLine, ports: tuple[Console, ...], machine: Architecture) -> Check:
    names = " or ".join(f"console={port.name}" for port in ports)
    if not line.complete:
        return Check("console", "unknown", f"not all of the command line is known, and what is has no {names}")
    if machine == "arm64" and not line.consoles:
        # drivers/acpi/spcr.c: arm64 takes the port that the firmware's table names, if it names one.
        return Check("console", "unknown", "no console= is given, and which port the firmware names is not known")
    silent = f"the command line has no {names}: the console of {needs.title} stays silent, and no test sees it boot"
    return Check("console", "warning", silent, f"add {names.partition(' ')[0]},115200n8 to the kernel's command line")


def agent(needs: Needs, system: LinuxSystem) -> Check:
    """Return whether something in the system asks the cloud for keys and user data."""
    found = [one.name for one in needs.agents if one.name in system.agents]
    if found:
        return Check("agent", "ok", ", ".join(found))
    read = system.initramfs is not None and not system.initramfs.problem
    if system.root is None and not (read and system.root_on_disk is False):
        return Check("agent", "unknown", "the root file system was not read")
    if system.root is not None and not system.root.whole:
        return Check("agent", "unknown", "the root file system was not read as a whole")
    wanted = ", ".join(one.name for one in needs.agents)
    if needs.without_agent:
        return Check("agent", "warning", f"none was found: {needs.without_agent}", f"install one of {wanted}")
    return Check("agent", "ok", "none was found: keys and user data of the cloud are not read")


def _look(device: Device, where: Callable[[Driver], Place], root: str) -> _Look:
    places = {driver: where(driver) for driver in device.drivers}
    named = _NAMED_DISK.match(root)
    return _Look(
        device,
        tuple(driver for driver, place in places.items() if place is Place.NOWHERE),
        tuple(driver for driver, place in places.items() if place is Place.UNKNOWN),
        tuple(places.values()),
        root if named and device.root and not root.startswith(device.root) else "",
    )


def _devices(aspect: Aspect, looks: list[_Look], worst: State, hint: str) -> Iterator[Check]:
    """Yield what LOOKS come to: one usable device is enough, and where others are is where it does not work."""
    usable = [look for look in looks if look.usable]
    for look in usable:
        places = sorted({place.value for place in look.places})
        yield Check(aspect, "ok", f"{look.device.name}: {', '.join(places)}")
    for look in looks:
        if usable and look.excluded:
            what = f"not on {look.device.machines}: {look.reason()}"
            yield Check(aspect, "ok", what) if look.device.minor else Check(aspect, "warning", what, hint)
        elif usable and not look.usable:
            yield Check(aspect, "ok", f"{look.device.name}, on {look.device.machines}: {look.reason()}")
    if usable:
        return
    if looks and all(look.excluded for look in looks):
        yield Check(aspect, worst, "; ".join(f"for {look.device.name} {look.reason()}" for look in looks), hint)
    else:
        reasons = "; ".join(f"{look.device.name}: {look.reason()}" for look in looks)
        yield Check(aspect, "unknown", reasons or "there is no such device for this firmware")


def _names(drivers: tuple[Driver, ...]) -> str:
    *others, last = (driver.module for driver in drivers)
    return f"{', '.join(others)} and {last}" if others else last
