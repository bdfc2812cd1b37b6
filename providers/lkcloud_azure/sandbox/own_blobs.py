# SPDX-License-Identifier: Apache-2.0
"""The stand-in's own blob service: an https server as strict as Azure's about page blobs and managed disks."""

import math
import shutil
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from lkcloud.sandbox.http import DropConnection, Request, Response, Server
from lkcloud.sandbox.traffic import Traffic
from lkcloud_azure.sandbox import (
    own_blobs_account,
    own_blobs_blobs,
    own_blobs_containers,
    own_blobs_disks,
    own_blobs_lists,
)
from lkcloud_azure.sandbox.access import Tokens
from lkcloud_azure.sandbox.blob_service import Found, address_of
from lkcloud_azure.sandbox.certificate import Certificate
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.grants import PREFIX, Grants
from lkcloud_azure.sandbox.own_blobs_access import check, check_version
from lkcloud_azure.sandbox.own_blobs_blobs import Handler
from lkcloud_azure.sandbox.own_blobs_call import Address, Call, not_here
from lkcloud_azure.sandbox.own_blobs_routes import operation
from lkcloud_azure.sandbox.page_file import PageFile
from lkcloud_azure.sandbox.store import Account, Store, new_key
from lkcloud_azure.sandbox.windows import Windows

_NOT_HERE = (
    "x-ms-encryption-key",
    "x-ms-encryption-scope",
    "x-ms-default-encryption-scope",
    "x-ms-expiry-option",
    "x-ms-if-tags",
    "x-ms-immutability-policy-mode",
    "x-ms-immutability-policy-until-date",
    "x-ms-legal-hold",
    "x-ms-tags",
)
"""Headers that ask for parts of the service which the sandbox does not have, and so must not pass over."""

_HANDLERS: Mapping[str, Handler] = {
    **own_blobs_account.HANDLERS,
    **own_blobs_containers.HANDLERS,
    **own_blobs_lists.HANDLERS,
    **own_blobs_blobs.HANDLERS,
}


class OwnBlobs:
    """Serves accounts, and the disks that GRANTS give access to; bytes are in files below HOME."""

    def __init__(
        self, home: Path, windows: Windows, traffic: Traffic, tokens: Tokens, certificate: Certificate
    ) -> None:
        self.store = Store(home)
        self._windows, self._traffic, self._tokens, self._certificate = windows, traffic, tokens, certificate
        self._server: Server | None = None
        self._grants = Grants(lambda: self.address)

    @property
    def grants(self) -> Grants:
        """The URLs that give access to managed disks."""
        return self._grants

    @property
    def address(self) -> str:
        """The URL of the server."""
        assert self._server is not None, "start comes first"
        return self._server.address

    def start(self) -> None:
        """Serve on a free port of the loopback address; return when it answers."""
        self._server = Server(self, self._certificate.context)
        self._server.start()

    def add_account(self, name: str) -> None:
        """Let there be a storage account, with new keys; one that is there stays as it is."""
        with self.store.lock:
            self.store.accounts.setdefault(name, Account(name))

    def remove_account(self, name: str) -> None:
        """Remove an account with all its blobs; one that is not there is no error."""
        with self.store.lock:
            if account := self.store.accounts.pop(name, None):
                for container in account.containers.values():
                    self.store.drop(container)

    def keys(self, account: str) -> tuple[str, str]:
        """Return the keys of an account. Raises KeyError."""
        return self.store.accounts[account].keys

    def renew_key(self, account: str, index: int) -> None:
        """Give an account another key in place of the first (0) or second (1). Raises KeyError."""
        with self.store.lock:
            held = self.store.accounts[account]
            held.keys = (new_key(), held.keys[1]) if index == 0 else (held.keys[0], new_key())

    def endpoint(self, account: str) -> str:
        """Return the URL of an account, without a slash at its end."""
        return f"{self.address}/{account}"

    def find(self, url: str) -> Found | None:
        """Return what the blob at URL is, None if there is none; a query is not looked at."""
        at = address_of(url, self.address)
        blob = self.store.find(at.account, at.container, at.blob) if at else None
        return Found(blob.kind, blob.size) if blob else None

    def fetch(self, url: str, target: Path) -> None:
        """Copy the bytes of the blob at URL into the file TARGET. Raises KeyError."""
        at = address_of(url, self.address)
        blob = self.store.find(at.account, at.container, at.blob) if at else None
        if blob is None:
            raise KeyError(url)
        if isinstance(blob.contents, PageFile):
            blob.contents.copy_to(target)
        else:
            shutil.copyfile(blob.contents.path, target)

    def idle(self) -> float:
        """Return infinity: the log of requests has them all."""
        return math.inf

    def reset(self) -> None:
        """Remove all blobs, containers, accounts and grants; addresses stay."""
        self.store.clear()
        self._grants.clear()

    def stop(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __call__(self, request: Request) -> Response:
        """Return the answer to REQUEST."""
        address = Address.of(request.raw_path)
        name = operation(request, address)
        shown = name or f"{request.method} {request.query.get('comp', '')}".strip()
        with self._traffic.request("blob", shown, request.method, request.path, "") as seen:
            response = self._traffic.before(seen) or self._answer(request, address, name)
            for _ in request.body.pieces():
                pass
            return self._traffic.after(seen, response, request.body.received)

    def _answer(self, request: Request, address: Address, name: str) -> Response:
        try:
            response = self._serve(request, address, name)
        except ApiError as error:
            response = error.xml()
        except DropConnection:
            raise
        except Exception as error:
            traceback.print_exc()
            response = ApiError(500, "InternalError", f"The sandbox failed: {type(error).__name__}: {error}").xml()
        headers = {"x-ms-request-id": str(uuid4()), **response.headers}
        for header in ("x-ms-version", "x-ms-client-request-id"):
            if request.header(header):
                headers[header] = request.header(header)
        return replace(response, headers=headers)

    def _serve(self, request: Request, address: Address, name: str) -> Response:
        check_version(request)
        call = Call(self.store, self._windows, request, address, name)
        if address.account.startswith(PREFIX):
            return own_blobs_disks.serve(call, self._grants)
        if not name:
            raise not_here("this operation")
        call = replace(call, permissions=check(call, self._tokens))
        if asked := [header for header in _NOT_HERE if call.header(header)]:
            raise not_here(", ".join(asked))
        return _HANDLERS[name](call)
