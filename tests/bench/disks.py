# SPDX-License-Identifier: Apache-2.0
"""The disks of the benchmark.

Those that are sent are the same bytes on every machine, none of which can be compressed. Those that are compressed hold
programs of this machine, since there is no other way to have what a compressor meets.
"""

import os
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lkcloud.disk import open_disk

MIB = 1024**2
GIB = 1024**3
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # where Debian keeps mke2fs


@dataclass(frozen=True, slots=True)
class TestDisk:
    """A disk at PATH; DATA is how many of its SIZE bytes are in pages (4 KiB) that are not zero."""

    path: Path
    size: int
    data: int

    __test__ = False  # no test, though its name begins like one


def dense(folder: Path, size: int) -> TestDisk:
    """Return a disk that is full of noise."""
    return _made(folder / f"dense-{size // MIB}.raw", lambda path: _write_noise(path, size))


def file_system(folder: Path, size: int, data: int) -> TestDisk:
    """Return a sparse disk whose ext4 file system holds about DATA bytes of files of all sizes."""
    return _made(
        folder / f"ext4-{size // MIB}-{data // MIB}.raw",
        lambda path: _write_ext4(path, size, lambda tree: _write_files(tree, data, random.Random(size))),
    )


def programs(folder: Path, size: int, data: int, sources: Sequence[str]) -> TestDisk:
    """Return a sparse disk whose ext4 file system holds DATA bytes of the files below SOURCES, or all of them.

    SOURCES are patterns of absolute paths, the first ones being used up first.
    """
    path = folder / f"programs-{size // MIB}-{data // MIB}.raw"
    return _made(path, lambda path: _write_ext4(path, size, lambda tree: _copy_files(sources, tree, data)))


def without_holes(disk: TestDisk) -> TestDisk:
    """Return a copy of DISK with its holes written as zeros, as it comes from a tool that knows of no holes."""

    def write(path: Path) -> None:
        with disk.path.open("rb") as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, MIB)

    return _made(disk.path.with_stem(f"{disk.path.stem}-allocated"), write)


