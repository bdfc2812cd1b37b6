# SPDX-License-Identifier: Apache-2.0
"""Azurite as a process of the stand-in, and what it lets pass that the own service and Azure refuse."""

import base64
import filecmp
import hashlib
import os
import secrets
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import BlobSasPermissions, generate_blob_sas

from lkcloud.disk import open_disk
from lkcloud.disk.inspect import inspect
from lkcloud.errors import LkcloudError, UsageError
from lkcloud.provider import Run, Source
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud.transfer.journal import Journal
from lkcloud_azure import Azure, AzureOptions
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.access import STORAGE
from lkcloud_azure.sandbox.azurite import PROGRAM, Azurite, find_program
from lkcloud_azure.sandbox.blob_service import Found
from lkcloud_azure.sandbox.cloud import LOCATION
from tests.azure_sandbox.blobs import ACCOUNT, MIB, Served, azurite, own, serving, serving_azurite, serving_own

__all__ = ["azurite", "own", "serving_azurite", "serving_own"]

PAGE = 512
A = b"a" * PAGE
UPDATE = {"x-ms-page-write": "update"}


@pytest.fixture
def program() -> Path:
    """Return Azurite's program; without it the test is skipped."""
    try:
        return find_program()
    except UsageError as missing:
        pytest.skip(f"{missing.message}: tests/packages.sh npm installs it")


def fresh(served: Served, size: int = MIB) -> str:
    """Make a page blob and return its path."""
    container = f"disks-{secrets.token_hex(6)}"
    served.blob(size=size, container=container)
    return f"{container}/disk.vhd"


def put(served: Served, path: str, start: int, data: bytes, **headers: str) -> int:
    """Return the status of a Put Page."""
    span = {"x-ms-range": f"bytes={start}-{start + len(data) - 1}"}
    return served.raw("PUT", f"{path}?comp=page", data, UPDATE | span | headers).status


def held(served: Served, path: str) -> list[tuple[int, int]]:
    container, _, name = path.partition("/")
    found = served.client().get_blob_client(container, name).list_page_ranges()
    return [(one.start, one.end + 1) for one in found]


def test_put_page_of_more_than_four_mebibytes(own: Served, azurite: Served) -> None:
    data = bytes(4 * MIB + PAGE)
    assert put(own, fresh(own, 8 * MIB), 0, data) == 413
    assert put(azurite, fresh(azurite, 8 * MIB), 0, data) == 201


def test_pages_across_the_end(own: Served, azurite: Served) -> None:
    assert put(own, fresh(own), MIB - PAGE, A + A) == 416
    assert put(azurite, fresh(azurite), MIB - PAGE, A + A) == 201


def test_wrong_checksums(own: Served, azurite: Served) -> None:
    wrong = {"Content-MD5": base64.b64encode(hashlib.md5(b"").digest()).decode()}
    assert put(own, fresh(own), 0, A, **wrong) == 400
    assert put(azurite, fresh(azurite), 0, A, **wrong) == 201


def test_neighbours_are_told_apart(own: Served, azurite: Served) -> None:
    found = {}
    for name, served in (("own", own), ("azurite", azurite)):
        path = fresh(served)
        assert [put(served, path, page * PAGE, A) for page in range(3)] == [201] * 3
        found[name] = held(served, path)
    assert found["own"] == [(0, 3 * PAGE)]
    assert found["azurite"] == [(0, PAGE), (PAGE, 2 * PAGE), (2 * PAGE, 3 * PAGE)]


def test_pages_of_lists_of_page_ranges(own: Served, azurite: Served) -> None:
    pages = {}
    for name, served in (("own", own), ("azurite", azurite)):
        path = fresh(served)
        for page in (0, 2, 4):
            put(served, path, page * PAGE, A)
        pages[name] = served.raw("GET", f"{path}?comp=pagelist&maxresults=2").data.count(b"<PageRange>")
    assert pages == {"own": 2, "azurite": 3}


def test_signatures_by_a_user_delegation_key(own: Served, azurite: Served) -> None:
    statuses = {}
    for name, served in (("own", own), ("azurite", azurite)):
        path = fresh(served)
        now = datetime.now(UTC)
        key = served.client().get_user_delegation_key(now - timedelta(hours=1), now + timedelta(hours=1))
        container, _, blob = path.partition("/")
        token = generate_blob_sas(
            ACCOUNT,
            container,
            blob,
            user_delegation_key=key,
            permission=BlobSasPermissions.from_string("r"),
            expiry=now + timedelta(minutes=30),
        )
        statuses[name] = served.raw("GET", f"{served.service.endpoint(ACCOUNT)}/{path}?{token}").status
    # That of this SDK covers lines which Azurite does not know yet.
    assert statuses == {"own": 200, "azurite": 403}


