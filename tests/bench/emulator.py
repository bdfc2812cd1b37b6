# SPDX-License-Identifier: Apache-2.0
"""Azure on this machine: the sandbox's Resource Manager, with page blobs in Azurite or thrown away by the sink."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from azure.storage.blob import ContainerClient, ContainerSasPermissions, generate_container_sas
from measure import Failed
from peers import NPM
from sink import Sink, Stats

from lkcloud.errors import UsageError
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.azurite import PROGRAM, find_program
from lkcloud_azure.sandbox.storage_account import StorageAccount

CONTAINER = "lkcloud"
"""Where lkcloud puts its page blobs, if it is not told."""

PEERS = "peer.vhd"
"""The name of the blob that the other tools write."""

_PIECE = 4 * 1024 * 1024
_WARM = 32
"""Requests before a run that counts."""


@dataclass(frozen=True)
class Emulator:
    """Resource Manager, and the blobs of one storage account; BUNDLE holds the certificates that clients must trust."""

    stand_in: AzureStandIn
    bundle: Path
    sink: Sink | None = None
    """Where the pages go, and are counted; None: into Azurite."""

    @property
    def account(self) -> StorageAccount:
        """The storage account."""
        (account,) = self.stand_in.holdings.every(StorageAccount)
        return account

    def environment(self) -> dict[str, str]:
        """Return the variables that lead lkcloud and the others here."""
        trusted = {name: str(self.bundle) for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")}
        return {**self.stand_in.environment(), **trusted}

    def begin(self) -> None:
        """Be as new, with a container, and not slower than later on."""
        self.stand_in.reset()
        if self.sink is not None:
            self.account.endpoint = f"{self.sink.url}/{self.account.name}"
            self.sink.stats()
            return
        with self._container() as container:
            container.create_container()
            blob = container.get_blob_client("warm-up")
            blob.create_page_blob(_WARM * _PIECE)
            for number in range(_WARM):  # Node.js compiles what has run some times
                blob.upload_page(bytes([number]) * _PIECE, number * _PIECE, _PIECE)
            blob.delete_blob()

    def end(self) -> Stats | None:
        """Return what the sink has counted; Azurite counts nothing."""
        return self.sink.stats() if self.sink else None

    def url(self) -> str:
        """Return the URL of a page blob that may be written."""
        return f"{self.account.endpoint}/{CONTAINER}/{PEERS}?{self._signature()}"

    def compare(self, wanted: Path) -> None:
        """Raise Failed unless the one blob that there is holds the bytes of the file WANTED."""
        with self._container() as container, wanted.open("rb") as file:
            (blob,) = container.list_blobs()
            if blob.size != wanted.stat().st_size:
                raise Failed(f"{blob.name} has {blob.size} bytes, and not {wanted.stat().st_size}")
            position = 0
            for piece in container.download_blob(blob.name).chunks():
                if piece != file.read(len(piece)):
                    raise Failed(f"{blob.name} differs from {wanted.name} after byte {position}")
                position += len(piece)

    def _container(self) -> ContainerClient:
        name = self.account.name
        return ContainerClient(
            self.account.endpoint,
            CONTAINER,
            credential={"account_name": name, "account_key": self._key()},
            connection_verify=str(self.bundle),
            max_single_get_size=_PIECE,
            max_chunk_get_size=_PIECE,
        )

    def _signature(self) -> str:
        return generate_container_sas(
            self.account.name,
            CONTAINER,
            account_key=self._key(),
            permission=ContainerSasPermissions(read=True, write=True, create=True),
            expiry=datetime.now(UTC) + timedelta(hours=6),
        )

    def _key(self) -> str:
        return self.stand_in.holdings.blobs.keys(self.account.name)[0]


def without_azurite() -> str:
    """Return why Azurite cannot run, "" if it can."""
    with _saying("azurite"):
        try:
            find_program()
        except UsageError as error:
            return error.message
    return ""


@contextmanager
def run(folder: Path, sink: Sink | None = None) -> Iterator[Emulator]:
    """Run one for the length of the context, with Azurite if there is no SINK; its files are in FOLDER, which is empty.

    Raises UsageError where Azurite is not installed.
    """
    with _saying("own" if sink else "azurite"):
        stand_in = AzureStandIn(folder)
    stand_in.start()
    try:
        said = stand_in.environment()
        bundle = folder / "trusted.pem"
        trusted = [Path(said["SSL_CERT_FILE"]), *([sink.certificate] if sink else [])]
        bundle.write_text("".join(file.read_text() for file in trusted))
        yield Emulator(stand_in, bundle, sink)
    finally:
        stand_in.stop()


@contextmanager
def _saying(blobs: str) -> Iterator[None]:
    """Let the environment ask a stand-in that is made meanwhile for that service of BLOBS."""
    before = dict(os.environ)
    os.environ["LKCLOUD_SANDBOX_BLOBS"] = blobs
    if (NPM / "azurite-blob").exists():
        os.environ.setdefault(PROGRAM, str(NPM / "azurite-blob"))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
