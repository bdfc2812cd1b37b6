# SPDX-License-Identifier: Apache-2.0
"""The benchmark measures what it says: every client's bytes arrive, all of them and once. No time is looked at."""

import filecmp
import gzip
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import contests
import conversions
import disks
import emulator
import goals
import measure
import page_blobs
import pytest
import report
import sink
import tarballs
from contests import BLOCK, LKCLOUD, MIB, Contest, Contestant, Figures, Run
from disks import GIB, TestDisk
from goals import GOALS, Measured
from measure import Taken
from peers import NPM, Peers
from sink import Sink, Stats

import lkcloud
from lkcloud.formats import vhd_dynamic

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def running_sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    if not sink.can_build():
        pytest.skip("gcc, openssl or OpenSSL's headers are missing (Debian: apt-get install gcc libssl-dev openssl)")
    with sink.build(tmp_path_factory.mktemp("sink")).run() as running:
        yield running


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """9 MiB and a bit: noise, two blocks of written zeros, a hole, and a last block that is not whole."""
    path = tmp_path / "disk.raw"
    noise = random.Random(8)
    with path.open("wb") as file:
        file.write(noise.randbytes(6 * BLOCK) + bytes(2 * BLOCK))
        file.seek(17 * BLOCK)
        file.write(noise.randbytes(BLOCK + 512))
    return path


def _run(program: str, running: Sink, folder: Path, *words: str | Path, python: bool = True) -> Stats:
    command = [sys.executable, HERE / program, *words] if python else [program, *words]
    environment = running.environment() | {
        "HOME": str(folder),
        "PYTHONPATH": ":".join(sys.path),
        "LKCLOUD_STATE_DIR": str(folder / "state"),
        "LKCLOUD_CACHE_DIR": str(folder / "cache"),
    }
    running.stats()
    measure.run(command, environment)
    return running.stats()


@pytest.mark.parametrize("program", ["lkcloud_ebs.py", "peer_boto3_ebs.py"])
def test_each_block_that_is_not_zero_is_written_once(
    program: str, running_sink: Sink, disk: Path, tmp_path: Path
) -> None:
    seen = _run(program, running_sink, tmp_path, disk)
    assert (seen.puts, seen.put_bytes) == (8, 8 * BLOCK)


def test_lkcloud_uploads_the_raw_disk_to_the_byte(running_sink: Sink, disk: Path, tmp_path: Path) -> None:
    assert _run("lkcloud_s3.py", running_sink, tmp_path, disk, "raw").put_bytes == disk.stat().st_size


def test_lkcloud_uploads_the_dynamic_vhd_to_the_byte(running_sink: Sink, disk: Path, tmp_path: Path) -> None:
    seen = _run("lkcloud_s3.py", running_sink, tmp_path, disk, "vhd", "--push")
    with lkcloud.open_disk(disk) as opened:
        assert seen.put_bytes == vhd_dynamic.dynamic(opened).size


def test_the_aws_cli_uploads_the_disk_to_the_byte(running_sink: Sink, disk: Path, tmp_path: Path) -> None:
    words = ("-m", "awscli", "s3", "cp", "--only-show-errors", disk, "s3://bench/object")
    seen = _run(sys.executable, running_sink, tmp_path, *words, python=False)
    assert seen.put_bytes == disk.stat().st_size
    assert seen.body_bytes > seen.put_bytes  # it frames its chunks, which travel as well


