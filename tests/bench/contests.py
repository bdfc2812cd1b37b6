# SPDX-License-Identifier: Apache-2.0
"""What is run against what: each contest is one job, done in turn by lkcloud and by the tools people use."""

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import measure
from disks import TestDisk
from measure import Taken
from peers import Peers
from sink import Build, Sink, Stats

HERE = Path(__file__).parent
LKCLOUD = "lkcloud"
STARTED = "lkcloud --version"
"""What it takes lkcloud to start, in a contest in which that is not to count."""

QEMU_IMG = "qemu-img"
QEMU_FLUSHED = f"{QEMU_IMG} -t writeback"
MIB = 1024**2
BLOCK = 512 * 1024

_SCRATCH = HERE.parents[1] / ".cache/bench"
"""Where the disks are, too: what is converted stays on one file system, and none of it is memory."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A tool; COMMAND returns its command line, for a folder of its own that is empty. None: it is not there."""

    name: str
    command: Callable[[Path], Sequence[str | Path]] | None
    rounds: int | None = None
    """The most rounds for one that takes minutes and so varies little."""


class Server(Protocol):
    """What the tools of a contest send to."""

    def environment(self) -> dict[str, str]:
        """Return the variables that lead the tools here."""
        ...

    def begin(self) -> None:
        """Forget what an earlier run has sent."""
        ...

    def end(self) -> Stats | None:
        """Return what has come in since `begin`, None if nobody counts."""
        ...


@dataclass(frozen=True, slots=True)
class Contest:
    """One job. The work of one run is AMOUNT of UNIT; DATA is the bytes that are to travel, if any do."""

    name: str
    title: str
    contestants: tuple[Contestant, ...]
    server: Server | None = None
    amount: float = 0.0
    unit: str = ""
    data: int = 0
    warm_up: bool = False
    """Whether a run that does not count goes before, since a job so short would measure the disk's cache."""
    times: int = 1
    """How many times the rounds of other contests: short jobs vary more."""
    output: str = ""
    """The name of the file that each tool writes, if its size counts."""
    check: Callable[[], None] | None = None
    """Looks at what the first run of each tool has left at the server; raises measure.Failed if it is wrong."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run; STATS is what the sink saw of it, WRITTEN the bytes of the file that it wrote."""

    taken: Taken
    stats: Stats | None
    written: int = 0


@dataclass
class Figures:
    """All runs of one contestant; there are none if it is SKIPPED, or if it FAILED, which says how."""

    runs: list[Run] = field(default_factory=list)
    skipped: bool = False
    failed: str = ""

    @property
    def walls(self) -> list[float]:
        """Seconds of each run."""
        return [run.taken.wall for run in self.runs]

    @property
    def wall(self) -> float:
        """Median seconds."""
        return statistics.median(self.walls)

    @property
    def cpu(self) -> float:
        """Median seconds of processor time."""
        return statistics.median(run.taken.cpu for run in self.runs)

    @property
    def memory(self) -> int:
        """Bytes of the largest resident set of all runs."""
        return max(run.taken.memory for run in self.runs)

    @property
    def sent(self) -> float | None:
        """Median bytes that the sink received."""
        seen = [run.stats.body_bytes for run in self.runs if run.stats]
        return statistics.median(seen) if seen else None

    @property
    def requests(self) -> float | None:
        """Median requests that the sink received."""
        seen = [run.stats.requests for run in self.runs if run.stats]
        return statistics.median(seen) if seen else None

    @property
    def written(self) -> float:
        """Median bytes of the file that it wrote."""
        return statistics.median(run.written for run in self.runs)

    @property
    def at_work(self) -> float | None:
        """Median seconds of the work itself, as the tool tells: without starting, and without the control plane."""
        return self._told("read", "send")

    @property
    def sending(self) -> float | None:
        """Median seconds of sending, as the tool tells; for one that hashes as it sends, of both."""
        return self._told("send")

    def _told(self, *stages: str) -> float | None:
        told = [seconds for run in self.runs if (seconds := _seconds(run.taken.output, stages))]
        return statistics.median(told) if told else None


Results = dict[str, dict[str, Figures]]
"""Figures by the names of contest and contestant."""


def hold(contest: Contest, rounds: int) -> dict[str, Figures]:
    """Let all contestants run in turn, A B C A B C, ROUNDS times."""
    figures = {contestant.name: Figures() for contestant in contest.contestants}
    for number in range(-1 if contest.warm_up else 0, rounds * contest.times):
        for contestant in contest.contestants:
            kept = figures[contestant.name]
            kept.skipped = contestant.command is None
            if kept.skipped or kept.failed or number >= (contestant.rounds or rounds * contest.times):
                continue
            try:
                run = _run(contestant, contest)
                if contest.check is not None and not kept.runs:
                    contest.check()
            except measure.Failed as error:
                kept.failed = str(error)
                kept.runs.clear()
                continue
            if number >= 0:
                kept.runs.append(run)
    return figures


def _run(contestant: Contestant, contest: Contest) -> Run:
    """Run it once, with state, cache and home folders that nothing has been in before."""
    assert contestant.command is not None
    _SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_SCRATCH) as scratch:
        environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        environment |= {
            "HOME": scratch,
            "LKCLOUD_STATE_DIR": f"{scratch}/state",
            "LKCLOUD_CACHE_DIR": f"{scratch}/cache",
        }
        server = contest.server
        if server is None:
            taken = measure.run(contestant.command(Path(scratch)), environment)
            return Run(taken, None, Path(scratch, contest.output).stat().st_size if contest.output else 0)
        server.begin()
        taken = measure.run(contestant.command(Path(scratch)), environment | server.environment())
        return Run(taken, server.end())


