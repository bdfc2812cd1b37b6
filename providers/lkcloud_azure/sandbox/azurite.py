# SPDX-License-Identifier: Apache-2.0
"""Microsoft's emulator of the blob service, Azurite, as a process of the stand-in: https://github.com/Azure/Azurite.

It has more of the service than the stand-in's own server (snapshots, copies, block lists, tags) and is less strict
about what it has. It knows no managed disks: their URLs are the own server's here as well.
"""

import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError, UsageError
from lkcloud.polling import poll
from lkcloud.sandbox.http import LOOPBACK
from lkcloud.sandbox.keeper import Kept
from lkcloud.sandbox.traffic import Traffic
from lkcloud_azure.sandbox.access import Tokens
from lkcloud_azure.sandbox.blob_service import Found, address_of
from lkcloud_azure.sandbox.certificate import Certificate
from lkcloud_azure.sandbox.grants import Grants
from lkcloud_azure.sandbox.own_blobs import OwnBlobs
from lkcloud_azure.sandbox.store import new_key
from lkcloud_azure.sandbox.windows import Windows

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

PROGRAM = "LKCLOUD_AZURITE"
"""Environment variable: the program azurite-blob, if it is neither on PATH nor in .cache/npm of the current folder."""

_LOCAL = Path(".cache/npm/node_modules/.bin/azurite-blob")
_LISTENS = re.compile(r"successfully listens on https://[^:]+:(\d+)")
_LIMIT = 60.0
"""Seconds that it gets to start; it takes about one."""
_LOG_LIMIT = 1 << 20
_PIECE = 4 << 20
"""Most bytes of one read."""


def find_program() -> Path:
    """Return the program azurite-blob. Raises UsageError if there is none, or no Node.js to run it."""
    hint = f"npm install -g azurite, or set {PROGRAM}, or unset LKCLOUD_SANDBOX_BLOBS for the sandbox's own server"
    # A sandbox of its own process works in /; PWD is still the folder of the shell that it was started from.
    folder = Path(os.environ.get("PWD") or Path.cwd())
    if named := os.environ.get(PROGRAM):
        found = folder / named
        if not (found.is_file() and os.access(found, os.X_OK)):
            raise UsageError(f"{PROGRAM} is no program: {named!r}", hint=hint)
    else:
        found = Path(shutil.which("azurite-blob") or folder / _LOCAL)
        if not found.exists():
            raise UsageError("azurite-blob is not installed", hint=hint)
    if shutil.which("node") is None:
        raise UsageError("Azurite needs Node.js, and there is no node on PATH", hint="install Node.js 18 or later")
    return found