def test_a_contest_lets_all_run_in_turn_and_tells_who_is_missing_or_fails(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def tell(word: str) -> Contestant:
        return Contestant(word, lambda scratch: ["sh", "-c", f"echo {word} >>{log}; test ! -e {scratch}/state"])

    broken = Contestant("broken", lambda scratch: ["sh", "-c", "echo what went wrong >&2; exit 3"])
    held = contests.hold(
        Contest("c", "A contest", (tell("a"), Contestant("gone", None), broken, tell("b")), warm_up=True), 2
    )
    assert log.read_text().split() == ["a", "b"] * 3
    assert {name: len(figures.runs) for name, figures in held.items()} == {"a": 2, "gone": 0, "broken": 0, "b": 2}
    text = report.table(Contest("c", "A contest", ()), held)
    assert "gone: skipped, it is not installed" in text
    assert "broken: failed: sh ended with 3: what went wrong" in text


def test_one_that_takes_minutes_runs_in_the_first_rounds_only(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def tell(word: str, rounds: int | None) -> Contestant:
        return Contestant(word, lambda scratch: ["sh", "-c", f"echo {word} >>{log}"], rounds)

    held = contests.hold(Contest("c", "A contest", (tell("a", None), tell("slow", 2)), times=2), 2)
    assert log.read_text().split() == ["a", "slow", "a", "slow", "a", "a"]
    assert len(held["slow"].runs) == 2


def test_all_tools_make_the_same_tarball(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        for number in range(40):
            file.seek(number * BLOCK)
            file.write(random.Random(number).randbytes(BLOCK // 3))
        file.truncate(GIB)
    tar, pigz, igzip = (Path(found) if (found := shutil.which(name)) else None for name in ("tar", "pigz", "igzip"))
    tools = Peers(python=None, aws=None, s5cmd=None, qemu_img=None, sha256sum=None, tar=tar, pigz=pigz, igzip=igzip)
    contest = tarballs.contest("sparse", TestDisk(disk, GIB, 40 * BLOCK), tools)
    held = contests.hold(contest, 1)
    assert {name: figures.failed for name, figures in held.items() if figures.failed} == {}
    made = {}
    for contestant in contest.contestants:
        if contestant.command is None:
            continue
        folder = tmp_path / contestant.name.replace(" ", "")
        folder.mkdir()
        measure.run(contestant.command(folder), {**os.environ, "LKCLOUD_CACHE_DIR": str(folder)})
        written = (folder / tarballs.OUTPUT).read_bytes()
        made[contestant.name] = gzip.decompress(written)
        assert held[contestant.name].written == len(written)
    assert len(made) >= 2
    assert len(set(made.values())) == 1
    assert "MiB out" in report.table(contest, held)


@pytest.mark.parametrize("name", conversions.CONVERSIONS)
def test_both_tools_convert_the_same_disk(name: str, pages: TestDisk, tmp_path: Path) -> None:
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is missing: apt-get install qemu-utils")
    contest = conversions.contest(name, pages, replace(TOOLS, qemu_img=Path("qemu-img")))
    held = contests.hold(contest, 1)
    assert {name: figures.failed for name, figures in held.items() if figures.failed} == {}
    for contestant in contest.contestants:
        folder = tmp_path / contestant.name.replace(" ", "")
        folder.mkdir()
        assert contestant.command
        measure.run(contestant.command(folder), {**os.environ, "LKCLOUD_CACHE_DIR": str(folder)})
        subprocess.run(["qemu-img", "compare", pages.path, folder / contest.output], check=True, capture_output=True)
        assert 0 < held[contestant.name].written < pages.data + MIB


@pytest.fixture
def pages(tmp_path: Path) -> TestDisk:
    """64 MiB with a piece of noise in each of ten MiB."""
    path = tmp_path / "pages.raw"
    with path.open("wb") as file:
        for number in range(10):
            file.seek(number * 5 * MIB)
            file.write(random.Random(number).randbytes(64 * 1024))
        file.truncate(64 * MIB)
    return TestDisk(path, 64 * MIB, 10 * 64 * 1024)


TOOLS = Peers(
    python=Path(sys.executable),
    aws=None,
    s5cmd=None,
    qemu_img=None,
    sha256sum=None,
    tar=None,
    pigz=None,
    igzip=None,
    azcopy=NPM / "azcopy" if (NPM / "azcopy").exists() else None,
)


@pytest.mark.long
def test_the_sink_counts_what_the_tools_write_into_a_page_blob(pages: TestDisk, running_sink: Sink) -> None:
    server = emulator.ThrowingAway(running_sink)
    held = contests.hold(page_blobs.contest("scattered", pages, TOOLS, server, thrown_away=True), 1)
    assert {name: figures.failed for name, figures in held.items() if figures.failed} == {}
    ran = {name: figures for name, figures in held.items() if figures.runs}
    assert {page_blobs.SDK, LKCLOUD} <= set(ran)
    assert pages.data + 512 == ran[LKCLOUD].sent
    assert all((figures.sent or 0) > pages.data for name, figures in ran.items() if name != LKCLOUD)


@pytest.mark.long
def test_what_azurite_holds_is_compared(pages: TestDisk, tmp_path: Path) -> None:
    if reason := emulator.without_azurite():
        pytest.skip(reason)
    with emulator.azurite(tmp_path / "azurite", sink.build(tmp_path / "sink")) as server:
        contest = page_blobs.contest("runs", pages, TOOLS, server, thrown_away=False)
        held = contests.hold(contest, 1)
        assert {name: figures.failed for name, figures in held.items() if figures.failed} == {}
        assert len(held[LKCLOUD].runs) == 1
        with page_blobs.vhd(pages).open("r+b") as file:
            file.seek(5 * MIB)
            file.write(b"other")
        changed = contests.hold(replace(contest, contestants=contest.contestants[:1]), 1)
    assert "differs" in changed[LKCLOUD].failed


def test_a_pipe_fails_if_tar_fails(tmp_path: Path) -> None:
    missing = TestDisk(tmp_path / "missing.raw", GIB, 0)
    tar, cat = Path("tar"), Path("cat")
    tools = Peers(python=None, aws=None, s5cmd=None, qemu_img=None, sha256sum=None, tar=tar, pigz=cat, igzip=None)
    held = contests.hold(tarballs.contest("sparse", missing, tools), 1)
    assert all(figures.failed or figures.skipped for figures in held.values())
    assert "missing.raw" in held[tarballs.PIGZ_1].failed


def test_the_disk_of_programs_holds_the_files_and_its_copy_has_no_holes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    for number in range(20):
        (tree / "a" / f"{number:02}").write_bytes(random.Random(number).randbytes(100 * 1024))
    (tree / "b").symlink_to("a")
    sparse = disks.programs(tmp_path, 64 * MIB, MIB, [f"{tmp_path}/tr*/a", str(tree)])
    assert MIB <= sparse.data < 3 * MIB
    assert sparse.path.stat().st_blocks * 512 < 8 * MIB
    assert random.Random(9).randbytes(100 * 1024) in sparse.path.read_bytes()
    assert random.Random(10).randbytes(100 * 1024) not in sparse.path.read_bytes()
    full = disks.without_holes(sparse)
    assert (full.size, full.data) == (sparse.size, sparse.data)
    assert full.path.stat().st_blocks * 512 >= 64 * MIB
    assert filecmp.cmp(full.path, sparse.path, shallow=False)


def test_the_aged_disk_has_half_of_the_files_and_nothing_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    pieces = {f"a {number:02}": random.Random(number).randbytes(40 * 1024) for number in range(40)}
    for name, data in pieces.items():
        (tmp_path / "tree" / name).write_bytes(data)
    disk = disks.programs(tmp_path, 64 * MIB, 40 * 40 * 1024, [str(tmp_path / "tree")])
    aged = disks.aged(disk)
    assert disk.data - 20 * 40 * 1024 <= aged.data < disk.data - 18 * 40 * 1024  # what ext4 itself holds may change
    held = aged.path.read_bytes()
    assert sum(data in held for data in pieces.values()) == 20
    checked = [shutil.which("e2fsck", path=f"{os.environ['PATH']}:/sbin") or "e2fsck", "-fn", aged.path]
    assert subprocess.run(checked, capture_output=True, check=False).returncode == 0
    aged.path.unlink()
    assert disks.aged(disk).path.read_bytes() == held


def test_memory_and_processor_time_are_those_of_the_command() -> None:
    small = measure.run([sys.executable, "-c", "pass"], {})
    large = measure.run([sys.executable, "-c", "x = b'x' * (200 << 20); print(sum(range(10_000_000)))"], {})
    assert small.memory < 100 << 20
    assert 200 << 20 < large.memory < 300 << 20
    assert large.cpu > small.cpu
    assert large.output.strip() == "49999995000000"


def _figures(
    wall: float, sending: float = 0.0, reading: float = 0.0, sent: int = 0, memory: int = 0, written: int = 0
) -> Figures:
    output = f'{{"seconds": {{"read": {reading}, "send": {sending}}}}}' if sending else "no JSON"
    taken = Taken(wall=wall, cpu=wall, memory=memory, output=output)
    return Figures([Run(taken, Stats(1, 1, sent, sent, 1, 0.0), written)] * 3)


def test_goals_are_judged_by_the_figures() -> None:
    ebs = Contest("ebs", "EBS", (), amount=3000, unit="blocks")
    s3 = Contest("s3", "S3", (), data=1000)
    measured = Measured(
        {"ebs": ebs, "s3": s3, "gce-dense": Contest("gce-dense", "Tarball", ())},
        {
            "ebs": {"lkcloud": _figures(4.0, 2.0, reading=0.5), "boto3, 16 threads": _figures(6.0, 5.0)},
            "gce-dense": {
                "lkcloud": _figures(1.0, written=111),
                "tar -z": _figures(21.0, written=100),
                "tar | igzip -1": _figures(1.1),
            },
            "s3": {"lkcloud": _figures(1.3, sent=1040), "aws s3 cp": _figures(2.0), "s5cmd": _figures(2.6)},
        },
    )
    found = {verdict.goal.what: verdict for verdict in goals.judge(measured)}
    judged = {what: (verdict.figure, verdict.met) for what, verdict in found.items() if verdict.met is not None}
    assert judged == {
        "EBS direct, blocks of 512 KiB sent a second": (1500, True),
        "EBS direct with hashing, times the rate of boto3": (2.0, True),
        "S3, wall time to that of aws s3 cp": (0.65, False),
        "S3, wall time to that of s5cmd": (0.5, True),
        "S3, dense disk, bytes sent to data": (1.04, False),
        "Tarball, dense disk, wall time to that of tar -z": (1 / 21, True),
        "Tarball, dense disk, wall time to that of tar | igzip -1": (1 / 1.1, False),
        "Tarball, dense disk, size to that of tar -z": (1.11, True),
    }
    text = report.verdicts(list(found.values()))
    assert len(text.splitlines()) == 1 + len(GOALS)
    assert text.count("MISSED") == 3


def test_the_document_has_every_figure() -> None:
    contest = replace(Contest("start", "Start", ()), amount=1.0)
    measured = Measured(
        {"start": contest}, {"start": {"lkcloud": _figures(0.5), "aws --version": Figures(skipped=True)}}
    )
    document = report.document(report.machine(), measured, goals.judge(measured), 3)
    tools = document["contests"]["start"]["tools"]
    assert tools["lkcloud"]["wall_seconds"] == [0.5, 0.5, 0.5]
    assert tools["aws --version"] == {"skipped": True, "failed": ""}
    assert len(document["goals"]) == len(GOALS)
