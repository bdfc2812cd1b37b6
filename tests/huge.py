# SPDX-License-Identifier: Apache-2.0
"""A disk of 64 GiB with 500 MiB of data, and what a push of it takes."""

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import pytest

from lkcloud.disk import BLOCK

SIZE = 64 * 1024**3
DATA = 500 * 1024**2
MOST = 256
"""MiB of memory that a push of it may take."""

MEASURE = """
import os, resource, sys
pid = os.fork()
if pid == 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20))
    os.execv(sys.executable, [sys.executable, "-m", "lkcloud", *sys.argv[1:]])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss // 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Runs lkcloud so that it can write no file larger than 64 MiB, and prints its peak MiB of memory.

A process of its own, since what exec replaces counts as well: here that is a small Python, and not this one.
"""


@pytest.fixture(scope="session")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with its data, which does not compress, in blocks all over it."""
    path = tmp_path_factory.mktemp("huge") / "huge.raw"
    where = random.Random(64).sample(range(SIZE // BLOCK), DATA // BLOCK)
    with path.open("wb") as file:
        file.truncate(SIZE)
        for index in where:
            file.seek(index * BLOCK)
            file.write(hashlib.shake_128(index.to_bytes(8, "big")).digest(BLOCK))
    return path


def push(cloud: str, disk: Path, *options: str) -> str:
    """Push DISK within the memory that it may take, writing no large file, and return the id of the image."""
    command = [sys.executable, "-c", MEASURE, "push", cloud, str(disk), "--name", "huge", *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    image, memory = done.stdout.split()
    print(f"{memory} MiB")
    assert int(memory) < MOST
    return image
