# SPDX-License-Identifier: Apache-2.0
"""On which processors what is written is the same: the libraries that compress choose their code by it."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from tests import debian

ROOT = Path(__file__).parents[2]

X86_64 = ("Nehalem", "Haswell", "EPYC")
"""SSE 4.2, AVX2, and a newer one; QEMU 7.2 emulates no AVX-512."""

OLD = "qemu64"
"""One without SSE 4.2."""

DEFAULT = ("gce", "vmdk", "qcow2-zlib", "qcow2-zstd")
EVERYWHERE = ("gce:4", "vmdk", "vmdk:6", "vmdk:12", "ova", "qcow2-zlib", "qcow2-zlib:9", "qcow2-zstd")
"""Formats with levels of compression at which it does not matter how new a processor is, and whose: but gce, any."""

LIBRARIES = tuple(f"{name}=={version(name)}" for name in ("deflate", "isal", "zlib-ng", "zstandard"))

PROGRAM = """
import sys
from pathlib import Path
from lkcloud.disk import open_disk
from lkcloud.formats.convert import convert
for name in sys.argv[2:]:
    form, _, level = name.partition(":")
    with open_disk(sys.argv[1]) as disk:
        convert(disk, Path(name), format=form, compression_level=int(level) if level else None)
"""

# Python and all that it loads runs in emulated processors, for a minute or two.
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="compares with a processor of x86-64"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """4 MiB of programs and of text."""
    program = Path("/bin/busybox") if Path("/bin/busybox").exists() else Path(os.path.realpath("/bin/sh"))
    texts = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    content = program.read_bytes()[: 2 << 20] + b"".join(text.read_bytes() for text in texts)
    path = tmp_path / "disk.raw"
    path.write_bytes(content[: 4 << 20])
    return path


def test_other_processors_of_x86_64(disk: Path) -> None:
    reference = written(disk, DEFAULT)
    for processor in X86_64:
        assert written(disk, DEFAULT, emulated("x86_64", "-cpu", processor)) == reference, processor


def test_a_processor_that_is_older(disk: Path) -> None:
    assert written(disk, EVERYWHERE, emulated("x86_64", "-cpu", OLD)) == written(disk, EVERYWHERE)


def test_arm64(disk: Path) -> None:
    """Python for it is Debian's, and the libraries that compress are PyPI's builds of the versions that are here."""
    home = debian.cached("arm64-python", _unpack_python)
    packages = debian.cached("-".join(("arm64", *LIBRARIES)), _unpack_wheels)
    path = (packages, ROOT, ROOT / "providers", sysconfig.get_paths()["purelib"])
    settings = {"PYTHONHOME": str(home / "usr"), "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [*emulated("aarch64", "-L", str(home)), str(home / "usr/bin/python3.11")]
    assert written(disk, EVERYWHERE, command, settings) == written(disk, EVERYWHERE)


def emulated(machine: str, *options: str) -> list[str]:
    """Return what stands before a program for MACHINE."""
    emulator = shutil.which(f"qemu-{machine}") or shutil.which(f"qemu-{machine}-static")
    if emulator is None:
        pytest.skip("needs the Debian package qemu-user")
    return [emulator, *options]


def written(
    disk: Path, formats: Sequence[str], before: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the digests of DISK in FORMATS, written by this Python behind BEFORE, or by that of SETTINGS in BEFORE."""
    folder = disk.parent / f"run-{len(list(disk.parent.iterdir()))}"
    folder.mkdir()
    command = [*before, *([] if settings else [sys.executable]), "-c", PROGRAM, str(disk), *formats]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LKCLOUD_CACHE_DIR": str(folder / "cache")}
    subprocess.run(command, cwd=folder, check=True, env={**environment, **(settings or {})})
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in formats}


def _unpack_python(folder: Path) -> None:
    with debian.archive("bookworm", "arm64") as packages:
        packages.unpack_all(folder, "python3")


def _unpack_wheels(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder)]
    command += ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3"]
    command += [word for glibc in ("2_17", "2_28") for word in ("--platform", f"manylinux_{glibc}_aarch64")]
    subprocess.run([*command, *LIBRARIES], check=True)
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(folder)