class Azurite:
    """Azurite for storage accounts, and the stand-in's own server for managed disks; files are below HOME.

    Azurite is told its accounts when it starts. So it runs when there are some, and starts anew, with its blobs and at
    the same address, whenever they or their keys change. It always takes what keys sign.
    """

    def __init__(
        self, home: Path, windows: Windows, traffic: Traffic, tokens: Tokens, certificate: Certificate
    ) -> None:
        self._own = OwnBlobs(home / "own", windows, traffic, tokens, certificate)
        self._home, self._certificate = home / "azurite", certificate
        self._program = find_program()
        self._accounts: dict[str, tuple[str, str]] = {}
        self._port = 0
        self._process: Kept | None = None

    @property
    def grants(self) -> Grants:
        """The URLs that give access to managed disks."""
        return self._own.grants

    @property
    def address(self) -> str:
        """The URL of Azurite."""
        assert self._port, "an account comes first"
        return f"https://{LOOPBACK}:{self._port}"

    def start(self) -> None:
        """Serve disks; Azurite itself starts with the first account."""
        self._own.start()

    def add_account(self, name: str) -> None:
        """Let there be a storage account, with new keys; one that is there stays as it is."""
        if name not in self._accounts:
            self._accounts[name] = (new_key(), new_key())
            self._restart()

    def remove_account(self, name: str) -> None:
        """Remove an account with all its blobs; one that is not there is no error."""
        if list(self._accounts) == [name]:
            self._clear()
        elif name in self._accounts:
            from azure.storage.blob import BlobServiceClient

            with BlobServiceClient(self.endpoint(name), self.keys(name)[0], connection_verify=self._trusted) as client:
                for container in client.list_containers():
                    client.delete_container(container)
            del self._accounts[name]
            self._restart()

    def keys(self, account: str) -> tuple[str, str]:
        """Return the keys of an account. Raises KeyError."""
        return self._accounts[account]

    def renew_key(self, account: str, index: int) -> None:
        """Give an account another key in place of the first (0) or second (1). Raises KeyError."""
        first, second = self._accounts[account]
        self._accounts[account] = (new_key(), second) if index == 0 else (first, new_key())
        self._restart()

    def endpoint(self, account: str) -> str:
        """Return the URL of an account, without a slash at its end."""
        return f"{self.address}/{account}"

    def find(self, url: str) -> Found | None:
        """Return what the blob at URL is, None if there is none; a query is not looked at."""
        from azure.core.exceptions import ResourceNotFoundError

        client = self._blob(url)
        if client is None:
            return None
        with client:
            try:
                properties = client.get_blob_properties()
            except ResourceNotFoundError:
                return None
            return Found("PageBlob" if properties.blob_type == "PageBlob" else "BlockBlob", properties.size)

    def fetch(self, url: str, target: Path) -> None:
        """Copy the bytes of the blob at URL into the file TARGET. Raises KeyError."""
        client, found = self._blob(url), self.find(url)
        if client is None or found is None:
            raise KeyError(url)
        with client, target.open("wb") as file:
            file.truncate(found.size)
            ranges = [(0, found.size)]
            if found.kind == "PageBlob":
                ranges = [(one.start or 0, (one.end or 0) + 1) for one in client.list_page_ranges()]
            for start, end in ranges:
                for offset in range(start, end, _PIECE):
                    file.seek(offset)
                    file.write(client.download_blob(offset=offset, length=min(_PIECE, end - offset)).readall())

    def idle(self) -> float:
        """Return the seconds since bytes came in last; what is only read is not seen."""
        newest = max((file.stat().st_mtime for file in self._home.rglob("*") if file.is_file()), default=0.0)
        return max(time.time() - newest, 0.0)

    def reset(self) -> None:
        """Remove all blobs, containers, accounts and grants; addresses stay."""
        self._clear()
        self._own.reset()

    def stop(self) -> None:
        """End Azurite and the server."""
        self._end()
        self._own.stop()

    @property
    def _trusted(self) -> str:
        return str(self._certificate.pem)

    def _blob(self, url: str) -> "BlobClient | None":
        from azure.storage.blob import BlobClient

        at = address_of(url, self.address) if self._port else None
        if at is None or at.account not in self._accounts:
            return None
        endpoint, key = self.endpoint(at.account), self.keys(at.account)[0]
        return BlobClient(endpoint, at.container, at.blob, credential=key, connection_verify=self._trusted)

    def _clear(self) -> None:
        self._end()
        shutil.rmtree(self._home, ignore_errors=True)
        self._accounts.clear()

    def _restart(self) -> None:
        self._end()
        self._home.mkdir(parents=True, exist_ok=True)
        accounts = ";".join(":".join((name, *keys)) for name, keys in self._accounts.items())
        log = self._home / "azurite.log"
        log.unlink(missing_ok=True)
        command = ["env", f"AZURITE_ACCOUNTS={accounts}", str(self._program), "--location", str(self._home)]
        command += ["--blobHost", LOOPBACK, "--blobPort", str(self._port), "--disableProductStyleUrl"]
        command += ["--cert", str(self._certificate.pem), "--key", str(self._certificate.key), "--oauth", "basic"]
        # Microsoft's SDKs are ahead of the versions that Azurite knows, and it would refuse what they send.
        # Loose: it compares no checksum of pages, and in its strict mode refuses a CRC64 that it will not compare.
        command += ["--loose", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        errors = self._home / "azurite.errors"
        process = self._process = Kept(command, home=self._home, output=log, errors=errors, limit=_LOG_LIMIT)

        def listening() -> int | None:
            said = log.read_text(errors="replace") if log.exists() else ""
            if match := _LISTENS.search(said):
                return int(match[1])
            if process.poll() is not None:
                last = " | ".join((said + errors.read_text(errors="replace")).strip().splitlines()[-3:])
                raise LkcloudError(f"Azurite ended while it started: {last}", hint=f"try {self._program} by hand")
            return None

        hint = f"try {self._program} by hand"
        self._port = poll(listening, what="the start of Azurite", every=0.02, limit=_LIMIT, hint=hint)

    def _end(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None