def test_forged_tokens(own: Served, azurite: Served) -> None:
    """Azurite looks at what a token says and not at who signed it."""
    header, claims, _ = own.tokens.issue(STORAGE).split(".")
    headers = {"Authorization": f"Bearer {header}.{claims}.c2lnbmF0dXJl"}
    assert own.raw("GET", "?comp=list", headers=headers).status == 401
    assert azurite.raw("GET", "?comp=list", headers=headers).status == 200


def test_it_starts_with_an_account_and_ends(program: Path, tmp_path: Path) -> None:
    others = _azurites(os.getpid())
    with serving(Azurite, tmp_path) as served:
        service = served.service
        assert isinstance(service, Azurite)
        path = fresh(served)
        assert 0 <= service.idle() < 60
        running = _azurites(os.getpid()) - others
        assert running
        service.reset()
        assert not _alive(running)
        with pytest.raises(KeyError):
            service.keys(ACCOUNT)
        service.add_account(ACCOUNT)
        assert served.raw("GET", path).status == 404
        running = _azurites(os.getpid()) - others
        assert running
    assert not _alive(running)


def test_a_push_by_azurite(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_folders: Path) -> None:
    """Push a disk by page blob, with the whole stand-in and lkcloud's own code for it."""
    monkeypatch.setenv("LKCLOUD_SANDBOX_BLOBS", "azurite")
    write_tiny_disk(tmp_path / "disk.raw", size=24 * MIB)
    stand_in = AzureStandIn(tmp_path / "azure")
    stand_in.start()
    try:
        for variable, value in stand_in.environment().items():
            monkeypatch.setenv(variable, value)
        endpoint = stand_in.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"]
        chosen = {"method": "blob", "storage_account": "lkcloudsandbox", "location": LOCATION}
        options = AzureOptions.model_validate({**chosen, "resource_manager": endpoint})
        with open_disk(tmp_path / "disk.raw") as disk, Journal.open() as journal:
            source = Source(disk, "image", inspect(disk), disk.content().digest, "")
            provider, run = Azure(options), Run(journal)
            blob = provider.upload(source, run)
            assert stand_in.holdings.blobs.find(blob.id) == Found("PageBlob", 24 * MIB + PAGE)
            image = provider.register(source, blob, run)
        assert filecmp.cmp(stand_in.image_file(image.id), tmp_path / "disk.raw", shallow=False)
    finally:
        stand_in.stop()


def test_it_ends_with_the_sandbox(program: Path, tmp_path: Path) -> None:
    """Kill the process that started it: whatever way a sandbox ends, no Azurite is left."""
    code = f"""
import time
from pathlib import Path
from tests.azure_sandbox.blobs import serving
from lkcloud_azure.sandbox.azurite import Azurite
with serving(Azurite, Path({str(tmp_path)!r})) as served:
    print("ready", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as sandbox:
        assert sandbox.stdout is not None
        assert sandbox.stdout.readline() == "ready\n"
        found = _azurites(sandbox.pid)
        assert found
        sandbox.kill()
    deadline = time.monotonic() + 10
    while _alive(found) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(found)


def test_without_azurite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="azurite-blob is not installed") as missing:
        find_program()
    assert "npm install -g azurite" in missing.value.hint
    program = tmp_path / "azurite-blob"
    program.write_text("#!/usr/bin/env node\n")
    monkeypatch.setenv(PROGRAM, str(program))
    with pytest.raises(UsageError, match="LKCLOUD_AZURITE is no program"):
        find_program()
    program.chmod(0o755)
    with pytest.raises(UsageError, match=r"Azurite needs Node\.js"):
        find_program()
    (tmp_path / "node").symlink_to("/bin/true")
    assert find_program() == program
    monkeypatch.setenv(PROGRAM, "azurite-blob")
    assert find_program() == program
    monkeypatch.delenv(PROGRAM)
    assert find_program() == program
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    local = tmp_path / ".cache/npm/node_modules/.bin/azurite-blob"
    for path in (local, tmp_path / "bin/node"):
        path.parent.mkdir(parents=True)
        path.symlink_to("/bin/true")
    assert find_program() == local


def test_a_program_that_ends_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "azurite-blob"
    program.write_text("#!/bin/sh\necho no space left >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv(PROGRAM, str(program))
    (tmp_path / "node").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(LkcloudError, match="Azurite ended while it started: no space left"), serving(Azurite, tmp_path):
        pass


def _azurites(pid: int) -> set[int]:
    """Return the processes below PID that are Azurite, or start and keep it."""
    shown = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    table = [line.split(maxsplit=2) for line in shown.splitlines()]
    parents = {int(child): (int(parent), args) for child, parent, args in table}
    found = set()
    for child, (parent, args) in parents.items():
        above = parent
        while above in parents and above != pid:
            above = parents[above][0]
        if above == pid and "azurite" in args:
            found.add(child)
    return found


def _alive(pids: set[int]) -> bool:
    return any(Path(f"/proc/{pid}").exists() for pid in pids)
