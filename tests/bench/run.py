# SPDX-License-Identifier: Apache-2.0
"""Times lkcloud against the tools that people use: `make bench`; docs/benchmarks.md says what the figures mean."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import contests
import conversions
import disks
import emulator
import goals
import page_blobs
import peers
import report
import sink
import tarballs
from contests import Contest, Course
from goals import Measured

FOLDER = Path(__file__).resolve().parents[2] / ".cache/bench"
LATENCY = 0.02
"""Seconds that the far sink waits before an answer."""


def main() -> int:
    """Run the benchmark; return 1 if a goal is missed or a tool fails, 2 if it cannot be run."""
    chosen = _arguments()
    about = report.machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()), end="\n\n", flush=True)
    rounds = chosen.rounds or (3 if chosen.quick else 5)
    measured = Measured({}, {})
    try:
        with _course(quick=chosen.quick) as course:
            for contest in _wanted(course, chosen.only, quick=chosen.quick):
                measured.contests[contest.name] = contest
                measured.results[contest.name] = contests.hold(contest, rounds)
                print(report.table(contest, measured.results[contest.name]), end="\n\n", flush=True)
    except (sink.Missing, FileNotFoundError, LookupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = goals.judge(measured)
    print(report.verdicts(found))
    if chosen.json:
        text = json.dumps(report.document(about, measured, found, rounds), indent=2)
        chosen.json.write_text(text + "\n", encoding="utf-8")
    failed = any(figures.failed for results in measured.results.values() for figures in results.values())
    return 1 if failed or any(verdict.met is False for verdict in found) else 0


def _wanted(course: Course, names: list[str] | None, *, quick: bool) -> Iterator[Contest]:
    """Yield the contests; what only one of them needs, a large disk or an emulator, is made if it is wanted."""
    every = {contest.name: contest for contest in course.contests()}
    packed = (*(f"{tarballs.PREFIX}{kind}" for kind in tarballs.KINDS), *conversions.CONVERSIONS)
    known = (*every, *packed, *page_blobs.names())
    for name in names or ():
        if name not in known:
            raise LookupError(f"there is no contest {name}; there are {', '.join(known)}")
    wanted = names or known
    yield from (contest for name, contest in every.items() if name in wanted)
    for kind in tarballs.KINDS:
        if f"{tarballs.PREFIX}{kind}" in wanted:
            yield tarballs.contest(kind, tarballs.disk(kind, FOLDER, quick=quick), course.peers)
    for name in conversions.CONVERSIONS:
        if name in wanted:
            yield conversions.contest(name, tarballs.disk("sparse", FOLDER, quick=quick), course.peers)
    for thrown_away in (False, True):
        suffix = page_blobs.SINK if thrown_away else ""
        kinds = [kind for kind in page_blobs.KINDS if f"{page_blobs.PREFIX}{kind}{suffix}" in wanted]
        if kinds and not thrown_away and (reason := emulator.without_azurite()):
            print(f"{', '.join(page_blobs.PREFIX + kind for kind in kinds)}: skipped, {reason}", end="\n\n", flush=True)
        elif kinds:
            with emulator.azurite(FOLDER / "azurite", course.built) as azurite:
                server = emulator.ThrowingAway(course.near) if thrown_away else azurite
                for kind in kinds:
                    disk = page_blobs.disk(kind, FOLDER, quick=quick)
                    yield page_blobs.contest(kind, disk, course.peers, server, thrown_away=thrown_away)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller disks and 3 rounds instead of 5")
    parser.add_argument("--rounds", type=int, metavar="N", help="how many rounds")
    parser.add_argument("--only", action="append", metavar="CONTEST", help="hold this contest only; can be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    return parser.parse_args()


@contextmanager
def _course(*, quick: bool) -> Iterator[Course]:
    """Make what the contests need, in a folder that git does not know, and keep it for the next time."""
    built = sink.build(FOLDER)
    tools = peers.install(FOLDER / "peers")
    mib, gib = disks.MIB, disks.GIB
    dense = disks.dense(FOLDER, 512 * mib if quick else 1536 * mib)
    sparse = disks.file_system(FOLDER, *((4 * gib, 300 * mib) if quick else (8 * gib, 600 * mib)))
    huge = disks.file_system(FOLDER, 64 * gib, 500 * mib)
    with built.run() as near, built.run(delay=LATENCY) as far:
        yield Course(dense=dense, sparse=sparse, huge=huge, built=built, near=near, far=far, peers=tools)


if __name__ == "__main__":
    sys.exit(main())
