# SPDX-License-Identifier: Apache-2.0
"""A disk of 64 GiB with 500 MiB of data: what a push of it costs, and that the bytes arrive."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from lkcloud.disk import BLOCK, open_disk
from lkcloud_azure.sandbox import AzureStandIn
from tests.azure.pushing import noise

GIB = 1024**3
MIB = 1024**2
SIZE = 64 * GIB
DATA = 500 * MIB


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("huge") / "huge.raw"
    where = random.Random(64).sample(range(SIZE // BLOCK), DATA // BLOCK)
    with path.open("wb") as file:
        file.truncate(SIZE)
        for index in where:
            file.seek(index * BLOCK)
            file.write(noise(index, BLOCK))
    return path


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


def push(disk: Path, *options: str) -> tuple[str, int]:
    """Push DISK and return the id of the image, and the peak MiB of memory."""
    command = [sys.executable, "-c", MEASURE, "push", "azure", str(disk), *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    image, memory = done.stdout.split()
    return image, int(memory)


@pytest.mark.parametrize("method", ["disk", "blob"])
def test_the_bytes_arrive_and_memory_stays_flat(method: str, huge: Path, azure: AzureStandIn) -> None:
    image, memory = push(huge, "--name", "huge", "--method", method, "--architecture", "x64")
    print(f"{method}: {memory} MiB")
    assert memory < 256
    # Two digests of two files are equal when their sizes and all that is not zero are.
    with open_disk(huge) as sent, open_disk(azure.image_file(image)) as arrived:
        assert arrived.content().digest == sent.content().digest
    assert azure.traffic.received("PutPage") == DATA + 512