def aged(disk: TestDisk) -> TestDisk:
    """Return a copy of DISK, whose ext4 file system lost a random half of its files and was trimmed then.

    Its data is in thousands of places, as on a disk that was in use.
    """

    def write(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            copy = Path(scratch, "disk.raw")
            subprocess.run(["cp", "--sparse=always", disk.path, copy], check=True)
            files = sorted(_ext4_files(copy))
            removed = random.Random(disk.size).sample(files, len(files) // 2)
            _debugfs(copy, [f'rm "{file}"' for file in removed], "-w")
            _copy_used(copy, path)

    return _made(disk.path.with_stem(f"{disk.path.stem}-aged"), write)


def _made(path: Path, write: Callable[[Path], None]) -> TestDisk:
    """Return the disk at PATH, made by WRITE if it is not there, with its data in the page cache."""
    if not path.exists():
        print(f"making {path.name}", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        write(unfinished)
        unfinished.replace(path)
    with open_disk(path) as disk:
        data = 0
        for extent in disk.extents():
            data += extent.length
            for offset in range(extent.offset, extent.end, MIB):
                disk.read(offset, min(MIB, extent.end - offset))
        return TestDisk(path, disk.size, data)


def _write_noise(path: Path, size: int) -> None:
    noise = random.Random(size)
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(noise.randbytes(min(MIB, size - start)))


def _write_files(tree: Path, data: int, noise: random.Random) -> None:
    """Write files of noise, in sizes that are spread as below /usr: half are under 12 KiB, most bytes in large ones."""
    tree.mkdir()
    left, number = data, 0
    while left > 0:
        length = min(left, max(1, round(12 * 1024 * noise.lognormvariate(0, 2))), 64 * MIB)
        folder = tree / f"{number // 100:03}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number % 100:02}").write_bytes(noise.randbytes(length))
        left, number = left - length, number + 1


def _copy_files(sources: Sequence[str], tree: Path, data: int) -> None:
    """Copy DATA bytes of the files below SOURCES to TREE, in the order of their names; none of them twice."""
    left = data
    for file in _files(sources):
        copy = tree / file.relative_to("/")
        if copy.exists() or not 0 < file.stat().st_size <= min(left, 64 * MIB) or not os.access(file, os.R_OK):
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        left -= file.stat().st_size
        if left < data // 100:
            return


def _files(sources: Sequence[str]) -> Iterator[Path]:
    for pattern in sources:
        for source in sorted(Path("/").glob(pattern.lstrip("/"))):
            for here, folders, names in os.walk(source):
                folders.sort()
                files = (Path(here, name) for name in sorted(names))
                yield from (file for file in files if file.is_file() and not file.is_symlink())


def _write_ext4(path: Path, size: int, fill: Callable[[Path], None]) -> None:
    """FILL a folder that is not there yet and make a file system of it, as image builders do; needs no root."""
    mke2fs = _program("mke2fs")
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        tree = Path(scratch, "tree")
        fill(tree)
        with path.open("wb") as file:
            file.truncate(size)
        identity = "6c6b636c-6f75-6400-8000-000000000001"
        command = [mke2fs, "-q", "-t", "ext4", "-m", "0", "-U", identity, "-E", f"hash_seed={identity}"]
        subprocess.run([*command, "-d", str(tree), str(path)], check=True)


def _program(name: str) -> str:
    """Return where a program of e2fsprogs is."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise FileNotFoundError(f"{name} is needed (Debian: apt-get install e2fsprogs)")
    return found


def _debugfs(image: Path, commands: Sequence[str], *options: str) -> str:
    """Let debugfs do COMMANDS with the ext4 file system in IMAGE, and return what it says."""
    with tempfile.NamedTemporaryFile("w", suffix=".debugfs") as script:
        script.write("\n".join(commands) + "\n")
        script.flush()
        command = [_program("debugfs"), *options, "-f", script.name, str(image)]
        # What it says on stderr is its version, always. The time is written into the file system.
        environment = {**os.environ, "E2FSPROGS_FAKE_TIME": "1767225600"}
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        ).stdout


def _ext4_files(image: Path) -> Iterator[str]:
    """Yield the paths of all regular files, going down one level of folders at a time."""
    folders = ["/"]
    while folders:
        told = _debugfs(image, [f'ls -p "{folder}"' for folder in folders])
        here, folders = iter(folders), []
        folder = ""
        for line in told.splitlines():
            if line.startswith("debugfs: "):
                folder = next(here)
            elif line.startswith("/"):
                # /INODE/MODE/USER/GROUP/NAME/SIZE/
                _, _, mode, _, _, name, *_ = line.split("/")
                path = f"{folder.rstrip('/')}/{name}"
                if mode.startswith("10"):
                    yield path
                elif name not in (".", "..") and mode.startswith("04"):
                    folders.append(path)


def _copy_used(image: Path, target: Path) -> None:
    """Copy the blocks of the ext4 file system in IMAGE that are in use and are not zero."""
    told = subprocess.run(
        [_program("dumpe2fs"), str(image)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout
    found = re.search(r"^Block size: +(\d+)$", told, re.MULTILINE)
    assert found is not None, told[:500]
    block = int(found[1])
    free: set[int] = set()
    for ranges in re.findall(r"^  Free blocks: (.+)$", told, re.MULTILINE):
        for piece in ranges.split(", "):
            first, _, last = piece.partition("-")
            free.update(range(int(first), int(last or first) + 1))
    zeros = bytes(block)
    with image.open("rb") as source, target.open("wb") as copy:
        copy.truncate(image.stat().st_size)
        for number in range(image.stat().st_size // block):
            if number not in free:
                data = os.pread(source.fileno(), block, number * block)
                if data != zeros:
                    os.pwrite(copy.fileno(), data, number * block)
