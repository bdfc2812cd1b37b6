# SPDX-License-Identifier: Apache-2.0
"""Page blobs on this machine: in Azurite, which keeps them, or in the sink, which throws them away and counts."""

import base64
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from azure.storage.blob import ContainerClient, ContainerSasPermissions, generate_container_sas
from measure import Failed
from peers import NPM
from sink import Build, Sink, Stats

from lkcloud.polling import poll
from lkcloud.sandbox.keeper import Kept

AZURITE = NPM / "azurite-blob"
_ACCOUNT, _CONTAINER, _BLOB = "bench", "disks", "disk.vhd"
_LISTENS = re.compile(r"successfully listens on (https://\S+)")
_LOG_LIMIT = 1 << 20
_PIECE = 4 * 1024 * 1024
_WARM = 32
"""Requests before a run that counts."""


class BlobServer(Protocol):
    """What a page blob is written to; with the methods of `contests.Server`."""

    def environment(self) -> dict[str, str]: ...
    def begin(self) -> None: ...
    def end(self) -> Stats | None: ...

    def url(self) -> str:
        """Return the URL of a page blob that is not there yet, with a signature by which it can be made."""
        ...

    def compare(self, wanted: Path) -> None:
        """Raise Failed unless that page blob holds the bytes of the file WANTED."""
        ...


@dataclass(frozen=True)
class ThrowingAway:
    """The sink, as a blob service."""

    sink: Sink

    def environment(self) -> dict[str, str]:
        """Return the variables by which its certificate is trusted."""
        return _trust(self.sink.certificate)

    def begin(self) -> None:
        """Forget what was counted."""
        self.sink.begin()

    def end(self) -> Stats:
        """Return what has been counted."""
        return self.sink.end()

    def url(self) -> str:
        """Return a URL; the signature is not looked at."""
        return f"{self.sink.url}/{_ACCOUNT}/{_CONTAINER}/{_BLOB}?sv=2020-10-02&sr=c&sp=rcw&sig=none"

    def compare(self, wanted: Path) -> None:
        """There is nothing to compare."""


@dataclass
class Azurite:
    """Azurite with its files in FOLDER, which shows the certificate of BUILT; it starts anew, empty, with each run."""

    folder: Path
    built: Build
    _key: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(64)).decode())
    _process: Kept | None = None
    _address: str = ""

    def environment(self) -> dict[str, str]:
        """Return the variables by which its certificate is trusted."""
        return _trust(self.built.certificate)

    def begin(self) -> None:
        """Be empty, and not slower than later on."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._start()
        with self._container() as container:
            container.create_container()
            blob = container.get_blob_client("warm-up")
            blob.create_page_blob(_WARM * _PIECE)
            for number in range(_WARM):  # Node.js compiles what has run some times
                blob.upload_page(bytes([number]) * _PIECE, number * _PIECE, _PIECE)
            blob.delete_blob()

    def end(self) -> None:
        """Return nothing: it counts nothing."""

    def url(self) -> str:
        """Return the URL of the page blob, with a signature."""
        signature = generate_container_sas(
            _ACCOUNT,
            _CONTAINER,
            account_key=self._key,
            permission=ContainerSasPermissions(read=True, write=True, create=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        return f"{self._address}/{_ACCOUNT}/{_CONTAINER}/{_BLOB}?{signature}"

    def compare(self, wanted: Path) -> None:
        """Raise Failed unless the page blob holds the bytes of the file WANTED."""
        with self._container() as container, wanted.open("rb") as file:
            download = container.download_blob(_BLOB)
            if download.size != wanted.stat().st_size:
                raise Failed(f"the blob has {download.size} bytes, and not {wanted.stat().st_size}")
            position = 0
            for piece in download.chunks():
                if piece != file.read(len(piece)):
                    raise Failed(f"the blob differs from {wanted.name} behind byte {position}")
                position += len(piece)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _start(self) -> None:
        self.folder.mkdir(parents=True)
        log, errors = self.folder / "log", self.folder / "errors"
        command = ["env", f"AZURITE_ACCOUNTS={_ACCOUNT}:{self._key}", str(AZURITE), "--location", str(self.folder)]
        command += ["--blobHost", "127.0.0.1", "--blobPort", "0", "--disableProductStyleUrl", "--disableTelemetry"]
        command += ["--cert", str(self.built.certificate), "--key", str(self.built.key)]
        # The SDK is ahead of the versions that Azurite knows.
        # Loose: it compares neither MD5 nor CRC64 of pages, and in its strict mode refuses a CRC64.
        command += ["--loose", "--skipApiVersionCheck", "--silent"]
        self._process = Kept(command, home=self.folder, output=log, errors=errors, limit=_LOG_LIMIT)

        def listening() -> str | None:
            found = _LISTENS.search(log.read_text()) if log.exists() else None
            return found[1] if found else None

        self._address = poll(listening, what="the start of Azurite", every=0.02, limit=60, hint=f"see {errors}")

    def _container(self) -> ContainerClient:
        return ContainerClient(
            f"{self._address}/{_ACCOUNT}",
            _CONTAINER,
            credential={"account_name": _ACCOUNT, "account_key": self._key},
            connection_verify=str(self.built.certificate),
            max_single_get_size=_PIECE,
            max_chunk_get_size=_PIECE,
        )


def without_azurite() -> str:
    """Return why Azurite cannot run, "" if it can."""
    if shutil.which("node") is None:
        return "Node.js is not installed"
    return "" if AZURITE.exists() else "Azurite is not installed: tests/packages.sh npm installs it"


@contextmanager
def azurite(folder: Path, built: Build) -> Iterator[Azurite]:
    """Let there be Azurite for the length of the context, with its files in FOLDER, which is not there yet."""
    running = Azurite(folder, built)
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _trust(certificate: Path) -> dict[str, str]:
    return {name: str(certificate) for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")}