def _seconds(output: str, stages: Sequence[str]) -> float:
    """Return the seconds of STAGES that a tool told, 0 if it told none."""
    try:
        told = json.loads(output)["seconds"]
    except (ValueError, KeyError, TypeError):
        return 0.0
    return float(sum(told.get(stage, 0.0) for stage in stages))


@dataclass(frozen=True, slots=True)
class Course:
    """What the contests need: disks, sinks and tools."""

    dense: TestDisk
    sparse: TestDisk
    huge: TestDisk
    built: Build
    """The sink's program, and a certificate for servers."""
    near: Sink
    far: Sink
    """With latency."""
    peers: Peers

    def contests(self) -> Iterator[Contest]:
        """Yield the contests, the quickest first."""
        yield self._start_up()
        yield self._ebs("ebs", "EBS direct, dense disk, blocks of 512 KiB", self.near)
        yield self._ebs("ebs-far", "EBS direct, dense disk, 20 ms of latency", self.far)
        yield self._s3()
        yield self._sparse(
            "sparse-ebs", "EBS direct, sparse ext4 disk", own("lkcloud_ebs.py", self.sparse), self.sparse
        )
        sparse_vhd = own("lkcloud_s3.py", self.sparse, "vhd", "--push")
        yield self._sparse("sparse-vhd", "S3 as dynamic VHD, sparse ext4 disk", sparse_vhd, self.sparse)
        yield self._sparse("memory-ebs", "EBS direct, huge sparse disk", own("lkcloud_ebs.py", self.huge), self.huge)
        huge_vhd = own("lkcloud_s3.py", self.huge, "vhd", "--push")
        yield self._sparse("memory-vhd", "S3 as dynamic VHD, huge sparse disk", huge_vhd, self.huge)
        for kind, disk in (("dense", self.dense), ("sparse", self.sparse)):
            yield self._convert(kind, disk)
            yield self._read(kind, disk)

    def _start_up(self) -> Contest:
        aws = Contestant("aws --version", _command(self.peers.aws, "--version"))
        own = Contestant(LKCLOUD, lambda scratch: [script("lkcloud"), "--help"])
        return Contest("start", "Start: lkcloud --help", (own, aws), warm_up=True, times=4)

    def _ebs(self, name: str, title: str, sink: Sink) -> Contest:
        boto3 = _command(self.peers.python, HERE / "peer_boto3_ebs.py", self.dense.path)
        contestants = (own("lkcloud_ebs.py", self.dense), Contestant("boto3, 16 threads", boto3))
        blocks = self.dense.size / BLOCK
        return Contest(name, title, contestants, sink, blocks, "blocks", self.dense.data)

    def _s3(self) -> Contest:
        path, data, peers = self.dense.path, self.dense.data, self.peers
        target = "s3://bench/object"
        contestants = (
            own("lkcloud_s3.py", self.dense, "raw"),
            own("lkcloud_s3.py", self.dense, "raw", "--push", name="lkcloud, with the content digest"),
            Contestant("aws s3 cp", _command(peers.aws, "s3", "cp", "--only-show-errors", path, target)),
            Contestant("s5cmd", _command(peers.s5cmd, "--log", "error", "cp", path, target)),
        )
        return Contest("s3", "S3 multipart, dense disk, raw", contestants, self.near, data / MIB, "MiB", data)

    def _sparse(self, name: str, title: str, own: Contestant, disk: TestDisk) -> Contest:
        return Contest(name, title, (own,), self.near, disk.data / MIB, "MiB of data", disk.data)

    def _convert(self, kind: str, disk: TestDisk) -> Contest:
        def convert(scratch: Path) -> list[str | Path]:
            return [script("lkcloud"), "convert", disk.path, scratch / "disk.vhd", "--format", "vhd"]

        def qemu(name: str, *more: str) -> Contestant:
            def command(scratch: Path) -> list[str | Path]:
                options = ["-f", "raw", *more, "-O", "vpc", "-o", "subformat=fixed,force_size=on"]
                return [self.peers.qemu_img or "", "convert", *options, disk.path, scratch / "disk.vhd"]

            return Contestant(name, command if self.peers.qemu_img else None)

        # By itself qemu-img leaves it to the kernel when the file is written to the disk, as lkcloud does.
        contestants = (
            Contestant(LKCLOUD, convert),
            Contestant(STARTED, lambda scratch: [script("lkcloud"), "--version"]),
            qemu(QEMU_IMG),
            qemu(QEMU_FLUSHED, "-t", "writeback"),
        )
        title = f"Convert to fixed VHD, {kind} disk"
        return Contest(f"convert-{kind}", title, contestants, None, disk.data / MIB, "MiB of data")

    def _read(self, kind: str, disk: TestDisk) -> Contest:
        own = Contestant(LKCLOUD, lambda scratch: [script("lkcloud"), "inspect", disk.path, "--json"])
        peer = Contestant("sha256sum", _command(self.peers.sha256sum, disk.path))
        title = f"Extents and content digest (lkcloud inspect), {kind} disk"
        return Contest(f"read-{kind}", title, (own, peer), None, disk.size / MIB, "MiB of disk")


def own(program: str, disk: TestDisk, *words: str, name: str = LKCLOUD) -> Contestant:
    """Return lkcloud as PROGRAM of this folder runs it with DISK and WORDS."""
    return Contestant(name, lambda scratch: [sys.executable, HERE / program, disk.path, *words])


def _command(program: Path | None, *words: str | Path) -> Callable[[Path], Sequence[str | Path]] | None:
    return (lambda scratch: [program, *words]) if program else None


def script(name: str) -> Path:
    """Return the command that is installed beside this Python."""
    return Path(sys.executable).with_name(name)
