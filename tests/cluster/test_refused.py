# SPDX-License-Identifier: Apache-2.0
"""Clusters that are none, or not fit: told at once, with what to do."""

import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lkcloud.sandbox.http import Server
from tests.cluster.processes import Command, Grid, plain
from tests.release.conftest import Write
from tests.release.test_run import TWO_CLOUDS


@pytest.fixture
def path(write: Write, disk: Path) -> Path:
    return write(TWO_CLOUDS)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Grid]:
    """A scheduler without workers."""
    grid = Grid(tmp_path / "own")
    grid.folder.mkdir()
    grid.start()
    yield grid
    grid.stop()


def handler(says: bytes) -> type[socketserver.BaseRequestHandler]:
    """Return what greets with SAYS and then listens until the other one leaves."""

    class Greeting(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(says)
            while self.request.recv(4096):
                pass

    return Greeting


def test_a_scheduler_that_is_not_there(path: Path) -> None:
    server = Server(lambda request: pytest.fail(request.target))
    port = server.server_port
    server.server_close()
    began = time.monotonic()
    done = Command(path, f"tcp://127.0.0.1:{port}").end()
    assert time.monotonic() - began < 30  # 7 to 9 of them for the scheduler, and what a busy machine takes for the rest
    assert done.code == 1
    assert f"error: the scheduler tcp://127.0.0.1:{port} does not answer: " in done.error
    assert " object at 0x" not in done.error
    assert "refused" in done.error
    assert "hint: see that it runs" in done.error


@pytest.mark.parametrize(
    ("says", "code", "message"),
    [
        (b"", 1, "does not answer: it takes connections and says nothing"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", 2, "is no Dask scheduler"),  # its first 8 bytes are a length, for Dask
        (bytes(64), 2, "is no Dask scheduler"),
    ],
    ids=["silence", "ssh", "zeros"],
)
def test_someone_else_at_the_address(says: bytes, code: int, message: str, path: Path) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler(says)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = Command(path, f"tcp://127.0.0.1:{server.server_address[1]}").end()
        server.shutdown()
    assert done.code == code
    assert message in done.error
    assert "hint: " in done.error


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("host:8786", "is no address"),
        ("http://host:8786", "is no address"),
        ("tcp://host", "is no address"),
        ("tls://127.0.0.1:8786", "Dask knows no certificates"),
    ],
)
def test_addresses_that_are_none(path: Path, address: str, message: str) -> None:
    done = Command(path, address).end()
    assert done.code == 2
    assert message in done.error
    assert "hint: " in done.error


def test_a_scheduler_without_workers(own: Grid, path: Path) -> None:
    done = Command(path, own.address).end()
    assert done.code == 1
    assert "has no workers" in done.error
    assert f"dask worker {own.address}" in done.error


def test_another_version_at_a_worker(own: Grid, path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lkcloud-9.9.9.dist-info"  # what is installed is asked of the metadata
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: lkcloud\nVersion: 9.9.9\n")
    worker = own.add({"PYTHONPATH": str(tmp_path)})
    done = Command(path, own.address).end()
    assert done.code == 2
    assert f"the worker {worker.address} has lkcloud 9.9.9, and this is" in done.error
    assert "hint: install lkcloud" in done.error


def test_the_sandbox_of_this_machine_is_not_that_of_the_workers(path: Path) -> None:
    done = Command(path, "tcp://127.0.0.1:8786", "--sandbox").end()
    assert done.code == 2
    assert "--sandbox" in done.error


def test_without_dask_the_extra_is_named(path: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        f"sys.argv[1:] = ['publish', {str(path)!r}, '--scheduler', 'tcp://127.0.0.1:8786']\n"
        "from lkcloud.cli.main import main; main()"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], env=plain({"HOME": str(tmp_path)}), check=False, capture_output=True, text=True
    )
    assert out.returncode == 1
    assert "dask needs the Python package distributed" in out.stderr
    assert "pip install 'lkcloud[dask]'" in out.stderr
