# SPDX-License-Identifier: Apache-2.0
"""Whether a disk boots on clouds, as a document: for people `text()`, for programs `model_dump_json()`."""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from lkcloud.disk.inspect.facts import Architecture, DiskFacts, Firmware
from lkcloud.disk.inspect.look import inspect
from lkcloud.disk.inspect.window import printable
from lkcloud.disk.linux.agents import Agent
from lkcloud.disk.linux.drivers import Driver
from lkcloud.disk.linux.system import LinuxSystem, look_for_linux
from lkcloud.disk.readiness.judge import judge
from lkcloud.disk.readiness.needs import Needs
from lkcloud.disk.readiness.verdict import Aspect, Check, State, Verdict, Word
from lkcloud.formats.layout import Readable

_LABEL = 14
_ASPECTS: tuple[Aspect, ...] = ("size", "firmware", "kernel", "disk", "network", "console", "agent")
_WORST: tuple[State, ...] = ("fault", "unknown", "warning", "ok")
_CELLS: Mapping[State, str] = {"ok": "ok", "warning": "warning", "unknown": "?", "fault": "FAULT"}


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class CheckReport(_Document):
    """One thing that was looked at."""

    aspect: Aspect
    state: State
    what: str
    hint: str


class CloudReport(_Document):
    """A cloud's verdict."""

    cloud: str
    verdict: Word
    checks: tuple[CheckReport, ...]


class SystemReport(_Document):
    """The Linux system that the disk boots; what is not known is empty or null."""

    loader: str
    loader_file: str
    kernel: str
    kernel_release: str
    kernel_architecture: Architecture | None
    command_line: str | None
    initramfs: bool
    root: str
    """The name of the system on the root file system, `""` if it was not read."""
    agents: tuple[str, ...]
    unread: tuple[str, ...]
    """What could not be read, and why."""


class ReadinessReport(_Document):
    """What `lkcloud inspect --for` tells; SIZE is bytes."""

    size: int
    firmware: tuple[Firmware, ...]
    architecture: Architecture | None
    problems: tuple[str, ...]
    system: SystemReport
    clouds: tuple[CloudReport, ...]

    @property
    def boots(self) -> bool:
        """Whether there is no cloud on which it will not boot."""
        return all(one.verdict != "will not boot" for one in self.clouds)

    def text(self) -> str:
        """Return it for people, in aligned rows without a line break at the end."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        system = self.system
        yield _row("architecture", self.architecture or system.kernel_architecture or "unknown")
        if system.kernel:
            by = f", started by {system.loader}" if system.loader else ""
            where = f" ({system.loader_file})" if system.loader_file not in ("", system.kernel) else ""
            yield _row("kernel", f"{system.kernel_release or 'unknown version'}, {system.kernel}{by}{where}")
            yield _row("command line", "unknown" if system.command_line is None else system.command_line or "empty")
            yield _row("initramfs", "yes" if system.initramfs else "none")
        yield _row("system", system.root or "unknown")
        yield from (_row("not read", reason) for reason in system.unread)
        yield from (_row("problem", problem) for problem in self.problems)
        yield ""
        yield from _columns([("cloud", "verdict", *_ASPECTS), *(_cells(one) for one in self.clouds)])
        for one in self.clouds:
            yield ""
            for check in one.checks:
                yield f"{one.cloud:<{_LABEL}}{check.aspect}: {check.what}"
                if check.hint:
                    yield f"{'':<{_LABEL}}hint: {check.hint}"


def readiness_report(disk: Readable, clouds: Mapping[str, Needs], *, unpack: bool = True) -> ReadinessReport:
    """Look at DISK and hold it against the needs of CLOUDS, by their names.

    Takes seconds and less than 256 MiB, whatever is on the disk; without UNPACK milliseconds, and then nothing is known
    of the drivers in a kernel or an initramfs.
    """
    facts = inspect(disk)
    system, verdicts = readiness(disk, facts, clouds, unpack=unpack)
    return ReadinessReport(
        size=facts.size,
        firmware=facts.firmware,
        architecture=facts.architecture,
        problems=facts.problems,
        system=_system(system),
        clouds=tuple(
            CloudReport(cloud=one.cloud, verdict=one.word, checks=tuple(_check(check) for check in one.checks))
            for one in verdicts
        ),
    )


def readiness(
    disk: Readable, facts: DiskFacts, clouds: Mapping[str, Needs], *, unpack: bool
) -> tuple[LinuxSystem, tuple[Verdict, ...]]:
    """Return the system on DISK, which FACTS are of, and the verdict of each of CLOUDS."""
    needs = tuple(clouds.values())
    drivers = dict.fromkeys(driver for one in needs for driver in _drivers(one))
    agents = dict.fromkeys(agent for one in needs for agent in one.agents)
    system = look_for_linux(disk, facts, drivers=tuple(drivers), agents=_by_name(tuple(agents)), unpack=unpack)
    return system, tuple(judge(cloud, one, facts, system) for cloud, one in clouds.items())


def _drivers(needs: Needs) -> Iterator[Driver]:
    for device in (*needs.disks, *needs.networks):
        yield from device.drivers
    for consoles in needs.consoles.values():
        yield from (console.driver for console in consoles)


def _by_name(agents: Sequence[Agent]) -> Sequence[Agent]:
    """Return AGENTS with the paths of those of one name joined: two clouds may know one by different paths."""
    names = dict.fromkeys(agent.name for agent in agents)
    return tuple(
        Agent(name, tuple(dict.fromkeys(path for agent in agents if agent.name == name for path in agent.paths)))
        for name in names
    )


def _system(system: LinuxSystem) -> SystemReport:
    boot, kernel, line = system.boot, system.kernel, system.command_line
    return SystemReport(
        loader=boot.loader if boot else "",
        loader_file=printable(boot.where) if boot else "",
        kernel=printable(boot.kernel_path) if boot else "",
        kernel_release=printable(kernel.release) if kernel else "",
        kernel_architecture=kernel.architecture if kernel else None,
        command_line=printable(line.text) if line else None,
        initramfs=bool(boot and (boot.initramfs or boot.missing)),
        root=system.root.system or "of unknown name" if system.root else "",
        agents=tuple(sorted(system.agents)),
        unread=tuple(printable(reason) for reason in system.unread),
    )


def _check(check: Check) -> CheckReport:
    return CheckReport(aspect=check.aspect, state=check.state, what=printable(check.what), hint=printable(check.hint))


def _cells(cloud: CloudReport) -> tuple[str, ...]:
    cells = []
    for aspect in _ASPECTS:
        states = {check.state for check in cloud.checks if check.aspect == aspect}
        cells.append(next((_CELLS[state] for state in _WORST if state in states), "-"))
    return (cloud.cloud, cloud.verdict, *cells)


def _row(label: str, value: str) -> str:
    return f"{label:<{_LABEL}}{value}"


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
