# SPDX-License-Identifier: Apache-2.0
"""What lkcloud is to reach, in one table, and whether it has."""

from collections.abc import Callable
from dataclasses import dataclass

import conversions
import page_blobs
import tarballs
from contests import BLOCK, LKCLOUD, MIB, QEMU_IMG, STARTED, Contest, Figures, Results


@dataclass(frozen=True, slots=True)
class Goal:
    """FIGURE of the results must be at least or at most LIMIT; it is None where a run is missing."""

    what: str
    limit: float
    at_least: bool
    figure: Callable[["Measured"], float | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal and the figure that was measured; None: it was not."""

    goal: Goal
    figure: float | None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None if that is not known."""
        if self.figure is None:
            return None
        return self.figure >= self.goal.limit if self.goal.at_least else self.figure <= self.goal.limit


@dataclass(frozen=True, slots=True)
class Measured:
    """The contests that were held, by name, and their results."""

    contests: dict[str, Contest]
    results: Results

    def _of(self, contest: str, contestant: str) -> Figures | None:
        found = self.results.get(contest, {}).get(contestant)
        return found if found and found.runs else None

    def rate(self, contest: str, contestant: str = LKCLOUD) -> float | None:
        """Return units of work a second while the tool was at work: its start and the control plane do not count."""
        found = self._of(contest, contestant)
        return self.contests[contest].amount / found.at_work if found and found.at_work else None

    def sending_rate(self, contest: str) -> float | None:
        """Return units of work that lkcloud sends in a second: what was read and hashed before counts as ready."""
        found = self._of(contest, LKCLOUD)
        return self.contests[contest].amount / found.sending if found and found.sending else None

    def rate_ratio(self, contest: str, peer: str) -> float | None:
        """Return how many times the rate of PEER lkcloud has."""
        own, other = self.rate(contest), self.rate(contest, peer)
        return own / other if own and other else None

    def wall_ratio(self, contest: str, peer: str) -> float | None:
        """Return lkcloud's wall time, of whole processes, as a part of that of PEER."""
        own, other = self._of(contest, LKCLOUD), self._of(contest, peer)
        return own.wall / other.wall if own and other else None

    def wall_ratio_started(self, contest: str, peer: str) -> float | None:
        """Return lkcloud's wall time without that of starting it, as a part of that of PEER."""
        own, start, other = self._of(contest, LKCLOUD), self._of(contest, STARTED), self._of(contest, peer)
        return (own.wall - start.wall) / other.wall if own and start and other else None

    def written_ratio(self, contest: str, peer: str) -> float | None:
        """Return the size of the file that lkcloud wrote as a part of that of PEER."""
        own, other = self._of(contest, LKCLOUD), self._of(contest, peer)
        return own.written / other.written if own and other and other.written else None

    def sent_ratio(self, contest: str) -> float | None:
        """Return the bytes that lkcloud sent as a multiple of the data."""
        found = self._of(contest, LKCLOUD)
        return found.sent / self.contests[contest].data if found and found.sent else None

    def sent_to(self, contest: str, peer: str) -> float | None:
        """Return the bytes that lkcloud sent as a part of those of PEER."""
        own, other = self._of(contest, LKCLOUD), self._of(contest, peer)
        return own.sent / other.sent if own and other and own.sent and other.sent else None

    def memory(self, contest: str) -> float | None:
        """Return the MiB of lkcloud's largest resident set."""
        found = self._of(contest, LKCLOUD)
        return found.memory / MIB if found else None


_KIB = BLOCK // 1024

GOALS: tuple[Goal, ...] = (
    Goal(f"EBS direct, blocks of {_KIB} KiB sent a second", 1000, True, lambda m: m.sending_rate("ebs")),
    Goal(
        "EBS direct with hashing, times the rate of boto3",
        1.8,
        True,
        lambda m: m.rate_ratio("ebs", "boto3, 16 threads"),
    ),
    Goal("S3, wall time to that of aws s3 cp", 0.6, False, lambda m: m.wall_ratio("s3", "aws s3 cp")),
    Goal("S3, wall time to that of s5cmd", 0.6, False, lambda m: m.wall_ratio("s3", "s5cmd")),
    Goal("S3, dense disk, bytes sent to data", 1.03, False, lambda m: m.sent_ratio("s3")),
    Goal("EBS direct, sparse disk, bytes sent to data", 1.03, False, lambda m: m.sent_ratio("sparse-ebs")),
    Goal("S3 as dynamic VHD, sparse disk, bytes sent to data", 1.03, False, lambda m: m.sent_ratio("sparse-vhd")),
    Goal("Start, wall time to that of aws --version", 0.6, False, lambda m: m.wall_ratio("start", "aws --version")),
    Goal("Huge sparse disk by EBS direct, MiB of memory", 256, False, lambda m: m.memory("memory-ebs")),
    Goal("Huge sparse disk as dynamic VHD, MiB of memory", 256, False, lambda m: m.memory("memory-vhd")),
)


def _tarball(kind: str) -> tuple[Goal, ...]:
    """Return the goals of the Compute Engine tarball of one of the disks."""
    contest = f"{tarballs.PREFIX}{kind}"

    def time(peer: str, limit: float) -> Goal:
        what = f"Tarball, {kind} disk, wall time to that of {peer}"
        return Goal(what, limit, False, lambda m: m.wall_ratio(contest, peer))

    size = Goal(
        f"Tarball, {kind} disk, size to that of {tarballs.GZIP}",
        1.12,
        False,
        lambda m: m.written_ratio(contest, tarballs.GZIP),
    )
    return time(tarballs.GZIP, 1 / 20), time(tarballs.PIGZ_6, 1 / 8), time(tarballs.IGZIP, 0.7), size


GOALS += tuple(goal for kind in tarballs.KINDS for goal in _tarball(kind))


def _page_blob(kind: str) -> tuple[Goal, ...]:
    """Return the goals of writing one of the disks into a page blob."""
    contest = f"{page_blobs.PREFIX}{kind}"
    sink = f"{contest}{page_blobs.SINK}"
    azcopy = page_blobs.AZCOPY
    what = f"Page blob, {page_blobs.KINDS[kind]}"
    return (
        Goal(f"{what}, wall time to that of {azcopy}", 0.5, False, lambda m: m.wall_ratio(contest, azcopy)),
        Goal(f"{what}, bytes sent to those of {azcopy}", 1, False, lambda m: m.sent_to(sink, azcopy)),
        Goal(f"{what}, MiB of memory", 256, False, lambda m: m.memory(contest)),
    )


GOALS += tuple(goal for kind in page_blobs.KINDS for goal in _page_blob(kind))


def _fixed_vhd(kind: str) -> Goal:
    """Return the goal of the fixed VHD of one of the disks: once started, about as fast as qemu-img."""
    what = f"Fixed VHD, {kind} disk, wall time once started to qemu-img's"
    return Goal(what, 1.3, False, lambda m: m.wall_ratio_started(f"convert-{kind}", QEMU_IMG))


GOALS += (_fixed_vhd("dense"), _fixed_vhd("sparse"))


def _converted(contest: str, wall: float, size: float) -> tuple[Goal, Goal]:
    """Return the goals of one of the image formats, both to what qemu-img does."""
    peer, what = conversions.PEER, conversions.CONVERSIONS[contest].title
    return (
        Goal(f"{what}, wall time to that of qemu-img", wall, False, lambda m: m.wall_ratio(contest, peer)),
        Goal(f"{what}, size to that of qemu-img", size, False, lambda m: m.written_ratio(contest, peer)),
    )


GOALS += _converted("vmdk", 1 / 8, 1.1)
GOALS += _converted("qcow2-zlib", 1 / 8, 1.1)
GOALS += _converted("qcow2-zstd", 1, 1.01)


def judge(measured: Measured) -> list[Verdict]:
    """Return how each goal stands."""
    return [Verdict(goal, goal.figure(measured)) for goal in GOALS]
